"""Hostile HTTP requests to a running bus: cut off or refused, and the process lives."""

from __future__ import annotations

import gzip
import socket
from urllib.parse import urlsplit

import pytest


def talk(url: str, octets: bytes, *, patience_s: float = 15.0) -> bytes:
    """Send, and read until the other side hangs up."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=patience_s) as peer:
        received = b""
        try:
            peer.sendall(octets)
            while piece := peer.recv(65536):
                received += piece
        except (ConnectionResetError, BrokenPipeError):
            pass
        return received


POST = b"POST /in/attack HTTP/1.1\r\nHost: a\r\n"

CUT: dict[str, bytes] = {
    "headers that never end (slowloris)": POST + b"X-A: b\r\n",
    "a body that never comes (slow POST)": POST + b"Content-Length: 1000\r\n\r\n<a>",
    "oversized headers": POST + b"X-A: " + b"a" * 200_000 + b"\r\n\r\n",
    "thousands of headers": POST + b"".join(b"X-%d: b\r\n" % n for n in range(5000)) + b"\r\n",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 50\r\n\r\n<a/>x",
    "a length beside chunks (smuggling)": POST
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n",
    "a length that is no number": POST + b"Content-Length: -1\r\n\r\n",
    "a chunk without end": POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\naaa",
    "a URL of a megabyte": b"POST /in/attack?" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "a header with a zero octet": POST + b"X-A: a\x00b\r\nContent-Length: 4\r\n\r\n<a/>",
    "a header without a name": POST + b": b\r\nContent-Length: 4\r\n\r\n<a/>",
    "a line end inside of a header": POST + b"X-A: a\rSet-Cookie: b\r\nContent-Length: 4\r\n\r\n<a/>",
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n",
}


@pytest.mark.feature("BUS-14")
@pytest.mark.parametrize("name", CUT)
def test_a_request_that_would_hold_the_server_is_cut_off(house, name: str) -> None:
    answer = talk(house.url, CUT[name])  # returns: the server hung up
    assert b" 202 " not in answer
    assert answer.count(b"HTTP/1.1") <= 1, "a smuggled request was answered"
    house.lives()


@pytest.mark.feature("BUS-14")
@pytest.mark.parametrize(
    "path", ["/in/../healthz", "/in/attack/../../etc/passwd", "/in/%2e%2e/attack", "/in/attack%00", "/in/", "/in/нет"]
)
def test_a_path_leads_to_a_queue_or_nowhere(house, path: str) -> None:
    answer = talk(
        house.url, f"POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\n<a/>".encode()
    )
    assert b" 202 " not in answer
    house.lives()


@pytest.mark.feature("BUS-14")
def test_a_compressed_bomb_is_not_unpacked(house) -> None:
    bomb = gzip.compress(b"<a>" + b" " * 50_000_000 + b"</a>")
    answer = house.post(bomb, **{"Content-Encoding": "gzip"})
    assert answer.status_code == 415
    house.lives()


@pytest.mark.feature("BUS-14")
@pytest.mark.parametrize("key", ["a" * 5000, "", '"не закрыта', "x" * 201])
def test_a_hostile_idempotency_key_is_refused(house, key: str) -> None:
    answer = house.post(b"<a/>", **{"Idempotency-Key": key})
    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.text
    house.lives()


@pytest.mark.feature("BUS-14")
def test_a_key_is_data_and_not_a_query(house) -> None:
    key = "x'; DROP TABLE bus.message; --"
    first = house.post(b'<Note xmlns="urn:omsbus:attack:1">a</Note>', **{"Idempotency-Key": key})
    again = house.post(b'<Note xmlns="urn:omsbus:attack:1">a</Note>', **{"Idempotency-Key": key})
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["message_id"] == again.json()["message_id"]
    house.lives()
