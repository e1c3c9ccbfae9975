"""A web process of the bus in a thread: the guarded server, the console's application, the intake of a test."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from connectors.http.connector import Settings, connect
from console import serving
from console.app import Console
from core.bus import Bus
from core.database import driver
from core.route import Route

TOKEN = "smo1-c0ffee-c0ffee-c0ffee"
OTHER_TOKEN = "smo2-facade-facade-facade"


@dataclass
class Web:
    """What a test talks to."""

    url: str
    bus: Bus
    client: httpx.Client

    def post(self, queue: str, content: Any, /, key: str = "", token: str = "", **headers: str) -> httpx.Response:
        """POST with the usual headers; `Content_Type=…` for others."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if key:
            given["Idempotency-Key"] = key
        if token:
            given["Authorization"] = f"Bearer {token}"
        return self.client.post(f"/in/{queue}", content=content, headers=given)

    def rows(self, columns: str = "id, external_id, body, headers") -> list[tuple[Any, ...]]:
        """Messages of the journal in the order of their intake."""
        with psycopg.connect(self.bus.database.url) as connection:
            return connection.execute(f"SELECT {columns} FROM bus.message ORDER BY id").fetchall()  # type: ignore[arg-type]

    def bodies(self) -> list[bytes]:
        """Of the same messages, as a route gets them."""
        with self.bus.database.transaction() as connection:
            db = driver(connection)
            ids = [row[0] for row in db.execute("SELECT id FROM bus.message ORDER BY id").fetchall()]
            found = {one.id: one.body for one in self.bus.journal.load(db, ids)}
            return [found[one] for one in ids]


WebOf = Callable[..., contextlib.AbstractContextManager[Web]]


@contextlib.contextmanager
def running(application: Any, limits: serving.Limits = serving.Limits()) -> Iterator[int]:
    """The guarded server on a free port, in a thread; the port."""
    server = serving.server(application, limits)
    with serving.listening("127.0.0.1", 0) as listening:
        port = int(listening.getsockname()[1])
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield port
        finally:
            server.should_exit = True
            thread.join()


class Switch:
    """An application that hands on to the one which a test has put here: starting a server a test takes too long."""

    def __init__(self) -> None:
        self.application: Any = None
        self.port = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.application(scope, receive, send)


@pytest.fixture(scope="session")
def switches() -> Iterator[Callable[[int], Switch]]:
    """The running server number n."""
    made: list[Switch] = []
    with contextlib.ExitStack() as stack:

        def get(number: int) -> Switch:
            while len(made) <= number:
                switch = Switch()
                switch.application = Console()
                switch.port = stack.enter_context(running(switch))
                made.append(switch)
            return made[number]

        yield get


@pytest.fixture
def token() -> str:
    """Of the sender smo1, who may post to erz.lists."""
    return TOKEN


@pytest.fixture
def other_token() -> str:
    """Of the sender smo2, who may post to erz.other."""
    return OTHER_TOKEN


@pytest.fixture
def tokens(tmp_path: Path) -> dict[str, Path]:
    """Token files of two senders."""
    files = {"smo1": tmp_path / "smo1.token", "smo2": tmp_path / "smo2.token"}
    files["smo1"].write_text(TOKEN + "\n")
    files["smo2"].write_text(OTHER_TOKEN)
    return files


@pytest.fixture
def web_of(bus_of, tokens: dict[str, Path], switches: Callable[[int], Switch]) -> Iterator[Callable[..., Web]]:
    """Makes a running web process; keywords are settings of the connector `in`."""
    numbers = itertools.count()
    with contextlib.ExitStack() as stack:

        def make(routes: list[Route] | None = None, /, **settings: Any) -> Web:
            values = {
                "type": "http",
                "open_queues": ["w1"],
                "senders": {
                    "smo1": {"token_file": tokens["smo1"], "queues": ["erz.lists"]},
                    "smo2": {"token_file": tokens["smo2"], "queues": ["erz.other"]},
                },
            } | settings
            bus = bus_of(routes or [], [connect("in", Settings.model_validate(values))])
            switch = switches(next(numbers))
            bus.start(intake=False, push=True, work=False, schedule=False)
            console = Console()
            console.serve(bus)
            switch.application = console
            url = f"http://127.0.0.1:{switch.port}"
            client = stack.enter_context(httpx.Client(base_url=url, timeout=20))
            return Web(url, bus, client)

        yield make


@dataclass
class Call:
    """One request as the partner saw it."""

    path: str
    headers: dict[str, str]
    body: bytes


class Partner:
    """A far side: it takes each Idempotency-Key once, answers as it is told, and can be away."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.effects: dict[str, bytes] = {}
        self.answers: list[Callable[[BaseHTTPRequestHandler], None]] = []
        """What it does instead of taking a message, each once."""
        self.contacts = 0
        self.port = 0
        self._server: ThreadingHTTPServer | None = None
        self._open: set[Any] = set()
        self.restore()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/documents"

    def will(self, *answers: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.answers[:] = answers

    def will_say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.will(saying(status, body, **headers))

    def restore(self) -> None:
        partner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                partner.contacts += 1
                partner._open.add(self.connection)

            def finish(self) -> None:
                with contextlib.suppress(OSError):
                    super().finish()
                partner._open.discard(self.connection)

            def do_POST(self) -> None:
                body = _body_of(self)
                headers = {name.lower(): value for name, value in self.headers.items()}
                partner.calls.append(Call(self.path, headers, body))
                if partner.answers:
                    partner.answers.pop(0)(self)
                    return
                partner.effects.setdefault(headers.get("idempotency-key", ""), body)
                saying(200, b"taken")(self)

            def log_message(self, *arguments: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *arguments: Any) -> None:
                """A client that went away is no news."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def secure(self, context: ssl.SSLContext) -> None:
        """From the next connection on, over TLS."""
        assert self._server is not None
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def break_down(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            self._thread.join()
            for one in list(self._open):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            server.server_close()


def saying(status: int, body: bytes = b"", **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """An answer of the partner; `Retry_After="3"` is a header."""

    def say(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return say


def raw(octets: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """These octets and nothing more, then the connection ends."""

    def say(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(octets)
        handler.wfile.flush()
        handler.close_connection = True

    return say


def _body_of(handler: BaseHTTPRequestHandler) -> bytes:
    if handler.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
    body = bytearray()
    while size := int(handler.rfile.readline(), 16):
        body += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return bytes(body)


@pytest.fixture
def partner() -> Iterator[Partner]:
    made = Partner()
    yield made
    made.break_down()


@pytest.fixture
def say() -> Callable[..., Callable[[BaseHTTPRequestHandler], None]]:
    return saying


@pytest.fixture
def say_raw() -> Callable[[bytes], Callable[[BaseHTTPRequestHandler], None]]:
    return raw
