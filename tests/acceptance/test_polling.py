"""How often the bus asks, seen from the far side's own record of the calls."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from core import operations

INTERVAL_S, PENALTY_S = 0.6, 2.0
"""As in conftest.py: interval_s of the poll `status` and polling_penalty_s."""


@pytest.mark.feature("SMEV-06")
def test_empty_answers_are_followed_by_the_interval_at_least(house: Any) -> None:
    gaps = house.eventually(lambda: _gaps(house, "GetStatus", 4))
    assert min(gaps) >= INTERVAL_S


@pytest.mark.feature("SMEV-06")
def test_a_complaint_about_frequent_polling_is_obeyed(house: Any) -> None:
    params = {"name": "AccessDenied", "text": "Слишком частый опрос очереди"}
    house.control.arm("fault", operation="GetStatus", version="1.2", count=1, params=params)
    result = house.eventually(lambda: house.poll_result("smev.status", "отказала в опросе"))
    house.for_people(result, "увеличьте интервал")
    house.eventually(lambda: house.poll_result("smev.status", "Пусто"))
    moments = _moments(house, "GetStatus")
    refused = next(place for place, (_, injected) in enumerate(moments) if injected)
    assert (moments[refused + 1][0] - moments[refused][0]).total_seconds() >= PENALTY_S
    house.eventually(lambda: len(_moments(house, "GetStatus")) > refused + 2)
    house.carries_on()


@pytest.mark.feature("SMEV-06", "BUS-06")
def test_a_paused_poll_takes_nothing_until_it_is_asked_for_one(house: Any) -> None:
    operations.set_state(house.bus, "smev.requests", "paused", actor="тест")
    try:
        house.polled_again("smev.requests-1-3")
        message_id = house.send_news()
        other = house.send_news(version="1.3")
        assert house.settled(other).state == "handled", "the other polls go on"
        assert house.journal_of(message_id) == []
        operations.poll(house.bus, "smev.requests", actor="test")
        assert house.settled(message_id).state == "handled"
    finally:
        operations.set_state(house.bus, "smev.requests", "running", actor="тест")
    house.carries_on()


@pytest.mark.feature("BUS-06")
def test_a_selector_that_is_not_ours_stops_that_poll_alone(house: Any) -> None:
    house.control.arm("fault", operation="GetStatus", version="1.3", count=1, params={"name": "UnknownMessageType"})
    [(reason,)] = house.eventually(
        lambda: house.rows("SELECT reason FROM bus.queue WHERE name = 'smev.status-1-3' AND state = 'stopped'")
    )
    house.for_people(reason, "исправьте namespace и root")
    message_id = house.send_news(version="1.3")
    assert house.settled(message_id).state == "handled"
    house.resume("smev.status-1-3")
    house.carries_on()


def _moments(house: Any, operation: str) -> list[tuple[Any, list[str]]]:
    return [
        (datetime.fromisoformat(one["at"]), one["injected"])
        for one in house.control.envelopes()
        if one["operation"] == operation and one["direction"] == "in" and one["version"] == "1.2"
    ]


def _gaps(house: Any, operation: str, count: int) -> list[float]:
    moments = [moment for moment, _ in _moments(house, operation)]
    gaps = [(b - a).total_seconds() for a, b in pairwise(moments)]
    return gaps if len(gaps) >= count else []
