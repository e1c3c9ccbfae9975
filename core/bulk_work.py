"""Does the jobs of core.bulk: a thread in every process that schedules, one of a cluster at work (LOCK).

A step is one transaction: look what became of the messages under way, count the errors, send the next few. A message's
deed and its row are committed together, so that whoever goes on after a crash knows what was done.

How many go at once is bounded three ways: by the job's pace, by BATCH_MOST, and by how many are on their way that
nobody has tried yet: together with the errors they are never more than the errors the job may have, so it does not
overshoot. A message that waits for its retry or behind its key has been tried and counts no more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

import structlog

from core import audit, bulk, operations
from core.bulk import Job
from core.crashpoints import crash_point
from core.database import Driver, driver
from core.errors import BusError, Unavailable
from core.locks import ClusterLocks

if TYPE_CHECKING:
    from core.bus import Bus

LOCK: Final = "bulk"
LOOK_S: Final = 3.0
"""Between looks when there is nothing to do; a job of this process begins at once."""
BUSY_S: Final = 0.05
"""Between looks while messages come back; each quiet look doubles it, up to LOOK_S."""
BATCH_MOST: Final = 50
UNDER_WAY_MOST: Final = 200
"""Messages sent and not yet tried, for a job that never stops by itself."""
_FINISHED: Final = ("handled", "sent", "dropped")
_log = structlog.get_logger(__name__)

_MARKED = crash_point("bulk.marked", "сообщения задания отправлены и отмечены, не зафиксированы")
_COMMITTED = crash_point("bulk.committed", "отправка зафиксирована, очереди не разбужены")


class Throttle:
    """`rate_per_s` on average; after a pause at most a second's worth (or one) at once. Moments in seconds."""

    def __init__(self, rate_per_s: float, now: float) -> None:
        self._rate_per_s = rate_per_s
        self._saved = 1.0
        self._at = now

    def allowed(self, now: float) -> int:
        """How many may go now."""
        self._saved = min(max(1.0, self._rate_per_s), self._saved + (now - self._at) * self._rate_per_s)
        self._at = now
        return int(self._saved)

    def spend(self, count: int) -> None:
        self._saved -= count

    def wait_s(self) -> float:
        """Until the next one may go."""
        return max(0.0, (1.0 - self._saved) / self._rate_per_s)


@dataclass(slots=True)
class _Counts:
    """What a step adds to the job's numbers."""

    sent: int = 0
    under_way: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def any(self) -> bool:
        return bool(self.sent or self.under_way)


