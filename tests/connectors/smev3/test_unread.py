"""Answers that break off or are too long for memory: their octets are kept all the same."""

from __future__ import annotations

import re

import pytest

from connectors.smev3 import messages as header
from core.errors import MalformedXml, Retryable
from core.xml import TruncatedXml

REQUEST_ID = "0d2a4a3e-6f0f-11ee-8c99-0242ac120002"


def receive(smev, source="smev.requests"):
    (delivery,) = smev.sources[source].receive()
    return delivery


def acks(far):
    return [re.search(rb'accepted="(\w+)">([0-9a-f-]{36})<', call.body).groups() for call in far.of("Ack")]


@pytest.mark.parametrize("broken", ["half a document", "half a multipart", "half a body"])
def test_what_came_of_a_torn_answer_is_kept_unacknowledged_and_it_is_asked_for_again(smev, far, make, broken) -> None:
    envelope = make.request()
    half = envelope[: len(envelope) // 2]
    multipart = b"--m\r\nContent-ID: <r>\r\n\r\n" + envelope
    kind = type(far.usual("Ack", b""))
    came, answer = {
        "half a document": (half, kind(half)),
        "half a multipart": (multipart, kind(multipart, content_type='multipart/related; boundary="m"')),
        "half a body": (half, kind(half, cut=100)),
    }[broken]
    far.prepare("GetRequest", answer, envelope)
    delivery = receive(smev)
    assert isinstance(delivery.problem, TruncatedXml)
    assert "спросит его снова" in delivery.problem.reason
    assert delivery.message.received == came
    delivery.reject(delivery.problem)
    assert far.of("Ack") == []
    with pytest.raises(Retryable, match="оборвался"):
        receive(smev)
    assert receive(smev).message.external_id == REQUEST_ID


BIG = '<d:Death xmlns:d="urn://demo/death/1.0">' + "я" * 2_000_000 + "</d:Death>"


def test_an_answer_above_the_limit_is_kept_whole_in_a_file_and_rejected(smev_with, far, make) -> None:
    smev = smev_with(answer_most_bytes=8192)
    envelopes = [make.request(BIG), make.request(BIG, delivered="2026-01-15T11:05:00.000+03:00")]
    far.prepare("GetRequest", *envelopes)
    deliveries = [receive(smev), receive(smev)]
    for delivery, envelope in zip(deliveries, envelopes, strict=True):
        assert isinstance(delivery.problem, MalformedXml)
        assert "вложением" in delivery.problem.reason
        delivery.message.received.seek(0)
        assert delivery.message.received.read() == envelope
        assert delivery.message.headers[header.MESSAGE_ID] == REQUEST_ID
        delivery.reject(delivery.problem)
    assert deliveries[0].message.external_id == deliveries[1].message.external_id
    files = [delivery.message.received for delivery in deliveries]
    del delivery, deliveries
    assert all(file.closed for file in files), "with its last user the file is gone"
    assert acks(far) == [(b"false", REQUEST_ID.encode())] * 2


@pytest.mark.parametrize("spool", [0, 100_000])
def test_an_answer_above_every_limit_is_not_read_to_its_end(smev_with, far, make, spool) -> None:
    smev = smev_with(answer_most_bytes=8192, spool_most_bytes=spool)
    far.prepare("GetRequest", make.request(BIG))
    with pytest.raises(Retryable, match="spool_most_bytes"):
        smev.sources["smev.requests"].receive()
