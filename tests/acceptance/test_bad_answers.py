"""Answers of СМЭВ that are not what they should be: a typed reaction, a reason, the octets kept, the bus alive."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from lxml import etree

from simulators.payloads import zags

FNS, ZAGS, EPGU = "FNS001", "ZAGS01", "EPGU01"
STRANGE = b'<Strange xmlns="urn:omsbus:test/strange/1.0"><a>1</a></Strange>'
DEATHS = "urn://x-artefacts-zags-fatalzp/root/112-25"


@pytest.mark.feature("BUS-03", "SMEV-13")
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("malformed", "исправьте документ"),
        ("not_utf8", "кодировку"),
        ("dtd", "уберите его"),
        ("entity_bomb", "уберите его"),
    ],
)
def test_an_unreadable_answer_is_kept_refused_and_told(house: Any, fault: str, words: str) -> None:
    house.control.arm(fault, operation="GetRequest", kind="fns.egrul", count=1)
    message_id = house.send_news()
    kept = house.settled(message_id)
    assert (kept.state, kept.error, kept.kind) == ("quarantined", "MalformedXml", "smev.unreadable")
    house.for_people(kept.reason, words)
    assert house.received(kept) == house.sent_with(fault)
    assert house.closed(message_id) is False
    house.carries_on()


@pytest.mark.feature("BUS-03")
def test_a_truncated_answer_is_kept_and_the_message_comes_again(house: Any) -> None:
    house.control.arm("truncated", operation="GetRequest", kind="fns.egrul", count=1)
    message_id = house.send_news(version="1.3")
    house.eventually(lambda: house.control.faults()[0]["fired"])
    torn = house.octets_kept_are(house.sent_with("truncated"))
    assert (torn.state, torn.error) == ("quarantined", "TruncatedXml")
    house.for_people(torn.reason, "можно отклонить")
    assert torn.external_id != message_id
    assert house.closed(message_id) is True
    assert house.by_id(message_id).state == "handled"
    assert house.acks(message_id) == [True], "half an answer is not acknowledged"
    house.carries_on()


@pytest.mark.parametrize(
    "fault", ["drop_before", "drop_after", "http_503", "html_504", "broken_multipart", "empty_body"]
)
def test_an_answer_that_never_came_leaves_the_message_to_the_next_poll(house: Any, fault: str) -> None:
    house.control.arm(fault, operation="GetRequest", version="1.3", count=1, params={"accepted": True})
    house.eventually(lambda: house.control.faults()[0]["fired"])
    result = house.eventually(lambda: house.poll_result("smev.requests-1-3", "затем"))
    house.for_people(result, "шина")
    message_id = house.send_news(version="1.3")
    assert house.settled(message_id).state == "handled"
    assert house.closed(message_id) is True
    house.carries_on()


@pytest.mark.parametrize(
    ("name", "work", "error", "words"),
    [
        ("10,000 deep", None, "MalformedXml", "Вложенность"),
        ("wrong root", lambda _: '<Письмо xmlns="urn:x">здравствуйте</Письмо>'.encode(), "SchemaViolation", "адрес"),
        ("not XML", lambda _: b"\x00\x01 Service is restarting, see https://x/", "MalformedXml", "исправьте"),
        (
            "twenty megabytes of text",
            lambda e: e.replace(b"<soap:Body>", b"<soap:Body>" + b"x" * 20_000_000).replace(b"MessageId>", b"Id>"),
            "MalformedXml",
            "вложением",
        ),
    ],
)
def test_an_answer_without_an_id_is_kept_and_the_message_comes_again(
    house: Any, name: str, work: Callable[[bytes], bytes] | None, error: str, words: str
) -> None:
    if work is None:
        deep = b"<d>" * 10_000 + b"</d>" * 10_000
        work = lambda _: b'<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/">' + deep  # noqa: E731
    bend = house.bend("GetRequest", work)
    message_id = house.send_news()
    house.eventually(lambda: bend.sent)
    kept = house.octets_kept_are(bend.sent)
    assert (kept.state, kept.error, kept.kind) == ("quarantined", error, "smev.unreadable")
    house.for_people(kept.reason, words)
    assert house.closed(message_id) is True
    assert house.by_id(message_id).state == "handled"
    assert house.acks(message_id) == [True]
    house.carries_on()


@pytest.mark.feature("SMEV-01", "BUS-03")
def test_an_answer_of_an_unknown_version_of_the_service_is_kept_and_refused(house: Any) -> None:
    bend = house.bend("GetRequest", lambda e: e.replace(b"message-exchange/types/1.2", b"message-exchange/types/1.9"))
    message_id = house.send_news()
    kept = house.settled(message_id)
    assert (kept.state, kept.error) == ("quarantined", "SchemaViolation")
    house.for_people(kept.reason, "версии", "1.3", "Проверьте")
    assert house.received(kept) == bend.sent
    assert house.closed(message_id) is False
    house.carries_on()


@pytest.mark.feature("SMEV-04", "SMEV-03", "BUS-03")
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("wrong_smev_signature", "поддержку СМЭВ"),
        ("no_smev_signature", "нет подписи"),
        ("expired_certificate", "истёк"),
        ("foreign_certificate", "доверенные"),
        ("repeated_id", "повторяется"),
        ("wrapped", "не тот элемент"),
    ],
)
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_what_smev_did_not_sign_never_reaches_a_handler(house: Any, fault: str, words: str, version: str) -> None:
    house.control.arm(fault, operation="GetRequest", kind="fns.egrul", version=version, count=1)
    before = house.organizations()
    message_id = house.send_news(version=version)
    kept = house.settled(message_id)
    assert (kept.state, kept.error, kept.kind) == ("quarantined", "SignatureRejected", "smev.unverified")
    house.for_people(kept.reason, words)
    assert house.received(kept) == house.sent_with(fault)
    assert house.bodies(kept) == b"", "nothing that is unsigned may be handled, now or by a resend"
    assert house.closed(message_id) is False
    assert house.organizations() == before
    house.carries_on()


@pytest.mark.feature("SMEV-04")
def test_a_forgery_does_not_shut_out_the_true_message_of_its_id(house: Any) -> None:
    payload, message_id = house.news(), house.new_id()
    house.control.arm("wrong_smev_signature", operation="GetRequest", kind="fns.egrul", count=1)
    house.control.send(FNS, payload, version="1.2", message_id=message_id)
    assert house.closed(message_id) is False
    house.control.reset()
    house.control.send(FNS, payload, version="1.2", message_id=message_id)
    assert house.closed(message_id) is True
    both = ["handled", "quarantined"]
    house.eventually(lambda: sorted(one.state for one in house.journal_of(message_id)) == both)
    house.carries_on()


@pytest.mark.feature("SMEV-12", "BUS-03")
@pytest.mark.parametrize(
    ("payload", "clark"),
    [
        (STRANGE, "{urn:omsbus:test/strange/1.0}Strange"),
        (f'<Request xmlns="{DEATHS}/4.0.9"/>'.encode(), f"{{{DEATHS}/4.0.9}}Request"),
        (f'<Приказ xmlns="{DEATHS}/4.0.1"/>'.encode(), f"{{{DEATHS}/4.0.1}}Приказ"),
    ],
    ids=["unknown kind", "unknown version of a kind", "wrong root"],
)
def test_a_document_that_no_route_takes_waits_in_quarantine(house: Any, payload: bytes, clark: str) -> None:
    message_id = house.control.send(EPGU, payload, version="1.2")
    kept = house.settled(message_id)
    assert (kept.state, kept.error, kept.queue, kept.kind) == ("quarantined", "UnknownKind", "unknown", clark)
    house.for_people(kept.reason, clark, "подключите")
    assert house.received(kept) == house.delivered(message_id)
    assert house.closed(message_id) is True, "its signature is good, and we hold it"
    house.carries_on()


@pytest.mark.feature("BUS-03", "SMEV-35")
def test_a_violation_in_one_record_costs_that_record_and_what_follows_about_the_same_person(house: Any) -> None:
    notice = zags.death_notice(house.number(), 3)
    broken = zags.break_record(notice, place=1)
    first = house.control.send(ZAGS, broken, version="1.3")
    assert house.settled(first).state == "handled"
    records = house.eventually(lambda: house.records_of(first, {"handled", "quarantined"}, 3))
    assert [one.state for one in records] == ["handled", "quarantined", "handled"]
    assert records[1].error == "SchemaViolation"
    house.for_people(records[1].reason, "СтатусЗаписи", "исправить данные")
    assert house.answers_to(first) == 2
    assert b'"99"' in house.bodies(records[1]), "the record as it came"

    second = house.control.send(ZAGS, _renumbered(notice), version="1.3")
    again = house.eventually(lambda: house.records_of(second, {"handled", "held"}, 3))
    assert [one.state for one in again] == ["handled", "held", "handled"]
    house.drop(records[1].id)
    house.eventually(lambda: house.records_of(second, {"handled"}, 3))
    house.carries_on()


def _renumbered(notice: bytes) -> bytes:
    """The same people in acts of other numbers."""
    root = etree.fromstring(notice)
    for act in root.iterfind(".//{*}СведРегСмерт"):
        act.set("НомерЗапис", re.sub("^1", "2", act.get("НомерЗапис", "")))
    return etree.tostring(root, encoding="UTF-8")
