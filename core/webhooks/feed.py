"""What happened, for subscribers: read from bus.event and bus.change up to a number below which nothing is under way.

Numbers are given when a row is written and seen when its transaction commits, so a lower number may appear after a
higher one. Whoever writes an event holds a lock of the table from before it takes its number until its transaction is
over: when every such holder of a moment is gone, all numbers that were given before that moment are settled.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from core.database import Database, Driver, driver

TYPES: Final[Mapping[str, str]] = {
    "message.handled": "Сообщение обработано",
    "message.sent": "Сообщение отправлено",
    "message.quarantined": "Сообщение попало в карантин",
    "message.dropped": "Сообщение отклонено",
    "message.answered": "На сообщение пришёл ответ, отказ или истёк срок",
    "queue.paused": "Очередь поставлена на паузу",
    "queue.stopped": "Очередь остановлена из-за ошибки настройки",
    "queue.resumed": "Очередь пущена",
    "schedule.fired": "Расписание сработало",
    "connector.unavailable": "Другая сторона недоступна",
    "connector.available": "Другая сторона снова доступна",
}
"""Type of an event → what it means."""
_STAGES: Final = ("handled", "sent", "quarantined", "dropped")
SCANNED_MOST: Final = 5000
"""Rows of each table that one reading looks at."""


@dataclass(frozen=True, slots=True)
class Happened:
    """One event. id: stays the same however often it is told."""

    id: str
    type: str
    at: datetime
    queue: str
    kind: str
    message_id: UUID | None
    detail: Mapping[str, Any]

    def document(self) -> dict[str, Any]:
        """What a subscriber gets: ids, names and states, never a text of people or partners."""
        made: dict[str, Any] = {"id": self.id, "type": self.type, "at": self.at.isoformat(), "queue": self.queue}
        if self.message_id is not None:
            made["message_id"] = str(self.message_id)
        if self.kind:
            made["kind"] = self.kind
        return made | dict(self.detail)


@dataclass(frozen=True, slots=True)
class Place:
    """How far in bus.event and bus.change."""

    events: int
    changes: int


def ends(db: Driver) -> tuple[int, int]:
    """The last numbers that were given."""
    row = db.execute(_ENDS).fetchone()
    assert row is not None
    return row[0], row[1]


class Horizon:
    """The settled end of both tables. Not thread-safe."""

    def __init__(self) -> None:
        self._settled = Place(0, 0)
        self._pending: tuple[Place, set[str]] | None = None

    def look(self, database: Database) -> Place:
        """Everything up to here is committed or will never be."""
        with database.transaction(durable=False) as connection:
            db = driver(connection)
            if self._pending is None:
                place = Place(*ends(db))
                if place != self._settled:
                    self._pending = place, _writers(db)
            if self._pending is not None:
                place, writers = self._pending
                if writers:
                    writers &= _writers(db)
                if not writers:
                    self._settled, self._pending = place, None
        return self._settled


@dataclass(frozen=True, slots=True)
class Choice:
    """What one subscriber wants. () means all; a kind is asked of events of messages only."""

    types: tuple[str, ...]
    queues: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()


def read(db: Driver, after: Place, until: Place, choice: Choice, most: int) -> tuple[list[Happened], Place]:
    """The next events above `after`, at most `most`, and how far that was; none may only mean: not in this stretch."""
    end = Place(_stretch(db, "event", after.events, until.events), _stretch(db, "change", after.changes, until.changes))
    values = {
        "after_event": after.events,
        "last_event": end.events,
        "after_change": after.changes,
        "last_change": end.changes,
        "stages": [one.removeprefix("message.") for one in choice.types if one.removeprefix("message.") in _STAGES],
        "types": list(choice.types),
        "queues": list(choice.queues),
        "kinds": list(choice.kinds),
        "most": most + 1,
    }
    events = [
        (seq, Happened(f"event-{seq}", f"message.{stage}", at, queue or "", kind or "", id_, {"attempt": attempt}))
        for seq, stage, at, queue, kind, id_, attempt in db.execute(_EVENTS, values)
    ]
    changes = [
        (seq, Happened(f"change-{seq}", type_, at, queue, kind or "", id_, _detail(detail, subject)))
        for seq, type_, at, queue, kind, id_, subject, detail in db.execute(_CHANGES, values)
    ]
    # Merged, not sorted: what is taken of each table is its beginning, so the place is one number of each.
    merged = list(heapq.merge(
        ((one.at, 0, seq, one) for seq, one in events), ((one.at, 1, seq, one) for seq, one in changes),
        key=lambda item: item[0],
    ))  # fmt: skip
    taken = merged[:most]
    if len(merged) <= most:
        return [one for *_, one in taken], end
    reached = [after.events, after.changes]
    for _, table, seq, _ in taken:
        reached[table] = seq
    return [one for *_, one in taken], Place(*reached)


def _detail(detail: Mapping[str, Any], subject: str) -> dict[str, Any]:
    return dict(detail) | ({"schedule": subject} if subject else {})


def _stretch(db: Driver, table: str, after: int, until: int) -> int:
    """The end of the next stretch: numbers may have holes, so it is counted in rows."""
    if until <= after:
        return after
    row = db.execute(
        f"SELECT max(seq), count(*) FROM (SELECT seq FROM bus.{table} WHERE seq > %s AND seq <= %s ORDER BY seq "
        "LIMIT %s) AS part",
        (after, until, SCANNED_MOST),
    ).fetchone()
    assert row is not None
    last, count = row
    return until if last is None or count < SCANNED_MOST else int(last)


def _writers(db: Driver) -> set[str]:
    return {row[0] for row in db.execute(_WRITERS)}


def forget(db: Driver) -> None:
    """Delete changes that everybody was told of, some at a time."""
    db.execute(
        "DELETE FROM bus.change WHERE ctid = ANY(ARRAY(SELECT ctid FROM bus.change WHERE at < "
        "clock_timestamp() - interval '7 days' AND seq <= (SELECT coalesce(min(change_seq), 9223372036854775807) "
        "FROM bus.webhook) ORDER BY seq LIMIT 1000))"
    )


_ENDS: Final = """
SELECT CASE WHEN e.is_called THEN e.last_value ELSE 0 END, CASE WHEN c.is_called THEN c.last_value ELSE 0 END
FROM bus.event_seq_seq e, bus.change_seq_seq c
"""
_WRITERS: Final = """
SELECT DISTINCT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND relation IN ('bus.event'::regclass, 'bus.change'::regclass) AND mode = 'RowExclusiveLock'
  AND pid <> pg_backend_pid()
