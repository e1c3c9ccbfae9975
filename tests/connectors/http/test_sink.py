"""What the partner's answers mean, and what he is sent."""

from __future__ import annotations

import io
import time
import tracemalloc
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest
from lxml import etree

from connectors.http.connector import Settings, connect
from core.connector import Receipt
from core.errors import BusError, ConfigError, Permanent, Retryable, Unavailable
from core.message import Attachment, Message

SPACES = {"1.1": "http://schemas.xmlsoap.org/soap/envelope/", "1.2": "http://www.w3.org/2003/05/soap-envelope"}
DOCUMENT = b'<?xml version="1.0" encoding="windows-1251"?>\n<d xmlns="urn:d">\xc5\xeb\xea\xe0</d>\n'


@pytest.fixture
def sink_of(partner) -> Callable[..., Any]:
    """The sink of a connector to the partner; keywords are settings."""

    def make(**settings: Any) -> Any:
        values = {"url": partner.url, "connect_timeout_s": 2, "answer_timeout_s": 1} | settings
        return connect("partner", Settings(type="http", **values)).sinks["partner"]

    return make


def send(sink: Any, body: bytes = b"<a/>", *, repeated: bool = False, **fields: Any) -> Receipt:
    message = Message(kind="letter", body=body, **fields)
    return sink.send(message, sink.prepare(message), repeated=repeated)


def refusal(sink: Any, body: bytes = b"<a/>", *, repeated: bool = False) -> BusError:
    with pytest.raises(BusError) as caught:
        send(sink, body, repeated=repeated)
    return caught.value


def fault(version: str, code: str, words: str = "Не принято") -> bytes:
    inside = (
        f"<faultcode>s:{code}</faultcode><faultstring>{words}</faultstring>"
        if version == "1.1"
        else f"<s:Code><s:Value>s:{code}</s:Value></s:Code><s:Reason><s:Text>{words}</s:Text></s:Reason>"
    )
    return f'<s:Envelope xmlns:s="{SPACES[version]}"><s:Body><s:Fault>{inside}</s:Fault></s:Body></s:Envelope>'.encode()


def test_the_body_goes_as_it_is_under_the_messages_id_with_token_and_type(partner, sink_of, monkeypatch) -> None:
    monkeypatch.setenv("PARTNER_TOKEN", "t0ken-of-the-partner")
    sink = sink_of(token_env="PARTNER_TOKEN", headers={"X-Region": "50"})
    message = Message(kind="letter", body=DOCUMENT, headers={"http.content_type": "text/xml; charset=windows-1251"})
    receipt = sink.send(message, sink.prepare(message), repeated=False)
    (call,) = partner.calls
    assert call.path == "/documents"
    assert call.body == DOCUMENT
    assert receipt.answer == b"taken"
    wanted = {
        "idempotency-key": str(message.id),
        "authorization": "Bearer t0ken-of-the-partner",
        "content-type": "text/xml; charset=windows-1251",
        "x-region": "50",
    }
    assert {name: call.headers[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"\xef\xbb\xbf <a/>", "application/xml"), (b'{"a": 1}', "application/json"), (b"PK", "application/octet-stream")],
)
def test_a_body_without_a_type_gets_one_by_its_first_octets(partner, sink_of, body, content_type) -> None:
    send(sink_of(), body)
    assert partner.calls[0].headers["content-type"] == content_type


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, ConfigError),
        (307, ConfigError),
        (400, Permanent),
        (401, ConfigError),
        (403, ConfigError),
        (404, Permanent),
        (408, Retryable),
        (409, Permanent),
        (422, Permanent),
        (425, Retryable),
        (429, Unavailable),
        (500, Retryable),
        (502, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
        (599, Retryable),
    ],
)
def test_each_status_means_what_the_bus_does_next_and_the_answer_is_kept(partner, sink_of, status, kind) -> None:
    partner.will_say(status, b"because", Location=partner.url)
    error = refusal(sink_of())
    assert type(error) is kind
    assert error.answer == b"because"
    assert str(status) in error.reason
    assert len(partner.calls) == 1, "a redirect was followed, or the client repeated by itself"


def test_retry_after_is_kept_to_in_seconds_and_as_a_date_within_an_hour(partner, sink_of) -> None:
    sink = sink_of()
    pauses = []
    for value in ("7", formatdate(time.time() + 100, usegmt=True), "999999", "-5", "soon", "²"):
        partner.will_say(503, Retry_After=value.encode().decode("latin-1"))
        pauses.append(refusal(sink).pause_s)
    assert pauses[0] == 7
    assert 80 < pauses[1] <= 100
    assert pauses[2:] == [3600, None, None, None]


def test_a_date_is_counted_from_the_partners_own_clock_however_wrong(partner, sink_of) -> None:
    tomorrow = time.time() + 86400
    for clock in (tomorrow, time.time() - 86400):
        dates = {"Date": formatdate(clock, usegmt=True), "Retry_After": formatdate(clock + 5, usegmt=True)}
        partner.will_say(503, **dates)
        assert refusal(sink_of()).pause_s == 5


