"""The proxy passes bytes unchanged while nothing is broken, and breaks what it is told to."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from simulators.selftest.proxy import Break, ProxyLoop, TcpProxy

PIECE = bytes(range(256)) * 64
ANSWER = b"answer:" + PIECE


class Far:
    """A far side that answers each line-long request; remembers what it got."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        far = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                try:
                    while piece := self.request.recv(65536):
                        far.got.append(piece)
                        self.request.sendall(ANSWER)
                except OSError:
                    pass

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.server.server_address[1])

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def far() -> Iterator[Far]:
    made = Far()
    yield made
    made.close()


@pytest.fixture
def proxy(far: Far) -> Iterator[TcpProxy]:
    with ProxyLoop() as loop, TcpProxy(loop, "far", far.address) as made:
        yield made


@pytest.fixture
def connect(proxy: TcpProxy) -> Iterator[Any]:
    with ExitStack() as stack:

        def make() -> socket.socket:
            made = stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port), timeout=5))
            made.settimeout(5)
            return made

        yield make


def ask(connection: socket.socket, request: bytes = b"ask") -> bytes:
    """The whole answer, or what came of it before the connection ended."""
    connection.sendall(request)
    got = b""
    while len(got) < len(ANSWER):
        piece = connection.recv(65536)
        if not piece:
            break
        got += piece
    return got


def test_while_nothing_is_broken_bytes_pass_unchanged(connect: Any, far: Far) -> None:
    connection = connect()
    assert ask(connection, PIECE[:1000]) == ANSWER
    assert ask(connection, b"again") == ANSWER
    assert b"".join(far.got) == PIECE[:1000] + b"again"


def test_refused_connections_are_refused_and_taken_again_afterwards(proxy: TcpProxy, connect: Any) -> None:
    broken = Break("refuse")
    proxy.begin(broken)
    with pytest.raises(ConnectionRefusedError):
        connect()
    proxy.end(broken)
    assert ask(connect()) == ANSWER


def test_a_reset_before_the_request_keeps_it_from_the_far_side(proxy: TcpProxy, connect: Any, far: Far) -> None:
    proxy.begin(Break("reset_before"))
    with pytest.raises(ConnectionResetError):
        ask(connect())
    assert far.got == []
    assert proxy.broken == 1


def test_a_reset_after_the_request_hides_only_the_answer(proxy: TcpProxy, connect: Any, far: Far) -> None:
    proxy.begin(Break("reset_after"))
    with pytest.raises(ConnectionResetError):
        ask(connect())
    assert far.got == [b"ask"]


def test_an_answer_is_cut_in_the_middle(proxy: TcpProxy, connect: Any) -> None:
    proxy.begin(Break("cut"))
    got = ask(connect())
    assert 0 < len(got) < len(ANSWER)
    assert ANSWER.startswith(got)


def test_a_silent_connection_swallows_and_is_reset_when_the_far_side_is_back(
    proxy: TcpProxy, connect: Any, far: Far
) -> None:
    connection = connect()
    assert ask(connection) == ANSWER
    broken = Break("silent")
    proxy.begin(broken)
    connection.sendall(b"lost")
    connection.settimeout(0.3)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    assert far.got == [b"ask"]
    connection.settimeout(5)
    proxy.end(broken)
    with pytest.raises(ConnectionResetError):
        connection.recv(1)


def test_a_slow_line_passes_everything(proxy: TcpProxy, connect: Any) -> None:
    connection = connect()
    proxy.begin(Break("slow", bytes_s=60_000))
    began = time.monotonic()
    assert ask(connection) == ANSWER
    assert time.monotonic() - began > len(ANSWER) / 60_000 * 0.5  # a lower bound, which no busy machine breaks


def test_every_open_connection_is_reset_at_once(proxy: TcpProxy, connect: Any) -> None:
    connections = [connect(), connect()]
    assert [ask(one) for one in connections] == [ANSWER, ANSWER]
    assert proxy.reset_all() == 2
    for one in connections:
        with pytest.raises(ConnectionResetError):
            one.recv(1)


def test_a_share_strikes_some_and_spares_some(proxy: TcpProxy, connect: Any) -> None:
    proxy.begin(Break("reset_before", share=0.5))
    outcomes = set()
    for _ in range(40):
        try:
            outcomes.add(ask(connect()) == ANSWER)
        except ConnectionResetError:
            outcomes.add(False)
    assert outcomes == {True, False}


def test_a_far_side_that_is_away_resets_its_clients() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = probe.getsockname()[1]
    with (
        ProxyLoop() as loop,
        TcpProxy(loop, "nobody", ("127.0.0.1", nobody)) as proxy,
        pytest.raises(ConnectionResetError),  # by the time of the connection already, when the proxy is quick
        socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as connection,
    ):
        connection.recv(1)


def test_the_target_may_be_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()

        def echo() -> None:
            end, _ = listening.accept()
            with end:
                end.sendall(end.recv(100))

        thread = threading.Thread(target=echo)
        thread.start()
        with ProxyLoop() as loop, TcpProxy(loop, "unix", path) as proxy:
            with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as connection:
                connection.sendall(b"hello")
                assert connection.recv(100) == b"hello"
            thread.join()
