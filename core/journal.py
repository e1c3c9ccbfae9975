"""The journal: messages as accepted, and everything that happened to each. Rows are added, never changed."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import psycopg

from core.database import Driver, Row, storable, storable_json
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
        rows = [self._row(db, one) for one in unique.values()]
        found = _by_columns(db, _INSERT, rows)
        return {row[0] for row in found}

    def _row(self, db: Driver, one: Addressed) -> tuple[Any, ...]:
        message = one.message
        body, body_payload = self._payloads.split(db, message.body)
        received, received_payload = self._payloads.split(db, message.received)
        attachments = [self._stored(db, one) for one in message.attachments]
        return (
            message.id,
            storable(message.kind),
            storable(message.version),
            storable(message.key),
            storable(message.source),
            storable(message.external_id) or str(message.id),
            message.digest(),
            str(message.outcome),
            message.cause,
            storable(message.in_reply_to),
            storable(message.replies_to),
            message.reply_within_s,
            storable_json(message.headers),
            f"[{', '.join(map(_attachment_json, attachments))}]",
            body,
            body_payload,
            received,
            received_payload,
            storable(one.queue),
            one.state,
            one.error,
            storable(one.reason),
        )

    def _stored(self, db: Driver, attachment: Attachment) -> Attachment:
        if attachment.payload or attachment.open is None:
            return attachment
        with attachment.open() as content:
            return replace(attachment, payload=self._payloads.put_file(db, content))

    def _attachment(self, db: Driver, values: dict[str, Any]) -> Attachment:
        payload = values["payload"]
        return Attachment(**values, open=functools.partial(self._payloads.open, db, payload) if payload else None)

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
                    storable(event.actor),
                    storable(event.note),
                    storable(event.detail),
                    event.duration_ms,
                    output,
                    payload,
                )
            )
        if rows:
            _by_columns(db, _RECORD, rows)

    def twin(self, db: Driver, message: Message) -> tuple[UUID, str] | None:
        """(id, fingerprint) of the message that came earlier under the same source and external id."""
        return db.execute(
            "SELECT id, fingerprint FROM bus.message WHERE source = %s AND external_id = %s",
            (storable(message.source), storable(message.external_id)),
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


def _by_columns(db: Driver, sql: str, rows: Sequence[tuple[Any, ...]]) -> psycopg.Cursor[Row]:
    """Execute with one array a column. Arrays of bytes go in binary form: escaping them as text costs more than all
    the rest."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    places = ["%b" if any(isinstance(value, bytes) for value in column) else "%s" for column in columns]
    return db.execute(sql.format(*places), columns)


def _attachment_json(attachment: Attachment) -> str:
    values = {"name": attachment.name, "media_type": attachment.media_type, "payload": attachment.payload}
    return f'{storable_json(values)[:-1]}, "headers": {storable_json(attachment.headers)}}}'


_INSERT = """
WITH given AS (
    SELECT * FROM unnest(
        {}::uuid[], {}::text[], {}::text[], {}::text[], {}::text[], {}::text[], {}::text[], {}::text[], {}::uuid[],
        {}::text[], {}::text[], {}::float8[], {}::text[], {}::text[], {}::bytea[], {}::text[], {}::bytea[], {}::text[],
        {}::text[], {}::text[], {}::text[], {}::text[]
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
SELECT * FROM unnest({}::uuid[], {}::text[], {}::int[], {}::text[], {}::text[], {}::text[], {}::real[],
                     {}::bytea[], {}::text[])
"""
