"""Retention: what is finished long enough ago goes away, first the contents, then the record.

Only `handled`, `sent` and `dropped` messages are ever touched, none whose answer is still awaited; the record of a
message stays as long as one that it gave rise to is unfinished. The id of a removed message is remembered, so that a
late repeat is still a repeat.

A run goes through each queue that has terms in the order of acceptance, from where the last one ended, in small
transactions with pauses between them. What it passes over (not finished, awaited, kept longer by its state) is noted
and looked at again by every run. A run may be killed anywhere: the next one goes on.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from core import garbage, removal
from core.database import Database, Driver, driver
from core.errors import ConfigError
from core.payloads import PayloadStore
from core.queues import UNFINISHED
from core.reading import CLOCK_SLACK_S, first_since
from core.settings import RetentionSettings, Terms

FINISHED: Final = ("handled", "sent", "dropped")
CONTENTS: Final = ("body", "record")
BATCH: Final = 250
"""Messages in one transaction."""
SEEN_WAIT_S: Final = 60.0
"""How long a run waits for statements that began before it remembered an id; then it leaves the records to the next."""
YOUNGEST: Final = timedelta(minutes=10)
"""Nothing accepted since is looked at, whatever the terms: its transaction may not even have ended."""
VACUUM_FROM: Final = 1000
_VACUUMED: Final = ("bus.message", "bus.event", "bus.entry", "bus.outgoing", "bus.payload")


@dataclass(slots=True)
class Outcome:
    """What a run did, or would do: counts by queue; `complete`: nothing is left for the next run."""

    bodies: Counter[str] = field(default_factory=Counter)
    records: Counter[str] = field(default_factory=Counter)
    forgotten: int = 0
    garbage: garbage.Collected = field(default_factory=garbage.Collected)
    complete: bool = True


class Retention:
    """One run at a time in a cluster: the caller holds the lock (core.keeper.LOCK)."""

    def __init__(
        self,
        database: Database,
        payloads: PayloadStore,
        settings: RetentionSettings,
        stopping: threading.Event | None = None,
    ) -> None:
        self._database = database
        self._payloads = payloads
        self._settings = settings
        self._stopping = stopping or threading.Event()

    def run(self, *, dry: bool = False, now: datetime | None = None) -> Outcome:
        """Take away what is due (`dry`: only count it). Raises ConfigError, Unavailable."""
        now = now or datetime.now(UTC)
        self.check()
        done = Outcome()
        started_at = None if dry else self._begin()
        for content in CONTENTS:
            terms = self.terms(content)
            for queue in terms:
                self._walk(content, queue, terms, now, done, dry=dry)
            if terms:
                self._late(content, terms, now, done, dry=dry)
        if dry:
            return done
        self._forget(now, done)
        done.garbage = garbage.collect(self._database, self._payloads.blobs, self._pause)
        if sum((done.bodies + done.records).values()) + done.garbage.payloads >= VACUUM_FROM:
            self._vacuum()
        self._end(started_at, done)
        return done

    def check(self) -> None:
        """Raises ConfigError for terms of a queue that never was."""
        if unknown := sorted(self._settings.queues.keys() - set(self._queues())):
            raise ConfigError(f"Настройки retention.queues: нет очереди {unknown[0]}. Исправьте имя или уберите её")

    def terms(self, content: str) -> dict[str, dict[str, float]]:
        """Queue → state → days; queues and states that are kept for ever are left out."""
        queues = self._settings.queues
        found = {name: _terms(self._settings, queues.get(name), content) for name in self._queues()}
        return {name: states for name, states in found.items() if states}

    def _queues(self) -> list[str]:
        """Those of today, and those that only the journal still knows."""
        with self._database.transaction(durable=False) as connection:
            return [row[0] for row in driver(connection).execute(_QUEUES)]

    def _walk(
        self, content: str, queue: str, terms: dict[str, dict[str, float]], now: datetime, done: Outcome, *, dry: bool
    ) -> None:
        """From the mark of this queue to the first message that is too young under every term."""
        states = terms[queue]
        fingerprint = json.dumps(states, sort_keys=True)
        youngest = min(now - timedelta(days=min(states.values())), now - YOUNGEST)
        with self._database.transaction(durable=False) as connection:
            db = driver(connection)
            row = db.execute(
                "SELECT seq FROM bus.retention_mark WHERE queue = %s AND content = %s AND terms = %s",
                (queue, content, fingerprint),
            ).fetchone()
            first = row[0] if row else 0
            last = first_since(db, youngest - timedelta(seconds=CLOCK_SLACK_S))
        while first < last and not self._stopping.is_set():
            values = {"queue": queue, "first": first, "last": last, "limit": BATCH}
            found = self._find(_IN_QUEUE, values, content, terms, now)
            if not found:
                return
            first = found[-1][0] + 1
            began = time.monotonic()
            self._take(content, found, done, dry=dry, mark=(queue, content, first, fingerprint))
            self._pause(0 if dry else time.monotonic() - began)
        done.complete &= first >= last

    def _late(
        self, content: str, terms: dict[str, dict[str, float]], now: datetime, done: Outcome, *, dry: bool
    ) -> None:
        """What earlier runs passed over."""
        first = 0
        while not self._stopping.is_set():
            found = self._find(_NOTED, {"content": content, "first": first, "limit": BATCH}, content, terms, now)
            if not found:
                break
            first = found[-1][0] + 1
            began = time.monotonic()
            self._take(content, found, done, dry=dry)
            self._pause(0 if dry else time.monotonic() - began)
        if not dry:
            with self._database.transaction(durable=False) as connection:
                driver(connection).execute(_FORGET_LATE)

    def _find(
        self, which: str, values: dict[str, Any], content: str, terms: dict[str, dict[str, float]], now: datetime
    ) -> list[tuple[int, UUID, str, bool]]:
        """(seq, id, queue, due) of the next ones."""
        cutoffs = [
            (queue, state, min(now - timedelta(days=days), now - YOUNGEST))
            for queue, states in terms.items()
            for state, days in states.items()
        ]
        columns = dict(zip(("queues", "states", "cutoffs"), map(list, zip(*cutoffs, strict=True)), strict=True))
        with self._database.transaction(durable=False) as connection:
            sql = _FIND.format(which=which, condition=_MAY_GO[content])
            return driver(connection).execute(sql, {**values, **columns}).fetchall()

    def _take(
        self,
        content: str,
        found: Sequence[tuple[int, UUID, str, bool]],
        done: Outcome,
        *,
        dry: bool,
        mark: tuple[str, str, int, str] | None = None,
    ) -> None:
        due = {id_: queue for _, id_, queue, is_due in found if is_due}
        counts = done.bodies if content == "body" else done.records
        if dry:
            counts.update(due.values())
            return
        seen = content != "record" or not due or self._remember(list(due))
        with self._database.transaction(durable=False) as connection:
            db = driver(connection)
            removal.permit(db)
            late = [seq for seq, _, _, is_due in found if not is_due or not seen]
            if due and seen:
                taken = removal.take_bodies(db, list(due)) if content == "body" else self._records(db, list(due))
                counts.update(due[one] for one in taken)
            db.execute(_NOT_LATE, (content, [seq for seq, *_ in found if seq not in set(late)]))
            db.execute(_IS_LATE, (content, late))
            if mark:
                db.execute(_MARK, mark)
        done.complete &= seen

    def _records(self, db: Driver, ids: list[UUID]) -> Collection[UUID]:
        return removal.take_records(db, ids, f"e.state IN {FINISHED} AND {_MAY_GO['record']}")

    def _remember(self, ids: list[UUID]) -> bool:
        """Commit the ids, and wait until nobody inserts who has not seen them: else a repeat could slip in between."""
        with self._database.transaction(durable=False) as connection:
            number = removal.remember(driver(connection), ids)
        ends = time.monotonic() + SEEN_WAIT_S
        while time.monotonic() < ends:
            with self._database.transaction(durable=False) as connection:
                if removal.is_seen(driver(connection), number):
                    return True
            if self._stopping.wait(0.05):
                break
        return False

    def _forget(self, now: datetime, done: Outcome) -> None:
        days = self._settings.remember_days
        while days is not None and not self._stopping.is_set():
            began = time.monotonic()
            with self._database.transaction(durable=False) as connection:
                db = driver(connection)
                removal.permit(db)
                count = removal.forget(db, now - timedelta(days=days), BATCH)
            done.forgotten += count
            if not count:
                return
            self._pause(time.monotonic() - began)

    def _pause(self, worked_s: float) -> bool:
        """Leave the database to others for a while; True when the run shall end."""
        return self._stopping.wait(max(0.001, worked_s * (1 / self._settings.share - 1)))

    def _vacuum(self) -> None:
        """Make the room usable at once, gently: the budget counts it (core.disk)."""
        with self._database.dedicated() as connection:
            connection.execute("SET vacuum_cost_delay = '2ms'")
            for table in _VACUUMED:
                if not self._stopping.is_set():
                    connection.execute(f"VACUUM {table}")

    def _begin(self) -> datetime:
        with self._database.transaction() as connection:
            sql = "INSERT INTO bus.retention_run DEFAULT VALUES RETURNING started_at"
            row = driver(connection).execute(sql).fetchone()
        assert row is not None
        started_at: datetime = row[0]
        return started_at

    def _end(self, started_at: datetime | None, done: Outcome) -> None:
        note = "" if done.complete and not self._stopping.is_set() else "прервано, продолжит следующий запуск"
        with self._database.transaction() as connection:
            driver(connection).execute(
                "UPDATE bus.retention_run SET finished_at = clock_timestamp(), bodies = %s, records = %s, "
                "payloads = %s, note = %s WHERE started_at = %s",
                (done.bodies.total(), done.records.total(), done.garbage.payloads, note, started_at),
            )


def notice(db: Driver, seq: int) -> None:
    """This message may have come into a queue that was gone through already: look at it in the next run."""
    for content in CONTENTS:
        db.execute(_IS_LATE, (content, [seq]))


def _terms(settings: RetentionSettings, own: Terms | None, content: str) -> dict[str, float]:
    """State → days, the queue's own before the general ones."""
    found: dict[str, float] = {}
    for terms in (settings, own):
        term = getattr(terms, f"{content}_days", None)
        by_state = term if isinstance(term, dict) else dict.fromkeys(FINISHED, term) if term is not None else {}
        for state, days in by_state.items():
            found.pop(state, None)
            if days != "never":
                found[state] = days
    return found


