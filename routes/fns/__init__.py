"""ФНС: news of ЕГРЮЛ, a broadcast that nobody answers."""
