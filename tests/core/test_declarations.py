"""Queues: stopped ones get another chance only with a reason, those without code are shown, their messages moved."""

from __future__ import annotations

from typing import Any

import pytest

from core import cluster, declarations, operations
from core.database import driver
from core.declarations import ORPHANED, look_for_orphans
from core.errors import ConfigError, Unavailable
from core.message import Message, Outcome


@pytest.fixture
def strict(bus_of: Any) -> Any:
    """A bus like those of production: no update is under way."""
    return lambda *parts, **settings: bus_of(*parts, **({"rolling": False} | settings))


def _queues(look: Any) -> dict[str, tuple[str, str]]:
    return {name: (state, reason) for name, state, reason in look.rows("SELECT name, state, reason FROM bus.queue")}


# ── queues that an error had stopped ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.feature("BUS-06", "BUS-12")
def test_one_more_worker_does_not_start_a_stopped_queue_for_the_whole_cluster(
    strict: Any, working: Any, look: Any
) -> None:
    strict([working()])
    look.do("UPDATE bus.queue SET state = 'stopped', reason = 'x' WHERE name = 't.work'")
    strict([working()])
    assert _queues(look)["t.work"] == ("stopped", "x")


@pytest.mark.feature("BUS-06", "BUS-12")
def test_changed_settings_of_a_connector_start_its_own_queue_again_and_no_other(
    bus_of: Any, working: Any, far: Any, look: Any
) -> None:
    bus_of([working()], [far], connectors={"far": {"url": "http://a"}})
    look.do("UPDATE bus.queue SET state = 'stopped', reason = 'x'")
    bus_of([working()], [far], connectors={"far": {"url": "http://b"}})
    queues = _queues(look)
    assert (queues["far"], queues["far.in"]) == (("running", ""), ("running", ""))
    assert queues["t.work"] == ("stopped", "x")


# ── queues that nobody serves ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.feature("BUS-12", "BUS-02")
@pytest.mark.parametrize("state", ["ready", "held", "retry", "quarantined"])
def test_a_queue_that_no_code_serves_is_shown_while_it_has_messages_and_runs_again_when_its_route_is_back(
    strict: Any, working: Any, look: Any, put: Any, state: str
) -> None:
    bus = strict([working(), working(name="t.gone")])
    put(bus, "a", kind="t.gone")
    look.do("UPDATE bus.entry SET state = %s, due_at = now() + interval '1 day'", state)
    bus.membership.leave()
    bus = strict([working()])
    assert _queues(look)["t.gone"] == ("stopped", ORPHANED)
    assert look.states("t.gone") == {"a": state}, "nothing happens to the message"
    bus.membership.leave()
    bus = strict([working(), working(name="t.gone")])
    assert _queues(look)["t.gone"] == ("running", "")


@pytest.mark.feature("BUS-12")
def test_a_queue_without_code_and_messages_is_forgotten_unless_a_person_paused_it(
    strict: Any, working: Any, look: Any, put: Any, run_dry: Any
) -> None:
    bus = strict([working(name="t.done"), working(name="t.paused"), working()])
    put(bus, "a", kind="t.done")
    run_dry(bus, "t.done")
    operations.set_state(bus, "t.paused", "paused", actor="иванов", reason="обед")
    bus.membership.leave()
    strict([working()])
    queues = _queues(look)
    assert "t.done" not in queues
    assert queues["t.paused"] == ("paused", "обед")


@pytest.mark.feature("BUS-12")
def test_a_paused_queue_without_code_stays_paused_with_the_reason_and_loses_it_when_its_route_is_back(
    strict: Any, working: Any, look: Any, put: Any
) -> None:
    bus = strict([working(name="t.gone")])
    put(bus, "a", kind="t.gone")
    operations.set_state(bus, "t.gone", "paused", actor="иванов")
    bus.membership.leave()
    bus = strict([working()])
    assert _queues(look)["t.gone"] == ("paused", ORPHANED)
    bus.membership.leave()
    strict([working(name="t.gone")])
    assert _queues(look)["t.gone"] == ("paused", "")


@pytest.mark.feature("BUS-12")
def test_a_queue_that_a_leaving_process_alone_served_is_found_by_those_who_stay(
    bus_of: Any, working: Any, look: Any, put: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "BEAT_S", 0.05)
    monkeypatch.setattr(cluster, "LOOK_AROUND_BEATS", 1)
    leaving, _staying = bus_of([working(name="t.gone")]), bus_of([working()])
    put(leaving, "a", kind="t.gone")
    assert _queues(look)["t.gone"][0] == "running"
    leaving.membership.leave()
    eventually(lambda: _queues(look)["t.gone"] == ("stopped", ORPHANED))


@pytest.mark.feature("BUS-12")
def test_a_queue_that_was_taken_for_an_orphan_while_its_process_could_not_beat_runs_again(
    bus_of: Any, working: Any, look: Any, put: Any
) -> None:
    bus = bus_of([working(name="t.mine")])
    put(bus, "a", kind="t.mine")
    bus_of([working()])
    look.do("UPDATE bus.process SET beat_at = now() - interval '2 minutes' WHERE serves -> 'queues' ? 't.mine'")
    look_for_orphans(bus.database)
    assert _queues(look)["t.mine"] == ("stopped", ORPHANED)
    look.do("UPDATE bus.process SET beat_at = now()")
    bus.membership._look_around()
    assert _queues(look)["t.mine"] == ("running", "")


@pytest.mark.feature("BUS-12")
def test_a_bus_that_is_switched_off_has_no_orphans(strict: Any, working: Any, look: Any, put: Any) -> None:
    bus = strict([working(), working(name="t.other")])
    put(bus, "a")
    bus.membership.leave()
    before = _queues(look)
    look_for_orphans(bus.database)
    assert _queues(look) == before


