"""The server's guards: slow, endless and ambiguous clients are cut off, the others do not notice."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn

from console import serving
from core.errors import ConfigError

QUICK = serving.Limits(headers_within_s=0.4, body_pause_s=0.4)
WHOLE = b"POST /in/w1 HTTP/1.1\r\nHost: bus\r\nContent-Length: 2\r\n\r\nok"


class Seen:
    """The application: counts the whole requests it was given; `work` comes before it reads one."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.pause_s = 0.0
        self.answer = b"fine"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":  # lifespan
            return
        if self.pause_s:
            await asyncio.sleep(self.pause_s)
        body = b""
        while True:
            event = await receive()
            if event["type"] != "http.request":
                return
            body += event["body"]
            if not event["more_body"]:
                break
        self.bodies.append(body)
        length = str(len(self.answer)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": self.answer})


class Running:
    """A server in a thread, and raw clients of it."""

    def __init__(self, server: uvicorn.Server, port: int) -> None:
        self.server = server
        self.port = port

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def ask(self, octets: bytes) -> bytes:
        """What comes back until the connection ends; the octets stay unanswered for good: the test fails."""
        with self.connect() as client, contextlib.suppress(ConnectionResetError, BrokenPipeError):
            client.sendall(octets)
            return until_its_end(client)
        return b"cut"

    def is_well(self) -> bool:
        with self.connect() as client:
            client.sendall(WHOLE)
            return client.recv(4096).startswith(b"HTTP/1.1 200")

    def connections(self) -> int:
        return len(self.server.server_state.connections)


def until_its_end(client: socket.socket) -> bytes:
    seen = b""
    with contextlib.suppress(ConnectionResetError):
        while data := client.recv(65536):
            seen += data
    return seen


def drips_until_it_is_cut(client: socket.socket) -> bool:
    for _ in range(200):
        try:
            client.sendall(b"a:b\r\n")
            if not client.recv(100):
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


class Holder:
    """Hands on to the application of the test that runs: starting a server takes longer than most tests."""

    application: Seen

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self.application(scope, receive, send)


@contextlib.contextmanager
def started(application: Any, limits: serving.Limits) -> Iterator[Running]:
    server = serving.server(application, limits)
    with serving.listening("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield Running(server, port)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Holder, Running]]:
    holder = Holder()
    with started(holder, QUICK) as web:
        yield holder, web


@pytest.fixture
def application() -> Seen:
    return Seen()


@pytest.fixture
def serve(application: Seen, shared: tuple[Holder, Running]) -> Iterator[Callable[..., Running]]:
    """A running server of `application`: the quick one of this module, or one of its own with these limits."""
    holder, web = shared
    holder.application = application
    with contextlib.ExitStack() as stack:

        def start(limits: serving.Limits | None = None) -> Running:
            return web if limits is None else stack.enter_context(started(application, limits))

        yield start


@pytest.mark.parametrize(
    "beginning",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"POST /in", id="half a line"),
        pytest.param(b"POST /in/w1 HTTP/1.1\r\nHost: bus\r\n", id="headers without an end"),
        pytest.param(b"POST /in/w1 HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf", id="half a body"),
        pytest.param(b"POST /in/w1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", id="half a chunk"),
    ],
)
def test_a_client_that_stops_in_the_middle_is_cut_off(serve, application, beginning) -> None:
    web = serve()
    assert web.ask(beginning) in (b"", b"cut")
    assert application.bodies == []
    assert web.is_well()


