"""What went out: prepared bytes, sends, confirmations, and the answers that are still awaited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from core.connector import Prepared
from core.database import Database, Driver, driver, storable, storable_json
from core.message import Message, Outcome
from core.payloads import PayloadStore
from core.replies import Reply

FINAL = (Outcome.ANSWER, Outcome.REJECTION, Outcome.FAILURE)
"""Outcomes after which no answer is awaited any more. A STATUS only says that it is on its way."""


@dataclass(frozen=True, slots=True)
class Question:
    """An outgoing message that an answer names."""

    message_id: UUID
    replies_to: str
    key: str
    kind: str


class Outgoing:
    """Reads and writes of bus.outgoing, in the caller's transaction."""

    def __init__(self, payloads: PayloadStore) -> None:
        self._payloads = payloads

    def add(self, db: Driver, sink: str, message: Message, prepared: Prepared) -> bool:
        """Keep the identity and the bytes that will be repeated; False when the message has some already."""
        body, payload = self._payloads.split(db, prepared.body)
        added = db.execute(
            "INSERT INTO bus.outgoing (message_id, sink, external_id, body, body_payload, headers, replies_to) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (message_id) DO NOTHING",
            (
                message.id,
                sink,
                storable(prepared.external_id),
                body,
                payload,
                storable_json(prepared.headers),
                message.replies_to,
            ),
        )
        return added.rowcount == 1

    def prepared(self, db: Driver, message_id: UUID) -> Prepared:
        row = db.execute(
            "SELECT external_id, body, body_payload, headers FROM bus.outgoing WHERE message_id = %s", (message_id,)
        ).fetchone()
        assert row is not None, "claimed as prepared"
        return Prepared(row[0], self._payloads.join(db, row[1], row[2]), row[3])

    def count_sends(self, database: Database, ids: Sequence[UUID]) -> dict[UUID, int]:
        """Note, in a commit of its own, that these are about to be sent; how many times that makes for each."""
        if not ids:
            return {}
        with database.transaction() as connection:
            rows = driver(connection).execute(
                "UPDATE bus.outgoing SET sends = sends + 1 WHERE message_id = ANY(%s) RETURNING message_id, sends",
                (list(ids),),
            )
            return dict(rows.fetchall())

    def confirmed(self, db: Driver, message: Message) -> None:
        """The far side has it; from now on its answer is awaited."""
        db.execute(
            "UPDATE bus.outgoing SET confirmed_at = clock_timestamp(), "
            "answer_due_at = clock_timestamp() + make_interval(secs => %s) WHERE message_id = %s",
            (message.reply_within_s, message.id),
        )

    def question(self, db: Driver, sink: str, external_id: str) -> Question | None:
        """The message of ours that went out under this id."""
        row = db.execute(
            "SELECT o.message_id, o.replies_to, m.key, m.kind FROM bus.outgoing o JOIN bus.message m "
            "ON m.id = o.message_id WHERE o.sink = %s AND o.external_id = %s",
            (sink, storable(external_id)),
        ).fetchone()
        return Question(*row) if row else None

    def answered(self, db: Driver, messages: Sequence[Message]) -> None:
        """These have come in; those that end a question end its term."""
        ended = [(m.cause, str(m.outcome)) for m in messages if m.in_reply_to and m.cause and m.outcome in FINAL]
        if ended:
            db.execute(
                "UPDATE bus.outgoing o SET answered_at = clock_timestamp(), answer = given.outcome "
                "FROM unnest(%s::uuid[], %s::text[]) AS given (id, outcome) WHERE o.message_id = given.id",
                [list(column) for column in zip(*ended, strict=True)],
            )

    def overdue(self, db: Driver, limit: int = 500) -> list[Message]:
        """Timeout messages for questions whose term is over, once each."""
        rows = db.execute(
            "UPDATE bus.outgoing SET answered_at = clock_timestamp(), answer = 'timeout' WHERE message_id IN ("
            "  SELECT message_id FROM bus.outgoing WHERE answered_at IS NULL AND answer_due_at <= clock_timestamp()"
            "  ORDER BY answer_due_at LIMIT %s FOR UPDATE SKIP LOCKED) "
            "RETURNING message_id, replies_to, sink, external_id",
            (limit,),
        ).fetchall()
        reply = Reply(Outcome.TIMEOUT, ("TIMEOUT",), ("Ответ не пришёл за отведённое время",)).to_body()
        questions = {row[0]: row for row in rows}
        keys = db.execute("SELECT id, key, kind FROM bus.message WHERE id = ANY(%s)", (list(questions),)).fetchall()
        return [
            Message(
                kind=kind,
                body=reply,
                queue=questions[id_][1],
                key=key,
                cause=id_,
                source="bus.timeout",
                external_id=str(id_),
                outcome=Outcome.TIMEOUT,
                headers={"sink": questions[id_][2], "external_id": questions[id_][3]},
            )
            for id_, key, kind in keys
        ]
