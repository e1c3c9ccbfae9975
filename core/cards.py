"""One message's card: what it is, what happened to it, what caused it and what came of it. Read only, no body."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from core.database import Database, Driver, driver, storable
from core.errors import Permanent
from core.payloads import REMOVED, PayloadStore
from core.reading import MESSAGE_COLUMNS, MessageRow, sources

CAUSES_MOST: Final = 20
EFFECTS_MOST: Final = 200
_SEQ: Final = re.compile(r"[1-9][0-9]{0,17}")
_PREFIX: Final = re.compile(r"[0-9a-f]{6,32}")


@dataclass(frozen=True, slots=True)
class EventRow:
    """One thing that happened.

    since_ms  after the event before it; the first: after acceptance
    detail    may hold personal data
    """

    at: datetime
    stage: str
    attempt: int
    actor: str
    note: str
    detail: str = field(repr=False)
    duration_ms: float | None
    since_ms: float | None
    output_bytes: int | None


@dataclass(frozen=True, slots=True)
class Departure:
    """What went out for this message: under which id, how often, and what is awaited."""

    sink: str
    external_id: str
    headers: dict[str, str]
    replies_to: str
    sends: int
    prepared_at: datetime
    confirmed_at: datetime | None
    answer_due_at: datetime | None
    answered_at: datetime | None
    answer: str
    body_bytes: int


@dataclass(frozen=True, slots=True)
class Effect:
    """A message that this one gave rise to, `depth` steps away; `cause` is the step before."""

    depth: int
    cause: UUID
    row: MessageRow


@dataclass(frozen=True, slots=True)
class Card:
    """Everything about one message but its contents."""

    row: MessageRow
    headers: dict[str, str]
    attachments: list[dict[str, Any]]
    fingerprint: str
    cause: UUID | None
    in_reply_to: str
    replies_to: str
    reply_within_s: float | None
    body_bytes: int
    received_bytes: int | None
    body_removed: bool
    events: list[EventRow]
    causes: list[MessageRow]
    effects: list[Effect]
    outgoing: Departure | None


def find(database: Database, wanted: str) -> UUID:
    """The message that a person means: its number, id, beginning of an id (6 characters or more), or external id.

    An external id may be one that a message came under, or one that it went out under.
    Raises Permanent when there is none or more than one.
    """
    wanted = storable(wanted)
    with database.transaction() as connection:
        db = driver(connection)
        found = list(dict.fromkeys(_matches(db, wanted.strip())))
        removed = not found and _is_removed(db, wanted.strip())
    if removed:
        raise Permanent(f"Запись сообщения {wanted} удалена по сроку хранения: восстановите её из резервной копии")
    if not found:
        raise Permanent(f"Нет сообщения {wanted}. Посмотрите список: omsbus message list")
    if len(found) > 1:
        several = ", ".join(map(str, found[:5]))
        raise Permanent(f"Под «{wanted}» подходит несколько сообщений: {several}. Укажите id целиком")
    return found[0]


def _matches(db: Driver, wanted: str) -> list[UUID]:
    try:
        exact = db.execute("SELECT id FROM bus.message WHERE id = %s", (UUID(wanted),)).fetchall()
    except ValueError:
        exact = []
    if not exact and _SEQ.fullmatch(wanted):
        exact = db.execute("SELECT id FROM bus.message WHERE seq = %s", (int(wanted),)).fetchall()
    if exact:
        return [row[0] for row in exact]
    outer = db.execute(_BY_EXTERNAL, {"wanted": wanted, "sources": sources(db)}).fetchall()
    digits = wanted.lower().replace("-", "")
    if not outer and _PREFIX.fullmatch(digits):
        least, most = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
        outer = db.execute(
            "SELECT id FROM bus.message WHERE id BETWEEN %s AND %s ORDER BY id LIMIT 6", (least, most)
        ).fetchall()
    return [row[0] for row in outer]


def _is_removed(db: Driver, wanted: str) -> bool:
    """Was there such a message, id or external id, whose record is gone?"""
    try:
        rows = db.execute("SELECT 1 FROM bus.remembered WHERE message_id = %s LIMIT 1", (UUID(wanted),)).fetchall()
    except ValueError:
        rows = []
    rows += db.execute(
        "SELECT 1 FROM bus.remembered WHERE external_id = %s AND source = ANY(%s)", (wanted, sources(db))
    ).fetchall()
    return bool(rows)


def card(database: Database, message_id: UUID) -> Card:
    """Raises Permanent when there is none."""
    with database.transaction() as connection:
        db = driver(connection)
        found = db.execute(
            f"SELECT {MESSAGE_COLUMNS}, {_CARD_COLUMNS} FROM bus.message m JOIN bus.entry e USING (seq) "
            "LEFT JOIN bus.payload b ON b.sha256 = m.body_payload "
            "LEFT JOIN bus.payload r ON r.sha256 = m.received_payload WHERE m.id = %s",
            (message_id,),
        ).fetchone()
        if found is None:
            raise Permanent(f"Нет сообщения {message_id}. Посмотрите список: omsbus message list")
        width = len(MessageRow.__dataclass_fields__)
        values = dict(zip(_CARD_FIELDS, found[width:], strict=True))
        return Card(
            row=MessageRow(*found[:width]),
            **values,
            events=_events(db, message_id),
            causes=_causes(db, values["cause"]),
            effects=_effects(db, message_id),
            outgoing=_departure(db, message_id),
        )


def outputs(database: Database, payloads: PayloadStore, message_id: UUID) -> list[tuple[str, bytes]]:
    """(stage, bytes) of everything that the stages made of it, the prepared bytes last: personal data."""
    with database.transaction() as connection:
        db = driver(connection)
        rows = db.execute(
            "SELECT stage, output, output_payload FROM bus.event WHERE message_id = %s "
            "AND (output IS NOT NULL OR output_payload IS NOT NULL) ORDER BY seq",
            (message_id,),
        ).fetchall()
        rows += db.execute(
            "SELECT 'prepared', body, body_payload FROM bus.outgoing WHERE message_id = %s", (message_id,)
        ).fetchall()
        made = [
            (str(stage), payloads.join(db, inline, payload))
            for stage, inline, payload in rows
            if not (payload or "").startswith(REMOVED)
        ]
    return [(stage, octets) for stage, octets in made if octets]


def _events(db: Driver, message_id: UUID) -> list[EventRow]:
    rows = db.execute(
        "SELECT e.at, e.stage, e.attempt, e.actor, e.note, e.detail, e.duration_ms, "
        "extract(epoch FROM e.at - coalesce(lag(e.at) OVER (ORDER BY e.seq), m.accepted_at))::float8 * 1000, "
        "coalesce(bus.body_bytes(e.output), p.size_bytes) "
        "FROM bus.event e JOIN bus.message m ON m.id = e.message_id "
        "LEFT JOIN bus.payload p ON p.sha256 = e.output_payload WHERE e.message_id = %s ORDER BY e.seq",
        (message_id,),
    )
    return [EventRow(*row) for row in rows]


def _causes(db: Driver, cause: UUID | None) -> list[MessageRow]:
    """From the first cause of all to the nearest one."""
    rows = db.execute(_CAUSES, {"id": cause, "most": CAUSES_MOST}).fetchall() if cause else []
    return [MessageRow(*row[1:]) for row in rows]


def _effects(db: Driver, message_id: UUID) -> list[Effect]:
    """Each right after its cause, as a tree is read."""
    rows = db.execute(_EFFECTS, {"id": message_id, "most": EFFECTS_MOST}).fetchall()
    return [Effect(row[0], row[1], MessageRow(*row[2:])) for row in rows]


def _departure(db: Driver, message_id: UUID) -> Departure | None:
    row = db.execute(
        "SELECT o.sink, o.external_id, o.headers, o.replies_to, o.sends, o.prepared_at, o.confirmed_at, "
        "o.answer_due_at, o.answered_at, o.answer, coalesce(bus.body_bytes(o.body), p.size_bytes, 0) "
        "FROM bus.outgoing o LEFT JOIN bus.payload p ON p.sha256 = o.body_payload WHERE o.message_id = %s",
        (message_id,),
    ).fetchone()
    return Departure(*row) if row else None


_CARD_FIELDS: Final = (
    "headers",
    "attachments",
    "fingerprint",
    "cause",
    "in_reply_to",
    "replies_to",
    "reply_within_s",
    "body_bytes",
    "received_bytes",
    "body_removed",
)
_CARD_COLUMNS: Final = (
    "m.headers, m.attachments, m.fingerprint, m.cause, m.in_reply_to, m.replies_to, m.reply_within_s, "
    "coalesce(bus.body_bytes(m.body), b.size_bytes, 0), coalesce(bus.body_bytes(m.received), r.size_bytes), "
    f"coalesce(starts_with(m.body_payload, '{REMOVED}'), false)"
)

_BY_EXTERNAL: Final = """
SELECT id FROM bus.message WHERE external_id = %(wanted)s AND source = ANY(%(sources)s)
UNION
SELECT message_id FROM bus.outgoing
WHERE external_id = %(wanted)s AND sink IN (SELECT name FROM bus.queue WHERE side = 'sink')
LIMIT 6
"""

_CAUSES: Final = f"""
WITH RECURSIVE up (depth, id, cause) AS (
    SELECT 1, id, cause FROM bus.message WHERE id = %(id)s
    UNION ALL
    SELECT up.depth + 1, m.id, m.cause FROM bus.message m JOIN up ON m.id = up.cause WHERE up.depth < %(most)s
)
SELECT up.depth, {MESSAGE_COLUMNS} FROM up JOIN bus.message m ON m.id = up.id JOIN bus.entry e ON e.seq = m.seq
ORDER BY up.depth DESC
"""

_EFFECTS: Final = f"""
WITH RECURSIVE down (depth, id, way) AS (
    SELECT 1, id, ARRAY[seq] FROM (
        SELECT id, seq FROM bus.message WHERE cause = %(id)s ORDER BY seq LIMIT %(most)s) AS first
    UNION ALL
    SELECT down.depth + 1, next.id, down.way || next.seq
    FROM down JOIN bus.message next ON next.cause = down.id WHERE down.depth < 10
)
SELECT part.depth, m.cause, {MESSAGE_COLUMNS}
FROM (SELECT * FROM down LIMIT %(most)s) AS part
JOIN bus.message m ON m.id = part.id JOIN bus.entry e ON e.seq = m.seq
ORDER BY part.way
"""
