"""Queues: who may be claimed, and where a message stands afterwards. SQL only; the way itself is core.engine.

States of an entry (a closed set):
    ready        may be claimed, when no earlier message of its key is unfinished
    held         waits behind an earlier message of its key that failed
    retry        failed, comes again at due_at
    quarantined  will not be tried again until a person decides; its key waits
    handled      a route's handler committed          sent     a sink's far side confirmed
    dropped      a person decided that it shall not be handled

A claim costs what it takes, however many messages wait. It looks at the first few ready messages; where those are
blocked (a million behind a key that another worker has), it hops over the keys that have something ready. Of a key
it first becomes the owner, then takes an unbroken run from the first unfinished message. "Held" only keeps the
blocked out of the way: it is written in slices, and no promise depends on it. The looks are the functions of
migrations/0002_claims.py, whose plans do not depend on statistics.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

from core.database import Driver, Row, storable
from core.errors import BusError
from core.journal import Journal
from core.message import Message

UNFINISHED = ("ready", "held", "retry", "quarantined")
HOLD_MOST: Final = 500
"""Messages held at once behind a failed one; the sweep holds the next."""
DUE_MOST: Final = 2000
"""Retries that one sweep brings back."""
STUCK_KEYS_MOST: Final = 500
"""Keys with a failed message that one sweep looks at; the next one goes on behind them."""
HOPS_MOST: Final = 4
"""Stretches of keys that a claim looks at before it says that nothing may be claimed."""

_ALL: Final = 2**63 - 1

ANY: Final = None
PREPARED: Final = True
NOT_PREPARED: Final = False
"""What a claim may be limited to: messages whose bytes for the far side are ready, or are not."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message locked by this transaction. attempts: how many times it failed before.

    problem: its body could not be read; then `message.body` is empty.
    followed: messages of its key are held; the first of them becomes ready when this one is finished.
    """

    seq: int
    attempts: int
    message: Message
    problem: BusError | None = None
    followed: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """A claimed message that goes to `state` ("retry" after pause_s, or "quarantined")."""

    claimed: Claimed
    state: str
    error: str
    reason: str
    pause_s: float = 0.0


_PREPARED = "EXISTS (SELECT FROM bus.outgoing o WHERE o.message_id = e.message_id)"
_FITS: Final = {ANY: "true", PREPARED: _PREPARED, NOT_PREPARED: f"NOT {_PREPARED}"}

# Rows are found by number. Where a state is only checked, `state || ''` keeps the planner from finding them by the
# index of that state instead, which it believes to be short.

# One row at least: how many messages were looked at and the last of them; the keys among them, each with the number of
# its first message, in that order: they have to be owned first. And messages without a key, locked.
_NEAR = """
WITH near AS MATERIALIZED (
    SELECT seq, key FROM bus.near(%(queue)s, %(window)s)
), keyless AS MATERIALIZED (
    SELECT e.seq, e.attempts FROM near JOIN bus.entry e USING (seq)
    WHERE near.key = '' AND e.state || e.key = 'ready' AND {fits}
    LIMIT %(limit)s FOR UPDATE OF e SKIP LOCKED
)
SELECT seen.many, seen.last, keyed.keys, keyed.firsts, keyless.seq, keyless.attempts, '', false, {columns}
FROM (SELECT count(*) AS many, max(seq) AS last FROM near) AS seen
CROSS JOIN (SELECT array_agg(key ORDER BY first) AS keys, array_agg(first ORDER BY first) AS firsts
            FROM (SELECT key, min(seq) AS first FROM near WHERE key <> '' GROUP BY key) AS one) AS keyed
