"""The REST API, `/api/v1`: what the console can do, for programs. Rules for integrators: docs/api.md."""

PREFIX = "/api/v1"
