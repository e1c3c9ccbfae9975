"""Queues: who may be claimed, and where a message stands afterwards. SQL only; the way itself is core.engine.

States of an entry (a closed set):
    ready        may be claimed, when no earlier message of its key is unfinished
    held         waits behind an earlier message of its key that failed
    retry        failed, comes again at due_at
    quarantined  will not be tried again until a person decides; its key waits
    handled      a route's handler committed          sent     a sink's far side confirmed
    dropped      a person decided that it shall not be handled
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from core.database import Driver, storable
from core.errors import BusError
from core.journal import Journal
from core.message import Message

UNFINISHED = ("ready", "held", "retry", "quarantined")


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message locked by this transaction. attempts: how many times it failed before.

    problem: its body could not be read; then `message.body` is empty.
    """

    seq: int
    attempts: int
    message: Message
    problem: BusError | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A claimed message that goes to `state` ("retry" after pause_s, or "quarantined")."""

    claimed: Claimed
    state: str
    error: str
    reason: str
    pause_s: float = 0.0


_HEADS = """
SELECT e.seq, e.attempts, e.key, {columns}
FROM bus.entry e JOIN bus.message m USING (seq)
WHERE e.queue = %(queue)s AND e.state = 'ready' AND {extra}
  AND (e.key = '' OR NOT EXISTS (
        SELECT 1 FROM bus.entry b
        WHERE b.queue = e.queue AND b.key = e.key AND b.key <> '' AND b.seq < e.seq
          AND b.state IN ('ready', 'held', 'retry', 'quarantined')))
