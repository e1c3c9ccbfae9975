"""What we send, and what becomes of it: refused, answered late, answered twice, lost on the way."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from simulators.payloads import ffoms, zags

ZAGS, EPGU, SFR = "ZAGS01", "EPGU01", "SFR001"


@pytest.mark.feature("BUS-02", "SMEV-53")
@pytest.mark.parametrize(
    ("fault", "params"),
    [("drop_after", {}), ("html_504", {"accepted": True}), ("truncated", {}), ("malformed", {}), ("empty_body", {})],
)
def test_an_unknown_outcome_is_repeated_with_the_same_octets_and_has_one_effect(
    house: Any, fault: str, params: dict[str, Any]
) -> None:
    number = house.control.arm(fault, operation="SendRequest", count=1, params=params)
    person = house.ask_snils("Лесная")
    house.eventually(lambda: house.question_state(person) == "answered")
    assert next(one for one in house.control.faults() if one["id"] == number)["fired"] == 1
    question = house.eventually(lambda: house.question_of(person, "sent"))
    [message_id] = set(house.ids_posted("SendRequest", question))
    posted = house.posted("SendRequest", message_id.encode())
    assert len(posted) == 2
    assert posted[0] == posted[1]
    assert len(list(house.control.messages(sender="TFOMS01", message_id=message_id))) == 1
    failed = next(note for stage, note in question.events if stage in ("retry", "unavailable"))
    house.for_people(failed, "шина повторит те же байты")
    assert "уже приняла" in question.events[-1][1]
    house.carries_on()


@pytest.mark.feature("BUS-02", "SMEV-35")
def test_an_answer_of_ours_whose_confirmation_was_lost_arrives_once(house: Any) -> None:
    house.control.arm("drop_after", operation="SendResponse", version="1.3", count=1)
    notice = house.control.send(ZAGS, zags.death_notice(house.number(), 2), version="1.3")
    house.records_of(notice, {"handled"}, 2)
    house.eventually(lambda: len(house.control.message(notice)["answers"]) == 2)
    house.eventually(lambda: not house.rows("SELECT 1 FROM bus.outgoing WHERE confirmed_at IS NULL"))
    sent = Counter(house.posted("SendResponse", b"FATALZPResponse"))
    assert max(sent.values()) == 2, "the lost one was posted again, the same octets"
    assert house.answers_to(notice) == 2
    house.carries_on()


@pytest.mark.feature("BUS-03")
@pytest.mark.parametrize("bare", [False, True])
def test_invalid_content_puts_our_message_into_quarantine_with_what_smev_said(house: Any, bare: bool) -> None:
    house.control.arm("fault", operation="SendRequest", count=1, params={"name": "InvalidContent", "bare": bare})
    person = house.ask_snils("Лесная")
    question = house.eventually(lambda: house.question_of(person, "quarantined"))
    assert question.error == "Permanent"
    house.for_people(question.reason, "не соответствуют схеме", "отправьте новое сообщение")
    [answer] = house.attempts_answers(question)
    assert answer == house.sent_with("fault")
    assert (b"ValidationError" in answer) is not bare
    house.carries_on()


@pytest.mark.feature("BUS-03", "SMEV-01")
@pytest.mark.parametrize("name", ["DestinationOverflow", "SMEVFailure", "ErrorFromTheFuture"])
def test_a_refusal_that_passes_is_repeated_until_it_has_passed(house: Any, name: str) -> None:
    if name == "ErrorFromTheFuture":
        fault = house.fault_named(name)
        house.bend("SendRequest", lambda _: fault)
    else:
        house.control.arm("fault", operation="SendRequest", count=1, params={"name": name})
    person = house.ask_snils("Лесная")
    house.eventually(lambda: house.question_state(person) == "answered")
    question = house.eventually(lambda: house.question_of(person, "sent"))
    failed = next(note for stage, note in question.events if stage in ("retry", "unavailable"))
    house.for_people(failed, "повтор")
    house.carries_on()


@pytest.mark.feature("BUS-06", "SMEV-04")
def test_a_refused_signature_stops_the_sender_alone_until_it_is_resumed(house: Any) -> None:
    house.control.arm("fault", operation="SendRequest", count=1, params={"name": "SenderIsNotRegistered"})
    person = house.ask_snils("Лесная")
    [(reason,)] = house.eventually(
        lambda: house.rows("SELECT reason FROM bus.queue WHERE name = 'smev' AND state = 'stopped'")
    )
    house.for_people(reason, "ЛК УВ", "запустите коннектор снова")
    message_id = house.send_news()
    assert house.settled(message_id).state == "handled", "intake goes on"
    house.resume("smev")
    house.eventually(lambda: house.question_state(person) == "answered")
    house.carries_on()


@pytest.mark.feature("SMEV-02", "SMEV-53")
@pytest.mark.parametrize(
    ("surname", "state", "outcomes"),
    [
        ("Лесная", "answered", ["answer"]),
        ("Нетданных", "rejected", ["rejection"]),
        ("Непрошедшев", "failed", ["failure"]),
        ("Ожидаев", "answered", ["status", "answer"]),
    ],
)
def test_our_question_gets_its_outcome_and_every_answer_is_acknowledged(
    house: Any, surname: str, state: str, outcomes: list[str]
) -> None:
    person = house.ask_snils(surname)
    house.eventually(lambda: house.question_state(person) == state)
    question = house.question_of(person, "sent")
    answers = house.kept("m.cause = %s AND m.source = 'smev'", question.id)
    assert [(one.outcome, one.state, one.queue) for one in answers] == [
        (one, "handled", "sfr.snils") for one in outcomes
    ]
    for one in answers:
        assert house.closed(one.external_id) is True
    assert (house.rows("SELECT snils FROM erz.person WHERE id = %s", person)[0][0] is not None) == (state == "answered")
    house.carries_on()


@pytest.mark.feature("SMEV-02", "SMEV-53")
def test_after_a_timeout_a_late_answer_still_counts(house: Any, impatient: None) -> None:
    house.control.down(SFR)
    try:
        person = house.ask_snils("Лесная")
        house.eventually(lambda: house.question_state(person) == "timeout")
    finally:
        house.control.up(SFR)
    house.eventually(lambda: house.question_state(person) == "answered")
    question = house.question_of(person, "sent")
    told = house.kept("m.cause = %s", question.id)
    assert [(one.outcome, one.state) for one in told] == [("timeout", "handled"), ("answer", "handled")]
    assert house.rows("SELECT snils IS NOT NULL FROM erz.person WHERE id = %s", person) == [(True,)]
    house.carries_on()


@pytest.mark.feature("SMEV-02", "SMEV-21")
def test_the_refusal_of_our_response_lands_at_the_route_that_made_it(house: Any) -> None:
    house.control.arm("async_reject", operation="SendResponse", kind="ffoms.services", count=1)
    asker = house.insured_with_services()
    message_id = house.control.send(EPGU, ffoms.query(asker), version="1.2")
    assert house.settled(message_id).state == "handled"
    [failure] = house.eventually(lambda: house.kept("m.outcome = 'failure' AND e.queue = 'ffoms.services'"))
    failure = house.eventually(
        lambda: next(iter(house.kept("m.id = %s AND e.state = 'quarantined'", failure.id)), None)
    )
    house.for_people(failure.reason, "ffoms.services", "сбой доставки", "omsbus message show")
    [response] = house.kept("m.kind = 'ffoms.services.answer'")
    assert house.rows("SELECT cause FROM bus.message WHERE id = %s", failure.id) == [(response.id,)]
    assert house.received(failure) == house.delivered(house.headers(failure)["smev.original_message_id"])
    assert b"InvalidContent" in house.bodies(failure)

    again = house.control.send(EPGU, ffoms.query(asker), version="1.2")
    assert house.settled(again).state == "handled", "the next question of the same citizen is not held up"
    house.eventually(lambda: house.control.message(again)["answers"])
    house.carries_on()
