"""A source that is polled by the clock: a schedule puts the wish into the journal, a receiver obeys."""

from __future__ import annotations

import pytest

from core import polling
from core.message import Message


@pytest.mark.feature("SMEV-06")
def test_a_source_with_a_cron_is_polled_by_the_schedule_and_only_by_it(bus_of, far, eventually) -> None:
    far.cron = "* * * * * *"
    far.interval_s = 0.01
    bus = bus_of([], [far])
    names = [schedule.name for schedule, _ in bus.schedules.all()]

    bus.start(intake=True, work=True, schedule=True)
    eventually(lambda: far.polls >= 2)

    assert names == ["poll far.in"]
    assert far.polls < 20, "it was polled by its interval as well"


@pytest.mark.feature("SMEV-06")
def test_a_source_with_a_cron_takes_nothing_before_its_time(bus_of, far, eventually) -> None:
    far.cron = "0 0 1 1 *"
    far.interval_s = 0.01
    bus = bus_of([], [far])
    bus.start(intake=True, work=True, schedule=True)
    [made] = bus.engine.put([Message(kind=polling.route.name, body=b'{"source": "far.in"}')])
    eventually(lambda: far.polls == 1)

    assert made.repeated is False


def test_a_poll_of_an_unknown_source_is_quarantined_with_a_reason(bus_of) -> None:
    bus = bus_of()
    bus.engine.put([Message(kind=polling.route.name, body=b'{"source": "nobody"}')])
    bus.engine.drain(polling.route.name, 8)

    with bus.database.transaction() as connection:
        state, reason = connection.exec_driver_sql("SELECT state, reason FROM bus.entry").one()
    assert (state, "Нет источника nobody" in reason) == ("quarantined", True)
