"""How much goes through the bus and how fast: counted in memory, added to bus.rate once in some seconds.

Every process counts for itself, whatever it is (web, worker, child of `omsbus run`, a command) and on whatever
machine, and adds its counts to the same rows: so the sums are the cluster's, they have a history for charts, and they
survive restarts. A process that does nothing writes nothing and never wakes. kill -9 loses the counts of the last
FLUSH_S seconds and nothing else: the truth about messages is in the journal (docs/adr/0013).
"""

from __future__ import annotations

import json
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

import structlog

from core.database import Database, Driver, driver, storable
from core.errors import BusError
from core.journal import Addressed

if TYPE_CHECKING:
    from core.batch import Batch

FLUSH_S = 5.0
BOUNDS_S: Final = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    *(1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0),
)
"""Upper bounds of the buckets. The arrays of bus.rate hold counts by them: another tuple needs a migration."""
MINUTES_KEPT: Final = timedelta(days=3)
HOURS_KEPT: Final = timedelta(days=400)
_UUID7: Final = 7
_log = structlog.get_logger(__name__)


def _empty() -> list[int]:
    return [0] * (len(BOUNDS_S) + 1)


@dataclass(slots=True)
class Counts:
    """What was counted of one queue.

    accepted     messages journaled for it       commits  transactions that brought them (accepted / commits: a batch)
    handled      a route's handler committed     sent     the far side confirmed
    retried      attempts that failed and will be repeated
    quarantined  put aside, at intake too
    batches      drains that claimed something   claimed  messages that they claimed
    signals      wake-ups that followed a commit
    waited       from acceptance to handled or sent, messages by BOUNDS_S; waited_s: their sum
    worked       from the claim of the batch to handled; of a sink from send to its confirmation
    """

    accepted: int = 0
    commits: int = 0
    handled: int = 0
    sent: int = 0
    retried: int = 0
    quarantined: int = 0
    batches: int = 0
    claimed: int = 0
    signals: int = 0
    waited: list[int] = field(default_factory=_empty)
    waited_s: float = 0.0
    worked: list[int] = field(default_factory=_empty)
    worked_s: float = 0.0

    def add(self, other: Counts) -> None:
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.waited = [a + b for a, b in zip(self.waited, other.waited, strict=True)]
        self.worked = [a + b for a, b in zip(self.worked, other.worked, strict=True)]


_COLUMNS: Final = tuple(one.name for one in fields(Counts))
_NUMBERS: Final = tuple(name for name in _COLUMNS if name not in ("waited", "worked"))


class Meter:
    """The counters of this process. Thread-safe; called once a batch, after its commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: dict[str, Counts] = {}
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Write from time to time; without it the counts are written by `flush`."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="rates", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is left. Idempotent."""
        self._stopping.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._write()

    def accepted(self, addressed: Iterable[Addressed]) -> None:
        """These are in the journal now, by one commit."""
        queues = Counter((one.queue, one.state) for one in addressed)
        if not queues:
            return
        with self._lock:
            for queue in {queue for queue, _ in queues}:
                self._of(queue).commits += 1
            for (queue, state), count in queues.items():
                self._of(queue).accepted += count
                if state == "quarantined":
                    self._of(queue).quarantined += count
        self._news.set()

    def settled(self, batch: Batch, claimed: int) -> None:
        """A batch of that many claimed messages was committed."""
        now_ms = time.time_ns() // 1_000_000
        emitted = {one.message.id for one in batch.emitted}
        with self._lock:
            counts = self._of(batch.queue)
            counts.batches += claimed > 0
            counts.claimed += claimed
            for event in batch.events:
                stage = event.stage
                if stage in ("handled", "sent"):
                    if stage == "sent":
                        counts.sent += 1
                    else:
                        counts.handled += 1
                    waited_s = _age_s(event.message_id, now_ms)
                    counts.waited[bisect_left(BOUNDS_S, waited_s)] += 1
                    counts.waited_s += waited_s
                    worked_s = (event.duration_ms or 0.0) / 1000
                    counts.worked[bisect_left(BOUNDS_S, worked_s)] += 1
                    counts.worked_s += worked_s
                elif stage == "quarantined":
                    counts.quarantined += event.message_id not in emitted
                elif stage in ("retry", "unavailable"):
                    counts.retried += 1
        if batch.emitted:
            self.accepted(batch.emitted)
        self._news.set()

    def signalled(self, queues: Iterable[str]) -> None:
        with self._lock:
            for queue in queues:
                self._of(queue).signals += 1

    def flush(self) -> None:
        """Add what was counted to the table. Raises Unavailable; then it is kept for the next time."""
        self._news.clear()
        with self._lock:
            taken, self._counts = self._counts, {}
        if not taken:
            return
        rows = [{"queue": storable(queue)} | asdict(counts) for queue, counts in sorted(taken.items())]
        try:
            with self._database.transaction(durable=False) as connection:
                driver(connection).execute(_ADD, (json.dumps(rows),))
        except Exception:
            with self._lock:
                for queue, counts in taken.items():
                    self._of(queue).add(counts)
            self._news.set()
            raise

    def _of(self, queue: str) -> Counts:
        found = self._counts.get(queue)
        if found is None:
            found = self._counts[queue] = Counts()
        return found

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._news.wait()
            if not self._stopping.wait(FLUSH_S):
                self._write()

    def _write(self) -> None:
        try:
            self.flush()
        except BusError as error:
            _log.warning("rates not written", reason=error.reason)
        except Exception:
            _log.exception("rates not written")


