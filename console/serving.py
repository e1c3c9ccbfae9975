"""The HTTP server of `omsbus run` and `omsbus web`: uvicorn on httptools and uvloop, with the guards that it lacks.

What it promises: a client that is slow on purpose, sends endless headers or opens connections without end costs a
bounded amount of memory and of descriptors, and never the process. Two readings of one request (Content-Length beside
chunked, two lengths) are refused by httptools itself; the tests hold it to that.
"""

from __future__ import annotations

import asyncio
import math
import resource
import socket
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from core.connector import Application
from core.errors import ConfigError

_OTHER_FILES = 512
"""Descriptors that the process wants besides its clients' connections."""
_SWEEP_TICKS = 2
"""uvicorn ticks ten times a second; so often the deadlines are looked at."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client, and all together, may take."""

    headers_most_bytes: int = 64 * 1024
    headers_most: int = 100
    headers_within_s: float = 10.0
    """From the connection, or from the first octet of a further request, to the end of its headers."""
    body_pause_s: float = 30.0
    """In this time at least `body_least_bytes` of a body must arrive, or its end; an answer must move as well."""
    body_least_bytes: int = 1024
    connections_most: int = 1000
    keep_alive_s: float = 75.0
    backlog: int = 2048
    stop_within_s: float = 30.0


def server(application: Application, limits: Limits = Limits()) -> uvicorn.Server:
    """A server of `application`, not running: `run(sockets=[…])`, in any thread; `should_exit = True` ends it."""
    _make_room(limits.connections_most + _OTHER_FILES)
    protocol = type("Guarded", (GuardedProtocol,), {"limits": limits})
    return GuardedServer(
        uvicorn.Config(
            application,
            http=protocol,
            loop="uvloop",
            ws="none",
            backlog=limits.backlog,
            timeout_keep_alive=limits.keep_alive_s,  # type: ignore[arg-type]
            timeout_graceful_shutdown=limits.stop_within_s,  # type: ignore[arg-type]
            proxy_headers=False,  # the address that we keep is the peer's own
            server_header=False,
            log_config=None,
            access_log=False,
        )
    )


def listening(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigError when the address is taken."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ConfigError(
            f"Адрес {host}:{port} занят или недоступен ({error.strerror}): остановите другую программу "
            "или укажите другой --port"
        ) from None


class GuardedServer(uvicorn.Server):
    """Looks at the deadlines of all connections a few times a second: no timer a request."""

    async def on_tick(self, counter: int) -> bool:
        if counter % _SWEEP_TICKS == 0:
            for connection in list(self.server_state.connections):
                connection.sweep()  # type: ignore[union-attr]
        return await super().on_tick(counter)


class _HeadersTooLarge(Exception):
    """Ends the parsing of a request."""


class _Corked:
    """A transport that sends what one turn of the loop wrote in one piece: headers and body are one system call."""

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, []
            self._transport.write(b"".join(held))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class GuardedProtocol(HttpToolsProtocol):
    """One connection. `_deadline`: when it is cut unless it moves; infinite while it waits for us."""

    limits: Limits

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._deadline = math.inf
        self._idle_bytes = 0
        self._head_bytes = 0
        self._head_count = 0
        self._body_bytes = 0
        self._too_large = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(_Corked(transport, self.loop))  # type: ignore[arg-type]
        if len(self.connections) > self.limits.connections_most:
            self._refuse(503, b"retry-after: 5\r\n")
            return
        self._deadline = self.loop.time() + self.limits.headers_within_s

    def data_received(self, data: bytes) -> None:
        self._idle_bytes += len(data)
        super().data_received(data)
        # A header that does not end, before a body or after it, is with the parser, where nobody counts it.
        if self._idle_bytes > self.limits.headers_most_bytes and not self.transport.is_closing():
            self._refuse(431)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = self._head_count = self._body_bytes = 0
        self._deadline = self.loop.time() + self.limits.headers_within_s

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_count += 1
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > self.limits.headers_most_bytes or self._head_count > self.limits.headers_most:
            self._too_large = True
            raise _HeadersTooLarge
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.url) > self.limits.headers_most_bytes:
            self._too_large = True
            raise _HeadersTooLarge
        self._idle_bytes = 0
        self._deadline = self.loop.time() + self.limits.body_pause_s
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._idle_bytes = 0
        self._body_bytes += len(body)
        if self._body_bytes >= self.limits.body_least_bytes:
            self._body_bytes = 0
            self._deadline = self.loop.time() + self.limits.body_pause_s
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._idle_bytes = 0
        self._deadline = math.inf
        super().on_message_complete()

    def pause_writing(self) -> None:
        self._deadline = self.loop.time() + self.limits.body_pause_s
        super().pause_writing()

    def resume_writing(self) -> None:
        self._deadline = math.inf
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """What cannot be parsed, and what the guards stopped in the middle of the parsing."""
        self._refuse(431 if self._too_large else 400)

    def sweep(self) -> None:
        """Cut the connection when its time is over."""
        now = self.loop.time()
        if self.flow.read_paused and not self.flow.write_paused:  # it is we who are slow
            self._deadline = max(self._deadline, now + self.limits.body_pause_s)
        elif now >= self._deadline:
            self._deadline = math.inf
            self.transport.abort()

    def _refuse(self, status: int, more: bytes = b"") -> None:
        self._deadline = self.loop.time() + self.limits.headers_within_s
        self.transport.write(STATUS_LINE[status] + more + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()


def _make_room(descriptors: int) -> None:
    """Raise the soft limit of open files where the system lets us: many give 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = descriptors if hard == resource.RLIM_INFINITY else min(descriptors, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
