"""A hostile far side: whatever answers our requests, the client gives an answer of bounded length or says Lost.

More of the kind: tests/connectors/smev3/test_client.py, tests/connectors/http/test_sink.py, and for FTP and SFTP
tests/connectors/files/test_ftp.py.
"""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connectors.http import client as http_client
from connectors.smev3 import client as smev_client

pytestmark = pytest.mark.feature("BUS-14")

MOST_BYTES = 100_000
OK = b"HTTP/1.1 200 OK\r\n"
XML = b"Content-Type: text/xml\r\n"
BOMB = gzip.compress(b"<a>" + b" " * 20_000_000 + b"</a>")

ANSWERS: dict[str, bytes] = {
    "a compressed bomb": OK + XML + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB,
    "a bomb in a bomb": OK + XML + b"Content-Encoding: gzip, gzip\r\n\r\n" + gzip.compress(BOMB),
    "an endless body": OK + XML + b"\r\n" + b"<a>" * 300_000,
    "an endless chunk": OK + XML + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffff\r\n" + b"a" * 300_000,
    "a chunk that is no number": OK + XML + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a length that is no number": OK + XML + b"Content-Length: -5\r\n\r\n<a/>",
    "a length that nothing has": OK + XML + b"Content-Length: %d\r\n\r\n<a/>" % 10**18,
    "ten thousand headers": OK + b"".join(b"X-%d: a\r\n" % n for n in range(10_000)) + b"\r\n<a/>",
    "a header without end": OK + b"X: " + b"a" * 300_000,
    "a status without end": b"HTTP/1.1 " + b"2" * 300_000,
    "a status that is no number": b"HTTP/1.1 OK\r\n\r\n<a/>",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "ten thousand times to be continued": b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
    "a redirect": b"HTTP/1.1 307 Temporary Redirect\r\nLocation: {url}/stolen\r\nContent-Length: 0\r\n\r\n",
    "a redirect to a file": b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
    "a refresh": OK + XML + b"Refresh: 0; url={url}/stolen\r\nContent-Length: 4\r\n\r\n<a/>",
    "a MIME bomb": OK + b"Content-Type: multipart/related; boundary=b\r\n\r\n" + b"--b\r\n\r\n\r\n" * 5000 + b"--b--",
    "a boundary of a wrong number": OK
    + b"Content-Type: multipart/related; boundary*%b*=b\r\nContent-Length: 4\r\n\r\n<a/>" % (b"9" * 5000),
    "a DTD": OK
    + XML
    + b"Content-Length: 70\r\n\r\n"
    + b'<!DOCTYPE a [<!ENTITY x SYSTEM "{url}/x">]><a>&x;</a>'.ljust(70),
}


@pytest.fixture
def far() -> Iterator[Callable[[bytes], str]]:
    """A server that says these octets to whoever comes, and hangs up; its address."""
    with contextlib.ExitStack() as stack:

        def start(answer: bytes) -> str:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            stack.callback(lambda: listener.shutdown(socket.SHUT_RDWR))

            def serve() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        peer, _ = listener.accept()
                        with peer, contextlib.suppress(OSError):
                            peer.recv(65536)
                            peer.sendall(answer)
                            peer.shutdown(socket.SHUT_WR)
                            while peer.recv(65536):
                                pass

            threading.Thread(target=serve, daemon=True).start()
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

        yield start


def ask_http(url: str) -> bytes:
    limits: Any = {"connect_timeout_s": 5.0, "answer_timeout_s": 10.0, "answer_most_bytes": MOST_BYTES}
    client = http_client.Client(url, "POST", trust=None, connections=1, **limits)
    try:
        return client.send(b"<a/>", {}).body
    finally:
        client.close()


def ask_smev(url: str) -> bytes:
    client = smev_client.Client({"1.3": url}, answer_timeout_s=10.0, answer_most_bytes=MOST_BYTES)
    try:
        return client.call("1.3", "GetRequest", b"<a/>").envelope
    finally:
        client.close()


@pytest.mark.parametrize("ask", [ask_http, ask_smev])
@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_of_a_hostile_far_side_is_short_or_lost(far, trap, name: str, ask: Callable[[str], bytes]) -> None:
    url = far(ANSWERS[name].replace(b"{url}", trap.url.encode()))
    with contextlib.suppress(http_client.Lost, smev_client.Lost):
        assert len(ask(url)) <= MOST_BYTES
    assert not trap.contacts
