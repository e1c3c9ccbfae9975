"""What schedules did: their runs are messages of the journal, found by an index of their own (migration 0009)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from core.database import Database, Driver, driver, storable


@dataclass(frozen=True, slots=True)
class Run:
    """One run. planned: the moment it was for; None: somebody asked (actor, where the journal says who).

    took  from acceptance to the end, queueing included; None while it is not over. work_ms: of the handler alone
    """

    seq: int
    message_id: UUID
    planned: datetime | None
    began_at: datetime
    state: str
    attempts: int
    reason: str
    took: timedelta | None
    work_ms: float | None
    note: str
    actor: str


def history(database: Database, name: str, *, before: int | None = None, limit: int = 30) -> list[Run]:
    """The runs of a schedule, also of one that is no more, the newest first; the next page is `before` the last seq."""
    with database.transaction() as connection:
        return _runs(driver(connection), storable(name), before, limit)


def last_runs(database: Database, names: Iterable[str]) -> dict[str, Run | None]:
    """The last run of each."""
    with database.transaction() as connection:
        db = driver(connection)
        return {name: next(iter(_runs(db, name, None, 1)), None) for name in names}


def _runs(db: Driver, name: str, before: int | None, limit: int) -> list[Run]:
    rows = db.execute(_HISTORY, {"name": name, "before": before, "limit": limit}).fetchall()
    return [_run(*row) for row in rows]


def _run(
    seq: int,
    message_id: UUID,
    external_id: str,
    began_at: datetime,
    state: str | None,
    attempts: int | None,
    reason: str | None,
    changed_at: datetime | None,
    work_ms: float | None,
    note: str | None,
    actor: str | None,
) -> Run:
    try:
        planned = datetime.fromisoformat(external_id.rpartition("@")[2])
    except ValueError:  # now-<id>: somebody asked
        planned = None
    over = state in ("handled", "sent", "dropped", "quarantined") and changed_at is not None
    took = max(changed_at - began_at, timedelta(0)) if over and changed_at else None
    return Run(
        seq, message_id, planned, began_at, state or "", attempts or 0, reason or "", took, work_ms, note or "",
        actor or "",
    )  # fmt: skip


_HISTORY: Final = """
SELECT m.seq, m.id, m.external_id, m.accepted_at, e.state, e.attempts, e.reason, e.changed_at,
       done.duration_ms, done.note, asked.actor
FROM (SELECT seq, id, external_id, accepted_at FROM bus.message
      WHERE source = 'schedule' AND headers ->> 'schedule' = %(name)s
        AND (%(before)s::bigint IS NULL OR seq < %(before)s)
      ORDER BY seq DESC LIMIT %(limit)s) AS m
LEFT JOIN bus.entry e ON e.seq = m.seq
LEFT JOIN LATERAL (SELECT duration_ms, note FROM bus.event v
                   WHERE v.message_id = m.id AND v.stage IN ('handled', 'sent')
                   ORDER BY v.seq DESC LIMIT 1) AS done ON true
LEFT JOIN LATERAL (SELECT actor FROM bus.event v WHERE v.message_id = m.id AND v.stage = 'put'
                   ORDER BY v.seq LIMIT 1) AS asked ON true
ORDER BY m.seq DESC
"""
