"""Claim → validate → transform → handle → commit: one commit for effect, messages and state; a failure costs itself."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from core import operations
from core.batch import pause
from core.errors import ConfigError, Permanent, Retryable, Unavailable
from core.message import Message, Outcome
from core.replies import Reply
from core.route import Context, Format, Retry, Route


class Crash(BaseException):
    """The process dies here, as far as the engine can tell."""


@pytest.mark.feature("BUS-02")
def test_effect_emitted_messages_and_state_are_one_commit(
    bus_of: Any, far: Any, working: Any, put: Any, look: Any, effects: Any
) -> None:
    def crash(_message: Message, _context: Context) -> Any:
        yield Message(kind="far", queue="far", body=b"out")
        if not crashed:
            crashed.append(True)
            raise Crash

    crashed: list[bool] = []
    bus = bus_of([working(crash)], [far])
    put(bus, "a")
    with pytest.raises(Crash):
        bus.engine.drain("t.work", 64)
    assert (effects.texts(), look.states(), look.states("far")) == ([], {"a": "ready"}, {})
    bus.engine.drain("t.work", 64)
    assert (effects.texts(), look.states(), look.states("far")) == (["a"], {"a": "handled"}, {"out": "ready"})


@pytest.mark.feature("BUS-02")
def test_a_handler_that_fails_after_its_writes_leaves_nothing_of_them(
    bus_of: Any, far: Any, working: Any, put: Any, look: Any, effects: Any, run_dry: Any
) -> None:
    def fail(_message: Message, _context: Context) -> Any:
        yield Message(kind="far", queue="far", body=b"out")
        raise Permanent("Человек не найден")

    bus = bus_of([working(fail)], [far])
    put(bus, "a")
    run_dry(bus)
    assert (effects.texts(), look.states(), look.states("far")) == ([], {"a": "quarantined"}, {})
    assert look.reason("a") == "Человек не найден"


@pytest.mark.feature("BUS-03")
@pytest.mark.parametrize(
    "how", ["raises", "breaks a constraint", "commits", "rolls back", "emits garbage", "no handler"]
)
def test_a_poison_message_in_a_batch_of_64_costs_only_itself(
    bus_of: Any, far: Any, working: Any, put: Any, look: Any, effects: Any, run_dry: Any, how: str
) -> None:
    def poison(message: Message, context: Context) -> Any:
        if message.body != b"31":
            return
        if how == "raises":
            raise KeyError("a defect")
        if how == "breaks a constraint":
            context.db.execute(sa.text("SELECT 1/0"))
        if how == "commits":
            context.db.commit()
        if how == "rolls back":
            context.db.rollback()
        if how == "emits garbage":
            yield Message(kind="far", queue="far", body=b"out", reply_within_s="soon")  # type: ignore[arg-type]

    bus = bus_of([working(poison, keyed=False)], [far])
    put(bus, *(str(n) for n in range(64) if not (how == "no handler" and n == 31)))
    if how == "no handler":
        put(bus, Reply(Outcome.STATUS).to_body().decode(), outcome=Outcome.STATUS)
    assert bus.engine.drain("t.work", 64) == 64
    states = look.states()
    assert sorted(states.values()) == ["handled"] * 63 + ["quarantined"]
    assert effects.texts() == [str(n) for n in range(64) if n != 31]
    assert run_dry(bus) == 0


@pytest.mark.feature("BUS-03")
def test_a_defect_is_quarantined_with_its_traceback_and_without_values_in_the_reason(
    bus_of: Any, working: Any, put: Any, look: Any, run_dry: Any
) -> None:
    def defect(_message: Message, _context: Context) -> None:
        raise KeyError("Иванов")

    bus = bus_of([working(defect)])
    put(bus, "a")
    run_dry(bus)
    assert look.reason("a") == "Ошибка в программе обработки: KeyError"
    detail = look.one("SELECT detail FROM bus.event WHERE stage = 'quarantined'")
    assert "Traceback" in detail
    assert "in defect" in detail


def test_a_message_is_handled_by_the_handler_of_its_outcome(bus_of: Any, put: Any, run_dry: Any) -> None:
    seen = []
    route = Route("t.work", title="Работа")
    route.handler(lambda body, context: seen.append(body))
    route.on(Outcome.REJECTION)(lambda reply, context: seen.append(str(reply)))
    bus = bus_of([route])
    put(bus, Reply(Outcome.REJECTION, ("NO_DATA",), ("Нет сведений",)).to_body().decode(), outcome=Outcome.REJECTION)
    put(bus, "x")
    run_dry(bus)
    assert seen == ["NO_DATA: Нет сведений", b"x"]


def test_a_message_passed_on_unchanged_becomes_a_message_of_its_own(
    bus_of: Any, far: Any, working: Any, look: Any, run_dry: Any
) -> None:
    bus = bus_of([working(lambda message, context: [message.but(queue="far")])], [far])
    bus.engine.accept([far.offer("1", b"a")])
    run_dry(bus)
    run_dry(bus, "far")
    assert [body for _, body, _ in far.sent] == [b"a"]
    [(own, cause)] = look.rows("SELECT id, cause FROM bus.message WHERE source = 'bus'")
    assert cause == look.one("SELECT id FROM bus.message WHERE source = 'far'") != own


def test_an_emitted_message_without_a_queue_that_exists_is_kept_and_shown(
    bus_of: Any, working: Any, put: Any, look: Any, run_dry: Any
) -> None:
    bus = bus_of([working(lambda message, context: [Message(kind="x", queue="no.such", body=b"lost?")])])
    put(bus, "a")
    run_dry(bus)
    assert look.states("no.such") == {"lost?": "quarantined"}
    assert "Нет очереди no.such" in look.reason("lost?")


# ── retries ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.feature("BUS-03")
def test_the_pause_grows_by_the_factor_within_the_jitter_up_to_the_most() -> None:
    retry = Retry(first_s=1, factor=3, most_s=20, jitter=0.2)
    for attempt, steady in [(1, 1), (2, 3), (3, 9), (4, 20), (5, 20), (100_000, 20)]:
        found = {pause(retry, attempt, Retryable("")) for _ in range(50)}
        assert steady * 0.8 <= min(found) <= max(found) <= steady * 1.2
        assert len(found) > 1
    assert pause(retry, 3, Retryable("", pause_s=77.0)) == 77.0


@pytest.mark.feature("BUS-03")
def test_a_retryable_failure_waits_and_after_the_last_attempt_is_quarantined(
    bus_of: Any, working: Any, put: Any, look: Any, run_dry: Any, sweep: Any, make_due: Any
) -> None:
    def fail(_message: Message, _context: Context) -> None:
        raise Retryable("Реестр занят", detail="подробно")

    bus = bus_of([working(fail, retry=Retry(attempts=3, first_s=100, factor=2, jitter=0.1))])
    put(bus, "a")
    for attempt, pause_s in [(1, 100), (2, 200)]:
        assert run_dry(bus) == 1
        [(state, attempts, waits_s)] = look.rows(
            "SELECT state, attempts, extract(epoch FROM due_at - clock_timestamp())::float8 FROM bus.entry"
        )
        assert (state, attempts) == ("retry", attempt)
        assert pause_s * 0.9 - 5 <= waits_s <= pause_s * 1.1
        sweep(bus)
        assert run_dry(bus) == 0, "its time has not come"
        make_due()
        sweep(bus)
    run_dry(bus)
    assert look.states() == {"a": "quarantined"}
    assert look.reason("a") == "Не удалось за 3 попыток: Реестр занят"
    assert look.rows("SELECT stage, attempt, detail FROM bus.event ORDER BY seq") == [
        ("retry", 1, "подробно"), ("retry", 2, "подробно"), ("quarantined", 3, "подробно"),
    ]  # fmt: skip


def test_operators_numbers_override_the_routes_retry(
    bus_of: Any, working: Any, put: Any, look: Any, run_dry: Any
) -> None:
    def fail(_message: Message, _context: Context) -> None:
        raise Retryable("Нет")

    bus = bus_of([working(fail, retry=Retry(attempts=8))], routes={"t.work": {"attempts": 1}})
    put(bus, "a")
    run_dry(bus)
    assert look.states() == {"a": "quarantined"}


def test_a_resend_gives_the_full_number_of_attempts_again(
    bus_of: Any, working: Any, put: Any, look: Any, run_dry: Any
) -> None:
    def fail(_message: Message, _context: Context) -> None:
        raise Retryable("Нет")

    bus = bus_of([working(fail, retry=Retry(attempts=2, first_s=100))])
    put(bus, "a")
    run_dry(bus)
    operations.resend(bus, [look.id_of("a")], actor="иванов")
    run_dry(bus)
    assert look.rows("SELECT state, attempts FROM bus.entry") == [("retry", 1)]
    assert look.rows("SELECT stage, actor FROM bus.event WHERE stage = 'resent'") == [("resent", "иванов")]


@pytest.mark.feature("BUS-03")
def test_a_deadlock_is_a_retry_for_the_one_the_database_chose(
    bus_of: Any, working: Any, put: Any, look: Any, effects: Any, run_dry: Any, database_url: str
) -> None:
    look.do("CREATE TABLE t.row (id int primary key); INSERT INTO t.row VALUES (1), (2)")
    lock = "SELECT 1 FROM t.row WHERE id = {} FOR UPDATE"

    def embrace(message: Message, context: Context) -> None:
        if message.body == b"victim":
            context.db.execute(sa.text("SET LOCAL deadlock_timeout = '10ms'"))
            context.db.execute(sa.text(lock.format(1)))
            mine.set()
            assert theirs.wait(10)
            context.db.execute(sa.text(lock.format(2)))

    mine, theirs = threading.Event(), threading.Event()

    def other() -> None:
        with psycopg.connect(database_url) as connection:
            connection.execute(lock.format(2))
            theirs.set()
            assert mine.wait(10)
            connection.execute(lock.format(1))

    thread = threading.Thread(target=other)
    thread.start()
    bus = bus_of([working(embrace)])
    put(bus, "victim")
    put(bus, "healthy")
    run_dry(bus, limit=1)
    thread.join()
    assert look.states() == {"victim": "retry", "healthy": "handled"}
    assert "База данных прервала операцию" in look.reason("victim")


@pytest.mark.feature("BUS-03")
def test_a_serialization_failure_is_a_retry(bus_of: Any, working: Any, put: Any, look: Any, run_dry: Any) -> None:
    def conflict(_message: Message, context: Context) -> None:
        context.db.execute(sa.text("DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$"))

    bus = bus_of([working(conflict)])
    put(bus, "a")
    run_dry(bus)
    assert look.states() == {"a": "retry"}


@pytest.mark.feature("BUS-02")
def test_when_the_connection_is_lost_in_a_handler_everything_comes_again(
    bus_of: Any, working: Any, put: Any, look: Any, effects: Any, run_dry: Any
) -> None:
    cut: list[bool] = []

    def lose(message: Message, context: Context) -> None:
        if message.body == b"2" and not cut:
            cut.append(True)
            context.db.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))

    bus = bus_of([working(lose)])
    put(bus, "1", "2", "3")
    with pytest.raises(Unavailable):
        bus.engine.drain("t.work", 64)
    assert set(look.states().values()) == {"ready"}
    run_dry(bus)
    assert effects.texts() == ["1", "2", "3"]
    assert look.one("SELECT sum(attempts) FROM bus.entry") == 3, "nobody is blamed"


# ── settings ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.feature("BUS-06")
def test_a_config_error_stops_only_its_queue_until_someone_resumes_it(
    bus_of: Any, working: Any, put: Any, look: Any, effects: Any, run_dry: Any, sweep: Any
) -> None:
    broken = [True]

    def fail(_message: Message, _context: Context) -> None:
        if broken:
            raise ConfigError("Нет справочника: загрузите его")

    bus = bus_of([working(fail), working(name="t.other")])
    put(bus, "a"), put(bus, "b", kind="t.other")
    run_dry(bus)
    run_dry(bus, "t.other")
    assert (look.states(), look.states("t.other")) == ({"a": "ready"}, {"b": "handled"})
    assert look.rows("SELECT name, state, reason FROM bus.queue WHERE state <> 'running'") == [
        ("t.work", "stopped", "Нет справочника: загрузите его")
    ]
    broken.clear()
    sweep(bus)
    assert run_dry(bus) == 0, "it stays stopped until a person acts"
    operations.set_state(bus, "t.work", "running", actor="иванов")
    run_dry(bus)
    assert effects.texts() == ["b", "a"]


@pytest.mark.feature("BUS-06")
def test_a_restart_gives_a_stopped_queue_another_chance_but_leaves_a_paused_one_paused(
    bus_of: Any, working: Any, look: Any
) -> None:
    bus_of([working(), working(name="t.other")]).membership.leave()
    look.do("UPDATE bus.queue SET state = 'stopped', reason = 'x' WHERE name = 't.work'")
    look.do("UPDATE bus.queue SET state = 'paused' WHERE name = 't.other'")
    bus_of([working(), working(name="t.other")])
    assert look.rows("SELECT name, state, reason FROM bus.queue WHERE name LIKE 't.%%' ORDER BY name DESC") == [
        ("t.work", "running", ""), ("t.other", "paused", ""),
    ]  # fmt: skip


@pytest.mark.feature("BUS-06")
def test_a_paused_queue_accepts_but_does_not_handle(
    bus_of: Any, working: Any, put: Any, look: Any, effects: Any, run_dry: Any
) -> None:
    bus = bus_of([working()])
    operations.set_state(bus, "t.work", "paused", actor="иванов", reason="обед")
    put(bus, "a")
    assert run_dry(bus) == 0
    operations.set_state(bus, "t.work", "running", actor="иванов")
    run_dry(bus)
    assert effects.texts() == ["a"]


def test_a_missing_schema_file_stops_the_route_and_loses_nothing(
    bus_of: Any, far: Any, look: Any, run_dry: Any
) -> None:
    route = Route("t.work", title="Работа", formats=[Format("1", "{urn:a}A", schema="нет/такой.xsd")])
    route.handler(lambda body, context: None)
    bus = bus_of([route], [far])
    bus.engine.accept([far.offer("1", b'<A xmlns="urn:a"/>', kind="{urn:a}A")])
    run_dry(bus)
    assert look.one("SELECT state FROM bus.entry") == "ready"
    assert "Нет схемы" in look.one("SELECT reason FROM bus.queue WHERE name = 't.work'")


# ── operators ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_resending_what_was_handled_makes_a_copy_that_names_it_as_its_cause(
    bus_of: Any, working: Any, put: Any, look: Any, effects: Any, run_dry: Any
) -> None:
    bus = bus_of([working()])
    [original] = put(bus, "a")
    run_dry(bus)
    operations.resend(bus, [original.id], actor="иванов")
    run_dry(bus)
    assert effects.texts() == ["a", "a"]
    assert look.rows("SELECT cause FROM bus.message ORDER BY seq") == [(None,), (original.id,)]


@pytest.mark.parametrize(
    "action", [operations.resend, lambda bus, ids, actor: operations.drop(bus, ids, actor=actor, reason="")]
)
def test_an_unknown_id_is_refused_and_changes_nothing(
    bus_of: Any, working: Any, put: Any, look: Any, action: Any
) -> None:
    bus = bus_of([working()])
    put(bus, "a")
    unknown = Message(kind="x", body=b"").id
    with pytest.raises(Permanent, match="Нет сообщения"):
        action(bus, [look.id_of("a"), unknown], actor="иванов")
    assert (look.states(), look.events("a")) == ({"a": "ready"}, [])


def test_what_was_handled_cannot_be_dropped(bus_of: Any, working: Any, put: Any, look: Any, run_dry: Any) -> None:
    bus = bus_of([working()])
    [message] = put(bus, "a")
    run_dry(bus)
    assert operations.drop(bus, [message.id], actor="иванов", reason="не нужно") == 0
    assert look.states() == {"a": "handled"}


# ── payloads and plans ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.feature("BUS-03")
def test_a_lost_payload_costs_only_its_message(
    bus_of: Any, working: Any, put: Any, look: Any, effects: Any, run_dry: Any
) -> None:
    bus = bus_of([working(keyed=False)], inline_payload_bytes=10)
    put(bus, "1", "x" * 100, "3")
    look.do("DELETE FROM bus.payload")
    run_dry(bus)
    assert effects.texts() == ["1", "3"]
    [(state, reason)] = look.rows("SELECT state, reason FROM bus.entry WHERE state <> 'handled'")
    assert state == "quarantined"
    assert "восстановите его из резервной копии" in reason
