"""Whatever a person does to messages, queues and schedules leaves one row in the audit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from core import audit, operations, trail
from core.bus import Bus
from core.database import driver
from core.errors import BusError, ConfigError
from core.message import Message
from core.route import Route
from core.trail import Row, Wanted


@pytest.fixture
def bus(bus_of: Callable[..., Bus], far: Any) -> Bus:
    routes = [Route(name, title=name) for name in ("t.one", "t.two")]
    for one in routes:
        one.handler(lambda body, ctx: None)
    return bus_of(routes, [far])


@pytest.fixture
def rows(bus: Bus) -> Callable[[], Sequence[Row]]:
    def read() -> Sequence[Row]:
        return list(reversed(trail.rows(bus.database, Wanted(), 1000)))

    return read


def put(bus: Bus, many: int = 1) -> list[Any]:
    messages = [Message(kind="t.one", body=b"{}", queue="t.one") for _ in range(many)]
    return [one.message_id for one in bus.engine.put(messages)]


def told(rows: Sequence[Row]) -> list[tuple[str, str, str, str]]:
    return [(one.actor, one.action, one.object_kind, one.object_id) for one in rows]


@pytest.mark.feature("SMEV-11")
def test_pause_and_resume_say_who_and_why(bus, rows) -> None:
    operations.set_state(bus, "t.one", "paused", actor="ivanova", reason="ждём схему")
    operations.set_state(bus, "t.one", "running", actor="petrov")
    assert told(rows()) == [
        ("ivanova", "queue.paused", "queue", "t.one"),
        ("petrov", "queue.resumed", "queue", "t.one"),
    ]
    assert "ждём схему" in rows()[0].note


def test_a_wish_for_a_poll_is_kept(bus, rows, far) -> None:
    operations.poll(bus, "far.in", actor="ivanova")
    assert told(rows()) == [("ivanova", "queue.polled", "queue", "far.in")]


def test_one_message_sent_again_is_the_object(bus, rows) -> None:
    [one] = put(bus)
    operations.resend(bus, [one], actor="ivanova")
    assert told(rows()) == [("ivanova", "message.resent", "message", str(one))]
    assert rows()[0].detail == {}


def test_many_messages_sent_again_are_one_row_that_names_them(bus, rows) -> None:
    ids = put(bus, 3)
    operations.resend(bus, ids, actor="ivanova")
    [row] = rows()
    assert (row.object_id, row.detail["count"]) == ("", 3)
    assert row.detail["messages"] == [str(one) for one in ids]


def test_a_dropped_message_is_told_once(bus, rows) -> None:
    [one] = put(bus)
    assert operations.drop(bus, [one], actor="ivanova", reason="дубль") == 1
    assert operations.drop(bus, [one], actor="ivanova", reason="дубль") == 0
    assert told(rows()) == [("ivanova", "message.dropped", "message", str(one))]
    assert "дубль" in rows()[0].note


@pytest.mark.parametrize("many", [0, 3, 501])
def test_a_whole_queue_moved_or_dropped_is_one_row(bus, rows, many: int) -> None:
    put(bus, many)
    operations.set_state(bus, "t.one", "paused", actor="test")
    operations.move(bus, "t.one", "t.two", actor="ivanova")
    operations.set_state(bus, "t.two", "paused", actor="test")
    operations.drop_queue(bus, "t.two", actor="petrov", reason="учения")
    assert [one for one in told(rows()) if one[0] != "test"] == [
        ("ivanova", "queue.moved", "queue", "t.one"),
        ("petrov", "queue.dropped", "queue", "t.two"),
    ]


def test_a_message_put_by_hand_is_the_object(bus, rows) -> None:
    made = operations.put(bus, Message(kind="t.one", body=b"{}", queue="t.one"), actor="ivanova")
    assert told(rows()) == [("ivanova", "message.put", "message", str(made))]


def test_what_is_done_to_a_schedule_is_told(bus_of, rows) -> None:
    route = Route("t.one", title="Первая")
    route.handler(lambda body, ctx: None)
    bus = bus_of([route], schedules={"nightly": {"cron": "0 3 * * *", "queue": "t.one"}})
    operations.pause_schedule(bus, "nightly", paused=True, actor="ivanova")
    operations.pause_schedule(bus, "nightly", paused=False, actor="ivanova")
    made = operations.run_schedule(bus, "nightly", actor="ivanova")
    deeds = ("schedule.paused", "schedule.resumed", "schedule.run")
    assert told(rows()) == [("ivanova", deed, "schedule", "nightly") for deed in deeds]
    assert rows()[-1].detail == {"message": str(made)}


@pytest.mark.feature("BUS-14")
def test_a_look_is_told_before_anything_is_shown(bus, rows) -> None:
    [one] = put(bus)
    operations.viewed(bus, one, "Просмотр: тело", actor="ivanova")
    assert told(rows()) == [("ivanova", "message.viewed", "message", str(one))]


@pytest.mark.parametrize(
    "deed",
    [
        lambda bus: operations.set_state(bus, "nothing", "paused", actor="ivanova"),
        lambda bus: operations.poll(bus, "nothing", actor="ivanova"),
        lambda bus: operations.move(bus, "nothing", "t.two", actor="ivanova"),
        lambda bus: operations.drop_queue(bus, "nothing", actor="ivanova", reason="x"),
        lambda bus: operations.pause_schedule(bus, "nothing", paused=True, actor="ivanova"),
        lambda bus: operations.run_schedule(bus, "nothing", actor="ivanova"),
    ],
    ids=["pause", "poll", "move", "drop", "pause schedule", "run schedule"],
)
def test_what_did_not_happen_is_not_told(bus, rows, deed) -> None:
    with pytest.raises(BusError):
        deed(bus)
    assert rows() == []


def test_a_deed_and_its_row_come_together_or_not_at_all(bus, rows, monkeypatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ConfigError("Аудит не пишется")

    [one] = put(bus)
    monkeypatch.setattr(audit, "record", broken)
    for deed in (
        lambda: operations.set_state(bus, "t.one", "paused", actor="ivanova"),
        lambda: operations.drop(bus, [one], actor="ivanova", reason="x"),
        lambda: operations.resend(bus, [one], actor="ivanova"),
        lambda: operations.viewed(bus, one, "Просмотр", actor="ivanova"),
    ):
        with pytest.raises(ConfigError, match="не пишется"):
            deed()
    with bus.database.transaction() as connection:
        db = driver(connection)
        assert db.execute("SELECT state FROM bus.queue WHERE name = 't.one'").fetchall() == [("running",)]
        assert db.execute("SELECT state FROM bus.entry").fetchall() == [("ready",)]
        assert db.execute("SELECT count(*) FROM bus.event WHERE actor = 'ivanova'").fetchall() == [(0,)]


def test_a_deed_says_where_it_came_from(bus, rows) -> None:
    with audit.acting_from("api", "10.0.0.1"):
        operations.set_state(bus, "t.one", "paused", actor="token:reports")
    operations.set_state(bus, "t.one", "running", actor="ivanova")
    assert [(one.via, one.address) for one in rows()] == [("api", "10.0.0.1"), ("cli", "")]
