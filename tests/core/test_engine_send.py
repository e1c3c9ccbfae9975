"""Claim → prepare → commit → send → confirm → commit: the same bytes under the same id until the far side confirms."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest

from core import operations
from core.errors import ConfigError, Permanent, Retryable, Unavailable
from core.message import Message


class Crash(BaseException):
    """The process dies here, as far as the engine can tell."""


@pytest.fixture
def bus(bus_of: Any, far: Any) -> Any:
    return bus_of([], [far])


def _out(bus: Any, *bodies: str, **fields: Any) -> list[Message]:
    messages = [Message(kind="x", queue="far", body=body.encode(), **fields) for body in bodies]
    bus.engine.put(messages)
    return messages


def test_what_the_sink_confirms_is_sent_and_its_receipt_kept(bus: Any, far: Any, look: Any, run_dry: Any) -> None:
    _out(bus, "a", "b")
    run_dry(bus, "far")
    assert far.sent == [("out-1", b"a", False), ("out-2", b"b", False)]
    assert look.states("far") == {"a": "sent", "b": "sent"}
    assert look.events("a") == ["prepared", "sent"]
    assert look.rows("SELECT note, output FROM bus.event WHERE stage = 'sent'")[0] == ("Принято", b"<ok/>")
    assert look.one("SELECT count(*) FROM bus.outgoing WHERE confirmed_at IS NOT NULL") == 2


def test_identity_and_bytes_are_on_disk_before_the_first_send(
    bus: Any, far: Any, look: Any, run_dry: Any, database_url: str
) -> None:
    seen: list[Any] = []

    def look_from_outside(message: Message, prepared: Any, *, repeated: bool) -> Any:
        with psycopg.connect(database_url) as other:
            seen.extend(other.execute("SELECT external_id, body, sends FROM bus.outgoing").fetchall())
        return original(message, prepared, repeated=repeated)

    original, far.send = far.send, look_from_outside
    _out(bus, "a")
    run_dry(bus, "far")
    assert seen == [("out-1", b"a", 1)]


def test_what_another_worker_prepared_in_the_same_moment_is_what_is_sent(
    bus: Any, far: Any, look: Any, run_dry: Any
) -> None:
    """Its commit falls between the moment that our claim sees and the moment when it gets the lock."""
    original = far.prepare

    def be_late(message: Message) -> Any:
        look.do("INSERT INTO bus.outgoing (message_id, sink, external_id, headers, replies_to) "
                "VALUES (%s, 'far', 'theirs', '{}', '')", message.id)  # fmt: skip
        return original(message)

    far.prepare = be_late
    _out(bus, "a")
    run_dry(bus, "far")
    assert far.sent == [("theirs", b"a", False)]
    assert look.states("far") == {"a": "sent"}


def test_four_workers_on_one_sink_send_everything_once_under_one_id(
    bus: Any, far: Any, look: Any, eventually: Any
) -> None:
    _out(bus, *(str(n) for n in range(300)))
    stop = threading.Event()

    def drain() -> None:
        while not stop.is_set():
            bus.engine.drain("far", 4)

    threads = [threading.Thread(target=drain) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: look.one("SELECT count(*) FROM bus.entry WHERE state NOT IN ('ready')") == 300)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(look.states("far").values()) == {"sent"}
    assert sorted(body for _, body, _ in far.sent) == sorted(str(n).encode() for n in range(300))


@pytest.mark.feature("BUS-02")
def test_after_a_crash_between_send_and_confirm_it_is_repeated_with_the_same_id_and_marked_so(
    bus: Any, far: Any, look: Any, run_dry: Any
) -> None:
    _out(bus, "a")
    far.lost_answer = [Crash()]
    with pytest.raises(Crash):
        bus.engine.drain("far", 16)
    assert look.states("far") == {"a": "ready"}
    run_dry(bus, "far")
    assert far.sent == [("out-1", b"a", False), ("out-1", b"a", True)]
    assert look.states("far") == {"a": "sent"}


def test_a_far_side_that_is_away_rests_the_queue_longer_each_time_and_burns_no_attempts(
    bus_of: Any, far: Any, far_side: Any, look: Any, run_dry: Any, make_due: Any, sweep: Any
) -> None:
    other = far_side(name="other")
    bus = bus_of([], [far, other])
    _out(bus, "a", "b")
    far.send_errors[b"*"] = [Unavailable("Нет связи") for _ in range(9)]
    pauses = []
    for _ in range(7):
        run_dry(bus, "far")
        [(rest_s, reason)] = look.rows(
            "SELECT extract(epoch FROM rest_until - clock_timestamp())::float8, reason FROM bus.queue "
            "WHERE name = 'far'"
        )
        assert reason == "Нет связи"
        pauses.append(rest_s)
        sweep(bus)
        assert run_dry(bus, "far") == 0, "it rests"
        make_due()
    assert pauses[0] < 1.3
    assert pauses[:4] == sorted(pauses[:4])
    assert 90 < max(pauses) < 145
    assert look.rows("SELECT DISTINCT state, attempts FROM bus.entry WHERE queue = 'far'") == [("ready", 0)]
    bus.engine.put([Message(kind="x", queue="other", body=b"c")])
    run_dry(bus, "other")
    assert look.states("other") == {"c": "sent"}
    far.send_errors.clear()
    run_dry(bus, "far")
    assert look.states("far") == {"a": "sent", "b": "sent"}
    assert look.rows("SELECT failures, rest_until, reason FROM bus.queue WHERE name = 'far'") == [(0, None, "")]


def test_a_far_side_that_was_away_for_days_is_still_asked(bus: Any, far: Any, look: Any, run_dry: Any) -> None:
    look.do("UPDATE bus.queue SET failures = 100000 WHERE name = 'far'")
    _out(bus, "a")
    far.send_errors[b"a"] = [Unavailable("Нет связи")]
    run_dry(bus, "far")
    assert look.one("SELECT rest_until < now() + interval '150 seconds' FROM bus.queue WHERE name = 'far'")


def test_after_the_first_refusal_to_talk_the_rest_of_the_batch_is_not_tried(bus: Any, far: Any, run_dry: Any) -> None:
    _out(bus, *"abcdef")
    far.send_errors[b"*"] = [Unavailable("Нет связи") for _ in range(6)]
    run_dry(bus, "far")
    assert len(far.sent) == 1


@pytest.mark.feature("BUS-03")
def test_a_refused_message_is_quarantined_and_the_others_of_its_batch_are_sent(
    bus: Any, far: Any, look: Any, run_dry: Any
) -> None:
    _out(bus, "a", "b", "c")
    far.send_errors[b"b"] = [Permanent("Отказ: неверный получатель")]
    run_dry(bus, "far")
    assert look.states("far") == {"a": "sent", "b": "quarantined", "c": "sent"}
    assert look.reason("b") == "Отказ: неверный получатель"


def test_a_retry_repeats_the_same_bytes_under_the_same_id(
    bus: Any, far: Any, run_dry: Any, make_due: Any, sweep: Any
) -> None:
    _out(bus, "a")
    far.send_errors[b"a"] = [Retryable("Очередь переполнена")]
    run_dry(bus, "far")
    make_due()
    sweep(bus)
    run_dry(bus, "far")
    assert far.sent == [("out-1", b"a", False), ("out-1", b"a", True)]


def test_a_renewed_message_goes_out_under_a_new_id(bus: Any, far: Any, run_dry: Any, make_due: Any, sweep: Any) -> None:
    _out(bus, "a")
    far.send_errors[b"a"] = [Retryable("Часы разошлись", renew=True)]
    run_dry(bus, "far")
    make_due()
    sweep(bus)
    run_dry(bus, "far")
    assert far.sent == [("out-1", b"a", False), ("out-2", b"a", False)]


@pytest.mark.feature("BUS-06")
@pytest.mark.parametrize("where", ["prepare", "send"])
def test_wrong_settings_stop_the_sink_until_it_is_resumed(
    bus: Any, far: Any, look: Any, run_dry: Any, sweep: Any, where: str
) -> None:
    _out(bus, "a", "b")
    error = ConfigError("Сертификат истёк: установите новый")
    if where == "prepare":
        far.prepare_error = error
    else:
        far.send_errors[b"*"] = [error]
    run_dry(bus, "far")
    sweep(bus)
    assert run_dry(bus, "far") == 0
    assert look.states("far") == {"a": "ready", "b": "ready"}
    assert look.one("SELECT reason FROM bus.queue WHERE name = 'far'") == "Сертификат истёк: установите новый"
    far.prepare_error = None
    far.send_errors.clear()
    operations.set_state(bus, "far", "running", actor="иванов")
    run_dry(bus, "far")
    assert look.states("far") == {"a": "sent", "b": "sent"}


def test_what_cannot_be_prepared_is_quarantined_and_never_sent(bus: Any, far: Any, look: Any, run_dry: Any) -> None:
    _out(bus, "a")
    far.prepare_error = Permanent("Нет получателя")
    run_dry(bus, "far")
    assert (look.states("far"), far.sent) == ({"a": "quarantined"}, [])


@pytest.mark.parametrize("where", ["prepare", "send"])
def test_a_defect_of_the_connector_costs_only_the_message(
    bus: Any, far: Any, look: Any, run_dry: Any, where: str
) -> None:
    _out(bus, "a")
    if where == "prepare":
        far.prepare_error = KeyError("a defect")
    else:
        far.send_errors[b"a"] = [KeyError("a defect")]
    run_dry(bus, "far")
    far.prepare_error = None
    _out(bus, "b")
    run_dry(bus, "far")
    assert look.states("far") == {"a": "quarantined", "b": "sent"}
    assert look.reason("a") == "Ошибка в программе обработки: KeyError"


def test_what_a_sink_prepares_badly_costs_only_the_message(bus: Any, far: Any, look: Any, run_dry: Any) -> None:
    original = far.prepare

    def spoil(message: Message) -> Any:
        prepared = original(message)
        return (
            type(prepared)(prepared.external_id, prepared.body, {"h": object()}) if message.body == b"a" else prepared
        )

    far.prepare = spoil
    _out(bus, "a", "b")
    run_dry(bus, "far")
    assert look.states("far") == {"a": "quarantined", "b": "sent"}


@pytest.mark.feature("BUS-03")
def test_the_order_within_a_key_holds_on_the_way_out(
    bus: Any, far: Any, look: Any, run_dry: Any, make_due: Any, sweep: Any
) -> None:
    _out(bus, "a1", "a2", key="a")
    _out(bus, "b1", key="b")
    far.send_errors[b"a1"] = [Retryable("Позже")]
    run_dry(bus, "far")
    assert look.states("far") == {"a1": "retry", "a2": "held", "b1": "sent"}
    make_due()
    sweep(bus)
    run_dry(bus, "far")
    assert [body for _, body, _ in far.sent] == [b"a1", b"b1", b"a1", b"a2"]


def test_a_lost_outgoing_payload_costs_only_its_message(bus_of: Any, far: Any, look: Any, run_dry: Any) -> None:
    bus = bus_of([], [far], inline_payload_bytes=10)
    _out(bus, "x" * 100, "b")
    look.do("DELETE FROM bus.payload")
    run_dry(bus, "far")
    assert look.rows("SELECT state FROM bus.entry ORDER BY seq") == [("quarantined",), ("sent",)]


def test_the_connector_is_opened_before_use_and_again_after_it_was_away(
    bus: Any, far: Any, run_dry: Any, make_due: Any
) -> None:
    assert far.opens == 0
    _out(bus, "a")
    far.send_errors[b"a"] = [Unavailable("Нет связи")]
    run_dry(bus, "far")
    assert far.opens == 1
    make_due()
    run_dry(bus, "far")
    assert far.opens == 2
