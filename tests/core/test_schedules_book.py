"""Operators' schedules, their wishes for declared ones, and the history of runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from core import calendars_book, operations, schedules_book
from core.bus import Bus
from core.errors import BusError, ConfigError, SchemaViolation
from core.route import Route
from core.schedule import Schedule
from core.schedule_history import history, last_runs
from core.scheduler import fire

DECLARED = Schedule("nightly", "0 3 * * *", "t.command", "Ночная", '{"number": 1}')


class Command(BaseModel):
    """A command with one field."""

    number: int


def _route() -> Route:
    route = Route("t.command", title="Команда", body=Command)
    route.handler(lambda body, ctx: ctx.note(f"сделано {body.number}"))
    return route


@pytest.fixture
def bus(bus_of: Callable[..., Bus]) -> Bus:
    return bus_of([_route()])


def _wanted(**fields: Any) -> Schedule:
    return replace(DECLARED, **({"name": "", "title": "Ночная сверка (ЗАГС)"} | fields))


@pytest.mark.feature("BUS-07")
def test_an_operators_schedule_is_kept_fired_and_removed_and_all_of_it_audited(bus: Bus, look: Any) -> None:
    name = schedules_book.add(bus, _wanted(), actor="ivanova")
    assert name == "ночная-сверка-загс"
    line = schedules_book.line(bus, name)
    assert (line.origin, line.schedule.cron, line.schedule.title) == ("operator", "0 3 * * *", "Ночная сверка (ЗАГС)")
    schedules_book.change(bus, name, replace(line.schedule, cron="30 4 * * *", title="Утренняя"), actor="petrov")
    schedules_book.remove(bus, name, actor="petrov")
    assert schedules_book.lines(bus) == []
    rows = look.rows("SELECT actor, action, object_id, detail FROM bus.audit ORDER BY seq")
    assert [row[:3] for row in rows] == [
        ("ivanova", "schedule.created", name),
        ("petrov", "schedule.changed", name),
        ("petrov", "schedule.removed", name),
    ]
    assert rows[1][3] == {
        "was": {"cron": "0 3 * * *", "title": "Ночная сверка (ЗАГС)"},
        "became": {"cron": "30 4 * * *", "title": "Утренняя"},
    }
    assert "body" not in rows[0][3], "it may name a person"


@pytest.mark.feature("BUS-07")
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"title": " "}, "название"),
        ({"title": "т" * 201}, "название"),
        ({"queue": "unknown"}, "не принимает команд"),
        ({"queue": "нет"}, "не принимает команд"),
        ({"body": '{"number": "много"}'}, "неверные поля: number"),
        ({"body": "junk"}, "неверные поля"),
        ({"body": "[" * 50_000}, "неверные поля"),
        ({"body": '{"number": 1, "x": "\x00"}'}, "недопустимые знаки"),
        ({"body": '{"number": 1}' + " " * 200_000}, "слишком длинная"),
        ({"calendar": "ru"}, "Нет календаря ru"),
        ({"name": "new"}, "Имя расписания"),
        ({"name": "a/b"}, "Имя расписания"),
        ({"name": "a@b"}, "Имя расписания"),
    ],
    ids=range(13),
)
def test_what_could_not_be_fired_is_refused_before_it_is_kept(bus: Bus, fields: dict[str, str], said: str) -> None:
    with pytest.raises((ConfigError, SchemaViolation), match=said):
        schedules_book.add(bus, _wanted(**fields), actor="ivanova")
    assert schedules_book.lines(bus) == []


def test_a_name_is_taken_once(bus: Bus) -> None:
    schedules_book.add(bus, _wanted(), actor="ivanova")
    with pytest.raises(ConfigError, match="уже есть"):
        schedules_book.add(bus, _wanted(), actor="ivanova")


def test_a_calendar_that_never_lets_it_run_is_told_at_once(bus: Bus) -> None:
    calendars_book.import_file(bus, "ru", "01.01.2026;выходной".encode(), actor="ivanova")
    with pytest.raises(ConfigError, match="не наступит за год"):
        schedules_book.add(bus, _wanted(cron="0 3 * * 7", calendar="ru"), actor="ivanova")


@pytest.mark.feature("BUS-07", "SMEV-10")
def test_a_wish_for_a_declared_schedule_survives_restarts_and_can_be_set_back(
    bus_of: Callable[..., Bus], look: Any
) -> None:
    declared = {"cron": "0 3 * * *", "queue": "t.command", "title": "Ночная", "body": '{"number": 1}'}
    bus = bus_of([_route()], schedules={"nightly": declared})
    wish = replace(DECLARED, cron="30 4 * * 1-5", timezone="Asia/Omsk", title="Чужое", body="{}", queue="x")
    schedules_book.change(bus, "nightly", wish, actor="ivanova")
    again = bus_of([_route()], schedules={"nightly": declared | {"title": "Ночная 2", "cron": "0 5 * * *"}})
    line = schedules_book.line(again, "nightly")
    found = line.schedule
    assert (found.cron, found.timezone, found.title) == ("30 4 * * 1-5", "Asia/Omsk", "Ночная 2")
    assert (found.body, found.queue) == (DECLARED.body, DECLARED.queue), "logic is not edited in a database"
    assert line.changed == {"cron": "30 4 * * 1-5", "timezone": "Asia/Omsk"}
    assert line.declared["cron"] == "0 5 * * *"
    schedules_book.set_back(again, "nightly", actor="petrov")
    assert again.schedules.get("nightly").cron == "0 5 * * *"
    with pytest.raises(ConfigError, match="как объявлено"):
        schedules_book.set_back(again, "nightly", actor="petrov")
    assert [row[0] for row in look.rows("SELECT action FROM bus.audit ORDER BY seq")] == [
        "schedule.changed", "schedule.reset",
    ]  # fmt: skip


def test_a_wish_that_is_as_declared_is_none(bus: Bus, look: Any) -> None:
    bus.schedules.declare([DECLARED])
    schedules_book.change(bus, "nightly", replace(DECLARED, missed="all"), actor="ivanova")
    schedules_book.change(bus, "nightly", DECLARED, actor="ivanova")
    assert schedules_book.line(bus, "nightly").changed == {}
    schedules_book.change(bus, "nightly", DECLARED, actor="ivanova")
    assert look.one("SELECT count(*) FROM bus.audit") == 2


def test_a_wish_for_another_time_owes_nothing_for_the_past_and_for_another_policy_does(bus: Bus) -> None:
    bus.schedules.declare([DECLARED])
    since = bus.schedules.find("nightly")[1]["known_since"]
    schedules_book.change(bus, "nightly", replace(DECLARED, missed="all"), actor="ivanova")
    assert bus.schedules.find("nightly")[1]["known_since"] == since
    schedules_book.change(bus, "nightly", replace(DECLARED, cron="0 4 * * *"), actor="ivanova")
    assert bus.schedules.find("nightly")[1]["known_since"] > since


def test_a_declared_schedule_is_not_removed_by_hand(bus: Bus) -> None:
    bus.schedules.declare([DECLARED])
    with pytest.raises(ConfigError, match="удаляется только там"):
        schedules_book.remove(bus, "nightly", actor="ivanova")


@pytest.mark.feature("SMEV-06")
def test_the_list_says_where_a_schedule_comes_from(bus_of: Callable[..., Bus]) -> None:
    bus = bus_of([_route()], schedules={"set": {"cron": "0 3 * * *", "queue": "t.command"}})
    poll = Schedule("poll far.in", "*/5 * * * *", "bus.poll", "Опрос", '{"source": "far.in"}')
    configured = Schedule("set", "0 3 * * *", "t.command")
    bus.schedules.declare([DECLARED, poll, configured])
    schedules_book.add(bus, _wanted(name="mine"), actor="ivanova")
    origins = {line.schedule.name: line.origin for line in schedules_book.lines(bus)}
    assert origins == {"mine": "operator", "nightly": "code", "poll far.in": "connector", "set": "settings"}


@pytest.mark.feature("BUS-07")
def test_queues_that_take_commands_are_those_with_a_model_and_no_documents(bus: Bus) -> None:
    assert "t.command" in schedules_book.commands(bus)
    assert "bus.poll" in schedules_book.commands(bus)
    assert "unknown" not in schedules_book.commands(bus)
    assert list(schedules_book.fields_of(bus, "t.command")) == ["number"]
    assert schedules_book.fields_of(bus, "нет") == {}


@pytest.mark.feature("BUS-07")
def test_the_history_tells_when_by_whom_with_what_outcome_and_how_long(bus: Bus, run_dry: Any) -> None:
    bus.schedules.declare([DECLARED, replace(DECLARED, name="nightly2")])
    for day in (1, 2):
        fire(bus.engine, DECLARED, f"2026-03-0{day}T00:00:00+00:00")
    fire(bus.engine, replace(DECLARED, name="nightly2"), "2026-03-01T00:00:00+00:00")
    bad = fire(bus.engine, replace(DECLARED, body="{}"), "2026-03-03T00:00:00+00:00")
    operations.run_schedule(bus, "nightly", actor="ivanova")
    run_dry(bus, "t.command")
    fire(bus.engine, DECLARED, "2026-03-04T00:00:00+00:00")
    runs = history(bus.database, "nightly")
    assert [run.planned and run.planned.day for run in runs] == [4, None, 3, 2, 1]
    waiting, by_hand, failed, *rest = runs
    assert (waiting.state, waiting.took, waiting.work_ms) == ("ready", None, None)
    assert (by_hand.state, by_hand.actor, by_hand.note) == ("handled", "ivanova", "сделано 1")
    assert by_hand.took is not None
    assert by_hand.work_ms is not None
    assert (failed.message_id, failed.state) == (bad, "quarantined")
    assert "неверные поля" in failed.reason
    assert {run.state for run in rest} == {"handled"}
    assert [run.seq for run in history(bus.database, "nightly", before=failed.seq, limit=1)] == [rest[0].seq]
    assert last_runs(bus.database, ["nightly2", "нет"])["нет"] is None


@pytest.mark.feature("BUS-07")
def test_the_history_is_found_by_its_index_however_long_the_journal(bus: Bus, look: Any) -> None:
    fire(bus.engine, DECLARED, "2026-03-01T00:00:00+00:00")
    look.do("ANALYZE bus.message")
    look.do("SET enable_seqscan = off")
    plan = look.rows(
        "EXPLAIN SELECT seq FROM bus.message WHERE source = 'schedule' AND headers ->> 'schedule' = 'nightly' "
        "ORDER BY seq DESC LIMIT 30"
    )
    assert "message_schedule" in "\n".join(row[0] for row in plan)


@pytest.mark.parametrize("name", ["\x00", "%00", "x" * 5000, "'; DROP TABLE bus.schedule; --"])
def test_a_hostile_name_is_no_schedule(bus: Bus, name: str) -> None:
    assert history(bus.database, name) == []
    with pytest.raises(BusError):
        schedules_book.line(bus, name)


def test_the_next_run_of_a_paused_one_is_none(bus: Bus) -> None:
    bus.schedules.declare([DECLARED])
    assert schedules_book.line(bus, "nightly").next > datetime.now(UTC)
    operations.pause_schedule(bus, "nightly", paused=True, actor="ivanova")
    assert schedules_book.line(bus, "nightly").next is None
