"""Schedules live in a table, one process of the cluster fires them, and a run is fired once."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core import calendars_book, operations, scheduler
from core.errors import ConfigError, Unavailable
from core.schedule import Schedule
from core.scheduler import Scheduler, fire, run_now

EVERY_SECOND = "* * * * * *"


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "LOOK_S", 0.05)


@pytest.fixture
def clock() -> Iterator[Any]:
    """Starts a scheduler on a bus."""
    started: list[Scheduler] = []

    def begin(bus: Any) -> Scheduler:
        made = Scheduler(bus.database, bus.engine)
        made.start()
        started.append(made)
        return made

    yield begin
    for one in started:
        one.stop()


@pytest.fixture
def bus(bus_of: Any, working: Any) -> Any:
    return bus_of([working()])


def _declare(bus: Any, *schedules: Schedule) -> None:
    bus.schedules.declare(schedules)


def _every_second(**fields: Any) -> Schedule:
    return Schedule("t.tick", EVERY_SECOND, "t.work", **({"body": '{"a": 1}', "missed": "skip"} | fields))


def _runs(look: Any) -> list[str]:
    return [row[0] for row in look.rows("SELECT external_id FROM bus.message ORDER BY seq")]


def _downtime(look: Any, hours: float) -> None:
    """The last run was so long ago."""
    look.do("UPDATE bus.schedule SET changed_at = now() - interval '1 day', fired_for = now() - %s * interval '1 hour'",
            hours)  # fmt: skip


@pytest.mark.feature("BUS-07")
def test_a_due_schedule_puts_its_message_into_the_journal_once_a_run(
    bus: Any, clock: Any, look: Any, eventually: Any
) -> None:
    _declare(bus, _every_second())
    clock(bus)
    eventually(lambda: len(_runs(look)) >= 3)
    moments = [datetime.fromisoformat(one.removeprefix("t.tick@")) for one in _runs(look)]
    assert {b - a for a, b in itertools.pairwise(moments)} == {timedelta(seconds=1)}
    assert look.rows("SELECT DISTINCT kind, source, body, headers FROM bus.message") == [
        ("t.work", "schedule", b'{"a": 1}', {"schedule": "t.tick"})
    ]


@pytest.mark.feature("BUS-07")
def test_a_fired_schedule_is_handled_like_any_message(
    bus: Any, clock: Any, effects: Any, eventually: Any, run_dry: Any
) -> None:
    _declare(bus, _every_second())
    clock(bus)
    eventually(lambda: run_dry(bus))
    assert effects.texts()[0] == '{"a": 1}'


@pytest.mark.feature("BUS-07")
@pytest.mark.parametrize(("missed", "wanted"), [("skip", 0), ("once", 1), ("all", 4)])
def test_runs_missed_in_a_downtime_are_fired_by_policy(
    bus: Any, clock: Any, look: Any, eventually: Any, missed: str, wanted: int
) -> None:
    hourly = Schedule("t.hourly", "0 * * * *", "t.work", missed=missed)
    _declare(bus, hourly)
    now = datetime.now(UTC)
    _downtime(look, 4)
    look.do("UPDATE bus.schedule SET fired_for = %s", now.replace(minute=0, second=0) - timedelta(hours=4))
    one = clock(bus)
    eventually(lambda: one._planned)
    runs = _runs(look)
    assert len(runs) == wanted
    if runs:
        assert look.one("SELECT fired_for FROM bus.schedule") == datetime.fromisoformat(runs[-1].split("@")[1])


@pytest.mark.feature("BUS-07")
def test_a_new_schedule_owes_nothing_for_the_time_before_it(bus: Any, clock: Any, look: Any, eventually: Any) -> None:
    _declare(bus, Schedule("t.hourly", "0 * * * *", "t.work", missed="all"))
    one = clock(bus)
    eventually(lambda: one._planned)
    assert _runs(look) == []


@pytest.mark.feature("BUS-07", "BUS-12")
def test_of_two_processes_only_the_leader_fires_and_the_other_takes_over(
    bus: Any, bus_of: Any, working: Any, clock: Any, look: Any, eventually: Any
) -> None:
    _declare(bus, _every_second())
    leader = clock(bus)
    eventually(lambda: leader._leading)
    other = clock(bus_of([working()]))
    _declare(bus, _every_second())
    eventually(lambda: len(_runs(look)) >= 1)
    assert not other._leading
    leader.stop()
    before = len(_runs(look))
    eventually(lambda: other._leading and len(_runs(look)) > before)


@pytest.mark.feature("BUS-07", "BUS-12")
def test_when_the_leaders_connection_dies_the_runs_go_on_and_none_is_fired_twice(
    bus: Any, bus_of: Any, working: Any, clock: Any, look: Any, eventually: Any
) -> None:
    _declare(bus, _every_second(missed="all"))
    one = clock(bus)
    eventually(lambda: one._leading)
    two = clock(bus_of([working()]))
    _declare(bus, _every_second(missed="all"))
    for _ in range(3):
        before = len(_runs(look))
        look.do("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")  # fmt: skip
        eventually(lambda before=before: len(_runs(look)) > before)
    assert one._leading + two._leading == 1
    runs = _runs(look)
    assert len(runs) == len(set(runs))
    moments = sorted(datetime.fromisoformat(run.removeprefix("t.tick@")) for run in runs)
    assert {b - a for a, b in itertools.pairwise(moments)} == {timedelta(seconds=1)}, "and none is missing"


@pytest.mark.feature("BUS-07")
def test_the_same_run_fired_by_two_leaders_is_one_message(bus: Any, look: Any, run_dry: Any, effects: Any) -> None:
    first = fire(bus.engine, _every_second(), "2026-03-02T12:00:00+00:00")
    second = fire(bus.engine, _every_second(), "2026-03-02T12:00:00+00:00")
    run_dry(bus)
    assert first == second
    assert len(effects.texts()) == 1


@pytest.mark.feature("BUS-07")
def test_run_now_fires_each_time_and_leaves_the_plan_alone(bus: Any, look: Any, run_dry: Any, effects: Any) -> None:
    _declare(bus, Schedule("t.yearly", "0 0 1 1 *", "t.work"))
    assert run_now(bus.engine, bus.schedules.get("t.yearly")) != run_now(bus.engine, bus.schedules.get("t.yearly"))
    run_dry(bus)
    assert len(effects.texts()) == 2
    assert look.one("SELECT fired_for FROM bus.schedule") is None


@pytest.mark.feature("BUS-07")
def test_a_paused_schedule_is_not_fired_and_its_pause_owes_nothing(
    bus: Any, clock: Any, look: Any, eventually: Any
) -> None:
    _declare(bus, _every_second(missed="all"))
    operations.pause_schedule(bus, "t.tick", paused=True, actor="test")
    _downtime(look, 1)
    one = clock(bus)
    eventually(lambda: one._leading)
    time.sleep(1.1)
    assert _runs(look) == []
    resumed = datetime.now(UTC)
    operations.pause_schedule(bus, "t.tick", paused=False, actor="test")
    eventually(lambda: len(_runs(look)) >= 2)
    assert all(datetime.fromisoformat(run.removeprefix("t.tick@")) >= resumed for run in _runs(look))


def test_pausing_takes_effect_while_the_clock_runs(bus: Any, clock: Any, look: Any, eventually: Any) -> None:
    _declare(bus, _every_second())
    one = clock(bus)
    eventually(lambda: _runs(look))
    operations.pause_schedule(bus, "t.tick", paused=True, actor="test")
    eventually(lambda: not one._planned)
    before = len(_runs(look))
    time.sleep(1.2)
    assert len(_runs(look)) == before


def test_a_changed_cron_is_obeyed_and_owes_nothing_for_its_past(
    bus: Any, clock: Any, look: Any, eventually: Any
) -> None:
    _declare(bus, Schedule("t.tick", "0 0 1 1 *", "t.work", missed="all"))
    _downtime(look, 1)
    one = clock(bus)
    eventually(lambda: one._planned)
    changed = datetime.now(UTC)
    _declare(bus, _every_second(missed="all"))
    eventually(lambda: _runs(look))
    assert all(datetime.fromisoformat(run.removeprefix("t.tick@")) >= changed for run in _runs(look))


def test_declared_schedules_replace_what_was_declared_before_and_keep_the_operators_work(bus: Any, look: Any) -> None:
    _declare(bus, Schedule("a", "0 * * * *", "t.work"), Schedule("b", "0 * * * *", "t.work"))
    look.do("UPDATE bus.schedule SET paused = true, fired_for = '2026-01-01' WHERE name = 'a'")
    look.do("INSERT INTO bus.schedule (name, cron, timezone, queue, missed, origin) "
            "VALUES ('mine', '0 * * * *', 'UTC', 't.work', 'skip', 'operator')")  # fmt: skip
    _declare(bus, Schedule("a", "5 * * * *", "t.work", title="Новое"), Schedule("mine", "1 1 * * *", "x"))
    assert look.rows("SELECT name, cron, title, paused, fired_for IS NULL FROM bus.schedule ORDER BY name") == [
        ("a", "5 * * * *", "Новое", True, False), ("mine", "0 * * * *", "", False, True),
    ]  # fmt: skip


def test_settings_declare_schedules_too_and_a_wrong_one_is_named(bus_of: Any, look: Any) -> None:
    bus_of([], [], schedules={"nightly": {"cron": "0 3 * * *", "queue": "t.work"}})
    assert look.rows("SELECT name, cron, timezone FROM bus.schedule") == [("nightly", "0 3 * * *", "Europe/Moscow")]
    with pytest.raises(ConfigError, match="nightly"):
        bus_of([], [], schedules={"nightly": {"cron": "никогда", "queue": "t.work"}})


def test_one_bad_row_does_not_stop_the_others(bus: Any, clock: Any, look: Any, eventually: Any) -> None:
    _declare(bus, _every_second())
    look.do("INSERT INTO bus.schedule (name, cron, timezone, queue, missed, origin) "
            "VALUES ('bad', 'x', 'Mars/Base', 't.work', 'skip', 'operator')")  # fmt: skip
    clock(bus)
    eventually(lambda: _runs(look))


def test_an_unknown_schedule_is_refused(bus: Any) -> None:
    with pytest.raises(ConfigError, match="nothing"):
        bus.schedules.get("nothing")
    with pytest.raises(ConfigError, match="nothing"):
        operations.pause_schedule(bus, "nothing", paused=True, actor="test")


def test_a_run_that_could_not_be_fired_is_made_up_for(
    bus: Any, clock: Any, look: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the next one is due before anybody has looked."""
    _declare(bus, _every_second(missed="all"))
    monkeypatch.setattr(scheduler, "LOOK_S", 1.5)
    failures = [True]
    put = bus.engine.put

    def fail_once(messages: Any) -> Any:
        if failures:
            failures.pop()
            lost.append(messages[0].external_id)
            raise Unavailable("База данных недоступна")
        return put(messages)

    monkeypatch.setattr(bus.engine, "put", fail_once)
    lost: list[str] = []
    clock(bus)
    eventually(lambda: len(_runs(look)) >= 4)
    moments = sorted(datetime.fromisoformat(run.removeprefix("t.tick@")) for run in _runs(look))
    assert {b - a for a, b in itertools.pairwise(moments)} == {timedelta(seconds=1)}
    assert lost[0] in _runs(look)


