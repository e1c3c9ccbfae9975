"""The journal: messages as accepted, and everything that happened to each. Rows are added, never changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from core.database import Driver
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
        rows = [self._row(db, one) for one in addressed]
        found = db.execute(_INSERT, [list(column) for column in zip(*rows, strict=True)])
        return {row[0] for row in found}

    def _row(self, db: Driver, one: Addressed) -> tuple[Any, ...]:
        message = one.message
        body, body_payload = self._payloads.split(db, message.body)
        received, received_payload = self._payloads.split(db, message.received)
        return (
            message.id,
            message.kind,
            message.version,
            message.key,
            message.source,
            message.external_id or str(message.id),
            message.digest(),
            str(message.outcome),
            message.cause,
            message.in_reply_to,
            message.replies_to,
            message.reply_within_s,
            json.dumps(dict(message.headers), ensure_ascii=False).replace("\\u0000", ""),
            json.dumps([_attachment_json(a) for a in message.attachments], ensure_ascii=False).replace("\\u0000", ""),
            body,
            body_payload,
            received,
            received_payload,
            one.queue,
            one.state,
            one.error,
            one.reason,
        )

    def record(self, db: Driver, events: Iterable[Event]) -> None:
        """Append events in one statement."""
        rows = []
        for event in events:
            output, payload = self._payloads.split(db, event.output)
            rows.append(
                (
                    event.message_id,
                    event.stage,
                    event.attempt,
                    event.actor,
                    event.note.replace("\x00", ""),
                    event.detail.replace("\x00", ""),
                    event.duration_ms,
                    output,
                    payload,
                )
            )
        if rows:
            db.execute(_RECORD, [list(column) for column in zip(*rows, strict=True)])

    def twin(self, db: Driver, message: Message) -> tuple[UUID, str] | None:
        """(id, fingerprint) of the message that came earlier under the same source and external id."""
        return db.execute(  # type: ignore[return-value]
            "SELECT id, fingerprint FROM bus.message WHERE source = %s AND external_id = %s",
            (message.source, message.external_id),
        ).fetchone()

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

    def message_of(self, db: Driver, row: Sequence[Any]) -> Message:
        """A Message out of the columns `Journal.columns`."""
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
            attachments=tuple(Attachment(**a) for a in attachments),
            body=self._payloads.join(db, body, body_payload),
        )

    columns = _COLUMNS


def _attachment_json(attachment: Attachment) -> dict[str, Any]:
    return {
        "name": attachment.name,
        "media_type": attachment.media_type,
        "payload": attachment.payload,
        "headers": dict(attachment.headers),
    }


_INSERT = """
WITH given AS (
    SELECT * FROM unnest(
        %s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::uuid[],
        %s::text[], %s::text[], %s::float8[], %s::text[], %s::text[], %s::bytea[], %s::text[], %s::bytea[], %s::text[],
        %s::text[], %s::text[], %s::text[], %s::text[]
    ) WITH ORDINALITY AS given (
        id, kind, version, key, source, external_id, fingerprint, outcome, cause,
        in_reply_to, replies_to, reply_within_s, headers, attachments, body, body_payload, received, received_payload,
        queue, state, error, reason, place
    )
), added AS (
    INSERT INTO bus.message (id, kind, version, key, source, external_id, fingerprint, outcome, cause, in_reply_to,
        replies_to, reply_within_s, headers, attachments, body, body_payload, received, received_payload)
    SELECT id, kind, version, key, source, external_id, fingerprint, outcome, cause, in_reply_to,
        replies_to, reply_within_s, headers::jsonb, attachments::jsonb, body, body_payload, received, received_payload
    FROM given ORDER BY place
    ON CONFLICT (source, external_id) DO NOTHING
    RETURNING seq, id
)
INSERT INTO bus.entry (seq, message_id, queue, key, state, error, reason)
SELECT added.seq, added.id, given.queue, given.key, given.state, given.error, given.reason
FROM added JOIN given ON given.id = added.id
RETURNING message_id
"""

_RECORD = """
INSERT INTO bus.event (message_id, stage, attempt, actor, note, detail, duration_ms, output, output_payload)
SELECT * FROM unnest(%s::uuid[], %s::text[], %s::int[], %s::text[], %s::text[], %s::text[], %s::real[],
                     %s::bytea[], %s::text[])
"""
