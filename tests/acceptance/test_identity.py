"""Who a message is: repeats, reused ids, clocks that disagree, answers to nobody, names from the future."""

from __future__ import annotations

from typing import Any

import pytest

FNS = "FNS001"
DAY_S = 86_400.0


@pytest.mark.feature("BUS-02", "SMEV-01")
def test_a_repeated_delivery_is_absorbed_and_acknowledged_each_time(house: Any) -> None:
    house.control.arm("duplicate", operation="GetRequest", kind="fns.egrul", count=1, params={"times": 2})
    before = house.organizations()
    message_id = house.send_news()
    assert house.closed(message_id) is True
    house.eventually(lambda: house.acks(message_id) == [True] * 3)
    kept = house.settled(message_id)
    house.eventually(lambda: house.settled(message_id).stages().count("acknowledged") == 3)
    assert kept.state == "handled"
    assert house.settled(message_id).stages().count("repeated") == 2
    assert house.settled(message_id).stages().count("handled") == 1
    assert house.organizations() == before + 1
    house.carries_on()


@pytest.mark.feature("BUS-03")
def test_a_reused_id_with_another_body_is_kept_beside_the_first_and_acknowledged(house: Any) -> None:
    message_id = house.send_news()
    first = house.settled(message_id)
    assert house.closed(message_id) is True
    house.control.reset()  # the far side forgets that it has used this id
    other = house.send_news(message_id=message_id)
    assert other == message_id
    assert house.closed(message_id) is True, "its signature is good"
    second = next(one for one in house.journal_of(message_id) if one.id != first.id)
    assert (second.state, second.error) == ("quarantined", "IdReused")
    house.for_people(second.reason, message_id, str(first.id), "Выясните у отправителя")
    assert house.received(second) == house.delivered(message_id)
    assert house.by_id(message_id).state == "handled"

    house.control.reset()
    payload_again = house.bodies(second)
    house.control.send(FNS, payload_again, version="1.2", message_id=message_id)
    assert house.closed(message_id) is True
    assert len(house.journal_of(message_id)) == 2, "the same other body is a repeat of the second"
    house.carries_on()


@pytest.mark.feature("SMEV-01")
@pytest.mark.parametrize("days", [2.5, -2.5])
def test_partners_whose_clock_is_days_off_are_tolerated(house: Any, days: float) -> None:
    house.control.move_clock(days * DAY_S)
    try:
        message_id = house.send_news()
        assert house.settled(message_id).state == "handled"
        assert house.closed(message_id) is True
    finally:
        house.control.move_clock(0.0)
    house.carries_on()


@pytest.mark.feature("SMEV-01")
def test_our_ids_that_are_days_old_to_smev_are_made_anew_until_the_clocks_agree(house: Any) -> None:
    house.control.move_clock(3 * DAY_S)
    try:
        person = house.ask_snils("Лесная")
        question = house.eventually(lambda: house.question_of(person, "retry"))
        house.for_people(question.reason, "NTP", "часы")
        house.eventually(lambda: len(house.ids_posted("SendRequest", question)) >= 2)
        assert b"StaleMessageId" in house.attempts_answers(question)[0], "what СМЭВ said is kept with the attempt"
    finally:
        house.control.move_clock(0.0)
    house.eventually(lambda: house.question_state(person) == "answered")
    posted = house.ids_posted("SendRequest", question)
    assert len(set(posted)) == len(posted), "a new id each time"
    assert len(list(house.control.messages(sender="TFOMS01", message_id=posted[-1]))) == 1
    house.carries_on()


@pytest.mark.feature("SMEV-02")
@pytest.mark.parametrize(
    ("fault", "outcome", "params"),
    [
        ("orphan_response", "rejection", {}),
        ("orphan_status", "failure", {}),
        ("orphan_status", "failure", {"category": "requestIsLostInSpace"}),
    ],
)
def test_an_answer_to_a_question_that_nobody_asked_is_kept_shown_and_acknowledged(
    house: Any, fault: str, outcome: str, params: dict[str, str]
) -> None:
    before = len(house.kept("e.queue = 'unknown'"))
    house.control.arm(fault, operation="GetResponse", count=1, params=params)
    house.eventually(lambda: len(house.kept("e.queue = 'unknown'")) > before)
    orphan = house.kept("e.queue = 'unknown'")[-1]
    assert (orphan.state, orphan.error, orphan.outcome) == ("quarantined", "UnknownKind", outcome)
    house.for_people(orphan.reason, "неизвестный запрос", "отклоните")
    assert house.closed(orphan.external_id) is True
    assert house.received(orphan) == house.delivered(orphan.external_id)
    house.carries_on()


@pytest.mark.feature("SMEV-01")
def test_an_unknown_delivery_status_disturbs_nobody(house: Any) -> None:
    house.control.arm("unknown_status", operation="GetRequest", kind="fns.egrul", count=1, params={"value": "онЕдет"})
    message_id = house.send_news()
    kept = house.settled(message_id)
    assert kept.state == "handled"
    assert house.headers(kept)["smev.delivery_status"] == "онЕдет"
    house.carries_on()


@pytest.mark.feature("SMEV-06", "SMEV-01")
def test_a_node_queue_is_read_by_its_own_poll_and_no_other(house: Any) -> None:
    message_id = house.send_news(recipient_node="N-7")
    assert house.settled(message_id).state == "handled"
    assert house.closed(message_id) is True
    assert b"<b:NodeID>N-7</b:NodeID>" in house.question_before(house.delivered(message_id))
    foreign = house.send_news(recipient_node="N-8")
    house.carries_on()
    assert house.journal_of(foreign) == [], "the queue of another node is not ours to read"
