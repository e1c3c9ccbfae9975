"""What goes through the bus is counted by every process and summed in one table."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from core import rates
from core.database import driver
from core.errors import Unavailable
from core.message import Message
from core.rates import BOUNDS_S, Counts, Meter, quantile

pytestmark = pytest.mark.feature("BUS-13")


@pytest.fixture
def totals(database: Any) -> Any:
    def read() -> dict[str, Counts]:
        with database.transaction() as connection:
            return rates.totals(driver(connection))

    return read


def test_a_message_is_counted_from_its_acceptance_to_its_end(
    bus_of: Any, working: Any, far: Any, put: Any, run_dry: Any, totals: Any
) -> None:
    bus = bus_of([working(lambda m, c: [Message(kind="out", queue="far", body=m.body)])], [far])
    put(bus, "a/1", "b/1", "c/1")
    run_dry(bus)
    run_dry(bus, "far")
    bus.meter.flush()
    work, sink = totals()["t.work"], totals()["far"]
    assert (work.accepted, work.commits, work.handled, work.batches, work.claimed) == (3, 1, 3, 1, 3)
    assert (sink.accepted, sink.commits, sink.sent, sink.handled, sink.batches) == (3, 1, 3, 0, 1)
    assert (sum(work.waited), sum(work.worked), sum(sink.waited), sum(sink.worked)) == (3, 3, 3, 3)
    assert work.waited_s > 0
    assert work.worked_s > 0
    assert work.signals == sink.signals == 1


def test_failures_are_counted_by_what_becomes_of_the_message(
    bus_of: Any, working: Any, far: Any, put: Any, run_dry: Any, totals: Any
) -> None:
    def fail(message: Message, _context: Any) -> None:
        if message.body.startswith(b"bad"):
            raise ValueError("a defect")
        if message.body.startswith(b"away"):
            raise Unavailable("Сервис недоступен")

    bus = bus_of([working(fail)], [far])
    put(bus, "bad/1", "away/1", "good/1")
    put(bus, "x", kind="nobody knows it")
    run_dry(bus)
    bus.meter.flush()
    work, unknown = totals()["t.work"], totals()["unknown"]
    assert (work.accepted, work.handled, work.quarantined, work.retried) == (3, 1, 1, 1)
    assert (unknown.accepted, unknown.quarantined) == (1, 1)


def test_what_a_handler_yields_into_quarantine_is_counted_where_it_lies(
    bus_of: Any, working: Any, put: Any, run_dry: Any, totals: Any
) -> None:
    bus = bus_of([working(lambda m, c: [Message(kind="nobody knows it", body=b"x")])])
    put(bus, "a/1")
    run_dry(bus)
    bus.meter.flush()
    assert totals()["t.work"].quarantined == 0
    assert totals()["unknown"].quarantined == 1


def test_a_repeat_is_not_counted_as_accepted(bus_of: Any, working: Any, totals: Any) -> None:
    bus = bus_of([working()])
    for _ in range(2):
        bus.engine.put([Message(kind="t.work", body=b"a", source="far", external_id="1")])
    bus.meter.flush()
    assert totals()["t.work"].accepted == 1


def test_processes_add_to_the_same_rows(bus_of: Any, working: Any, put: Any, totals: Any) -> None:
    one, other = bus_of([working()]), bus_of([working()])
    for bus, bodies in ((one, ("a", "b")), (other, ("c",)), (one, ("d",))):
        put(bus, *bodies)
        bus.meter.flush()
    assert totals()["t.work"].accepted == 4


def test_a_bus_writes_its_last_counts_when_it_stops(bus_of: Any, working: Any, put: Any, totals: Any) -> None:
    bus = bus_of([working()])
    put(bus, "a")
    bus.stop()
    assert totals()["t.work"].accepted == 1


def test_counts_are_written_while_the_bus_runs(
    bus_of: Any, working: Any, put: Any, totals: Any, eventually: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(rates, "FLUSH_S", 0.05)
    bus = bus_of([working()])
    bus.start(intake=False, work=True, schedule=False)
    put(bus, "a/1")
    eventually(lambda: "t.work" in totals() and totals()["t.work"].handled == 1)


def test_an_idle_bus_writes_nothing(bus_of: Any, working: Any, look: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(rates, "FLUSH_S", 0.01)
    bus = bus_of([working()])
    bus.meter.start()
    bus.meter.stop()
    bus.meter.flush()
    assert look.one("SELECT count(*) FROM bus.rate") == 0


def test_counts_outlive_a_database_that_is_away(bus_of: Any, working: Any, put: Any, look: Any, totals: Any) -> None:
    bus = bus_of([working()])
    put(bus, "a")
    look.do("ALTER TABLE bus.rate RENAME TO gone")
    with pytest.raises(Exception, match=r"bus\.rate"):
        bus.meter.flush()
    look.do("ALTER TABLE bus.gone RENAME TO rate")
    put(bus, "b")
    bus.meter.flush()
    assert totals()["t.work"].accepted == 2


def test_charts_read_the_minutes_and_the_hours(bus_of: Any, working: Any, put: Any, look: Any, database: Any) -> None:
    bus = bus_of([working()])
    put(bus, "a", "b")
    bus.meter.flush()
    put(bus, "c")
    bus.meter.flush()
    now = look.one("SELECT clock_timestamp()")
    for step_s in (60, 3600):
        [point] = rates.series(database, now - timedelta(hours=2), step_s, "t.work")
        assert (point.counts.accepted, point.counts.commits) == (3, 2)
        assert now - timedelta(hours=2) <= point.began <= now
    assert [one.counts.accepted for one in rates.series(database, now - timedelta(hours=2), 60)] == [3]
    assert rates.series(database, now - timedelta(hours=2), 60, "another") == []


def test_a_chart_of_several_queues_sums_their_histograms(bus_of: Any, look: Any, database: Any) -> None:
    meter = Meter(database)
    for queue in ("one", "two"):
        meter._of(queue).add(Counts(handled=1, waited=[0, 1] + [0] * (len(BOUNDS_S) - 1), waited_s=0.002))
    meter.flush()
    [point] = rates.series(database, look.one("SELECT now() - interval '1 hour'"), 60)
    assert point.counts.waited[1] == 2
    assert point.counts.waited_s == pytest.approx(0.004)


def test_old_steps_are_forgotten_and_the_sum_is_not(
    bus_of: Any, working: Any, put: Any, look: Any, totals: Any
) -> None:
    bus = bus_of([working()])
    put(bus, "a")
    bus.meter.flush()
    look.do("UPDATE bus.rate SET began = began - interval '4 days' WHERE span <> 'all'")
    with bus.database.transaction() as connection:
        rates.forget(driver(connection))
    assert sorted(row[0] for row in look.rows("SELECT span FROM bus.rate")) == ["all", "hour"]
    assert totals()["t.work"].accepted == 1


def test_a_quantile_lies_within_its_bucket() -> None:
    buckets = [0] * (len(BOUNDS_S) + 1)
    assert quantile(buckets, 0.99) is None
    buckets[3] = 90  # up to 10 ms
    buckets[6] = 10  # up to 100 ms
    median, p99 = quantile(buckets, 0.5), quantile(buckets, 0.99)
    assert median is not None
    assert 0.005 < median <= 0.01
    assert p99 is not None
    assert 0.05 < p99 <= 0.1
    beyond = [0] * len(BOUNDS_S) + [1]
    assert quantile(beyond, 0.5) == BOUNDS_S[-1]
