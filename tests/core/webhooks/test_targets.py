"""A webhook never becomes a way into the network of the bus."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from core.errors import ConfigError, Retryable
from core.webhooks import targets
from core.webhooks.targets import addresses, check, post, target_of

_REAL = socket.getaddrinfo
LOOPBACK = [ip_network("127.0.0.0/8")]
INSIDE = [
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1", "2001:0:1::1",
]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_an_inner_address_is_refused_however_it_is_written(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(ConfigError, match="внутренней сети"):
        check(f"https://{host}/hook", [])


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "::ffff:10.0.0.1", "169.254.169.254"])
def test_a_name_that_stands_for_an_inner_address_is_refused_when_it_is_posted_to(monkeypatch, address: str) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: _found("93.184.216.34", address))
    check("https://hooks.example.org/", [])
    with pytest.raises(ConfigError, match="внутренней сети"):
        post("https://hooks.example.org/", b"", {}, allow=[], ca_file=None, timeout_s=1)


@pytest.mark.parametrize("host", ["0x7f.1", "2130706433", "017700000001", "127.1"])
def test_an_odd_writing_of_a_number_is_looked_at_as_what_it_resolves_to(host: str) -> None:
    with pytest.raises((ConfigError, Retryable)):
        addresses(target_of(f"https://{host}/"), [])


def _found(*hosts: str) -> list[Any]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 443)) for host in hosts]


def test_without_tls_only_networks_that_are_allowed() -> None:
    with pytest.raises(ConfigError, match="Без TLS"):
        check("http://93.184.216.34/", LOOPBACK)
    check("http://127.0.0.5:8080/", LOOPBACK)
    check("https://93.184.216.34/", [])


@pytest.mark.parametrize(
    "url",
    [
        "https://", "ftp://example.org/", "https://user@example.org/", "https://user:x@example.org/", "//example.org/",
        "https://example.org:0/", "https://example.org:99999/", "https://example.org/#part", "https://exa mple.org/",
        "https://пример.рф/", "https://example.org/a\nb", "https://[::1/", "https://example.org\\@127.0.0.1/",
        "https://example.org/" + "x" * 1000, "file:///etc/passwd", "",
    ],
)  # fmt: skip
def test_what_is_no_address_of_a_receiver_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="https://узел"):
        check(url, [])


@pytest.fixture
def serving() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """A server of one connection that does what the test says; its port."""
    threads: list[threading.Thread] = []
    listening: list[socket.socket] = []

    def serve(answer: Callable[[socket.socket], None]) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        listening.append(server)

        def run() -> None:
            client, _ = server.accept()
            with client:
                answer(client)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return int(server.getsockname()[1])

    yield serve
    for thread in threads:
        thread.join()
    for server in listening:
        server.close()


def test_the_name_stands_in_host_and_the_connection_goes_to_the_address(monkeypatch, serving) -> None:
    got: list[bytes] = []

    def answer(client: socket.socket) -> None:
        got.append(client.recv(65536))
        client.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    port = serving(answer)
    monkeypatch.setattr(targets, "addresses", lambda *_: [ip_address("127.0.0.1")])
    assert post(f"http://hooks.example.org:{port}/a?b=1", b"{}", {}, allow=LOOPBACK, ca_file=None, timeout_s=5) == 204
    assert got[0].startswith(b"POST /a?b=1 HTTP/1.1\r\n")
    assert f"Host: hooks.example.org:{port}\r\n".encode() in got[0]


def test_the_next_address_of_a_name_is_tried_when_the_first_takes_nobody(monkeypatch, serving) -> None:
    def answer(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    port = serving(answer)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: _found("127.0.0.2", "127.0.0.1"))
    real = socket.create_connection
    tried: list[str] = []

    def connect(address: tuple[str, int], **values: Any) -> socket.socket:
        tried.append(address[0])
        if address[0] == "127.0.0.2":
            raise ConnectionRefusedError
        with monkeypatch.context() as there:
            there.setattr(socket, "getaddrinfo", _REAL)
            return real(address, **values)

    monkeypatch.setattr(socket, "create_connection", connect)
    assert post(f"http://two.example.org:{port}/", b"", {}, allow=LOOPBACK, ca_file=None, timeout_s=5) == 200
    assert tried == ["127.0.0.2", "127.0.0.1"]


def test_one_that_answers_by_drops_is_given_up_at_the_deadline(serving) -> None:
    def answer(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(b"HTTP/1.1 200 OK\r\n")
        for _ in range(200):
            try:
                client.sendall(b"x")
            except OSError:
                return
            time.sleep(0.02)

    with pytest.raises(Retryable, match="не ответил вовремя"):
        post(f"http://127.0.0.1:{serving(answer)}/", b"{}", {}, allow=LOOPBACK, ca_file=None, timeout_s=0.2)


def test_one_that_never_ends_its_handshake_is_given_up_too(serving) -> None:
    def answer(client: socket.socket) -> None:
        while client.recv(65536):
            pass

    with pytest.raises(Retryable, match="не ответил вовремя"):
        post(f"https://127.0.0.1:{serving(answer)}/", b"{}", {}, allow=LOOPBACK, ca_file=None, timeout_s=0.2)


def test_rubbish_and_a_foreign_certificate_are_failures_to_be_repeated(serving, tmp_path, monkeypatch) -> None:
    def rubbish(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(b"\x00\xff rubbish\r\n\r\n")

    with pytest.raises(Retryable):
        post(f"http://127.0.0.1:{serving(rubbish)}/", b"{}", {}, allow=LOOPBACK, ca_file=None, timeout_s=5)

    def plain(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    with pytest.raises(Retryable):
        post(f"https://127.0.0.1:{serving(plain)}/", b"{}", {}, allow=LOOPBACK, ca_file=None, timeout_s=5)

    def verification(*_: Any, **__: Any) -> None:
        error = ssl.SSLCertVerificationError()
        error.verify_message = "self-signed certificate"
        raise error

    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", verification)
    port = serving(lambda _: None)
    with pytest.raises(Retryable, match="Сертификат получателя не принят"):
        post(f"https://127.0.0.1:{port}/", b"{}", {}, allow=LOOPBACK, ca_file=None, timeout_s=5)


def test_an_unknown_name_and_missing_authorities_are_told_in_russian(tmp_path, monkeypatch) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror

    url = "https://127.0.0.1:1/"
    with pytest.raises(ConfigError, match="не читается"):
        post(url, b"", {}, allow=LOOPBACK, ca_file=tmp_path / "none.pem", timeout_s=1)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(Retryable, match="не находится"):
        addresses(target_of("https://nobody.example.org/"), [])