def test_a_defect_while_firing_does_not_stop_the_clock(
    bus: Any, clock: Any, look: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _declare(bus, _every_second())
    failures = [True]
    put = bus.engine.put

    def fail_once(messages: Any) -> Any:
        if failures:
            failures.pop()
            raise KeyError("a defect")
        return put(messages)

    monkeypatch.setattr(bus.engine, "put", fail_once)
    clock(bus)
    eventually(lambda: _runs(look))


@pytest.mark.feature("BUS-07")
def test_the_leader_obeys_a_calendar_and_its_change_at_once(bus: Any, clock: Any, look: Any, eventually: Any) -> None:
    """Today is a day off by the calendar, so nothing fires; then it is none."""
    _declare(bus, _every_second(calendar="ru", timezone="UTC"))
    today = datetime.now(UTC).date()
    days = "\n".join(f"{today + timedelta(days=n):%d.%m.%Y};выходной" for n in (-1, 0, 1)).encode()
    calendars_book.import_file(bus, "ru", days, actor="test")
    one = clock(bus)
    eventually(lambda: one._planned)
    time.sleep(1.2)
    assert _runs(look) == []
    working = "\n".join(f"{today + timedelta(days=n):%d.%m.%Y};рабочий" for n in (-1, 0, 1)).encode()
    calendars_book.import_file(bus, "ru", working, actor="test")
    eventually(lambda: _runs(look))


def test_a_schedule_that_never_comes_stops_neither_the_others_nor_the_metrics(
    bus: Any, clock: Any, look: Any, eventually: Any
) -> None:
    _declare(bus, Schedule("t.never", "0 9 * * 6", "t.work", calendar="ru"), _every_second())
    clock(bus)
    eventually(lambda: _runs(look))
    never = next(one for one in bus.watched.look(0).schedules if one.name == "t.never")
    assert (never.next, never.lag_s) == (None, 0.0)


@pytest.mark.feature("BUS-07")
def test_an_operators_wish_is_what_is_fired(bus: Any, clock: Any, look: Any, eventually: Any) -> None:
    _declare(bus, Schedule("t.tick", "0 0 1 1 *", "t.work"))
    look.do("UPDATE bus.schedule SET changed = %s", '{"cron": "* * * * * *"}')
    clock(bus)
    eventually(lambda: _runs(look))
