"""Connectors: what is set, how the far sides stand, what was exchanged; test, pause and resume."""