_NOT_AWAITED: Final = (
    "NOT EXISTS (SELECT 1 FROM bus.outgoing o WHERE o.message_id = e.message_id "
    "AND o.answer_due_at IS NOT NULL AND o.answered_at IS NULL)"
)
_MAY_GO: Final = {
    "body": _NOT_AWAITED,
    "record": f"{_NOT_AWAITED} AND NOT EXISTS (SELECT 1 FROM bus.message k JOIN bus.entry u ON u.seq = k.seq "
    f"WHERE k.cause = e.message_id AND u.state IN {UNFINISHED})",
}
_QUEUES: Final = """
WITH RECURSIVE hop (queue) AS (
    (SELECT queue FROM bus.entry ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT e.queue FROM bus.entry e WHERE e.queue > hop.queue ORDER BY e.queue LIMIT 1)
    FROM hop WHERE hop.queue IS NOT NULL
)
SELECT queue FROM hop WHERE queue IS NOT NULL
UNION SELECT name FROM bus.queue WHERE side <> 'source'
ORDER BY 1
"""
_IN_QUEUE: Final = "e.queue = %(queue)s AND e.seq >= %(first)s AND e.seq < %(last)s ORDER BY e.seq LIMIT %(limit)s"
_NOTED: Final = """
e.seq IN (SELECT seq FROM bus.retention_late WHERE content = %(content)s AND seq >= %(first)s
          ORDER BY seq LIMIT %(limit)s)
ORDER BY e.seq
"""
_FIND: Final = """
WITH term (queue, state, cutoff) AS MATERIALIZED (
    SELECT * FROM unnest(%(queues)s::text[], %(states)s::text[], %(cutoffs)s::timestamptz[])
)
SELECT e.seq, e.message_id, e.queue,
       coalesce(e.changed_at < (SELECT t.cutoff FROM term t WHERE t.queue = e.queue AND t.state = e.state), false)
       AND {condition}
FROM bus.entry e WHERE {which}
"""
_NOT_LATE: Final = "DELETE FROM bus.retention_late WHERE content = %s AND seq = ANY(%s)"
_IS_LATE: Final = "INSERT INTO bus.retention_late (content, seq) SELECT %s, unnest(%s::bigint[]) ON CONFLICT DO NOTHING"
_FORGET_LATE: Final = (
    "DELETE FROM bus.retention_late l WHERE NOT EXISTS (SELECT 1 FROM bus.entry e WHERE e.seq = l.seq)"
)
_MARK: Final = """
INSERT INTO bus.retention_mark (queue, content, seq, terms) VALUES (%s, %s, %s, %s)
ON CONFLICT (queue, content) DO UPDATE SET seq = EXCLUDED.seq, terms = EXCLUDED.terms
"""