# ── moving messages of such a queue ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.feature("BUS-12", "BUS-03")
def test_messages_of_a_renamed_route_are_moved_in_their_order_and_as_they_stand(
    strict: Any, working: Any, look: Any, put: Any, run_dry: Any, effects: Any, make_due: Any, sweep: Any
) -> None:
    bus = strict([working(name="t.gone")])
    put(bus, "a/1", "a/2", "b/1", kind="t.gone")
    look.do(
        "UPDATE bus.entry e SET state = 'quarantined', reason = 'плохо' FROM bus.message m "
        "WHERE m.seq = e.seq AND m.body = 'a/1'"
    )
    bus.membership.leave()
    bus = strict([working()])
    assert operations.move(bus, "t.gone", "t.work", actor="иванов") == 3
    assert look.states() == {"a/1": "quarantined", "a/2": "ready", "b/1": "ready"}
    assert look.events("a/1")[-1] == "moved"
    assert look.rows("SELECT DISTINCT actor, note FROM bus.event WHERE stage = 'moved'") == [
        ("иванов", "Переведено из очереди t.gone в очередь t.work")
    ]
    assert "t.gone" not in _queues(look), "empty and served by nobody"
    run_dry(bus)
    assert effects.texts() == ["b/1"], "the order of a key holds"
    operations.resend(bus, [look.id_of("a/1")], actor="иванов")
    run_dry(bus)
    assert effects.texts() == ["b/1", "a/1", "a/2"]


@pytest.mark.feature("BUS-12", "BUS-02")
def test_what_a_renamed_connector_had_prepared_is_sent_under_the_same_id_and_its_answers_arrive(
    strict: Any, working: Any, far: Any, far_side: Any, look: Any, put: Any, run_dry: Any
) -> None:
    bus = strict([working()], [far])
    asked = {"kind": "q", "queue": "far", "replies_to": "t.work", "reply_within_s": 3600.0}
    put(bus, "sent before", **asked)
    run_dry(bus, "far")
    put(bus, "under way", **asked)
    far.send_errors[b"under way"] = [Unavailable("молчит")]
    bus.engine.drain("far", 10)
    bus.membership.leave()
    other = far_side("newfar")
    bus = strict([working(keyed=False)], [other])
    assert _queues(look)["far"] == ("stopped", ORPHANED)
    assert operations.move(bus, "far", "newfar", actor="иванов") == 1
    run_dry(bus, "newfar")
    assert other.sent == [("out-2", b"under way", True)]
    answers = [
        Message(
            kind="a",
            body=text.encode(),
            source="newfar",
            external_id=text,
            in_reply_to=asked_id,
            outcome=Outcome.ANSWER,
        )
        for text, asked_id in (("1", "out-1"), ("2", "out-2"))
    ]
    bus.engine.put(answers)
    assert look.states() == {"1": "ready", "2": "ready"}


def test_only_a_queue_that_stands_is_moved_and_only_to_its_own_side(
    strict: Any, working: Any, far: Any, put: Any, look: Any
) -> None:
    bus = strict([working(), working(name="t.other")], [far])
    put(bus, "a")
    with pytest.raises(ConfigError, match="работает: сначала поставьте её на паузу"):
        operations.move(bus, "t.work", "t.other", actor="и")
    operations.set_state(bus, "t.work", "paused", actor="и")
    with pytest.raises(ConfigError, match="разные стороны"):
        operations.move(bus, "t.work", "far", actor="и")
    with pytest.raises(ConfigError, match="нет очереди t"):
        operations.move(bus, "t.work", "t.nowhere", actor="и")
    with pytest.raises(ConfigError, match="Нет очереди t"):
        operations.move(bus, "t.nowhere", "t.work", actor="и")
    assert look.states() == {"a": "ready"}


@pytest.mark.feature("BUS-12")
def test_messages_that_were_addressed_to_a_queue_that_never_was_can_be_moved(
    strict: Any, working: Any, put: Any, look: Any
) -> None:
    bus = strict([working()])
    put(bus, "a", kind="x", queue="t.typo")
    assert operations.move(bus, "t.typo", "t.work", actor="и") == 1
    assert look.states() == {"a": "quarantined"}


@pytest.mark.feature("BUS-12")
def test_all_messages_of_a_queue_that_stands_are_dropped_with_the_reason(
    strict: Any, working: Any, put: Any, look: Any
) -> None:
    bus = strict([working()])
    put(bus, "a", "b")
    with pytest.raises(ConfigError, match="работает"):
        operations.drop_queue(bus, "t.work", actor="и", reason="не нужны")
    operations.set_state(bus, "t.work", "paused", actor="и")
    assert operations.drop_queue(bus, "t.work", actor="и", reason="не нужны") == 2
    assert look.states() == {"a": "dropped", "b": "dropped"}
    assert look.rows("SELECT DISTINCT note FROM bus.event WHERE stage = 'dropped'") == [("не нужны",)]


def test_a_look_for_orphans_does_not_read_what_was_handled(bus_of: Any, working: Any, put: Any, look: Any) -> None:
    bus = bus_of([working()])
    put(bus, "a")
    with bus.database.transaction() as connection:
        db = driver(connection)
        db.execute("SET LOCAL enable_seqscan = off")
        plan = "\n".join(row[0] for row in db.execute("EXPLAIN " + declarations._WAITING, (["t.work"],)))
    assert "entry_queue" not in plan
    look_for_orphans(bus.database)
    assert _queues(look)["t.work"] == ("running", "")
