"""The web application of the bus: push sources below their prefixes, /metrics, and the console everywhere else.

Until the console grows it answers one question: is this process ready?
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse

from core.connector import Application


class Serving(Protocol):
    """Whatever a web process serves: `core.bus.Bus` once it is open."""

    def healthy(self) -> bool: ...

    def applications(self) -> Mapping[str, Application]: ...

    @property
    def metrics(self) -> Application | None: ...


class NotYet:
    """The bus is still opening."""

    def healthy(self) -> bool:
        return False

    def applications(self) -> Mapping[str, Application]:
        return {}

    metrics: Application | None = None


_NOT_YET = PlainTextResponse("Шина запускается: повторите позже", status_code=503, headers={"Retry-After": "2"})


class Console:
    """The ASGI application and the bus behind it; the bus is given when it is open.

    Requests of push sources go past the console's own framework: they are many and small.
    """

    def __init__(self) -> None:
        self._bus: Serving = NotYet()
        self._pushed: list[tuple[str, Application]] = []
        self.pages = FastAPI(title="omsbus", docs_url=None, redoc_url=None, openapi_url=None)
        self.pages.add_api_route("/healthz", self.healthz, methods=["GET"])

    def serve(self, bus: Serving) -> None:
        """From now on this bus is served."""
        self._pushed = [(f"{prefix.rstrip('/')}/", application) for prefix, application in bus.applications().items()]
        self._bus = bus

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        if scope["type"] == "http":
            for prefix, application in self._pushed:
                if scope["path"].startswith(prefix):
                    await application(scope, receive, send)
                    return
            if scope["path"] == "/metrics" and self._bus.metrics is not None:
                await self._bus.metrics(scope, receive, send)
                return
            if isinstance(self._bus, NotYet) and scope["path"] != "/healthz":
                # Not 404: a sender must not take "not yet" for "never".
                await _NOT_YET(scope, receive, send)
                return
        await self.pages(scope, receive, send)

    def healthz(self) -> JSONResponse:
        """200 only when the parts of this process run and the database answers; else 503."""
        ready = self._bus.healthy()
        return JSONResponse({"ready": ready}, status_code=200 if ready else 503)
