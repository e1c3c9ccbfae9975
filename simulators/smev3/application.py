"""HTTP in front of the simulator: three endpoints of the service, their WSDL, and the control API (Starlette)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from simulators.smev3 import contract
from simulators.smev3.controlapi import control_routes
from simulators.smev3.damage import Answer
from simulators.smev3.settings import Settings
from simulators.smev3.simulator import Simulator
from simulators.smev3.versions import VERSIONS, Version

TRANSPORT: ContextVar[Any] = ContextVar("TRANSPORT", default=None)
"""The TCP connection of the request, set by `simulators.smev3.server`; None under any other server."""
MAX_REQUEST_BYTES = 300 * 1024 * 1024


def create_app(settings: Settings, simulator: Simulator | None = None) -> Starlette:
    """The ASGI application. Opening and closing of the simulator is its lifespan."""
    behind = simulator or Simulator(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await run_in_threadpool(behind.open)
        try:
            yield
        finally:
            await run_in_threadpool(behind.close)

    services = [
        Route(version.path, _service(behind, version), methods=["GET", "POST"]) for version in VERSIONS.values()
    ]
    health = Route("/healthz", lambda _request: PlainTextResponse("ok"))
    app = Starlette(routes=[*services, health, Mount("/control", routes=control_routes(behind))], lifespan=lifespan)
    app.state.simulator = behind
    return app


def _service(simulator: Simulator, version: Version) -> Any:
    async def endpoint(request: Request) -> Response:
        if request.method == "GET":
            return _contract(request, version)
        body = await _body(request)
        if body is None:
            return PlainTextResponse("Сообщение слишком велико", status_code=413)
        answer = await run_in_threadpool(
            simulator.handle, version, request.headers.get("content-type", ""), request.headers.get("soapaction", ""),
            body,
        )  # fmt: skip
        if answer.drop or answer.cut_at is not None:
            return _Broken(answer)
        return Response(answer.body, answer.http_status, headers={"Content-Type": answer.content_type})

    return endpoint


async def _body(request: Request) -> bytes | None:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_REQUEST_BYTES:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _contract(request: Request, version: Version) -> Response:
    query = {key.lower(): value for key, value in request.query_params.items()}
    name = query.get("xsd")
    if name is not None:
        if name not in contract.schema_names(version):
            return PlainTextResponse(f"Нет схемы {name}", status_code=404)
        return Response(contract.schema(version, name), media_type="text/xml")
    if "wsdl" in query:
        return Response(contract.wsdl(version, str(request.url.replace(query=""))), media_type="text/xml")
    return PlainTextResponse(f"СМЭВ 3, версия {version.number}: POST SOAP 1.1; описание — ?wsdl")


class _Broken(Response):
    """Breaks the connection: at once, or in the middle of a body whose whole length was promised."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer

    async def __call__(self, _scope: Scope, receive: Receive, _send: Send) -> None:
        transport = TRANSPORT.get()
        if transport is None:
            raise ConnectionAbortedError("сервер не даёт разорвать соединение")
        if self.answer.cut_at is not None:
            head = (
                f"HTTP/1.1 {self.answer.http_status} OK\r\ncontent-type: {self.answer.content_type}\r\n"
                f"content-length: {len(self.answer.body)}\r\n\r\n"
            )
            transport.write(head.encode("latin-1") + self.answer.body[: self.answer.cut_at])
            transport.close()
        else:
            transport.abort()
        while (await receive())["type"] != "http.disconnect":
            pass
