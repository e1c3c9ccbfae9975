"""Sources are polled by one process at a time, not too often, and no failure of theirs ends the polling."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from core import operations, receivers
from core.database import driver
from core.errors import ConfigError, Retryable, Unavailable
from core.receivers import Receivers, rest_s


@pytest.fixture
def receive(bus_of: Any, working: Any) -> Iterator[Any]:
    """Starts receivers over these far sides, each call as if in another process; returns (bus, receivers)."""
    started: list[Receivers] = []

    def begin(*fars: Any) -> Any:
        bus = bus_of([working()], fars)
        made = Receivers(bus.database, bus.engine, bus.sources)
        made.start()
        started.append(made)
        return bus, made

    yield begin
    for one in started:
        one.stop()


def _state(look: Any, column: str) -> Any:
    return look.one(f"SELECT {column} FROM bus.queue WHERE name = 'far.in'")


@pytest.mark.feature("BUS-06")
def test_a_poll_takes_everything_there_is_and_then_rests(receive: Any, far: Any, look: Any, eventually: Any) -> None:
    far.interval_s = 3600
    for n in range(35):
        far.offer(str(n), b"%d" % n)
    receive(far)
    eventually(lambda: len(far.acked) == 35)
    eventually(lambda: _state(look, "poll_result") == "Принято 35")
    assert far.polls == 5, "four batches of ten, and the empty answer"
    time.sleep(0.2)
    assert far.polls == 5


def test_a_source_is_not_asked_more_often_than_its_interval_allows(receive: Any, far: Any, eventually: Any) -> None:
    far.interval_s = 0.1
    moments: list[float] = []
    far.on_receive = lambda: moments.append(time.monotonic())
    receive(far)
    eventually(lambda: len(moments) >= 6)
    assert min(b - a for a, b in itertools.pairwise(moments)) >= 0.1


@pytest.mark.feature("BUS-06")
def test_a_paused_source_is_left_alone_but_obeys_a_forced_poll_once(
    receive: Any, far: Any, look: Any, eventually: Any, bus_of: Any
) -> None:
    bus = bus_of([], [far])
    operations.set_state(bus, "far.in", "paused", actor="иванов")
    far.offer("1", b"a")
    receive(far)
    time.sleep(0.3)
    assert far.polls == 0
    operations.poll(bus, "far.in", actor="test")
    eventually(lambda: _polled(bus, "far.in"))  # one poll takes all that comes while it lasts
    assert far.acked == ["1"]
    far.offer("2", b"b")
    time.sleep(0.7)
    assert far.acked == ["1"]


def test_a_pause_is_obeyed_while_the_source_runs(receive: Any, far: Any, eventually: Any) -> None:
    bus, _ = receive(far)
    eventually(lambda: far.polls > 2)
    operations.set_state(bus, "far.in", "paused", actor="иванов")
    time.sleep(0.3)
    polls = far.polls
    time.sleep(0.3)
    assert far.polls == polls
    operations.set_state(bus, "far.in", "running", actor="иванов")
    eventually(lambda: far.polls > polls)


@pytest.mark.feature("BUS-12")
def test_of_two_processes_one_polls_and_the_other_takes_over_when_it_stops(
    receive: Any, far_side: Any, eventually: Any
) -> None:
    first, second = far_side(), far_side()
    _, one = receive(first)
    eventually(lambda: first.polls > 1)
    receive(second)
    before = first.polls
    eventually(lambda: first.polls > before + 5)
    assert second.polls == 0
    one.stop()
    eventually(lambda: second.polls > 1)


@pytest.mark.feature("BUS-12")
def test_a_process_that_lost_its_connection_hands_the_source_over(
    receive: Any, far_side: Any, look: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = far_side(), far_side()
    receive(first)
    eventually(lambda: first.polls > 1)
    receive(second)
    first.on_receive = lambda: time.sleep(1.0)  # it does not notice in time
    eventually(lambda: look.rows("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
                                 "AND granted AND database = (SELECT oid FROM pg_database "
                                 "WHERE datname = current_database())"))  # fmt: skip
    eventually(lambda: second.polls > 1)


def test_the_rest_after_failures_grows_up_to_five_minutes() -> None:
    assert [rest_s(failures) for failures in (0, 1, 2, 3, 8, 9, 100_000)] == [0, 2, 4, 8, 256, 300, 300]


def test_a_source_that_was_away_is_opened_and_asked_again(
    receive: Any, far: Any, look: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receivers, "REST_MOST_S", 0.05)
    far.receive_errors = [Unavailable("Нет связи") for _ in range(5)]
    far.offer("1", b"a")
    receive(far)
    eventually(lambda: far.acked == ["1"])
    assert far.opens == 6, "before the first use, and again after each failure"
    eventually(lambda: _state(look, "poll_result") in ("Принято 1", "Пусто"))


@pytest.mark.feature("BUS-06")
def test_wrong_settings_stop_only_their_source_until_it_is_resumed(
    receive: Any, far: Any, far_side: Any, look: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receivers, "REST_MOST_S", 0.1)
    other = far_side(name="other")
    far.receive_errors = [ConfigError("Нет пароля: задайте FAR_PASSWORD")]
    bus, _ = receive(far, other)
    eventually(lambda: _state(look, "state") == "stopped")
    assert _state(look, "reason") == "Нет пароля: задайте FAR_PASSWORD"
    assert _state(look, "poll_result") == "Остановлен: Нет пароля: задайте FAR_PASSWORD"
    before = other.polls
    eventually(lambda: other.polls > before + 3)
    assert far.polls == 1
    operations.set_state(bus, "far.in", "running", actor="иванов")
    eventually(lambda: far.polls > 1)


@pytest.mark.parametrize("error", [KeyError("a defect"), Retryable("Позже"), OSError("odd")])
def test_no_error_of_a_connector_ends_the_polling(
    receive: Any, far: Any, look: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(receivers, "REST_MOST_S", 0.1)
    far.receive_errors = [error]
    far.offer("1", b"a")
    receive(far)
    eventually(lambda: far.acked == ["1"])


def test_what_was_taken_before_a_failure_is_named_with_it(receive: Any, far: Any, look: Any, eventually: Any) -> None:
    far.interval_s = 3600
    for n in range(10):
        far.offer(str(n), b"%d" % n)

    def fail_the_second_time() -> None:
        if far.polls == 2:
            raise Unavailable("Связь прервалась")

    far.on_receive = fail_the_second_time
    receive(far)
    eventually(lambda: _state(look, "poll_result") == "Принято 10, затем: Связь прервалась")


def test_polling_goes_on_after_the_database_was_away(receive: Any, far: Any, look: Any, eventually: Any) -> None:
    receive(far)
    eventually(lambda: far.polls > 1)
    look.do("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()")  # fmt: skip
    far.offer("1", b"a")
    eventually(lambda: far.acked == ["1"])


def test_stopping_waits_for_the_batch_in_hand_and_takes_no_other(receive: Any, far: Any, eventually: Any) -> None:
    entered, leave = threading.Event(), threading.Event()

    def linger() -> None:
        entered.set()
        assert leave.wait(20)

    far.on_receive = linger
    for n in range(30):
        far.offer(str(n), b"%d" % n)
    _, polling = receive(far)
    assert entered.wait(20)
    stopper = threading.Thread(target=polling.stop)
    stopper.start()
    leave.set()
    stopper.join(20)
    assert not stopper.is_alive()
    assert len(far.acked) == 10


def test_an_idle_source_asks_the_database_only_now_and_then(receive: Any, far: Any, look: Any, bus_of: Any) -> None:
    """Paused, or polled by another process: nothing to do must cost nothing."""
    bus = bus_of([], [far])
    operations.set_state(bus, "far.in", "paused", actor="иванов")
    looks: list[str] = []
    wanted = Receivers._wanted

    def counted(self: Receivers, name: str, due: float) -> bool:
        looks.append(name)
        return wanted(self, name, due)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Receivers, "_wanted", counted)
        receive(far)
        time.sleep(1.2)
    assert 1 <= len(looks) <= 4


def _polled(bus: Any, source: str) -> bool:
    with bus.database.transaction() as connection:
        row = driver(connection).execute("SELECT polled_at FROM bus.queue WHERE name = %s", (source,)).fetchone()
    return row is not None and row[0] is not None
