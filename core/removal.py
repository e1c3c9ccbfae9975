"""Taking contents and records out of the journal: the statements, in the caller's transaction.

The journal's triggers let these through, and only while `omsbus.retention` is on: a content may give way to
`removed:<sha256 of the content>` (the proof of what it was stays), a record may be deleted whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from core.database import Driver
from core.errors import Permanent
from core.payloads import REMOVED, unpacked
from core.search import indexer


def permit(db: Driver) -> None:
    """For the rest of the transaction."""
    db.execute("SET LOCAL omsbus.retention = 'on'")
    indexer.hold_off_retention(db)


def take_bodies(db: Driver, ids: Sequence[UUID]) -> set[UUID]:
    """Take away everything that these messages carried; those of them that carried something."""
    carried: set[UUID] = set()
    indexer.forget_bodies(db, ids)
    for select, update in _CONTENTS:
        rows = db.execute(select, (list(ids),)).fetchall()
        carried |= {row[0] for row in rows}
        if rows:
            marks = [(row[1], *_marks(row[2:])) for row in rows]
            db.execute(update, [list(column) for column in zip(*marks, strict=True)])
    return carried


def _marks(contents: Sequence[Any]) -> list[str | None]:
    """For (bytes, payload, bytes, payload, …, text or attachments): a mark a pair, then what the last becomes."""
    *pairs, last = contents
    made = [_mark(body, payload) for body, payload in zip(pairs[::2], pairs[1::2], strict=True)]
    if isinstance(last, list):
        stored = [{**one, "payload": _named(one["payload"])} for one in last]
        return [*made, json.dumps(stored, ensure_ascii=False)]
    return [*made, _digest(last.encode()) if last and not last.startswith(REMOVED) else last]


def _mark(body: bytes | None, payload: str | None) -> str | None:
    if body is None:
        return _named(payload) if payload else None
    try:
        return _digest(unpacked(bytes(body)))
    except Permanent:  # damaged: of what is there
        return _digest(bytes(body))


def _named(payload: str) -> str:
    return payload if not payload or payload.startswith(REMOVED) else f"{REMOVED}{payload}"


def _digest(content: bytes) -> str:
    return f"{REMOVED}{hashlib.sha256(content).hexdigest()}"


def remember(db: Driver, ids: Sequence[UUID]) -> str:
    """Keep what tells a late repeat of these; the number of this transaction, for `is_seen`."""
    db.execute(_REMEMBER, (list(ids),))
    row = db.execute("SELECT pg_current_xact_id()::xid::text").fetchone()
    assert row is not None
    return str(row[0])


def is_seen(db: Driver, transaction: str) -> bool:
    """Has everybody who may still insert seen that transaction's rows? Then no statement with an older view runs."""
    row = db.execute(_SEEN, (transaction,)).fetchone()
    return bool(row and row[0])


def take_records(db: Driver, ids: Sequence[UUID], condition: str) -> list[UUID]:
    """Delete messages with all their rows, those of which `condition` still holds; which."""
    gone = [row[0] for row in db.execute(_TAKE_ENTRIES.format(condition=condition), (list(ids),)).fetchall()]
    indexer.forget_records(db, gone)
    for statement in _TAKE_RECORDS:
        db.execute(statement, (gone,))
    return gone


def forget(db: Driver, before: datetime, limit: int) -> int:
    """Forget so many ids of records that went before then, and what was noted about repeats of them since."""
    rows = db.execute(_FORGET, (before, limit)).fetchall()
    ids = [row[0] for row in rows]
    db.execute("DELETE FROM bus.event WHERE message_id = ANY(%s)", (ids,))
    return len(ids)


_MESSAGES: Final = """
SELECT id, seq, body, body_payload, received, received_payload, attachments FROM bus.message
WHERE id = ANY(%s) AND (octet_length(body) > 0 OR length(body_payload) = 64 OR received IS NOT NULL
    OR length(received_payload) = 64
    OR jsonb_path_exists(attachments, '$[*] ? (@.payload like_regex "^[0-9a-f]{64}$")'))
"""
_TAKE_MESSAGES: Final = """
UPDATE bus.message m SET body = NULL, body_payload = given.body, received = NULL, received_payload = given.received,
    attachments = given.attachments::jsonb
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[]) AS given (seq, body, received, attachments)
WHERE m.seq = given.seq
"""
_EVENTS: Final = """
SELECT message_id, seq, output, output_payload, detail FROM bus.event
WHERE message_id = ANY(%s)
  AND (output IS NOT NULL OR length(output_payload) = 64 OR (detail <> '' AND detail !~ '^removed:[0-9a-f]{64}$'))
"""
_TAKE_EVENTS: Final = """
UPDATE bus.event e SET output = NULL, output_payload = given.output, detail = given.detail
FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS given (seq, output, detail)
WHERE e.seq = given.seq
"""
_OUTGOING: Final = """
SELECT message_id, message_id, body, body_payload, '' FROM bus.outgoing
WHERE message_id = ANY(%s) AND (octet_length(body) > 0 OR length(body_payload) = 64)
"""
_TAKE_OUTGOING: Final = """
UPDATE bus.outgoing o SET body = NULL, body_payload = given.body
FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS given (message_id, body, nothing)
WHERE o.message_id = given.message_id
"""
_CORRECTIONS: Final = """
SELECT message_id, id, body, body_payload, '' FROM bus.correction
WHERE message_id = ANY(%s) AND (octet_length(body) > 0 OR length(body_payload) = 64)
"""
_TAKE_CORRECTIONS: Final = """
UPDATE bus.correction c SET body = NULL, body_payload = given.body
FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS given (id, body, nothing)
WHERE c.id = given.id
"""
_CONTENTS: Final = (
    (_MESSAGES, _TAKE_MESSAGES),
    (_EVENTS, _TAKE_EVENTS),
    (_OUTGOING, _TAKE_OUTGOING),
    (_CORRECTIONS, _TAKE_CORRECTIONS),
)

_REMEMBER: Final = """
INSERT INTO bus.remembered (source, external_id, fingerprint, message_id)
SELECT source, external_id, fingerprint, id FROM bus.message
WHERE id = ANY(%s) AND external_id <> id::text
ON CONFLICT (source, external_id) DO NOTHING
"""
_SEEN: Final = """
SELECT NOT EXISTS (
    SELECT 1 FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid()
      AND backend_xmin IS NOT NULL AND age(backend_xmin) >= age(%s::text::xid))
"""
_TAKE_ENTRIES: Final = """
DELETE FROM bus.entry e WHERE e.message_id = ANY(%s) AND {condition} RETURNING e.message_id
"""
_TAKE_RECORDS: Final = (
    "DELETE FROM bus.correction WHERE message_id = ANY(%s)",
    "DELETE FROM bus.outgoing WHERE message_id = ANY(%s)",
    "DELETE FROM bus.event WHERE message_id = ANY(%s)",
    "DELETE FROM bus.message WHERE id = ANY(%s)",
)
_FORGET: Final = """
DELETE FROM bus.remembered WHERE (source, external_id) IN (
    SELECT source, external_id FROM bus.remembered
    WHERE removed_at < %s ORDER BY removed_at LIMIT %s)
RETURNING message_id
"""
