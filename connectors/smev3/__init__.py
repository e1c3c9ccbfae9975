"""СМЭВ 3: the state's bus of departments, versions 1.1, 1.2 and 1.3 of its message exchange service."""
