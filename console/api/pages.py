"""Puts the REST API below the console's pages. It guards itself: a token for everything."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from console.api import PREFIX

if TYPE_CHECKING:
    from core.bus import Bus


class Later:
    """The API of a bus, built when somebody asks it something: the console opens without waiting for it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._app: ASGIApp | None = None
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            await run_in_threadpool(self._build)
        assert self._app
        await self._app(scope, receive, send)

    def _build(self) -> None:
        from console.api.application import build

        with self._lock:
            self._app = self._app or build(self._bus)


def mount(app: FastAPI, bus: Bus) -> None:
    """Called by console.pages.build."""
    mounted = Mount(PREFIX, app=Later(bus))
    # An address with a line feed in it is one of ours too, and is answered by a problem like any other.
    mounted.path_regex = re.compile(mounted.path_regex.pattern, re.DOTALL)
    app.router.routes.append(mounted)