"""
_EVENTS: Final = """
SELECT v.seq, v.stage, v.at, e.queue, m.kind, v.message_id, v.attempt
FROM bus.event v LEFT JOIN bus.entry e ON e.message_id = v.message_id LEFT JOIN bus.message m ON m.id = v.message_id
WHERE v.seq > %(after_event)s AND v.seq <= %(last_event)s AND v.stage = ANY(%(stages)s)
  AND (cardinality(%(queues)s::text[]) = 0 OR e.queue = ANY(%(queues)s))
  AND (cardinality(%(kinds)s::text[]) = 0 OR m.kind = ANY(%(kinds)s))
ORDER BY v.seq LIMIT %(most)s
"""
_CHANGES: Final = """
SELECT c.seq, c.type, c.at, c.queue, m.kind, c.message_id, c.subject, c.detail
FROM bus.change c LEFT JOIN bus.message m ON m.id = c.message_id
WHERE c.seq > %(after_change)s AND c.seq <= %(last_change)s AND c.type = ANY(%(types)s)
  AND (cardinality(%(queues)s::text[]) = 0 OR c.queue = ANY(%(queues)s))
  AND (cardinality(%(kinds)s::text[]) = 0 OR c.message_id IS NULL OR m.kind = ANY(%(kinds)s))
ORDER BY c.seq LIMIT %(most)s
"""
