"""Alerts: what is judged wrong (rules), what was decided and must be told (book), how it is told (channels)."""
