"""The journal: messages as accepted, and everything that happened to each. Rows are added, never changed."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from core.database import Driver, encodable, storable
from core.message import Attachment, Message, Outcome
from core.payloads import PayloadStore

_COLUMNS = (
    "m.id, m.kind, m.version, m.key, m.source, m.external_id, m.fingerprint, m.outcome, m.cause, m.in_reply_to, "
    "m.replies_to, m.reply_within_s, m.headers, m.attachments, m.body, m.body_payload"
)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `output`: what the stage made; `actor`: "" for the bus itself."""

    message_id: UUID
    stage: str
    note: str = ""
    detail: str = ""
    attempt: int = 0
    actor: str = ""
    duration_ms: float | None = None
    output: bytes | None = None


@dataclass(frozen=True, slots=True)
class Addressed:
    """A message with its place: queue, and the state in which it begins."""

    message: Message
    queue: str
    state: str = "ready"
    error: str = ""
    reason: str = ""


class Journal:
    """Reads and writes of bus.message and bus.event, always in the caller's transaction."""

    def __init__(self, payloads: PayloadStore) -> None:
        self._payloads = payloads

    def add(self, db: Driver, addressed: Sequence[Addressed]) -> set[UUID]:
        """Insert messages with their entries in one statement; the ids that were new.

        An id that is missing from the answer had its (source, external id) in the journal already.
        """
        if not addressed:
            return set()
        unique: dict[UUID, Addressed] = {}
        for one in addressed:
            unique.setdefault(one.message.id, one)
        # The fields travel as one text and the bytes as four arrays: an array a column costs more than all the rest.
        rows = [self._row(db, one, place) for place, one in enumerate(unique.values(), start=1)]
        bodies = [self._payloads.split(db, one.message.body) for one in unique.values()]
        received = [self._payloads.split(db, one.message.received) for one in unique.values()]
        for row, (_, body), (_, envelope) in zip(rows, bodies, received, strict=True):
            row["body_payload"], row["received_payload"] = body, envelope
        values = (_as_json(rows), [inline for inline, _ in bodies], [inline for inline, _ in received])
        return {row[0] for row in db.execute(_INSERT, values)}

    def is_short(self, message: Message) -> bool:
        """A request that fits into its own row: no file, no envelope, no payload, no question to look for."""
        return (
            not message.in_reply_to
            and not message.attachments
            and message.received is None
            and len(message.body) <= self._payloads.inline_bytes
        )

    def _row(self, db: Driver, one: Addressed, place: int) -> dict[str, Any]:
        message = one.message
        attachments = [self._stored(db, attachment) for attachment in message.attachments]
        return {
            "place": place,
            "id": str(message.id),
            "kind": message.kind,
            "version": message.version,
            "key": message.key,
            "source": message.source,
            "external_id": message.external_id or str(message.id),
            "fingerprint": message.digest(),
            "outcome": message.outcome,
            "cause": str(message.cause) if message.cause else None,
            "in_reply_to": message.in_reply_to,
            "replies_to": message.replies_to,
            "reply_within_s": message.reply_within_s,
            "headers": dict(message.headers),
            "attachments": attachments and [_plain(attachment) for attachment in attachments],
            "queue": one.queue,
            "state": one.state,
            "error": one.error,
            "reason": one.reason,
        }

    def _stored(self, db: Driver, attachment: Attachment) -> Attachment:
        if attachment.payload:
            self._payloads.keep(db, attachment.payload)
            return attachment
        if attachment.open is None:
            return attachment
        with attachment.open() as content:
            return replace(attachment, payload=self._payloads.put_file(db, content))

    def _attachment(self, db: Driver, values: dict[str, Any]) -> Attachment:
        payload = values["payload"]
        return Attachment(**values, open=functools.partial(self._payloads.open, db, payload) if payload else None)

    def record(self, db: Driver, events: Iterable[Event]) -> None:
        """Append events in one statement."""
        rows = []
        outputs = []
        for event in events:
            output, payload = self._payloads.split(db, event.output)
            outputs.append(output)
            rows.append(
                {
                    "message_id": str(event.message_id),
                    "stage": event.stage,
                    "attempt": event.attempt,
                    "actor": event.actor,
                    "note": event.note,
                    "detail": event.detail,
                    "duration_ms": event.duration_ms,
                    "output_payload": payload,
                }
            )
        if rows:
            db.execute(_RECORD, (_as_json(rows), outputs))

    def twin(self, db: Driver, message: Message) -> tuple[UUID, str] | None:
        """(id, fingerprint) of the message that came earlier under the same source and external id, even when its
        record was taken away since."""
        return db.execute(_TWIN, {"source": storable(message.source), "id": storable(message.external_id)}).fetchone()

    def load(self, db: Driver, ids: Sequence[UUID]) -> list[Message]:
        """Messages by id, in no particular order, without the received envelope."""
        rows = db.execute(f"SELECT {_COLUMNS} FROM bus.message m WHERE m.id = ANY(%s)", (list(ids),))
        return [self.message_of(db, row) for row in rows]

    def received(self, db: Driver, message_id: UUID) -> bytes | None:
        """The envelope exactly as it came; None when the body was all that came."""
        row = db.execute("SELECT received, received_payload FROM bus.message WHERE id = %s", (message_id,)).fetchone()
        if row is None or row == (None, None):
            return None
        return self._payloads.join(db, row[0], row[1])

    def message_of(self, db: Driver, row: Sequence[Any], *, with_body: bool = True) -> Message:
        """A Message out of the columns `Journal.columns`. Raises Permanent or Retryable when its payload is lost."""
        (id_, kind, version, key, source, external_id, fingerprint, outcome, cause, in_reply_to) = row[:10]
        replies_to, reply_within_s, headers, attachments, body, body_payload = row[10:16]
        return Message(
            id=id_,
            kind=kind,
            version=version,
            key=key,
            source=source,
            external_id=external_id,
            fingerprint=fingerprint,
            outcome=Outcome(outcome),
            cause=cause,
            in_reply_to=in_reply_to,
            replies_to=replies_to,
            reply_within_s=reply_within_s,
            headers=headers,
            attachments=tuple(self._attachment(db, one) for one in attachments),
            body=self._payloads.join(db, body, body_payload) if with_body else b"",
        )

    columns = _COLUMNS


