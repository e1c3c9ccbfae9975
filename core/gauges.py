"""What the bus is like at this moment: depths, ages, states, schedules, certificates, disk. For metrics and alerts.

Read from the database in one short transaction whose statements may take STATEMENT_MOST_S each, and kept for
KEPT_S seconds, so that many scrapers cost what one does. Nothing here counts finished messages: a depth is counted
exactly up to core.reading.DEPTH_MOST and estimated by samples of the same partial index beyond.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from core import disk, rates, reading
from core.connector import Connector, certificate_days_of
from core.database import Database, Driver, driver
from core.errors import BusError
from core.rates import Counts
from core.reading import DEPTH_MOST, QueueRow
from core.scheduler import Schedules
from core.settings import Settings

KEPT_S = 5.0
RECENT_S: Final = 30.0
"""A page shows a look up to this old."""
STATEMENT_MOST_S: Final = 5.0
CERTIFICATES_KEPT_S = 600.0
DISK_KEPT_S = 60.0
SAMPLES: Final = 32
SAMPLE_SEQS: Final = 2000
"""A depth beyond DEPTH_MOST is estimated from so many stretches of so many sequence numbers."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ScheduleGauge:
    """last: the run it fired for last. next: the one it waits for. lag_s: how long a due run has not been fired."""

    name: str
    queue: str
    paused: bool
    last: datetime | None
    next: datetime | None
    lag_s: float


@dataclass(frozen=True, slots=True)
class WebhookGauge:
    """A subscription that is not delivered to: since when, and whether the bus has switched it off."""

    id: int
    title: str
    is_off: bool
    failing_s: float


@dataclass(frozen=True, slots=True)
class DiskGauge:
    """What the bus takes and what is left until intake stops (None: no limit is known).

    days_left: by the growth of the last week; infinite when nothing grows, None while it is not known.
    """

    used_bytes: int
    left_bytes: int | None
    days_left: float | None


@dataclass(frozen=True, slots=True)
class Gauges:
    """One look. `at` is the clock of the database, by which all ages are told.

    queues         depths beyond DEPTH_MOST are estimates
    awaiting       sink → outgoing messages that wait for an answer
    firing         (rule, severity) → alerts
    notices        channel of alerts → notices that are not sent yet
    certificates   (connector, certificate) → whole days left
    unread         connectors whose certificates could not be read now
    processes      live processes of the bus by role
    clocks         host → by how many seconds its clock differs from the database's, at most
    webhooks       subscriptions whose receivers fail
    disk           None: not measured
    refusal        why this process takes nothing in (Russian), "" when it does
    """

    at: datetime
    queues: Sequence[QueueRow]
    awaiting: Mapping[str, int]
    schedules: Sequence[ScheduleGauge]
    totals: Mapping[str, Counts]
    database_bytes: int
    firing: Mapping[tuple[str, str], int]
    notices: Mapping[str, int]
    processes: Mapping[str, int]
    clocks: Mapping[str, float]
    certificates: Mapping[tuple[str, str], int] = field(default_factory=dict)
    unread: frozenset[str] = frozenset()
    webhooks: Sequence[WebhookGauge] = ()
    disk: DiskGauge | None = None
    refusal: str = ""

    def age_s(self, queue: QueueRow) -> float:
        """Seconds since the oldest message that still waits there was accepted; 0 when none waits."""
        return max(0.0, (self.at - queue.oldest_at).total_seconds()) if queue.oldest_at else 0.0

    def resting(self, queue: QueueRow) -> bool:
        """It runs, but leaves its far side alone for now."""
        return queue.state == "running" and queue.rest_until is not None and queue.rest_until > self.at


