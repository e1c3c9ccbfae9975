"""Messages of one key are handled one after another in the order of acceptance, through retries and quarantine."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from typing import Any

import pytest

from core import operations
from core.database import driver
from core.errors import Permanent, Retryable, SignatureRejected
from core.message import Message
from core.route import Context, Retry


class Troubles:
    """Which bodies fail, and how, until the test calls it over."""

    def __init__(self, **of: Exception) -> None:
        self.of = {name.replace("_", "/"): error for name, error in of.items()}

    def __call__(self, message: Message, _context: Context) -> None:
        if error := self.of.get(message.body.decode()):
            raise error

    def over(self) -> None:
        self.of.clear()


def _in_order(texts: list[str]) -> bool:
    by_key = defaultdict(list)
    for text in texts:
        key, _, number = text.partition("/")
        by_key[key].append(int(number))
    return all(numbers == sorted(numbers) for numbers in by_key.values())


@pytest.mark.feature("BUS-03")
def test_the_order_within_a_key_holds_under_four_workers(
    bus_of: Any, working: Any, put: Any, look: Any, effects: Any
) -> None:
    """Keys of different weight, random failures, small batches: many chances to overtake."""
    lock = threading.Lock()
    running: Counter[str] = Counter()
    overlaps: list[str] = []
    tries: Counter[str] = Counter()

    def watch(message: Message, _context: Context) -> None:
        key = message.key
        with lock:
            running[key] += 1
            tries[message.body.decode()] += 1
            if running[key] > 1:
                overlaps.append(key)
            fails = hash((message.id.int, tries[message.body.decode()])) % 10 == 0
        time.sleep(0.0005)
        with lock:
            running[key] -= 1
        if fails:
            raise Retryable("Ещё раз", pause_s=0.0)

    bus = bus_of([working(watch, retry=Retry(attempts=100))])
    bodies = [f"{key}/{n}" for n in range(40) for key in "abcdefgh"] + [f"big/{n}" for n in range(80)]
    put(bus, *bodies)
    stop = threading.Event()

    def drain() -> None:
        while not stop.is_set():
            if not bus.engine.drain("t.work", 7):
                time.sleep(0.002)

    def sweep() -> None:
        while not stop.is_set():
            with bus.database.transaction() as connection:
                bus.queues.sweep(driver(connection))
            time.sleep(0.01)

    threads = [threading.Thread(target=drain) for _ in range(4)] + [threading.Thread(target=sweep)]
    for thread in threads:
        thread.start()
    ends = time.monotonic() + 60
    while look.one("SELECT count(*) FROM bus.entry WHERE state <> 'handled'") and time.monotonic() < ends:
        time.sleep(0.05)
    stop.set()
    for thread in threads:
        thread.join()
    texts = effects.texts()
    assert Counter(texts) == Counter(bodies)
    assert not overlaps
    assert _in_order(texts)


@pytest.mark.feature("BUS-03")
@pytest.mark.parametrize("error", [Retryable("Позже", pause_s=1000.0), Permanent("Нет")], ids=["retry", "quarantine"])
def test_a_key_waits_behind_its_failure_while_others_flow(
    bus_of: Any, working: Any, put: Any, look: Any, effects: Any, run_dry: Any, sweep: Any, error: Exception
) -> None:
    bus = bus_of([working(Troubles(a_1=error))])
    put(bus, "a/1", "a/2", "b/1", "a/3", "b/2")
    run_dry(bus)
    put(bus, "a/4", "b/3")
    run_dry(bus)
    sweep(bus)
    run_dry(bus)
    assert effects.texts() == ["b/1", "b/2", "b/3"]
    states = look.states()
    assert [states[f"a/{n}"] for n in (2, 3, 4)] == ["held"] * 3


@pytest.mark.feature("BUS-03")
def test_when_the_retry_succeeds_those_behind_it_follow_in_order(
    bus_of: Any, working: Any, put: Any, effects: Any, run_dry: Any, sweep: Any
) -> None:
    troubles = Troubles(a_1=Retryable("Позже", pause_s=0.0))
    bus = bus_of([working(troubles)])
    put(bus, "a/1", "a/2", "a/3")
    run_dry(bus)
    troubles.over()
    sweep(bus)
    run_dry(bus)
    assert effects.texts() == ["a/1", "a/2", "a/3"]


@pytest.mark.feature("BUS-03")
def test_a_resend_from_quarantine_lets_those_behind_it_follow_in_order(
    bus_of: Any, working: Any, put: Any, look: Any, effects: Any, run_dry: Any, sweep: Any
) -> None:
    troubles = Troubles(a_1=Permanent("Нет"))
    bus = bus_of([working(troubles)])
    put(bus, "a/1", "a/2", "a/3")
    run_dry(bus)
    for last in (False, True):
        assert effects.texts() == []
        sweep(bus)
        if last:
            troubles.over()
        operations.resend(bus, [look.id_of("a/1")], actor="иванов")
        run_dry(bus)
    assert effects.texts() == ["a/1", "a/2", "a/3"]


@pytest.mark.feature("BUS-03")
def test_dropping_the_failed_one_lets_those_behind_it_go_on(
    bus_of: Any, working: Any, put: Any, look: Any, effects: Any, run_dry: Any
) -> None:
    bus = bus_of([working(Troubles(a_1=Permanent("Нет")))])
    put(bus, "a/1", "a/2", "a/3")
    run_dry(bus)
    operations.drop(bus, [look.id_of("a/1")], actor="иванов", reason="ошибочно")
    run_dry(bus)
    assert effects.texts() == ["a/2", "a/3"]
    assert look.states()["a/1"] == "dropped"


def test_resending_a_follower_does_not_let_it_overtake(
    bus_of: Any, working: Any, put: Any, look: Any, effects: Any, run_dry: Any
) -> None:
    bus = bus_of([working(Troubles(a_1=Permanent("Нет")))])
    put(bus, "a/1", "a/2")
    run_dry(bus)
    operations.resend(bus, [look.id_of("a/2")], actor="иванов")
    run_dry(bus)
    assert effects.texts() == []


def test_a_run_of_one_key_is_broken_at_the_first_failure(
    bus_of: Any, working: Any, put: Any, look: Any, effects: Any
) -> None:
    bus = bus_of([working(Troubles(a_3=Permanent("Нет")))])
    put(bus, *(f"a/{n}" for n in range(1, 6)))
    assert bus.engine.drain("t.work", 64) == 5
    assert effects.texts() == ["a/1", "a/2"]
    assert list(look.states().values()) == ["handled", "handled", "quarantined", "held", "held"]


def test_a_run_of_one_key_ends_before_a_message_in_quarantine(
    bus_of: Any, far: Any, working: Any, put: Any, look: Any, effects: Any, run_dry: Any
) -> None:
    """The quarantined one came in so (its id was used before): nobody may handle it in passing."""
    bus = bus_of([working()], [far])
    bus.engine.accept([far.offer("1", b"b/0"), far.offer("2", b"a/1"), far.offer("1", b"a/2")])
    bus.engine.accept([far.offer("3", b"a/3")])
    run_dry(bus)
    assert effects.texts() == ["b/0", "a/1"]
    assert look.states()["a/2"] == "quarantined"
    operations.drop(bus, [look.id_of("a/2")], actor="иванов", reason="подделка")
    run_dry(bus)
    assert effects.texts() == ["b/0", "a/1", "a/3"]


def test_a_message_that_becomes_visible_late_does_not_run_beside_its_successor(
    bus_of: Any, working: Any, put: Any, look: Any, effects: Any, run_dry: Any
) -> None:
    """Numbers are given before the commit: an intake that commits late makes an earlier message appear afterwards."""
    entered, leave = threading.Event(), threading.Event()

    def linger(message: Message, _context: Context) -> None:
        if message.body == b"a/2":
            entered.set()
            assert leave.wait(20)

    bus = bus_of([working(linger)])
    with bus.database.transaction() as late:
        bus.journal.add(driver(late), [bus.engine._address(driver(late), Message(kind="t.work", body=b"a/1"), None)])
        put(bus, "a/2")
        worker = threading.Thread(target=lambda: bus.engine.drain("t.work", 64))
        worker.start()
        assert entered.wait(20)
    try:
        assert look.states() == {"a/1": "ready", "a/2": "ready"}
        assert bus.engine.drain("t.work", 64) == 0, "a/2 is at work on this key"
    finally:
        leave.set()
        worker.join()
    run_dry(bus)
    assert effects.texts() == ["a/2", "a/1"]


def test_keys_of_different_queues_do_not_wait_for_each_other(
    bus_of: Any, working: Any, put: Any, effects: Any, run_dry: Any
) -> None:
    bus = bus_of([working(Troubles(a_1=Permanent("Нет"))), working(name="t.other")])
    put(bus, "a/1")
    put(bus, "a/2", kind="t.other")
    run_dry(bus)
    run_dry(bus, "t.other")
    assert effects.texts() == ["a/2"]


def test_a_refused_forgery_does_not_block_the_person_it_names(
    bus_of: Any, far: Any, working: Any, effects: Any, run_dry: Any, sweep: Any
) -> None:
    bus = bus_of([working()], [far])
    bus.engine.accept([far.offer("1", b"a/0", problem=SignatureRejected("Подпись неверна")), far.offer("2", b"a/1")])
    sweep(bus)
    run_dry(bus)
    assert effects.texts() == ["a/1"]


def test_the_sweep_parks_what_arrived_behind_a_failure_and_frees_what_waits_for_nothing(
    bus_of: Any, working: Any, put: Any, look: Any, run_dry: Any, sweep: Any
) -> None:
    bus = bus_of([working(Troubles(a_1=Permanent("Нет")))])
    put(bus, "a/1")
    run_dry(bus)
    put(bus, "a/2", "b/1")
    look.do("UPDATE bus.entry SET state = 'held' WHERE key = 'b'")
    sweep(bus)
    assert look.states() == {"a/1": "quarantined", "a/2": "held", "b/1": "ready"}


def test_a_claim_does_not_wait_for_a_key_that_another_worker_has(
    bus_of: Any, working: Any, put: Any, effects: Any
) -> None:
    entered, leave = threading.Event(), threading.Event()

    def linger(message: Message, _context: Context) -> None:
        if message.key == "slow":
            entered.set()
            assert leave.wait(20)

    bus = bus_of([working(linger)])
    put(bus, "slow/1", "slow/2")
    worker = threading.Thread(target=lambda: bus.engine.drain("t.work", 64))
    worker.start()
    assert entered.wait(20)
    put(bus, "quick/1", "slow/3", "quick/2")
    try:
        assert bus.engine.drain("t.work", 64) == 2
        assert effects.texts() == ["quick/1", "quick/2"]
    finally:
        leave.set()
        worker.join()
