"""The demo: the whole bus against the simulated far sides, with failures, and an account of every message."""
