"""The partner counts arrivals and effects, and misbehaves as told."""

from __future__ import annotations

import email.utils
import http.client
import time
from collections.abc import Callable, Iterator

import pytest

from simulators.partner.partner import Partner, Trouble

Post = Callable[..., http.client.HTTPResponse]


@pytest.fixture
def partner() -> Iterator[Partner]:
    with Partner() as made:
        yield made


@pytest.fixture
def post(partner: Partner) -> Iterator[Post]:
    connection = http.client.HTTPConnection("127.0.0.1", partner.port, timeout=5)

    def send(key: str, body: bytes = b"x") -> http.client.HTTPResponse:
        connection.request("POST", "/take", body, {"Idempotency-Key": key} if key else {})
        answer = connection.getresponse()
        answer.read()
        return answer

    yield send
    connection.close()


def test_a_key_takes_effect_once_however_often_it_comes(partner: Partner, post: Post) -> None:
    assert [post(key).status for key in ("a", "b", "a")] == [200, 200, 200]
    assert [effect.key for effect in partner.effects()] == ["a", "b"]
    assert partner.arrivals() == {"a": 2, "b": 1}
    assert partner.changed == []


def test_another_body_under_a_known_key_is_noted(partner: Partner, post: Post) -> None:
    post("a", b"one")
    post("a", b"other")
    assert partner.changed == ["a"]
    assert [effect.body for effect in partner.effects()] == [b"one"]


def test_a_request_without_a_key_is_refused_and_noted(partner: Partner, post: Post) -> None:
    assert post("").status == 400
    assert partner.keyless == 1
    assert partner.effects() == []


@pytest.mark.parametrize("effect", [False, True])
def test_an_error_comes_with_or_without_the_effect(partner: Partner, post: Post, effect: bool) -> None:
    with partner.trouble(Trouble(status=503, retry_after="7", effect=effect)):
        answer = post("a")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "7")
        assert len(partner.effects()) == effect
    assert post("a").status == 200
    assert len(partner.effects()) == 1
    assert partner.arrivals() == {"a": 2}


def test_a_wrong_clock_shows_in_date_and_in_retry_after(partner: Partner, post: Post) -> None:
    with partner.trouble(Trouble(status=429, retry_after="date", clock_s=86400)):
        answer = post("a")
    for header in ("Date", "Retry-After"):
        told = email.utils.parsedate_to_datetime(answer.headers[header]).timestamp()
        assert 86000 < told - time.time() < 87000


def test_a_chunked_body_is_read_whole(partner: Partner) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", partner.port, timeout=5)
    connection.request("POST", "/take", iter([b"one ", b"two"]), {"Idempotency-Key": "c"}, encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()
    assert [effect.body for effect in partner.effects()] == [b"one two"]


def test_a_request_that_breaks_off_takes_no_effect(partner: Partner) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", partner.port, timeout=5)
    connection.connect()
    connection.sock.sendall(b"POST /take HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: 10\r\n\r\nhalf")
    connection.close()
    other = http.client.HTTPConnection("127.0.0.1", partner.port, timeout=5)
    other.request("POST", "/take", b"whole", {"Idempotency-Key": "w"})
    assert other.getresponse().status == 200
    other.close()
    assert partner.arrivals() == {"w": 1}