LEFT JOIN (keyless JOIN bus.message m USING (seq)) ON true
"""

_KEYLESS = """
SELECT e.seq, e.attempts, '', false, {columns}
FROM bus.lock_keyless(%(queue)s, %(after)s, %(only)s, %(limit)s) AS e JOIN bus.message m USING (seq)
"""

# A key has one owner at a time. The lock of its first message is not enough: a still earlier one may become visible
# when the intake that wrote it commits late.
_OWN_KEYS = """
SELECT key FROM unnest(%s::text[]) AS key WHERE pg_try_advisory_xact_lock(hashtextextended(%s || '/' || key, 0))
LIMIT %s
"""

# Only the unbroken run: what stands behind a failed message waits, however healthy it is. The keys take turns, so that
# each is served before one is served at length. The owner of a key waits here for an operator's click at most.
_RUNS = """
WITH waiting AS (
    SELECT seq, followed, bool_and(state IN ('ready', 'held')) OVER place AS unbroken, row_number() OVER place AS place
    FROM bus.unfinished(%(queue)s, %(keys)s, %(lasts)s, %(each)s) WINDOW place AS (PARTITION BY key ORDER BY seq)
), run AS MATERIALIZED (
    SELECT seq, followed FROM waiting WHERE unbroken ORDER BY place, seq LIMIT %(limit)s
)
SELECT e.seq, e.attempts, e.key, run.followed, {columns}
FROM run JOIN bus.entry e USING (seq) JOIN bus.message m USING (seq)
WHERE e.state || '' IN ('ready', 'held') AND {fits}
ORDER BY e.seq
FOR UPDATE OF e
"""

_HOLD = """
UPDATE bus.entry SET state = 'held' WHERE state || '' = 'ready'
    AND seq IN (SELECT bus.ready_behind(%(queue)s, key, after, %(each)s)
                FROM unnest(%(keys)s::text[], %(after)s::bigint[]) AS failed (key, after))
"""

# The first of each key is enough: by it a claim finds the key, and takes those behind it held as they are.
_RELEASE = """
UPDATE bus.entry SET state = 'ready' WHERE state || '' = 'held'
    AND seq IN (SELECT seq FROM bus.first_stuck(%s, %s) WHERE state = 'held')
"""

# What somebody has locked is skipped and looked at a sweep later: no waiting, no deadlocks with workers.
_BRING_BACK = """
UPDATE bus.entry SET state = 'ready' WHERE seq IN (
    SELECT e.seq FROM bus.due(%s) AS due JOIN bus.entry e ON e.seq = due
    WHERE e.state || '' = 'retry' FOR UPDATE OF e SKIP LOCKED)
"""

# Keys where something is amiss: ready messages behind a failed one; or a held one behind nothing.
_STUCK = """
SELECT s.queue, s.key, s.seq, s.state,
       CASE WHEN s.state = 'held' THEN coalesce((SELECT bus.ready_behind(s.queue, s.key, 0, 1)) > s.seq, true)
       ELSE EXISTS (SELECT bus.ready_behind(s.queue, s.key, s.seq, 1)) END
FROM bus.next_stuck(%s, %s, %s) AS s
"""

_WAITING = """
SELECT q.name FROM bus.queue q
WHERE q.side <> 'source' AND q.state = 'running' AND (q.rest_until IS NULL OR q.rest_until <= now())
  AND EXISTS (SELECT FROM bus.near(q.name, 1))
