"""Spoiled octets at both sides: whatever comes, only errors of ours come out."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import pytest

from connectors.http import source
from connectors.http.answers import Refused
from connectors.http.client import Answer
from connectors.http.connector import Settings, connect
from connectors.http.source import HttpIntake
from core.errors import BusError

SEED = 3
ROUNDS = 3000
ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header/>'
    "<s:Body><s:Fault><faultcode>s:Client.Data</faultcode><faultstring>Плохо &#x431;</faultstring></s:Fault></s:Body>"
    "</s:Envelope>"
).encode()
BITS = (
    b"<",
    b">",
    b"</s:Body>",
    b"<s:Body>",
    b"<!DOCTYPE a>",
    b"<![CDATA[",
    b"&#0;",
    b"&a;",
    b"\x00",
    b"\xff",
    b"<?a",
    b'"',
)


def spoiled(chance: random.Random) -> bytes:
    octets = bytearray(ENVELOPE)
    for _ in range(chance.randint(1, 4)):
        place, length = chance.randrange(len(octets)), chance.choice((0, 1, 8, 60))
        what = chance.choice((*BITS, chance.randbytes(3), bytes(octets[place : place + 40])))
        octets[place : place + length] = what
    return bytes(octets)


@pytest.fixture
def intake() -> Any:
    settings = Settings(type="http", open_queues=("w1",), soap_queues=("w1",))
    return HttpIntake("in", settings, None)  # type: ignore[arg-type]


def test_spoiled_envelopes_are_taken_or_refused_with_words(intake) -> None:
    chance = random.Random(SEED)
    refused: list[Refused] = []
    for _ in range(ROUNDS):
        try:
            intake._look_at(spoiled(chance), {b"content-type": b"text/xml", b"soapaction": b""}, "w1")
        except Refused as error:
            refused.append(error)
    assert ROUNDS / 2 < len(refused) < ROUNDS
    assert all(error.detail and error.answer("1.1").body for error in refused)


def test_spoiled_answers_of_a_partner_mean_something_to_the_bus() -> None:
    chance = random.Random(SEED)
    sink: Any = connect("partner", Settings(type="http", url="http://127.0.0.1:9/", soap="1.1")).sinks["partner"]
    seen = set()
    for _ in range(ROUNDS):
        answer = Answer(chance.choice((200, 200, 400, 500, 503)), spoiled(chance), {"retry-after": chance.choice("1x")})
        try:
            sink._understood(answer, repeated=False)
        except BusError as error:
            seen.add(type(error).__name__)
    assert {"Permanent", "Retryable"} <= seen


def test_keys_and_file_names_are_read_or_refused_and_never_a_path() -> None:
    chance = random.Random(SEED)
    for _ in range(ROUNDS):
        octets = chance.choice((b'"', b"", b"attachment; filename=", b"attachment; filename*=utf-8''")) + bytes(
            chance.choice(b'/\\"%;.a\xd1\xff \x01=\r\n0') for _ in range(chance.randint(0, 12))
        )
        with contextlib.suppress(Refused):
            assert 0 < len(source._key({b"idempotency-key": octets})) <= source.KEY_MOST
        name = source._file_name(octets)
        assert name
        assert not set(name) & set("/\\\r\n\x01")
        assert name.strip(". ")


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (b'attachment; filename="list.xml"', "list.xml"),
        (b'attachment; filename="../../etc/passwd"', "passwd"),
        (b'attachment; filename="C:\\\\dir\\\\a.dbf"', "a.dbf"),
        ('attachment; filename="список.xml"'.encode(), "список.xml"),
        ('attachment; filename="список.xml"'.encode("cp1251"), "список.xml"),
        (b"attachment; filename*=UTF-8''%D1%8F.xml", "я.xml"),
        (b"attachment; filename=..", "body"),
        (b"", "body"),
    ],
)
def test_a_file_name_is_the_last_part_of_what_the_client_says(header, name) -> None:
    assert source._file_name(header) == name
