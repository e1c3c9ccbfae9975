"""How queues stand is told as it is at this moment, in one of a few modes."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from core import gauges, operations, pace, standing
from core.database import driver
from core.errors import ConfigError
from core.message import Message
from core.pace import SPANS

pytestmark = pytest.mark.feature("BUS-06")


def test_a_pause_is_seen_at_once_though_the_depths_are_seconds_old(bus_of: Any, working: Any, put: Any) -> None:
    bus = bus_of([working()])
    put(bus, "a", "b")
    assert standing.standing(bus, "t.work").waiting == 2
    put(bus, "c")
    operations.set_state(bus, "t.work", "paused", actor="иванов", reason="обед")
    found = standing.standing(bus, "t.work")
    assert (found.mode, found.why, found.row.changed_by) == ("paused", "обед", "иванов")
    assert found.waiting == 2, "the look is shared"


def test_every_mode_has_its_sign(bus_of: Any, working: Any, far: Any, look: Any) -> None:
    bus = bus_of([working()], [far])
    for queue, change, mode in (
        ("t.work", "state = 'running'", "running"),
        ("t.work", "state = 'stopped', reason = 'нет схемы'", "stopped"),
        ("t.work", "settings = ''", "orphan"),
        ("far", "rest_until = now() + interval '1 minute'", "resting"),
        ("far", "rest_until = now() - interval '1 minute'", "running"),
        ("far.in", "failures = 2, poll_result = 'нет сети'", "failing"),
        ("far.in", "failures = 2, state = 'paused'", "paused"),
    ):
        look.do(f"UPDATE bus.queue SET {change} WHERE name = %s", queue)
        assert standing.standing(bus, queue).mode == mode, change


def test_the_oldest_waiting_and_what_serves_it_are_known(bus_of: Any, working: Any, put: Any, look: Any) -> None:
    bus = bus_of([working()])
    put(bus, "a")
    look.do("UPDATE bus.process SET role = 'worker', state = 'running'")
    found = standing.standing(bus, "t.work")
    assert found.age_s is not None
    assert found.processes == 1
    assert standing.standing(bus, "bus.poll").age_s is None


def test_a_queue_that_nobody_knows_is_a_sentence(bus_of: Any) -> None:
    with pytest.raises(ConfigError, match=r"Нет очереди t\.nowhere"):
        standing.standing(bus_of(), "t.nowhere")


def test_draining_now_ends_the_rest_and_wakes(
    bus_of: Any, far: Any, look: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = bus_of([], [far])
    look.do(
        "UPDATE bus.queue SET rest_until = now() + interval '1 hour', failures = 7, reason = 'x' WHERE name = 'far'"
    )
    woken: list[str] = []
    monkeypatch.setattr(bus, "wake", woken.append)
    operations.drain_now(bus, "far", actor="иванов")
    assert look.rows("SELECT rest_until, failures, reason FROM bus.queue WHERE name = 'far'") == [(None, 0, "")]
    assert woken == ["far"]
    assert look.one("SELECT action FROM bus.audit WHERE object_id = 'far'") == "queue.drained"


def test_what_can_not_be_drained_says_why(bus_of: Any, working: Any, far: Any) -> None:
    bus = bus_of([working()], [far])
    operations.set_state(bus, "t.work", "paused", actor="и")
    for queue, said in (("far.in", "источник"), ("t.work", "стоит"), ("t.nowhere", "Нет очереди")):
        with pytest.raises(ConfigError, match=said):
            operations.drain_now(bus, queue, actor="иванов")


def test_people_do_not_wait_for_a_newer_look(
    bus_of: Any, working: Any, put: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = bus_of([working()])
    first = bus.watched.recent()
    put(bus, "a")
    monkeypatch.setattr(gauges, "KEPT_S", -1.0)
    assert bus.watched.recent() is first
    eventually(lambda: standing.standing(bus, "t.work").waiting == 1)


@pytest.mark.feature("BUS-13")
def test_the_pace_is_the_last_full_minute_and_the_one_under_way(bus_of: Any, working: Any, run_dry: Any) -> None:
    bus = bus_of([working(keyed=False)])
    bus.engine.put([Message(kind="t.work", body=b"%d" % n) for n in range(30)])
    run_dry(bus)
    bus.meter.flush()
    with bus.database.transaction() as connection:
        found = pace.now(driver(connection))["t.work"]
    assert 15.0 <= found.accepted <= 30.0, "thirty in 60 to 120 seconds"
    assert found.done == found.accepted


@pytest.mark.feature("BUS-13")
@pytest.mark.parametrize("span", SPANS.values(), ids=lambda span: span.name)
def test_a_chart_has_a_point_for_every_step_and_the_last_one_is_now(
    bus_of: Any, working: Any, run_dry: Any, span: Any
) -> None:
    bus = bus_of([working(keyed=False)])
    bus.engine.put([Message(kind="t.work", body=b"x")])
    run_dry(bus)
    bus.meter.flush()
    points = pace.points(bus.database, span)
    assert len(points) == span.steps
    assert {b.began - a.began for a, b in itertools.pairwise(points)} == {span.step}
    assert sum(one.counts.handled for one in points[-2:]) == 1, "a minute may have passed meanwhile"
    assert sum(one.counts.accepted for one in pace.points(bus.database, span, "t.other")) == 0