"""


class _Wanted:
    """The looks of one claim."""

    def __init__(self, db: Driver, queue: str, only: bool | None, follow: bool) -> None:
        self.queue = queue
        self.only = only
        self._db = db
        self._follow = follow
        self._words = {"columns": Journal.columns, "fits": _FITS[only]}

    def rows(self, sql: str, **values: Any) -> list[Row]:
        return self._db.execute(sql.format(**self._words), values | {"queue": self.queue}).fetchall()

    def next_keys(self, after: str, limit: int) -> dict[str, int]:
        """{key: number of its first ready message}"""
        rows = self._db.execute("SELECT key, seq FROM bus.next_keys(%s, %s, %s)", (self.queue, after, limit))
        return {row[0]: row[1] for row in rows}

    def runs(self, keys: dict[str, int], most: int, limit: int) -> list[Row]:
        """Own `most` of these keys, those that nobody has; lock their runs, `limit` messages in all.

        keys: each with the number of its first ready message.
        """
        if not keys or most <= 0 or limit <= 0:
            return []
        owned = [row[0] for row in self._db.execute(_OWN_KEYS, (list(keys), self.queue, most))]
        if not owned:
            return []
        each = -(-limit // len(owned)) if self._follow else 1
        lasts = [keys[key] if each == 1 else _ALL for key in owned]
        return self.rows(_RUNS, keys=owned, lasts=lasts, each=each, limit=limit)


class Queues:
    """Claims and settlements, always in the caller's transaction. Thread-safe."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        # Where the next claim or sweep goes on. Two threads that read the same place do the same work twice at worst.
        self._next_key: dict[str, str] = {}
        self._next_stuck = ("", "")

    def claim(
        self, db: Driver, queue: str, limit: int, *, only: bool | None = ANY, follow: bool = True
    ) -> list[Claimed]:
        """Lock up to `limit` messages in order; of each key only an unbroken run from its first unfinished one."""
        wanted = _Wanted(db, queue, only, follow)
        window = 4 * limit + 64
        found = wanted.rows(_NEAR, window=window, limit=limit)
        many, last, *keyed = found[0][:4]
        keyless = sorted(row[4:] for row in found if row[4] is not None)
        rows: list[Row] = []
        keys = dict(zip(*keyed, strict=True)) if keyed[0] else {}
        if keys:
            # Both kinds in the order of acceptance; a key that another worker has makes room for the next one.
            most = sum(1 for place, first in enumerate(keyed[1]) if place + bisect(keyless, (first,)) < limit)
            rows = wanted.runs(keys, most, limit - min(len(keyless), limit - most))
        rows += keyless[: limit - len(rows)]
        if many == window and len(rows) < limit:
            rows += self._beyond(wanted, last, set(keys), limit - len(rows))
        rows.sort(key=itemgetter(0))
        return [self._claimed(db, row) for row in rows]

    def _beyond(self, wanted: _Wanted, last: int, tried: set[str], limit: int) -> list[Row]:
        """What may be claimed behind messages that may not: half of it without a key, so that neither starves."""
        rows = wanted.rows(_KEYLESS, after=last, only=wanted.only, limit=(limit + 1) // 2)
        for _ in range(HOPS_MOST):
            after = self._next_key.get(wanted.queue, "")
            keys = wanted.next_keys(after, limit)
            self._next_key[wanted.queue] = [*keys][-1] if len(keys) == limit else ""
            new = {key: first for key, first in keys.items() if key not in tried}
            tried.update(new)
            rows += wanted.runs(new, len(new), limit - len(rows))
            if len(rows) == limit or (not new and not after):
                break
        return rows

    def _claimed(self, db: Driver, row: Row) -> Claimed:
        seq, attempts, key, followed = row[:4]
        problem: BusError | None = None
        try:
            message = self._journal.message_of(db, row[4:])
        except BusError as error:  # one lost payload must not keep the whole queue from being claimed
            problem, message = error, self._journal.message_of(db, row[4:], with_body=False)
        return Claimed(seq, attempts, message.but(key=key) if message.key != key else message, problem, followed)

    def finish(self, db: Driver, queue: str, done: Sequence[Claimed], state: str) -> None:
        """Mark as handled or sent, and let the keys that waited behind a failure go on."""
        if not done:
            return
        db.execute(
            "UPDATE bus.entry SET state = %s, attempts = attempts + 1, due_at = NULL, error = '', reason = '', "
            "changed_at = clock_timestamp() WHERE seq = ANY(%s)",
            (state, [one.seq for one in done]),
        )
        self.release(db, queue, [one.message.key for one in done if one.attempts or one.followed])

    def release(self, db: Driver, queue: str, keys: Iterable[str]) -> None:
        """The first held message of each key becomes ready; the order still rules who may be claimed."""
        if waiting := sorted({key for key in keys if key}):
            db.execute(_RELEASE, (queue, waiting))

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
            if one.claimed.message.key:
                self._hold(db, queue, {one.claimed.message.key: one.claimed.seq})

    def _hold(self, db: Driver, queue: str, failed: dict[str, int]) -> None:
        """What is ready behind these failed messages of these keys waits: a slice of HOLD_MOST in all."""
        if failed:
            each = max(1, HOLD_MOST // len(failed))
            after = list(failed.values())
            db.execute(_HOLD, {"queue": queue, "keys": list(failed), "after": after, "each": each})

    def sweep(self, db: Driver) -> None:
        """Bring back what is due, hold what came behind a failure, free what waits for nothing. A slice of each."""
        db.execute(_BRING_BACK, (DUE_MOST,))
        stuck = db.execute(_STUCK, (*self._next_stuck, STUCK_KEYS_MOST)).fetchall()
        self._next_stuck = (stuck[-1][0], stuck[-1][1]) if len(stuck) == STUCK_KEYS_MOST else ("", "")
        for queue, group in groupby(stuck, itemgetter(0)):
            amiss = {key: (seq, state) for _, key, seq, state, is_amiss in group if is_amiss}
            # While a worker has a key, what stands in it is that worker's.
            owned = {row[0] for row in db.execute(_OWN_KEYS, (list(amiss), queue, len(amiss)))} if amiss else set()
            self.release(db, queue, [key for key in owned if amiss[key][1] == "held"])
            self._hold(db, queue, {key: amiss[key][0] for key in owned if amiss[key][1] != "held"})

    def waiting(self, db: Driver) -> list[str]:
        """The names of queues that have work and may run: one look into the index a queue."""
        return [row[0] for row in db.execute(_WAITING)]

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