def test_a_conflict_is_success_only_of_a_repeat_and_only_where_the_settings_say_so(partner, sink_of) -> None:
    partner.will_say(409)
    assert "раньше" in send(sink_of(conflict_means_repeated=True), repeated=True).note
    partner.will_say(409)
    assert type(refusal(sink_of(conflict_means_repeated=True))) is Permanent
    partner.will_say(409)
    assert type(refusal(sink_of(), repeated=True)) is Permanent


def test_an_answer_that_breaks_off_leaves_the_outcome_unknown(partner, sink_of, say_raw) -> None:
    partner.will(say_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"))
    error = refusal(sink_of())
    assert type(error) is Retryable
    assert error.answer == b"abc"


def test_silence_is_retried_and_an_absent_partner_rests_the_queue(partner, sink_of) -> None:
    partner.will(lambda handler: time.sleep(1.5))
    assert type(refusal(sink_of())) is Retryable
    partner.break_down()
    assert type(refusal(sink_of())) is Unavailable


def test_a_long_answer_is_kept_up_to_the_limit_and_is_success_all_the_same(partner, sink_of) -> None:
    partner.will_say(200, b"x" * 5000)
    receipt = send(sink_of(answer_most_bytes=1024))
    assert receipt.answer == b"x" * 1024
    assert "начало" in receipt.note


def test_a_token_that_is_named_and_absent_stops_the_sink_with_the_reason(sink_of, tmp_path) -> None:
    sink = sink_of(token_file=tmp_path / "absent")
    message = Message(kind="letter", body=b"<a/>")
    with pytest.raises(ConfigError, match="absent"):
        sink.send(message, sink.prepare(message), repeated=False)


def test_an_attachment_streams_in_pieces_and_anew_when_it_is_repeated(partner, sink_of) -> None:
    size = 24 * 1024 * 1024

    asked = []

    class Zeros(io.RawIOBase):
        left = size

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            asked.append(len(buffer))
            count = min(len(buffer), self.left)
            buffer[:count] = bytes(count)
            self.left -= count
            return count

    partner.will_say(500)
    attachment = Attachment("scan.pdf", "application/pdf", open=lambda: io.BufferedReader(Zeros()))
    message = Message(kind="letter", body=b"", attachments=(attachment,))
    sink = sink_of(answer_timeout_s=20)
    prepared = sink.prepare(message)
    with pytest.raises(Retryable):
        sink.send(message, prepared, repeated=False)
    del partner.calls[:]
    sink.send(message, prepared, repeated=True)
    (call,) = partner.calls
    assert len(call.body) == size
    assert call.headers["content-type"] == "application/pdf"
    assert max(asked) <= 1024 * 1024


@pytest.mark.feature("TECH-03")
@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_a_document_goes_in_an_envelope_and_an_envelope_as_it_is(partner, sink_of, version) -> None:
    sink = sink_of(soap=version, soap_action="urn:take")
    message = Message(kind="letter", body=DOCUMENT)
    prepared = sink.prepare(message)
    partner.will_say(202)
    sink.send(message, prepared, repeated=False)
    (call,) = partner.calls
    root = etree.fromstring(call.body)
    assert root.tag == f"{{{SPACES[version]}}}Envelope"
    assert root[0][0].text == "Елка"
    if version == "1.1":
        assert call.headers["soapaction"] == '"urn:take"'
    else:
        assert call.headers["content-type"] == 'application/soap+xml; charset=utf-8; action="urn:take"'
    assert sink.prepare(Message(kind="letter", body=call.body)).body == call.body
    with pytest.raises(Permanent):
        sink_of(soap="1.2" if version == "1.1" else "1.1").prepare(Message(kind="letter", body=call.body))


@pytest.mark.feature("TECH-03")
@pytest.mark.parametrize(
    ("version", "code", "status", "kind"),
    [
        ("1.1", "Client", 500, Permanent),
        ("1.1", "Client.Data", 200, Permanent),
        ("1.1", "Server", 500, Retryable),
        ("1.1", "Server", 503, Unavailable),
        ("1.1", "Odd", 500, Permanent),
        ("1.2", "Sender", 400, Permanent),
        ("1.2", "Receiver", 500, Retryable),
    ],
)
def test_a_fault_says_whose_it_is(partner, sink_of, version, code, status, kind) -> None:
    octets = fault(version, code)
    partner.will_say(status, octets)
    error = refusal(sink_of(soap=version))
    assert type(error) is kind
    assert error.answer == octets
    assert error.detail == "Не принято"


@pytest.mark.parametrize("octets", [b"<html>", b"<a/>", b"{}", fault("1.1", "Client")[:-10]])
def test_an_answer_to_soap_that_is_no_envelope_leaves_the_outcome_unknown(partner, sink_of, octets) -> None:
    partner.will_say(200, octets)
    assert type(refusal(sink_of(soap="1.1"))) is Retryable


def test_a_page_of_a_proxy_instead_of_a_fault_means_what_its_status_says(partner, sink_of) -> None:
    partner.will_say(502, b"<html><body>Bad Gateway")
    assert type(refusal(sink_of(soap="1.1"))) is Unavailable


def test_an_entity_bomb_in_an_answer_is_not_expanded(partner, sink_of) -> None:
    bomb = b'<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><l>&b;</l>'
    partner.will_say(200, bomb)
    tracemalloc.start()
    try:
        assert type(refusal(sink_of(soap="1.1"))) is Retryable
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
