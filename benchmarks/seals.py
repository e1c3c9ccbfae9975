"""Does sealing slow intake? The same intake with and without the sealer beside it, in turns, in one database.

The sealer runs in a process of its own, as `omsbus scheduler` does, at its default share of the time, and never comes
to the end of its work: messages with bodies of 4 KB and an event each wait for it. Which of a pair is measured first
changes from pair to pair. How fast rows are sealed and checked when nothing else runs is measured before that.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from typing import Any, Final

from benchmarks import bus as bus_bench
from benchmarks.harness import Result, count, result, scratch_bus
from benchmarks.sample import document
from core.bus import Bus
from core.database import Database, driver
from core.message import Message
from core.seals.sealing import BLOCK_ROWS, Sealer, seal_next
from core.seals.settings import SealSettings
from core.seals.verifying import verify

NAME: Final = "seals"
MIN_RATIO: Final = 0.9
MIN_SEALED: Final = 10_000.0
GOAL: Final = (
    "цепочка хешей не замедляет приём (не менее 0,9 скорости без неё) "
    "и успевает за ним: не менее 10 000 строк в секунду"
)
INTAKE_BATCH: Final = 64
ROUND_S: Final = 3.0
_ALL: Final = 2**62


def run(waiting: int = 60_000, rounds: int = 8) -> Result:
    """Rows a second sealed and checked; messages a second that intake commits with the sealer and without."""
    with scratch_bus([bus_bench.__name__]) as bus:
        _fill(bus, waiting)
        first = waiting // 6
        sealed = _seal(bus, first)
        checked = _check(bus)
        _round(bus)  # warm
        at_first = count(bus, "SELECT coalesce(sum(count), 0) FROM bus.seal")
        alone: list[float] = []
        beside: list[float] = []
        for number in range(rounds):
            measured = [(alone, _round), (beside, _beside)]
            for figures, measure in measured if number % 2 else reversed(measured):
                figures.append(measure(bus))
        done = count(bus, "SELECT coalesce(sum(count), 0) FROM bus.seal") - at_first
        left = count(bus, "SELECT max(seq) FROM bus.event") + count(bus, "SELECT max(seq) FROM bus.message") - done
    ratio = statistics.median(with_it / without for with_it, without in zip(beside, alone, strict=True))
    return result(
        NAME,
        GOAL,
        {
            "intake with sealing against without": ratio,
            "rows sealed a second": sealed,
            "rows checked a second": checked,
        },
        ratio >= MIN_RATIO and sealed >= MIN_SEALED and done > 0 and left > 0,
        alone_per_second=[round(one) for one in alone],
        beside_per_second=[round(one) for one in beside],
        rows_sealed_beside=done,
        sealing_s=rounds * ROUND_S,
        share=SealSettings().share,
        block_rows=BLOCK_ROWS,
        intake_batch=INTAKE_BATCH,
        body_bytes=len(document(0)),
        rows="half messages with a packed body, half events",
        database="embedded, fsync on",
    )


def _fill(bus: Bus, messages: int) -> None:
    bus_bench.fill(bus, messages)
    with bus.database.transaction() as connection:
        driver(connection).execute(
            "INSERT INTO bus.event (message_id, stage, note, duration_ms) "
            "SELECT id, 'handled', 'обработано', 1.5 FROM bus.message ORDER BY seq"
        )
    with bus.database.dedicated() as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def _seal(bus: Bus, each: int) -> float:
    """Rows a second when nothing else runs: so many of either stream."""
    began, rows = time.monotonic(), 0
    for stream in ("message", "event"):
        while block := seal_next(bus.database, stream, each):
            rows += block.count
    return rows / (time.monotonic() - began)


def _check(bus: Bus) -> float:
    began = time.monotonic()
    report = verify(bus.database)
    return report.rows / (time.monotonic() - began)


def _round(bus: Bus) -> float:
    """Messages a second over ROUND_S."""
    body = document(1)
    began, done = time.monotonic(), 0
    while time.monotonic() - began < ROUND_S:
        bus.engine.put([Message(kind="later", queue="bench.bus", body=body) for _ in range(INTAKE_BATCH)])
        done += INTAKE_BATCH
    return done / (time.monotonic() - began)


def _beside(bus: Bus) -> float:
    context = multiprocessing.get_context("spawn")
    stop, running = context.Event(), context.Event()
    process = context.Process(target=_work, args=(bus.database.url, stop, running))
    process.start()
    running.wait(60)
    rate = _round(bus)
    stop.set()
    process.join()
    return rate


def _work(url: str, stop: Any, running: Any) -> None:
    """The sealer as it is, but for its first looks, which come at once."""
    database = Database(url)
    sealer = Sealer(database, SealSettings(), look_s=0.1, settle_s=0.1)
    sealer.start()
    while not stop.is_set():
        with database.transaction() as connection:
            row = driver(connection).execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone()
        if row and row[0]:
            running.set()
            break
        time.sleep(0.05)
    stop.wait()
    sealer.stop()
    database.close()
