"""The web application of the bus. Until the console grows it answers one question: is this process ready?"""

from __future__ import annotations

from typing import Protocol

from fastapi import FastAPI
from fastapi.responses import JSONResponse


class Health(Protocol):
    """Whatever knows whether the process is ready: `core.bus.Bus` once it is open."""

    def healthy(self) -> bool: ...


class NotYet:
    """The bus is still opening."""

    def healthy(self) -> bool:
        return False


class Console:
    """The application and the bus it looks at; the bus is given when it is open."""

    def __init__(self) -> None:
        self.bus: Health = NotYet()
        self.app = FastAPI(title="omsbus", docs_url=None, redoc_url=None, openapi_url=None)
        self.app.add_api_route("/healthz", self.healthz, methods=["GET"])

    def healthz(self) -> JSONResponse:
        """200 only when intake, workers and schedules run and the database answers; else 503."""
        ready = self.bus.healthy()
        return JSONResponse({"ready": ready}, status_code=200 if ready else 503)
