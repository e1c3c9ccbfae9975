"""The way of a message is a picture: steps, the time between them, nothing of it out of bounds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from console.messages import timeline
from core.cards import Card, EventRow
from core.reading import MessageRow

pytestmark = pytest.mark.feature("BUS-10")
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def card(*stages: str, gap_s: float = 1.0) -> Card:
    row = MessageRow(
        1, UUID(int=1), "k", "", "request", "q", "", "handled", 1, "s", "e", BEGAN, BEGAN, None, "", ""
    )  # fmt: skip
    events = [
        EventRow(BEGAN + timedelta(seconds=gap_s * (n + 1)), stage, 1, "", "", "", 5.0, 1.0, None)
        for n, stage in enumerate(stages)
    ]
    given: dict[str, Any] = {
        "headers": {}, "attachments": [], "fingerprint": "", "cause": None, "in_reply_to": "", "replies_to": "",
        "reply_within_s": None, "body_bytes": 0, "received_bytes": None, "body_removed": False, "causes": [],
        "effects": [], "outgoing": None,
    }  # fmt: skip
    return Card(row=row, events=events, **given)


def test_steps_follow_the_events_and_looks_are_none() -> None:
    steps = timeline.steps_of(card("acknowledged", "viewed", "retry", "retry", "handled"))
    assert [(one.title, one.many, one.gap_ms) for one in steps] == [
        ("принято", 1, None),
        ("подтверждено источнику", 1, 1000.0),
        ("будет повтор", 2, 3000.0),
        ("обработано", 1, 1000.0),
    ]


def test_repeats_that_are_acknowledged_again_are_one_step() -> None:
    steps = timeline.steps_of(card("handled", "repeated", "acknowledged", "repeated", "acknowledged"))
    assert [(one.title, one.many) for one in steps] == [("принято", 1), ("обработано", 1), ("пришло повторно", 2)]


def test_a_long_way_is_told_by_its_ends() -> None:
    stages = ["retry", "resent"] * 20 + ["handled"]
    steps = timeline.shortened(timeline.steps_of(card(*stages)))
    assert len(steps) == timeline.STEPS_MOST
    assert steps[0].title == "принято"
    assert steps[-1].title == "обработано"
    assert any(one.title == "ещё 34" for one in steps)
    assert sum(one.gap_ms or 0 for one in steps) == 41_000.0


@pytest.mark.parametrize("stages", [(), ("handled",), ("retry", "handled"), ("retry", "resent") * 20])
def test_the_picture_stays_within_its_bounds(stages: tuple[str, ...]) -> None:
    drawn = str(timeline.picture(card(*stages)))
    xs = [float(one) for one in re.findall(r' (?:x|cx|x1|x2)="(-?[\d.]+)"', drawn)]
    assert xs
    assert all(0 <= x <= 900 for x in xs)
    assert "style=" not in drawn


def test_texts_are_escaped() -> None:
    assert "<script>" not in str(timeline.picture(card("<script>")))


def test_a_bar_grows_with_the_duration() -> None:
    widths = [int(re.findall(r'bar-part" width="(\d+)"', str(timeline.bar(ms, 60_000)))[0]) for ms in (1, 100, 60_000)]
    assert widths == sorted(widths)
    assert widths[-1] == 100
    assert timeline.bar(None, 10) == ""
