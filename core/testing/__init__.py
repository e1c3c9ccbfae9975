"""Contract suites that every connector and every kind must pass. For tests only: needs pytest."""