@dataclass(frozen=True, slots=True)
class Point:
    """One step of a chart: `counts` of all wanted queues from `began` on."""

    began: datetime
    counts: Counts


def totals(db: Driver) -> dict[str, Counts]:
    """Queue → what was counted since the database was made."""
    rows = db.execute(f"SELECT queue, {', '.join(_COLUMNS)} FROM bus.rate WHERE span = 'all' ORDER BY queue")
    return {row[0]: Counts(*row[1:]) for row in rows}


def series(database: Database, since: datetime, step_s: int, queue: str = "") -> list[Point]:
    """For a chart: steps in which something happened, oldest first; of one queue or of all.

    Steps shorter than an hour look back MINUTES_KEPT, longer ones HOURS_KEPT. step_s: at least 60.
    """
    span = "minute" if step_s < 3600 else "hour"
    sums = ", ".join(f"{'bus.total' if _type(c) == 'bigint[]' else 'sum'}({c})::{_type(c)}" for c in _COLUMNS)
    with database.transaction() as connection:
        rows = driver(connection).execute(
            f"SELECT date_bin(make_interval(secs => %(step)s), began, %(since)s) AS step, {sums} FROM bus.rate "
            "WHERE span = %(span)s AND began >= %(since)s AND %(queue)s IN ('', queue) GROUP BY step ORDER BY step",
            {"step": step_s, "since": since, "span": span, "queue": queue},
        )
        return [Point(row[0], Counts(*row[1:])) for row in rows]


def quantile(buckets: Sequence[int], share: float) -> float | None:
    """Seconds that this share of the messages (0.99) did not exceed, interpolated; None when there were none."""
    wanted = sum(buckets) * share
    if not wanted:
        return None
    before = 0
    for place, bound in enumerate(BOUNDS_S):
        if before + buckets[place] >= wanted:
            low = BOUNDS_S[place - 1] if place else 0.0
            return low + (bound - low) * (wanted - before) / buckets[place]
        before += buckets[place]
    return BOUNDS_S[-1]


def forget(db: Driver) -> None:
    """Delete the steps whose time is over."""
    db.execute(
        "DELETE FROM bus.rate WHERE span = 'minute' AND began < now() - %s OR span = 'hour' AND began < now() - %s",
        (MINUTES_KEPT, HOURS_KEPT),
    )


def _age_s(message_id: UUID, now_ms: int) -> float:
    """Seconds since the message was made: a UUID of version 7 begins with the milliseconds since 1970."""
    if message_id.version != _UUID7:
        return 0.0
    return max(0, now_ms - (message_id.int >> 80)) / 1000


def _plus(column: str) -> str:
    if _type(column) == "bigint[]":
        return f"{column} = bus.added(r.{column}, EXCLUDED.{column})"
    return f"{column} = r.{column} + EXCLUDED.{column}"


def _type(column: str) -> str:
    return "bigint[]" if column in ("waited", "worked") else "float8" if column.endswith("_s") else "bigint"


# Ordered, so that two processes lock the rows in the same order.
_ADD: Final = f"""
INSERT INTO bus.rate AS r (span, began, queue, {", ".join(_COLUMNS)})
SELECT s.span, s.began, given.*
FROM jsonb_to_recordset(%s::jsonb) AS given (queue text, {", ".join(f"{c} {_type(c)}" for c in _COLUMNS)})
CROSS JOIN (VALUES ('minute', date_trunc('minute', now())), ('hour', date_trunc('hour', now())),
                   ('all', 'epoch'::timestamptz)) AS s (span, began)
ORDER BY s.span, given.queue
ON CONFLICT (span, began, queue) DO UPDATE SET {", ".join(map(_plus, _COLUMNS))}
"""
