"""Builds the console's pages from the areas that are found: folders of console/ with a module `pages`.

An area offers what it has of
    router  fastapi.APIRouter with its pages             MENU   console.shell.menu.Item for the menu
    OPEN    paths that need no session                   mount  function(app, bus) for applications of its own
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.shell import errors
from console.shell.templates import environment
from core.settings import HOUSE

if TYPE_CHECKING:
    from core.bus import Bus

POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


def areas() -> list[ModuleType]:
    """The `pages` module of every area."""
    return [
        importlib.import_module(f"console.{one.parent.name}.pages")
        for one in sorted((HOUSE / "console").glob("*/pages.py"))
    ]


def build(bus: Bus) -> FastAPI:
    """The pages of this bus."""
    app = FastAPI(title="omsbus", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.bus = bus
    app.state.templates = environment()
    found = areas()
    app.state.menu = [item for one in found for item in getattr(one, "MENU", ())]
    errors.register(app)
    app.mount("/static/console", StaticFiles(directory=HOUSE / "console" / "static"), name="console-static")
    app.mount("/static/admin", StaticFiles(directory=_wheel("starlette_admin") / "static"), name="admin-static")
    for one in found:
        if hasattr(one, "router"):
            app.include_router(one.router)
        if hasattr(one, "mount"):
            one.mount(app, bus)
    return app


class Hardened:
    """Adds the headers of safety, where an answer has no own ones, and tells how long the server needed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def answer(event: Message) -> None:
            if event["type"] == "http.response.start":
                headers = event.setdefault("headers", [])
                given = {name.lower() for name, _ in headers}
                for name, value in _HEADERS.items():
                    if name == "cache-control" and scope["path"].startswith("/static/"):
                        value = "public, max-age=3600"
                    if name.encode() not in given:
                        headers.append((name.encode(), value.encode()))
                spent_ms = (time.perf_counter() - began) * 1000
                headers.append((b"server-timing", f"total;dur={spent_ms:.1f}".encode()))
            await send(event)

        await self._app(scope, receive, answer)


def _wheel(package: str) -> Path:
    found = importlib.util.find_spec(package)
    assert found
    assert found.origin
    return Path(found.origin).parent
