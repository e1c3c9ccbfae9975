"""Управление: users, roles, tokens of the REST API, sessions. Everything here wants `people.write`."""