class Watched:
    """Looks at the bus. One per process; thread-safe."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        connectors: Sequence[Connector],
        refusal: Callable[[], str] = lambda: "",
    ) -> None:
        """refusal: why this process takes nothing in, see core.pressure."""
        self._database = database
        self._settings = settings
        self._connectors = connectors
        self._refusal = refusal
        self._schedules = Schedules(database)
        self._lock = threading.Lock()
        self._renewing = threading.Lock()
        self._last: Gauges | BusError | None = None
        self._last_at = 0.0
        self._certificates: tuple[dict[tuple[str, str], int], frozenset[str]] = ({}, frozenset())
        self._certificates_at = float("-inf")
        self._disk: DiskGauge | None = None
        self._disk_at = float("-inf")

    def look(self, kept_s: float | None = None) -> Gauges:
        """Not older than `kept_s` (default KEPT_S) seconds. Raises BusError when the database is away or slow."""
        with self._lock:
            if self._last is None or time.monotonic() - self._last_at > (KEPT_S if kept_s is None else kept_s):
                try:
                    certificates, unread = self._certificates_now()
                    self._last = replace(
                        self._read(),
                        certificates=certificates,
                        unread=unread,
                        disk=self._disk_now(),
                        refusal=self._refusal(),
                    )
                except BusError as error:  # kept too: nobody shall wait for a dead server twice
                    self._last = error
                self._last_at = time.monotonic()
            if isinstance(self._last, BusError):
                raise self._last
            return self._last

    def recent(self) -> Gauges:
        """For people: the last look at once, up to RECENT_S old, while a newer one is made in the background.

        Counting a long backlog may take half a second, and nobody shall wait for it with a page open. Raises BusError
        like `look`.
        """
        last, age_s = self._last, time.monotonic() - self._last_at
        if not isinstance(last, Gauges) or age_s > RECENT_S:
            return self.look()
        if age_s > KEPT_S and self._renewing.acquire(blocking=False):
            threading.Thread(target=self._renew, name="gauges", daemon=True).start()
        return last

    def stop(self) -> None:
        """Wait for a look in the background. Idempotent."""
        if self._renewing.acquire(timeout=2 * STATEMENT_MOST_S):
            self._renewing.release()

    def _renew(self) -> None:
        try:
            self.look()
        except Exception as error:  # whoever looks next hears of it
            _log.warning("gauges not renewed", error=type(error).__name__)
        finally:
            self._renewing.release()

    def _read(self) -> Gauges:
        schedules = self._schedules.all()
        with self._database.transaction(durable=False) as connection:
            db = driver(connection)
            db.execute(f"SET LOCAL statement_timeout = {int(STATEMENT_MOST_S * 1000)}")
            row = db.execute("SELECT clock_timestamp(), pg_database_size(current_database())").fetchone()
            assert row is not None
            now, size = row
            return Gauges(
                at=now,
                queues=[_estimated(db, one) for one in reading.depths(db)],
                awaiting=dict(db.execute(_AWAITING, (DEPTH_MOST,)).fetchall()),
                schedules=[_schedule(schedule, state, now) for schedule, state in schedules],
                totals=rates.totals(db),
                database_bytes=size,
                firing={(rule, severity): count for rule, severity, count in db.execute(_FIRING)},
                notices=dict(db.execute(_NOTICES).fetchall()),
                processes=dict(db.execute(_PROCESSES).fetchall()),
                clocks=dict(db.execute(_CLOCKS).fetchall()),
                webhooks=[WebhookGauge(*row) for row in db.execute(_WEBHOOKS)],
            )

    def _disk_now(self) -> DiskGauge | None:
        if time.monotonic() - self._disk_at >= DISK_KEPT_S:
            try:
                self._disk = self._measured()
            except OSError as error:  # a volume that went away: the other figures matter all the more
                _log.warning("disk not measured", error=error.strerror)
                self._disk = None
            self._disk_at = time.monotonic()
        return self._disk

    def _measured(self) -> DiskGauge:
        found = disk.used(self._database)
        left = disk.left(found, self._settings, disk.volumes(self._settings, self._database))
        forecast = disk.forecast(self._database, left)
        days = forecast.days_left if forecast else None
        if forecast and days is None and left is not None:
            days = math.inf
        return DiskGauge(found.total_bytes, left, days)

    def _certificates_now(self) -> tuple[dict[tuple[str, str], int], frozenset[str]]:
        if time.monotonic() - self._certificates_at < CERTIFICATES_KEPT_S:
            return self._certificates
        found: dict[tuple[str, str], int] = {}
        unread = set()
        for connector in self._connectors:
            try:
                days = certificate_days_of(connector)
            except BusError as error:
                _log.warning("certificates not read", connector=connector.name, reason=error.reason)
                unread.add(connector.name)
            except Exception:  # a connector's own program must not cost us the other figures
                _log.exception("certificates not read", connector=connector.name)
                unread.add(connector.name)
            else:
                found |= {(connector.name, name): left for name, left in days.items()}
        self._certificates, self._certificates_at = (found, frozenset(unread)), time.monotonic()
        return self._certificates


def _schedule(schedule: Any, state: Mapping[str, Any], now: datetime) -> ScheduleGauge:
    if state["paused"]:
        return ScheduleGauge(schedule.name, schedule.queue, True, state["fired_for"], None, 0.0)
    last = max(state["fired_for"] or state["known_since"], state["known_since"])
    due = next(iter(schedule.following(last)), None)
    late_s = max(0.0, (now - due).total_seconds()) if due else 0.0
    following = next(iter(schedule.following(now)), None) if late_s else due
    lag_s = 0.0 if schedule.missed == "skip" else late_s  # a run of such a one is late never, but left out
    coming = following.astimezone(UTC) if following else None
    return ScheduleGauge(schedule.name, schedule.queue, False, state["fired_for"], coming, round(lag_s, 3))


def _estimated(db: Driver, row: QueueRow) -> QueueRow:
    """The row with its depths beyond the exact count estimated."""
    full: dict[str, int] = {state: getattr(row, state) for state in ("ready", "held", "quarantined")}
    changes: dict[str, Any] = {
        state: max(DEPTH_MOST, _estimate(db, row.name, state)) for state, depth in full.items() if depth >= DEPTH_MOST
    }
    return replace(row, **changes) if changes else row


def _estimate(db: Driver, queue: str, state: str) -> int:
    """Messages of a long queue: counted in stretches evenly spread from its first to its last one."""
    row = db.execute(_ENDS.format(state=state), {"queue": queue}).fetchone()
    if row is None or row[0] is None:
        return 0
    first, last = row
    width = last - first + 1
    if width <= SAMPLES * SAMPLE_SEQS:
        stretches, share = [(first, last)], 1.0
    else:
        step = width / SAMPLES
        starts = [int(first + step * (n + 0.5) - SAMPLE_SEQS / 2) for n in range(SAMPLES)]
        stretches, share = [(start, start + SAMPLE_SEQS - 1) for start in starts], SAMPLES * SAMPLE_SEQS / width
    counted = db.execute(
        _STRETCHES.format(state=state),
        {"queue": queue, "first": [one for one, _ in stretches], "last": [one for _, one in stretches]},
    ).fetchone()
    assert counted is not None
    return round(float(counted[0]) / share)


# The state stands in the text so that its partial index is used; min and max are two looks at the index.
_ENDS: Final = """
SELECT (SELECT seq FROM bus.entry WHERE queue = %(queue)s AND state = '{state}' ORDER BY seq LIMIT 1),
       (SELECT seq FROM bus.entry WHERE queue = %(queue)s AND state = '{state}' ORDER BY seq DESC LIMIT 1)