ORDER BY e.seq LIMIT %(limit)s
FOR UPDATE OF e SKIP LOCKED
"""

# A key has one owner at a time. The lock of its first message is not enough: a still earlier one may become visible
# when the intake that wrote it commits late.
_OWN_KEYS = """
SELECT key FROM unnest(%s::text[]) AS key WHERE pg_try_advisory_xact_lock(hashtextextended(%s || '/' || key, 0))
"""

# Only the unbroken run: what stands behind a failed message waits, however healthy it is. The owner of the key
# waits here for an operator's click at most.
_FOLLOWERS = """
WITH waiting AS (
    SELECT w.seq, bool_and(w.state IN ('ready', 'held')) OVER (PARTITION BY w.key ORDER BY w.seq) AS unbroken
    FROM unnest(%(keys)s::text[]) AS owned (key) CROSS JOIN LATERAL (
        SELECT seq, key, state FROM bus.entry
        WHERE queue = %(queue)s AND key = owned.key AND key <> ''
          AND state IN ('ready', 'held', 'retry', 'quarantined')
        ORDER BY seq LIMIT %(each)s) w
), run AS MATERIALIZED (
    SELECT seq FROM waiting WHERE unbroken AND NOT seq = ANY(%(heads)s) ORDER BY seq LIMIT %(limit)s
)
SELECT e.seq, e.attempts, e.key, {columns}
FROM run JOIN bus.entry e USING (seq) JOIN bus.message m USING (seq)
WHERE e.state IN ('ready', 'held')
ORDER BY e.seq
FOR UPDATE OF e
"""

# "Ready" said in such a way that only the index by key fits: without statistics the planner takes the other one,
# and reads the queue once for every failed message. LATERAL keeps it at one look a key.
_READY_BEHIND = """
e.queue = f.queue AND e.key = f.key AND e.key <> '' AND e.seq > f.seq
AND e.state IN ('ready', 'held', 'retry', 'quarantined') AND NOT e.state IN ('held', 'retry', 'quarantined')
"""

ANY = "true"
PREPARED = "EXISTS (SELECT 1 FROM bus.outgoing o WHERE o.message_id = e.message_id)"
NOT_PREPARED = "NOT " + PREPARED


class Queues:
    """Claims and settlements, always in the caller's transaction."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def claim(self, db: Driver, queue: str, limit: int, *, only: str = ANY, follow: bool = True) -> list[Claimed]:
        """Lock up to `limit` messages in order; of each key only an unbroken run from its first unfinished one."""
        values: dict[str, Any] = {"queue": queue, "limit": limit}
        rows = db.execute(_HEADS.format(columns=Journal.columns, extra=only), values).fetchall()
        keys = sorted({row[2] for row in rows if row[2]})
        if keys:
            owned = {row[0] for row in db.execute(_OWN_KEYS, (keys, queue))}
            rows = [row for row in rows if not row[2] or row[2] in owned]
            keys = sorted(owned)
        if follow and keys and len(rows) < limit:
            limit -= len(rows)
            values.update(keys=keys, heads=[row[0] for row in rows], limit=limit, each=limit // len(keys) + 2)
            rows += db.execute(_FOLLOWERS.format(columns=Journal.columns), values).fetchall()
            rows.sort(key=lambda row: row[0])
        return [self._claimed(db, row) for row in rows]

    def _claimed(self, db: Driver, row: Sequence[Any]) -> Claimed:
        problem: BusError | None = None
        try:
            message = self._journal.message_of(db, row[3:])
        except BusError as error:  # one lost payload must not keep the whole queue from being claimed
            problem, message = error, self._journal.message_of(db, row[3:], with_body=False)
        return Claimed(row[0], row[1], message.but(key=row[2]) if message.key != row[2] else message, problem)

    def finish(self, db: Driver, queue: str, done: Sequence[Claimed], state: str) -> None:
        """Mark as handled or sent, and let the keys that waited behind a failure go on."""
        if not done:
            return
        db.execute(
            "UPDATE bus.entry SET state = %s, attempts = attempts + 1, due_at = NULL, error = '', reason = '', "
            "changed_at = clock_timestamp() WHERE seq = ANY(%s)",
            (state, [one.seq for one in done]),
        )
        self.release(db, queue, [one.message.key for one in done if one.attempts])

    def release(self, db: Driver, queue: str, keys: Sequence[str]) -> None:
        """Held messages of these keys become ready; their order still rules who may be claimed."""
        if waiting := [key for key in keys if key]:
            db.execute(
                "UPDATE bus.entry SET state = 'ready' WHERE queue = %s AND key = ANY(%s) AND state = 'held'",
                (queue, waiting),
            )

    def fail(self, db: Driver, queue: str, failed: Iterable[Failed]) -> None:
        """Put failed messages aside and hold what follows them under the same key."""
        for one in failed:
            db.execute(
                "UPDATE bus.entry SET state = %(state)s, attempts = attempts + 1, error = %(error)s, "
                "reason = %(reason)s, changed_at = clock_timestamp(), due_at = CASE WHEN %(state)s = 'retry' "
                "THEN clock_timestamp() + make_interval(secs => %(pause_s)s) END WHERE seq = %(seq)s",
                {
                    "state": one.state,
                    "error": one.error,
                    "reason": storable(one.reason),
                    "pause_s": one.pause_s,
                    "seq": one.claimed.seq,
                },
            )
            if key := one.claimed.message.key:
                db.execute(
                    "UPDATE bus.entry SET state = 'held' "
                    "WHERE queue = %s AND key = %s AND seq > %s AND state = 'ready'",
                    (queue, key, one.claimed.seq),
                )

    def sweep(self, db: Driver) -> list[str]:
        """Bring back what is due and what lost its wake-up; the names of queues that have work and may run."""
        # What somebody has locked is skipped and looked at a sweep later: no waiting, no deadlocks with workers.
        db.execute("""
            UPDATE bus.entry SET state = 'ready' WHERE seq IN (
                SELECT seq FROM bus.entry WHERE state = 'retry' AND due_at <= clock_timestamp()
                FOR UPDATE SKIP LOCKED)
        """)
        # A message that arrived behind a failed one is parked, so that claims need not look at it each time. The
        # failed one is locked first: while a worker has it, its key is that worker's.
        db.execute(f"""
            WITH failed AS (
                SELECT f.queue, f.key, f.seq FROM bus.entry f CROSS JOIN LATERAL (
                    SELECT 1 FROM bus.entry e WHERE {_READY_BEHIND} LIMIT 1) behind
                WHERE f.key <> '' AND f.state IN ('retry', 'quarantined')
                FOR SHARE OF f SKIP LOCKED
            )
            UPDATE bus.entry SET state = 'held' WHERE seq IN (
                SELECT behind.seq FROM failed f CROSS JOIN LATERAL (
                    SELECT e.seq FROM bus.entry e WHERE {_READY_BEHIND} FOR UPDATE SKIP LOCKED) behind)
        """)
        db.execute("""
            UPDATE bus.entry SET state = 'ready' WHERE seq IN (
                SELECT e.seq FROM bus.entry e LEFT JOIN LATERAL (
                    SELECT true AS waits FROM bus.entry b WHERE b.queue = e.queue AND b.key = e.key AND b.key <> ''
                      AND b.seq < e.seq AND b.state IN ('ready', 'held', 'retry', 'quarantined') LIMIT 1) b ON true
                WHERE e.state = 'held' AND b.waits IS NULL
                FOR UPDATE OF e SKIP LOCKED)
        """)
        rows = db.execute("""
            SELECT q.name FROM bus.queue q
            WHERE q.side <> 'source' AND q.state = 'running' AND (q.rest_until IS NULL OR q.rest_until <= now())
              AND EXISTS (SELECT 1 FROM bus.entry e WHERE e.queue = q.name AND e.state = 'ready')
        """)
        return [row[0] for row in rows]

    def may_run(self, db: Driver, queue: str) -> bool:
        """Not paused, not stopped, not resting."""
        row = db.execute(
            "SELECT state = 'running' AND (rest_until IS NULL OR rest_until <= now()) FROM bus.queue WHERE name = %s",
            (queue,),
        ).fetchone()
        return bool(row and row[0])

    def rest(self, db: Driver, queue: str, pause_s: float, reason: str) -> None:
        """The far side is away: nobody touches the queue for a while."""
        db.execute(
            "UPDATE bus.queue SET rest_until = clock_timestamp() + make_interval(secs => %s), reason = %s, "
            "failures = failures + 1 WHERE name = %s",
            (pause_s, reason, queue),
        )

    def failures(self, db: Driver, queue: str) -> int:
        row = db.execute("SELECT failures FROM bus.queue WHERE name = %s", (queue,)).fetchone()
        return row[0] if row else 0

    def awake(self, db: Driver, queue: str) -> None:
        """The far side answers again."""
        db.execute(
            "UPDATE bus.queue SET rest_until = NULL, reason = '', failures = 0 WHERE name = %s AND failures > 0",
            (queue,),
        )

    def stop(self, db: Driver, queue: str, reason: str) -> None:
        """A ConfigError: nothing moves until someone mends the settings and resumes."""
        db.execute(
            "UPDATE bus.queue SET state = 'stopped', reason = %s, changed_at = clock_timestamp(), changed_by = '' "
            "WHERE name = %s AND state = 'running'",
            (reason, queue),
        )


def renew(db: Driver, message_id: UUID) -> None:
    """Forget the prepared bytes: the far side has said that it does not have them."""
    db.execute("DELETE FROM bus.outgoing WHERE message_id = %s", (message_id,))