def test_a_client_that_drips_octets_is_cut_off_though_it_never_stops(serve, application) -> None:
    web = serve()
    for head in (b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n"):
        with web.connect() as client:
            client.sendall(head)
            client.settimeout(0.05)
            assert drips_until_it_is_cut(client)
    assert application.bodies == []


def test_a_hundred_slow_clients_do_not_keep_out_the_others(serve, eventually) -> None:
    web = serve()
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(web.connect()).sendall(b"POST /in/w1 HTTP/1.1\r\nX: ")
        assert web.is_well()
        eventually(lambda: web.connections() == 0)


def test_a_client_that_does_not_read_its_answer_is_cut_off(serve, application, eventually) -> None:
    application.answer = b"x" * 30_000_000
    web = serve()
    with web.connect() as client:
        client.sendall(WHOLE)
        eventually(lambda: application.bodies)
        eventually(lambda: web.connections() == 0)


def test_a_slow_application_costs_no_client_its_connection(serve, application) -> None:
    application.pause_s = 1.0
    web = serve()
    with web.connect() as client:
        body = b"x" * 3_000_000
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
    assert application.bodies == [body]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(b"X: " + b"a" * 70_000 + b"\r\n\r\n", id="one long header"),
        pytest.param(b"X: " + b"a" * 70_000, id="one without an end"),
        pytest.param(b"".join(b"X%d: a\r\n" % n for n in range(101)) + b"\r\n", id="many headers"),
        pytest.param(b"".join(b"X: %0900d\r\n" % n for n in range(90)) + b"\r\n", id="together too long"),
    ],
)
def test_oversized_headers_are_refused_with_431(serve, application, headers) -> None:
    web = serve()
    assert web.ask(b"POST /in/w1 HTTP/1.1\r\nContent-Length: 2\r\n" + headers).startswith(b"HTTP/1.1 431")
    assert web.ask(b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 431")
    assert application.bodies == []
    assert web.is_well()


@pytest.mark.parametrize("trailers", [b"X: a\r\n" * 200, b"X: " + b"a" * 200_000])
def test_endless_headers_after_a_body_end_the_request(serve, application, trailers) -> None:
    web = serve()
    with web.connect() as client, contextlib.suppress(ConnectionResetError, BrokenPipeError):
        client.sendall(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n")
        client.sendall(trailers)
        client.sendall(trailers)
        assert b"431" in until_its_end(client)
    assert application.bodies == []
    assert web.is_well()


def test_an_answer_without_a_body_arrives_though_the_connection_ends(serve) -> None:
    assert serve().ask(b"HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_headers_within_the_limits_pass(serve, application) -> None:
    web = serve()
    headers = b"".join(b"X: %0600d\r\n" % n for n in range(98))
    with web.connect() as client:
        for _ in range(3):  # they are counted a request, not a connection
            client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n" + headers + b"\r\nok")
            assert client.recv(4096).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", id="length and chunked"),
        pytest.param(b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", id="chunked and length"),
        pytest.param(b"Content-Length: 4\r\nContent-Length: 5\r\n", id="two lengths"),
        pytest.param(b"Content-Length: 4\r\nContent-Length: 4\r\n", id="one length twice"),
        pytest.param(b"Content-Length: 4, 5\r\n", id="lengths in one header"),
        pytest.param(b"Content-Length: +4\r\n", id="signed length"),
        pytest.param(b"Content-Length: 0x4\r\n", id="hexadecimal length"),
        pytest.param(b"Content-Length: -4\r\n", id="negative length"),
        pytest.param(b"Content-Length : 4\r\n", id="space before the colon"),
        pytest.param(b"Content-Length: 99999999999999999999999\r\n", id="length beyond 64 bits"),
        pytest.param(b"Transfer-Encoding: chunked, identity\r\n", id="chunked is not the last"),
        pytest.param(b"Transfer-Encoding: xchunked\r\n", id="unknown coding"),
        pytest.param(b"Transfer-Encoding : chunked\r\n", id="space before the colon of the coding"),
        pytest.param(b"X: a\nTransfer-Encoding: chunked\r\n", id="bare LF"),
        pytest.param(b"X: a\r\n Content-Length: 4\r\n", id="folded header"),
        pytest.param(b"X: a\x00b\r\n", id="NUL in a value"),
        pytest.param(b"X\x0b: a\r\n", id="control character in a name"),
    ],
)
def test_a_request_that_can_be_read_in_two_ways_is_refused(serve, application, headers) -> None:
    web = serve()
    smuggled = b"0\r\n\r\nPOST /in/w1 HTTP/1.1\r\nHost: bus\r\nContent-Length: 8\r\n\r\nsmuggled"
    answer = web.ask(b"POST /in/w1 HTTP/1.1\r\nHost: bus\r\n" + headers + b"\r\n" + smuggled)
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert application.bodies == []
    assert web.is_well()


@pytest.mark.parametrize(
    "chunk", [b"g\r\n", b"-1\r\nab\r\n", b"2\r\nabc\r\n", b"fffffffffffffffff\r\n", b"2;\x00=\r\nab\r\n"]
)
def test_broken_chunks_end_the_request(serve, application, chunk) -> None:
    web = serve()
    web.ask(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk)
    assert application.bodies == []
    assert web.is_well()


def test_an_upgrade_that_we_do_not_know_smuggles_nothing(serve, application) -> None:
    web = serve()
    hidden = b"POST /in/w1 HTTP/1.1\r\nHost: bus\r\nContent-Length: 6\r\n\r\nhidden"
    upgrade = b"GET / HTTP/1.1\r\nHost: bus\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    with web.connect() as client:
        client.sendall(upgrade + hidden)
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
    assert b"hidden" not in application.bodies
    assert web.is_well()


def test_connections_beyond_the_limit_are_told_to_come_later(serve, eventually) -> None:
    web = serve(serving.Limits(connections_most=3))
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(web.connect()) for _ in range(3)]
        for one in held:
            one.sendall(WHOLE)
            assert one.recv(4096).startswith(b"HTTP/1.1 200")
        refused = web.ask(b"")
        assert refused.startswith(b"HTTP/1.1 503")
        assert b"retry-after" in refused
        held[0].close()
        eventually(lambda: web.connections() == 2)
        assert web.is_well()


def test_garbage_is_refused_and_the_process_lives(serve, application) -> None:
    web = serve()
    for octets in (
        bytes(range(256)),
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ):
        assert web.ask(octets).startswith((b"HTTP/1.1 400", b"cut")), octets
    assert application.bodies == []
    assert web.is_well()


def test_a_stop_waits_for_requests_under_way_and_not_for_idle_connections(serve, application, eventually) -> None:
    application.pause_s = 0.5
    web = serve(serving.Limits())
    with web.connect() as idle, web.connect() as busy:
        busy.sendall(WHOLE)
        eventually(lambda: len(web.server.server_state.tasks) == 1)
        web.server.should_exit = True
        assert until_its_end(busy).startswith(b"HTTP/1.1 200")
        assert until_its_end(idle) == b""


def test_a_taken_port_is_refused_with_a_sentence() -> None:
    with serving.listening("127.0.0.1", 0) as taken, pytest.raises(ConfigError, match="занят"):
        serving.listening("127.0.0.1", taken.getsockname()[1])