"""
_STRETCHES: Final = """
SELECT sum(part.n)::bigint FROM unnest(%(first)s::bigint[], %(last)s::bigint[]) AS s (low, high)
CROSS JOIN LATERAL (SELECT count(*) AS n FROM bus.entry
                    WHERE queue = %(queue)s AND state = '{state}' AND seq BETWEEN s.low AND s.high) AS part
"""
_AWAITING: Final = """
SELECT sink, count(*) FROM (
    SELECT sink FROM bus.outgoing WHERE answered_at IS NULL AND answer_due_at IS NOT NULL LIMIT %s) AS part
GROUP BY sink
"""
_FIRING: Final = """
SELECT rule, severity, count(*) FROM bus.alert WHERE over_at IS NULL AND fired_at IS NOT NULL GROUP BY rule, severity
"""
_PROCESSES: Final = "SELECT role, count(*) FROM bus.live_process WHERE state = 'running' GROUP BY role"
_CLOCKS: Final = "SELECT host, max(abs(clock_off_s)) FROM bus.live_process GROUP BY host"
_WEBHOOKS: Final = """
SELECT id, title, state = 'failed', coalesce(extract(epoch FROM clock_timestamp() - failing_since), 0)::float8
FROM bus.webhook WHERE state = 'failed' OR state = 'active' AND failing_since IS NOT NULL ORDER BY id
"""
_NOTICES: Final = "SELECT channel, count(*) FROM bus.alert_notice WHERE sent_at IS NULL GROUP BY channel"
