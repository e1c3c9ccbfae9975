"""The desk says whether all is well, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from core import desk, operations

pytestmark = pytest.mark.feature("BUS-06")


@pytest.fixture
def alive(look: Any) -> Any:
    """The processes of this test count as those of a whole bus."""
    return lambda: look.do("UPDATE bus.process SET role = 'run', state = 'running'")


def test_an_empty_bus_that_runs_is_well_and_says_that_it_is_empty(bus_of: Any, working: Any, alive: Any) -> None:
    bus = bus_of([working()])
    alive()
    found = desk.look(bus)
    assert found.well
    assert found.empty
    assert found.oldest is None
    assert [one.role for one in found.processes] == ["run"]


def test_what_is_wrong_is_told_before_the_watch_has_noted_it(
    bus_of: Any, working: Any, look: Any, alive: Any, put: Any
) -> None:
    bus = bus_of([working()])
    alive()
    put(bus, "a")
    look.do("UPDATE bus.queue SET state = 'stopped', reason = 'нет схемы' WHERE name = 't.work'")
    look.do("UPDATE bus.entry SET state = 'quarantined'")
    found = desk.look(bus)
    assert not found.well
    assert [(one.rule, one.subject, one.since) for one in found.troubles] == [
        ("queue.stopped", "t.work", None),
        ("quarantine", "t.work", None),
    ]
    assert found.quarantined == 1


def test_an_alert_of_the_book_is_told_once_with_its_beginning(
    bus_of: Any, working: Any, look: Any, alive: Any, put: Any
) -> None:
    bus = bus_of([working()])
    alive()
    put(bus, "a")
    look.do("UPDATE bus.entry SET state = 'quarantined'")
    look.do(
        "INSERT INTO bus.alert (rule, subject, severity, text, advice, value, since, seen_at, fired_at) "
        "VALUES ('quarantine', 't.work', 'warning', 'В карантине 1', '', 1, now(), now(), now())"
    )
    [trouble] = desk.look(bus).troubles
    assert (trouble.text, trouble.severity) == ("В карантине 1", "warning")
    assert trouble.since is not None


def test_a_pause_by_a_person_is_named_and_is_no_trouble(bus_of: Any, working: Any, alive: Any) -> None:
    bus = bus_of([working()])
    alive()
    operations.set_state(bus, "t.work", "paused", actor="иванов", reason="обед")
    found = desk.look(bus)
    assert found.well
    assert [one.name for one in found.paused] == ["t.work"]


@pytest.mark.feature("BUS-07")
def test_the_next_runs_come_in_order_without_those_on_pause(bus_of: Any, working: Any, alive: Any) -> None:
    schedules = {
        "late": {"cron": "59 23 31 12 *", "queue": "t.work", "title": "Годовой"},
        "soon": {"cron": "* * * * *", "queue": "t.work"},
        "off": {"cron": "* * * * *", "queue": "t.work"},
    }
    bus = bus_of([working()], schedules=schedules)
    alive()
    operations.pause_schedule(bus, "off", paused=True, actor="и")
    assert [(one.name, one.title) for one in desk.look(bus).upcoming] == [("soon", ""), ("late", "Годовой")]
