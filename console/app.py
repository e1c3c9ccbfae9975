"""The web application of the bus: push sources below their prefixes, /metrics, and the console everywhere else.

The console's pages are loaded when somebody asks for the first of them: a process that only takes messages in stays
as small as it was.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, PlainTextResponse

from core.connector import Application

if TYPE_CHECKING:
    from console.pages import Hardened


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
        self._bus: Any = NotYet()
        self._pushed: list[tuple[str, Application]] = []
        self._pages: Hardened | None = None
        self._lock = threading.Lock()

    def serve(self, bus: Serving) -> None:
        """From now on this bus is served."""
        self._pushed = [(f"{prefix.rstrip('/')}/", application) for prefix, application in bus.applications().items()]
        self._bus = bus

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        path = scope["path"]
        for prefix, application in self._pushed:
            if path.startswith(prefix):
                await application(scope, receive, send)
                return
        if path == "/metrics" and self._bus.metrics is not None:
            await self._bus.metrics(scope, receive, send)
        elif path == "/healthz":
            await (await run_in_threadpool(self.healthz))(scope, receive, send)
        elif isinstance(self._bus, NotYet):
            # Not 404: a sender must not take "not yet" for "never".
            await _NOT_YET(scope, receive, send)
        else:
            if self._pages is None:
                self._pages = await run_in_threadpool(self._build)
            await self._pages(scope, receive, send)

    def healthz(self) -> JSONResponse:
        """200 only when the parts of this process run and the database answers; else 503."""
        ready = self._bus.healthy()
        return JSONResponse({"ready": ready}, status_code=200 if ready else 503)

    def _build(self) -> Hardened:
        from console.pages import Hardened, build

        with self._lock:
            return self._pages or Hardened(build(self._bus))


async def _live(receive, send) -> None:  # type: ignore[no-untyped-def]
    """Nothing is started or stopped with the server: the bus has its own life."""
    while (event := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{event['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})