class Runner:
    """A thread until `stop`; `step` does what there is to do now, once."""

    def __init__(self, bus: Bus, *, look_s: float = LOOK_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._bus = bus
        self._look_s = look_s
        self._clock = clock
        self._locks = ClusterLocks(bus.database)
        self._throttles: dict[int, Throttle] = {}
        self._quiet = 0
        self._stopping = False
        self._news = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bulk", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._news.set()
        self._thread.join()
        self._locks.close()

    def wake(self) -> None:
        """There is a new job, or a person changed one."""
        self._news.set()

    def _run(self) -> None:
        audit.comes_from("bus")
        while not self._stopping:
            pause_s = self._look_s
            try:
                if self._locks.hold(LOCK):
                    pause_s = self.step()
            except BusError as error:
                _log.warning("bulk", reason=error.reason)
            except Exception:  # whatever it is, the next look comes
                _log.exception("bulk")
            self._news.wait(pause_s)
            self._news.clear()

    def step(self) -> float:
        """One step of every open job; seconds until the next look. Raises Unavailable."""
        with self._bus.database.transaction(durable=False) as connection:
            rows = driver(connection).execute(
                "SELECT id FROM bus.bulk WHERE state IN ('planned', 'running') OR under_way > 0 ORDER BY id"
            )
            found = [row[0] for row in rows]
        self._throttles = {one: self._throttles[one] for one in found if one in self._throttles}
        pauses = [pause_s for one in found if (pause_s := self._step_of(one)) is not None]
        if pauses or not found:
            self._quiet = 0
            return min(pauses, default=self._look_s)
        self._quiet += 1
        return min(self._look_s, BUSY_S * 2.0**self._quiet)

    def _step_of(self, job_id: int) -> float | None:
        try:
            return self._step(job_id)
        except Unavailable:
            raise
        except Exception:  # a defect that one job has met must not hold up the others
            _log.exception("bulk job", job=job_id)
            return None

    def _step(self, job_id: int) -> float | None:
        """Seconds until the job wants to be looked at again; None: nothing moved."""
        after: list[Callable[[], None]] = []
        with self._bus.database.transaction() as connection:
            db = driver(connection)
            job = bulk.locked(db, job_id)
            throttle = self._throttles.setdefault(job_id, Throttle(job.rate_per_s, self._clock()))
            counts = _Counts()
            self._settle(db, job, counts)
            may_go = self._may_go(db, job, counts, throttle)
            if may_go:
                after = self._send(db, job, may_go, counts)
                throttle.spend(counts.sent)
            self._note(db, job, counts)
            _MARKED()
        _COMMITTED()
        for one in after:
            one()
        goes_on = job.state in ("planned", "running") and job.waiting > counts.sent
        if counts.any:
            return max(BUSY_S, throttle.wait_s()) if goes_on else BUSY_S
        return throttle.wait_s() if goes_on and throttle.wait_s() else None

    def _settle(self, db: Driver, job: Job, counts: _Counts) -> None:
        if not job.under_way:
            return
        for (state,) in db.execute(_SETTLE, {"id": job.id}).fetchall():
            counts.under_way -= 1
            if state == "succeeded":
                counts.succeeded += 1
            else:
                counts.failed += 1

    def _may_go(self, db: Driver, job: Job, counts: _Counts, throttle: Throttle) -> int:
        if job.state not in ("planned", "running") or not job.waiting:
            return 0
        most = UNDER_WAY_MOST
        if job.errors_most:
            most = min(most, job.errors_most - (job.failed + counts.failed - job.errors_before))
        if most <= 0:
            return 0
        row = db.execute(_UNTRIED, {"id": job.id}).fetchone() if job.under_way else None
        return max(0, min(throttle.allowed(self._clock()), BATCH_MOST, most - (row[0] if row else 0)))

    def _send(self, db: Driver, job: Job, most: int, counts: _Counts) -> list[Callable[[], None]]:
        rows = db.execute(_NEXT, (job.id, most)).fetchall()
        after: list[Callable[[], None]] = []
        marks = []
        for place, message_id, was in rows:
            state, went_id, note = self._do(db, job, message_id, was, after)
            setattr(counts, state, getattr(counts, state) + 1)
            marks.append((state, went_id, note, job.id, place))
        db.cursor().executemany(_MARK, marks)
        counts.sent = len(rows)
        return after

    def _do(
        self, db: Driver, job: Job, message_id: UUID, was: str, after: list[Callable[[], None]]
    ) -> tuple[str, UUID | None, str]:
        """(state of the item, what was sent, note)."""
        row = db.execute("SELECT state FROM bus.entry WHERE message_id = %s FOR UPDATE", (message_id,)).fetchone()
        if row is None:
            return "skipped", None, "Запись сообщения удалена по сроку хранения"
        now = row[0]
        if now in _FINISHED and (was not in _FINISHED or job.action == "drop"):
            return "skipped", None, "Пока задание ждало, сообщение уже завершено"
        if now == "ready" and job.action == "resend":
            return "skipped", None, "Пока задание ждало, сообщение уже отправлено повторно"
        note = f"Отправлено повторно: задание № {job.id}"
        try:
            with db.transaction():  # a savepoint: what can't be sent costs only itself
                if job.action == "resend":
                    resent = operations.resend_within(self._bus, db, [message_id], actor=job.created_by, note=note)
                    after.append(resent.committed)
                    return "under_way", resent.went[message_id], ""
                why = f"{job.reason} (задание № {job.id})"
                dropped = operations.drop_within(self._bus, db, [message_id], actor=job.created_by, reason=why)
        except BusError as error:
            return "failed", None, error.reason
        after += [lambda queue=queue: self._bus.wake(queue) for queue in dropped.values()]  # type: ignore[misc]
        return "succeeded", None, ""

    def _note(self, db: Driver, job: Job, counts: _Counts) -> None:
        """The job's numbers, and whether it is over."""
        failed = job.failed + counts.failed - job.errors_before
        waiting, under_way = job.waiting - counts.sent, job.under_way + counts.under_way
        state, note = job.state, job.note
        if state in ("planned", "running"):
            state = "running"
            if not waiting and not under_way:
                state = "done"
            elif job.errors_most and failed >= job.errors_most and waiting:
                state = "stopped"
                note = f"Ошибок: {failed}. Посмотрите их, устраните причину и продолжите, либо отмените задание"
        if not counts.any and state == job.state:
            return
        db.execute(
            _COUNT,
            {
                "id": job.id,
                "state": state,
                "note": note,
                "sent": counts.sent,
                "under_way": counts.under_way,
                "succeeded": counts.succeeded,
                "failed": counts.failed,
                "skipped": counts.skipped,
            },
        )
        if state != job.state and state in ("done", "stopped"):
            words = f"Задание № {job.id}: {bulk.STATES[state]}"
            audit.record(db, "", f"bulk.{state}", "bulk", str(job.id), words)
            db.execute(_FORGET, (bulk.KEPT_DAYS,))


# `e.state || ''`: found by the message's id, never by an index of that state (see core.queues).
_SETTLE: Final = """
UPDATE bus.bulk_item i SET state = over.state, note = over.note, changed_at = clock_timestamp()
FROM (
    SELECT u.place, CASE WHEN e.state || '' IN ('handled', 'sent') THEN 'succeeded' ELSE 'failed' END AS state,
        CASE WHEN e.seq IS NULL THEN 'Запись сообщения удалена по сроку хранения'
             WHEN e.state || '' = 'dropped' THEN 'Отклонено, пока было в работе'
             WHEN e.state || '' = 'quarantined' THEN e.reason ELSE '' END AS note
    FROM bus.bulk_item u LEFT JOIN bus.entry e ON e.message_id = u.went_id
    WHERE u.bulk_id = %(id)s AND u.state = 'under_way'
      AND (e.seq IS NULL OR e.state || '' IN ('handled', 'sent', 'quarantined', 'dropped'))
) AS over
WHERE i.bulk_id = %(id)s AND i.place = over.place
RETURNING i.state
"""
_UNTRIED: Final = """
SELECT count(*) FROM bus.bulk_item i JOIN bus.entry e ON e.message_id = i.went_id
WHERE i.bulk_id = %(id)s AND i.state = 'under_way' AND e.state || '' = 'ready'
"""
_NEXT: Final = """
SELECT place, message_id, was FROM bus.bulk_item WHERE bulk_id = %s AND state = 'waiting' ORDER BY place LIMIT %s
"""
_MARK: Final = """
UPDATE bus.bulk_item SET state = %s, went_id = %s, note = %s, changed_at = clock_timestamp()
WHERE bulk_id = %s AND place = %s
"""
_COUNT: Final = """
UPDATE bus.bulk SET state = %(state)s, note = %(note)s, waiting = waiting - %(sent)s,
    under_way = under_way + %(under_way)s, succeeded = succeeded + %(succeeded)s, failed = failed + %(failed)s,
    skipped = skipped + %(skipped)s, started_at = coalesce(started_at, clock_timestamp()),
    finished_at = CASE WHEN %(state)s = 'done' THEN clock_timestamp() ELSE finished_at END,
    changed_at = clock_timestamp()
WHERE id = %(id)s
"""
_FORGET: Final = """
DELETE FROM bus.bulk WHERE finished_at < clock_timestamp() - make_interval(days => %s) AND under_way = 0
"""