def _plain(attachment: Attachment) -> dict[str, Any]:
    return {
        "name": attachment.name,
        "media_type": attachment.media_type,
        "payload": attachment.payload,
        "headers": dict(attachment.headers),
    }


def _as_json(rows: list[dict[str, Any]]) -> str:
    """JSON that PostgreSQL can keep: see `core.database.storable`."""
    text = json.dumps(rows, ensure_ascii=False, separators=(",", ":"), check_circular=False)
    if "\\u0000" in text or not encodable(text):
        text = json.dumps(_storable(rows), ensure_ascii=False)
    return text


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(name): _storable(one) for name, one in value.items()}
    return [_storable(one) for one in value] if isinstance(value, list) else value


_INSERT = """
WITH given AS (
    SELECT * FROM ROWS FROM (
        json_to_recordset(%s) AS (
            place int, id uuid, kind text, version text, key text, source text, external_id text, fingerprint text,
            outcome text, cause uuid, in_reply_to text, replies_to text, reply_within_s float8, headers jsonb,
            attachments jsonb, body_payload text, received_payload text, queue text, state text, error text,
            reason text),
        unnest(%b::bytea[]), unnest(%b::bytea[])
    ) AS given (
        place, id, kind, version, key, source, external_id, fingerprint, outcome, cause, in_reply_to, replies_to,
        reply_within_s, headers, attachments, body_payload, received_payload, queue, state, error, reason,
        body, received)
), added AS (
    INSERT INTO bus.message (id, kind, version, key, source, external_id, fingerprint, outcome, cause, in_reply_to,
        replies_to, reply_within_s, headers, attachments, body, body_payload, received, received_payload)
    SELECT id, kind, version, key, source, external_id, fingerprint, outcome, cause, in_reply_to,
        replies_to, reply_within_s, headers, attachments, body, body_payload, received, received_payload
    FROM given
    WHERE (SELECT true FROM bus.remembered r
           WHERE r.source = given.source AND r.external_id = given.external_id) IS NULL
    ORDER BY place
    ON CONFLICT (source, external_id) DO NOTHING
    RETURNING seq, id
)
INSERT INTO bus.entry (seq, message_id, queue, key, state, error, reason)
SELECT added.seq, added.id, given.queue, given.key, given.state, given.error, given.reason
FROM added JOIN given ON given.id = added.id
RETURNING message_id
"""

_TWIN = """
SELECT id, fingerprint FROM bus.message WHERE source = %(source)s AND external_id = %(id)s
UNION ALL
SELECT message_id, fingerprint FROM bus.remembered WHERE source = %(source)s AND external_id = %(id)s
LIMIT 1
"""

_RECORD = """
INSERT INTO bus.event (message_id, stage, attempt, actor, note, detail, duration_ms, output_payload, output)
SELECT * FROM ROWS FROM (
    json_to_recordset(%s) AS (
        message_id uuid, stage text, attempt int, actor text, note text, detail text, duration_ms real,
        output_payload text),
    unnest(%b::bytea[]))
"""
