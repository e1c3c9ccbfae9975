"""Signals are hints, coalesced and losable; drains adapt their batches; a worker stops without losing anything."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from core import distribution
from core.database import driver
from core.distribution import Drains, Signals, Sweep
from core.errors import ConfigError, Unavailable
from core.message import Message
from core.route import Context


class App:
    """Stands for Celery: notes what is sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.error: Exception | None = None

    def send_task(self, name: str, args: tuple[str]) -> None:
        assert name == "omsbus.drain"
        if self.error:
            raise self.error
        self.sent.append(args[0])


def test_many_wakes_are_one_signal_until_it_arrives() -> None:
    app = App()
    signals = Signals(app)  # type: ignore[arg-type]
    for _ in range(1000):
        signals.wake("t.work")
    signals.wake("t.other")
    assert app.sent == ["t.work", "t.other"]
    signals.arrived("t.work")
    signals.wake("t.work")
    assert app.sent == ["t.work", "t.other", "t.work"]


def test_a_signal_that_never_arrives_here_is_sent_again_after_the_window() -> None:
    app = App()
    signals = Signals(app, window_s=0.0)  # type: ignore[arg-type]
    signals.wake("t.work")
    signals.wake("t.work")
    assert app.sent == ["t.work"] * 2


@pytest.mark.feature("BUS-02")
def test_a_broker_that_is_away_raises_nothing_and_is_tried_again() -> None:
    app = App()
    app.error = ConnectionError("no broker")
    signals = Signals(app)  # type: ignore[arg-type]
    signals.wake("t.work")
    app.error = None
    signals.wake("t.work")
    assert app.sent == ["t.work"]


class Engine:
    """Stands for the engine: a queue is a list of what its drains claim."""

    def __init__(self, **queues: list[int]) -> None:
        self.queues = queues
        self.asked: list[int] = []
        self.during: Any = lambda: None

    def drain(self, queue: str, limit: int) -> int:
        self.asked.append(limit)
        self.during()
        waiting = self.queues[queue]
        taken = min(limit, sum(waiting))
        waiting[:] = [sum(waiting) - taken]
        return taken


def _drains(engine: Any, app: App, concurrency: int = 2, batch_most: int = 256) -> Drains:
    return Drains(engine, Signals(app), lambda queue: concurrency, batch_most)  # type: ignore[arg-type]


def test_batches_double_while_they_are_quick_and_full_up_to_the_most() -> None:
    engine = Engine(q=[2000])
    _drains(engine, App()).drain("q")
    assert engine.asked[:7] == [8, 16, 32, 64, 128, 256, 256]


def test_a_slow_batch_halves_the_next_one_down_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(distribution.time, "monotonic", lambda: clock[0])
    engine = Engine(q=[10_000])
    engine.during = lambda: clock.__setitem__(0, clock[0] + 3.0)
    drains = _drains(engine, App())
    for _ in range(6):
        drains.drain("q")
    assert engine.asked == [8, 4, 2, 1, 1, 1]


def test_a_drain_gives_its_worker_back_and_asks_for_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(distribution.time, "monotonic", lambda: clock[0])
    engine = Engine(q=[10_000])
    engine.during = lambda: clock.__setitem__(0, clock[0] + 0.9)
    app = App()
    _drains(engine, app).drain("q")
    assert len(engine.asked) == 3, "2 s are over after the third"
    assert app.sent == ["q"]


