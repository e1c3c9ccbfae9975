"""Does retention slow intake? The same intake with and without a retention run beside it, in turns, in one database.

The run works on finished messages with bodies of 4 KB and an event each, at the share of time that is the default:
it takes contents away in one round, whole records in the next. It runs in a process of its own, as `omsbus scheduler`
does, and never comes to the end of its work. The intake commits batches as push sources do. Which of a pair is
measured first changes from pair to pair.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from benchmarks import bus as bus_bench
from benchmarks.harness import Result, count, result, scratch_bus
from benchmarks.sample import document
from core.bus import Bus
from core.database import Database, driver
from core.message import Message
from core.payloads import PayloadStore
from core.retention import Retention
from core.settings import RetentionSettings

NAME: Final = "retention"
MIN_RATIO: Final = 0.9
GOAL: Final = "удаление по срокам хранения не замедляет приём: не менее 0,9 скорости без него"
INTAKE_BATCH: Final = 64
ROUND_S: Final = 3.0


def run(old: int = 40_000, rounds: int = 10) -> Result:
    """Messages a second that intake commits; `old` finished messages wait to be taken away."""
    with scratch_bus([bus_bench.__name__]) as bus:
        _fill(bus, old)
        _round(bus)  # warm
        at_first = _left(bus)
        alone, beside = [], []
        for number in range(rounds):
            content = ("body", "record")[number // 2 % 2]
            if number % 2:
                beside.append(_beside(bus, content))
                alone.append(_round(bus))
            else:
                alone.append(_round(bus))
                beside.append(_beside(bus, content))
        left = _left(bus)
        taken = at_first - left
    ratio = statistics.median(with_it / without for with_it, without in zip(beside, alone, strict=True))
    return result(
        NAME,
        GOAL,
        {"intake with retention against without": ratio},
        ratio >= MIN_RATIO and taken > 0 and left > 0,
        alone_per_second=[round(one) for one in alone],
        beside_per_second=[round(one) for one in beside],
        contents_and_records_taken=taken,
        left_to_take=left,
        retention_s=rounds * ROUND_S,
        intake_batch=INTAKE_BATCH,
        body_bytes=len(document(0)),
        database="embedded, fsync on",
    )


def _fill(bus: Bus, old: int) -> None:
    bus_bench.fill(bus, old)
    with bus.database.transaction() as connection:
        db = driver(connection)
        db.execute("UPDATE bus.entry SET state = 'handled'")
        db.execute(
            "INSERT INTO bus.event (message_id, stage, output) SELECT id, 'handled', body FROM bus.message ORDER BY seq"
        )
    with bus.database.dedicated() as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def _round(bus: Bus) -> float:
    """Messages a second over ROUND_S."""
    body = document(1)
    began = time.monotonic()
    done = 0
    while time.monotonic() - began < ROUND_S:
        bus.engine.put([Message(kind="later", queue="bench.bus", body=body) for _ in range(INTAKE_BATCH)])
        done += INTAKE_BATCH
    return done / (time.monotonic() - began)


def _beside(bus: Bus, content: str) -> float:
    process, stop = _retention(bus, content)
    rate = _round(bus)
    stop.set()
    process.join()
    return rate


def _left(bus: Bus) -> int:
    """Contents and records that are still to be taken."""
    handled = "FROM bus.entry e JOIN bus.message m USING (seq) WHERE e.state = 'handled'"
    return count(bus, f"SELECT count(*) + count(m.body) {handled}")


def _retention(bus: Bus, content: str) -> tuple[Any, Any]:
    context = multiprocessing.get_context("spawn")
    stop, running = context.Event(), context.Event()
    process = context.Process(target=_work, args=(bus.database.url, bus.settings.blob_url, content, stop, running))
    process.start()
    running.wait(60)
    return process, stop


def _work(url: str, blobs: str, content: str, stop: Any, running: Any) -> None:
    """A run as it would be in three days."""
    database = Database(url)
    settings = RetentionSettings.model_validate({f"{content}_days": 1})
    retention = Retention(database, PayloadStore(blobs, inline_bytes=65536, blob_bytes=1 << 20), settings, stop)
    running.set()
    retention.run(now=datetime.now(UTC) + timedelta(days=3))
    database.close()
