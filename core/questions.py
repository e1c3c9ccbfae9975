"""Requests that people send by hand: which documents may be asked with, how one leaves, what came of it.

A question is declared beside the kind that it belongs to, in routes/<subsystem>/:

    by_hand = Question("sfr.snils.request", title="СФР: СНИЛС по дополнительным сведениям", form=Format(…), make=…)

Its answers come to the route ANSWERS, which keeps them in the journal and touches no registry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from core import audit, stages, xml
from core.database import Database, driver
from core.errors import ConfigError, SchemaViolation
from core.journal import Event
from core.message import Message, Outcome
from core.replies import Reply
from core.route import Context, Format, Route

if TYPE_CHECKING:
    from core.bus import Bus

ANSWERS: Final = "bus.answers"
SOURCE: Final = "request"
"""Source of what was sent by hand; the external id is the message's own id, so they are listed by time."""

route = Route(ANSWERS, title="Ответы на запросы, отправленные вручную", features=["SMEV-08"])


@dataclass(frozen=True, slots=True)
class Question:
    """A document of ours that may be sent by hand.

    form  version, root element and schema of the document
    make  its bytes → the message for the sink that takes it, without I/O
    hint  a Russian sentence: when to use this, and when something else
    """

    name: str
    title: str
    form: Format
    make: Callable[[bytes], Message]
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that was sent by hand, and where it stands.

    state  waiting, sent, answered, rejected, status, failed, timeout, quarantined, dropped
    """

    id: UUID
    kind: str
    asked_at: datetime
    asked_by: str
    state: str
    reason: str
    answer_due_at: datetime | None
    answers: tuple[UUID, ...]


@route.handler
def keep(body: bytes, ctx: Context) -> None:
    """The answer is in the journal: that is all that is wanted."""
    ctx.note(f"Ответ получен, {len(body)} Б")


@route.on(Outcome.REJECTION, Outcome.STATUS, Outcome.FAILURE, Outcome.TIMEOUT)
def note(reply: Reply, ctx: Context) -> None:
    """A refusal, news, a failure or nobody answered."""
    ctx.note(str(reply))


def send(bus: Bus, question: Question, payload: bytes, *, actor: str) -> UUID:
    """Check the document by its schema and give it to its sink; the message's id.

    Raises MalformedXml, SchemaViolation, ConfigError when this bus has no such sink.
    """
    document = xml.parse(payload)
    if document.tag != question.form.root:
        raise SchemaViolation(f"Корневой элемент должен быть {question.form.root}, а прислан {str(document.tag)[:200]}")
    stages.validate(question.form, document)
    made = question.make(payload)
    message = made.but(source=SOURCE, external_id=str(made.id), replies_to=ANSWERS)
    if message.queue not in bus.engine.sinks:
        raise ConfigError(f"В настройках нет отправки {message.queue}: добавьте коннектор и повторите")
    [accepted] = bus.engine.put([message])
    with bus.database.transaction() as connection:
        db = driver(connection)
        bus.journal.record(db, [Event(accepted.message_id, "put", "Запрос отправлен вручную", actor=actor)])
        audit.record(db, actor, "request.sent", "message", str(accepted.message_id), f"Запрос «{question.title}»")
    return accepted.message_id


def asked(database: Database, limit: int, before: UUID | None = None) -> list[Asked]:
    """What was sent by hand, the newest first; the next page is `before` the last one's id."""
    with database.transaction() as connection:
        rows = driver(connection).execute(_ASKED, {"source": SOURCE, "before": before and str(before), "limit": limit})
        return [_asked(row) for row in rows.fetchall()]


def one(database: Database, message_id: UUID) -> Asked:
    """Raises ConfigError when it was not sent by hand."""
    with database.transaction() as connection:
        row = driver(connection).execute(_ONE, {"source": SOURCE, "id": message_id}).fetchone()
    if row is None:
        raise ConfigError(f"Запроса {message_id} среди отправленных вручную нет: проверьте адрес")
    return _asked(row)


def by_name(questions: Iterable[Question], name: str) -> Question:
    """Raises ConfigError when there is none."""
    known = {question.name: question for question in questions}
    if name not in known:
        raise ConfigError(f"Запроса «{name}» нет. Есть: {', '.join(sorted(known)) or 'ни одного'}")
    return known[name]


_STATES: Final = {
    Outcome.ANSWER: "answered",
    Outcome.REJECTION: "rejected",
    Outcome.FAILURE: "failed",
    Outcome.TIMEOUT: "timeout",
    Outcome.STATUS: "status",
}


def _asked(row: tuple[Any, ...]) -> Asked:
    id_, kind, at, by, entry_state, reason, due, answers, outcomes = row
    state = next((word for outcome, word in _STATES.items() if str(outcome) in (outcomes or ())), "")
    if not state:
        state = entry_state if entry_state in ("sent", "quarantined", "dropped") else "waiting"
    return Asked(id_, kind, at, by or "", state, reason, due, tuple(answers or ()))


_COLUMNS: Final = """
SELECT m.id, m.kind, m.accepted_at,
       (SELECT v.actor FROM bus.event v WHERE v.message_id = m.id AND v.stage = 'put' ORDER BY v.seq LIMIT 1),
       e.state, e.reason, o.answer_due_at, a.ids, a.outcomes
FROM bus.message m JOIN bus.entry e USING (seq) LEFT JOIN bus.outgoing o ON o.message_id = m.id
LEFT JOIN LATERAL (
    SELECT array_agg(r.id ORDER BY r.seq) AS ids, array_agg(r.outcome) AS outcomes
    FROM (SELECT id, seq, outcome FROM bus.message WHERE cause = m.id AND outcome <> 'request'
          ORDER BY seq LIMIT 50) AS r) AS a ON true
"""
_ASKED: Final = f"""{_COLUMNS} WHERE m.source = %(source)s
AND (%(before)s::text IS NULL OR m.external_id < %(before)s) ORDER BY m.external_id DESC LIMIT %(limit)s"""
_ONE: Final = f"{_COLUMNS} WHERE m.source = %(source)s AND m.external_id = %(id)s::text"