def test_no_more_workers_than_allowed_drain_one_queue_and_none_of_the_signals_is_lost() -> None:
    app = App()
    engine = Engine(q=[0])
    most, now, lock = [0], [0], threading.Lock()
    gate = threading.Event()

    def during() -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        assert gate.wait(10)
        with lock:
            now[0] -= 1

    engine.during = during
    drains = _drains(engine, app, concurrency=2)
    threads = [threading.Thread(target=drains.drain, args=("q",)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads[2:]:
        thread.join(0.05)
    gate.set()
    for thread in threads:
        thread.join()
    assert most == [2]
    assert app.sent == ["q"], "the four that were turned away are one signal for later"


@pytest.mark.parametrize("error", [Unavailable("Нет базы"), ConfigError("Нет"), KeyError("a defect")])
def test_a_failed_drain_leaves_the_worker_alive(error: Exception) -> None:
    engine = Engine(q=[1])

    def fail() -> None:
        raise error

    engine.during = fail
    drains = _drains(engine, App(), concurrency=1)
    drains.drain("q")
    engine.during = lambda: None
    drains.drain("q")
    assert engine.queues["q"] == [0]


def test_a_full_batch_calls_another_worker_only_where_the_drains_are_spread() -> None:
    for spread, wanted in ((True, ["q"]), (False, [])):
        app = App()
        signals = Signals(app)  # type: ignore[arg-type]
        Drains(Engine(q=[100]), signals, lambda queue: 2, 256, spread=spread).drain("q")  # type: ignore[arg-type]
        assert app.sent == wanted
    app = App()
    Drains(Engine(q=[7]), Signals(app), lambda queue: 2, 256, spread=True).drain("q")  # type: ignore[arg-type]
    assert app.sent == [], "what one batch holds needs nobody else"


def test_a_drain_that_must_stop_leaves_the_rest_to_others_by_a_signal() -> None:
    app = App()
    engine = Engine(q=[100])
    drains = _drains(engine, app)
    drains.go_on = lambda queue: pytest.fail("this process takes nothing new")
    engine.during = drains.stopping.set
    drains.drain("q")
    assert engine.asked == [8]
    assert app.sent == ["q"]


# ── with the real engine, Celery in memory, and PostgreSQL ───────────────────────────────────────────────────────────


@pytest.mark.feature("BUS-12")
def test_thousands_of_messages_need_few_signals(
    bus_of: Any, working: Any, put: Any, effects: Any, eventually: Any
) -> None:
    bus = bus_of([working(keyed=False)])
    bus.start(intake=False, work=True, schedule=False)
    signals = []
    send, bus._celery.send_task = bus._celery.send_task, lambda *a, **k: signals.append(1) or send(*a, **k)
    for n in range(0, 2000, 50):
        put(bus, *(str(n + i) for i in range(50)))
    eventually(lambda: len(effects.texts()) == 2000)
    assert sorted(map(int, effects.texts())) == list(range(2000))
    assert len(signals) < 40, "fewer than commits, not to speak of messages"


@pytest.mark.feature("BUS-02", "BUS-12")
def test_a_lost_signal_costs_a_sweep_not_a_message(
    bus_of: Any, working: Any, put: Any, effects: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = bus_of([working()])
    bus.start(intake=False, work=True, schedule=False)
    with monkeypatch.context() as patched:
        patched.setattr(bus.engine, "_wake", lambda queue: None)
        put(bus, "a")
    eventually(lambda: effects.texts() == ["a"])


def test_due_retries_and_unanswered_questions_are_found_by_the_sweep(
    bus_of: Any, far: Any, working: Any, put: Any, look: Any
) -> None:
    bus = bus_of([working()], [far])
    put(bus, "a", "b")
    look.do("UPDATE bus.entry SET state = 'retry', due_at = now() + interval '1 hour'")
    look.do("UPDATE bus.entry SET due_at = now() WHERE key = 'a'")
    app = App()
    sweep = Sweep(bus.database, bus.queues, bus.engine, app.sent.append, every_s=1.0)
    sweep.once()
    sweep.stop()
    assert app.sent == ["t.work"]
    assert look.states() == {"a": "ready", "b": "retry"}


@pytest.mark.feature("BUS-12")
def test_one_sweep_of_a_cluster_mends_and_another_takes_over_while_all_look_for_work(
    bus_of: Any, working: Any, put: Any, look: Any, eventually: Any
) -> None:
    bus = bus_of([working()])
    first, second = ([], [])
    sweeps = [Sweep(bus.database, bus.queues, bus.engine, found.append, 1.0) for found in (first, second)]
    put(bus, "a", "b")
    look.do("UPDATE bus.entry SET state = 'retry', due_at = now() WHERE key = 'a'")
    sweeps[0].once()
    assert look.states() == {"a": "ready", "b": "ready"}
    look.do("UPDATE bus.entry SET state = 'retry', due_at = now() WHERE key = 'a'")
    sweeps[1].once()
    assert look.states() == {"a": "retry", "b": "ready"}, "the first one leads"
    assert (first, second) == (["t.work"], ["t.work"])
    sweeps[0].stop()
    eventually(lambda: sweeps[1].once() or look.states() == {"a": "ready", "b": "ready"})
    sweeps[1].stop()


@pytest.mark.parametrize("change", ["state = 'paused'", "state = 'stopped'", "rest_until = now() + interval '1 hour'"])
def test_the_sweep_wakes_nobody_for_a_queue_that_may_not_run(
    bus_of: Any, working: Any, put: Any, look: Any, change: str
) -> None:
    bus = bus_of([working()])
    put(bus, "a")
    look.do(f"UPDATE bus.queue SET {change}")
    with bus.database.transaction() as connection:
        assert bus.queues.waiting(driver(connection)) == []


@pytest.mark.feature("BUS-12")
def test_stopping_in_the_middle_of_work_lets_the_batch_commit_and_leaves_the_rest_ready(
    bus_of: Any, working: Any, put: Any, look: Any, effects: Any, eventually: Any
) -> None:
    bus = bus_of([working(lambda message, context: time.sleep(0.01), keyed=False)], workers=2)
    put(bus, *map(str, range(300)))
    bus.start(intake=False, work=True, schedule=False)
    eventually(effects.texts)
    bus.stop()
    bus.stop()
    states = look.states()
    assert set(states.values()) == {"handled", "ready"}
    assert sorted(effects.texts()) == sorted(body for body, state in states.items() if state == "handled")
    assert not [thread for thread in threading.enumerate() if thread.name in ("celery worker", "sweep")]


def test_a_bus_can_be_stopped_at_once_after_its_start(bus_of: Any, working: Any) -> None:
    for _ in range(5):
        bus = bus_of([working()])
        bus.start(intake=True, work=True, schedule=True)
        assert bus.healthy()
        bus.stop()
        assert not bus.healthy()
    assert not [thread for thread in threading.enumerate() if thread.name == "celery worker"]


def test_two_buses_of_one_process_do_not_take_each_others_signals(
    bus_of: Any, working: Any, put: Any, effects: Any, eventually: Any
) -> None:
    """Each has a route that the other lacks; a signal that went astray would be thrown away."""
    seen: list[str] = []

    def note(message: Message, _context: Context) -> None:
        seen.append(message.kind)

    buses = [bus_of([working(note, name=name)], sweep_s=3600) for name in ("t.one", "t.two")]
    for bus in buses:
        bus.start(intake=False, work=True, schedule=False)
    for n in range(10):
        put(buses[0], f"{n}", kind="t.one")
        put(buses[1], f"{n}", kind="t.two")
        eventually(lambda n=n: len(effects.texts()) == 2 * (n + 1))
    assert sorted(seen) == ["t.one"] * 10 + ["t.two"] * 10


def test_three_queues_signalled_at_once_are_all_drained_without_a_sweep(
    bus_of: Any, working: Any, put: Any, effects: Any, eventually: Any
) -> None:
    names = [f"t.q{n}" for n in range(8)]
    bus = bus_of([working(name=name) for name in names], sweep_s=3600, workers=2)
    bus.start(intake=False, work=True, schedule=False)
    for turn in range(5):
        for name in names:
            put(bus, f"{name}/{turn}", kind=name)
    eventually(lambda: len(effects.texts()) == 40)
