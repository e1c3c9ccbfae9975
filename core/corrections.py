"""Edit and resend, by two people: one proposes another body for a message, another one approves it.

What is approved goes as a NEW message that begins the way anew; the original stays as it was accepted. If it was in
quarantine it is dropped with a note that names the new one, and its key goes on. All of that is one transaction.

Only people with an account propose and decide, never the same one: a token or a command line does not tell who holds
it. Both must see the body unmasked: a mask would be sent, or approved unseen. A changed body has lost its sender's
signature; the new message says so in its headers (HEADERS).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from uuid_utils.compat import uuid7

from core import audit, contents, editing, masking, operations
from core.access.permissions import permissions
from core.access.person import Person
from core.database import Database, Driver, driver, storable
from core.editing import Row
from core.engine import UNKNOWN_QUEUE
from core.errors import ConfigError, Permanent, UnknownKind
from core.journal import Event
from core.message import Message

if TYPE_CHECKING:
    from core.bus import Bus

TERM: Final = timedelta(days=7)
"""A proposal that nobody has decided expires."""
NOTE_MOST: Final = 1000
"""Characters of a note or a reason."""
EDITABLE: Final = ("quarantined", "handled", "sent", "dropped")
"""States of a message that may be corrected: nothing happens to it by itself."""
STATES: Final = {
    "proposed": "ждёт утверждения", "approved": "утверждено", "rejected": "не утверждено", "withdrawn": "отозвано",
    "expired": "срок вышел",
}  # fmt: skip
HEADERS: Final = ("corrected", "correction", "corrected_by", "approved_by", "signature_of")
"""Of a corrected message: the original's id, the correction's number, who prepared it, who approved it, and to which
message the signatures named in the other headers belong."""


@dataclass(frozen=True, slots=True)
class Correction:
    """A row of bus.correction with its message: seq is the message's number, entry_state its state at the time."""

    id: int
    message_id: UUID
    seq: int
    kind: str
    queue: str
    entry_state: str
    sha256: str
    note: str
    state: str
    proposed_at: datetime
    proposed_by: str
    expires_at: datetime
    decided_at: datetime | None
    decided_by: str
    decision: str
    new_id: UUID | None


@dataclass(frozen=True, slots=True)
class Draft:
    """What the editor begins with. problem: why the message stands where it stands."""

    message_id: UUID
    kind: str
    queue: str
    state: str
    problem: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Compared:
    """Old and new body side by side. masked: the person sees no personal data, and so may not decide."""

    masked: bool
    rows: list[Row] = field(repr=False)


def draft(bus: Bus, message_id: UUID, person: Person) -> Draft:
    """The body as text. The look is audited. Raises Permanent for who may not edit and for what can't be edited."""
    _need(person, "messages.edit")
    text = _text(bus, message_id, person)
    original, queue, state, reason, _ = _original(bus, message_id)
    return Draft(message_id, original.kind, queue, state, reason, text)


def check(bus: Bus, message_id: UUID, text: str, person: Person) -> list[Row]:
    """The difference that this text makes, once it has passed what its route checks (XSD, transform, fields).

    The look is audited. Raises BusError: `editing.fault_of` says where.
    """
    _need(person, "messages.edit")
    octets = _checked(bus, message_id, text)
    return editing.difference(_text(bus, message_id, person), editing.text_of(octets))


def propose(bus: Bus, message_id: UUID, text: str, note: str, *, person: Person) -> int:
    """Keep it until another person decides; its number. Raises BusError like `check`."""
    _need(person, "messages.edit")
    note = _words(note, "Напишите, что и почему исправлено: это прочтёт утверждающий")
    octets = _checked(bus, message_id, text)
    with bus.database.transaction() as connection:
        db = driver(connection)
        state, changed_at = _entry(db, message_id)
        _refuse_busy(state)
        db.execute(
            "UPDATE bus.correction SET state = 'expired', decided_at = expires_at "
            "WHERE message_id = %s AND state = 'proposed' AND expires_at <= clock_timestamp()",
            (message_id,),
        )
        body, payload = bus.payloads.split(db, octets)
        row = db.execute(
            "INSERT INTO bus.correction (message_id, entry_state, entry_changed_at, body, body_payload, sha256, note, "
            "proposed_by, proposed_account, expires_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, "
            "clock_timestamp() + %s) ON CONFLICT (message_id) WHERE state = 'proposed' DO NOTHING RETURNING id",
            (
                message_id, state, changed_at, body, payload, hashlib.sha256(octets).hexdigest(), note, person.login,
                person.account_id, TERM,
            ),
        ).fetchone()  # fmt: skip
        if row is None:
            raise Permanent("По этому сообщению уже есть правка, которая ждёт утверждения: сначала решите о ней")
        _audit(db, person, "correction.proposed", message_id, row[0], f"Подготовлена правка № {row[0]}. {note}")
        return int(row[0])


def approve(bus: Bus, number: int, *, sha256: str, person: Person) -> UUID:
    """Send what was proposed; the id of the new message. sha256: of the body that this person has seen.

    Raises Permanent: no permission, the person prepared it, it was decided or is too old, the message has gone on
    since; BusError when the body does not pass the checks any more.
    """
    _need(person, "messages.approve")
    with bus.database.transaction() as connection:
        db = driver(connection)
        message_id, proposed_by, *was = _undecided(db, number, person, sha256)
        if _entry(db, message_id) != tuple(was):
            raise Permanent(
                "Пока правка ждала, исходное сообщение отправили повторно или отклонили: посмотрите его карточку. "
                "Эту правку не утвердить, отклоните её"
            )
        made = _made(bus, message_id, _body(bus, number), number)[0]
        people = {"corrected_by": proposed_by, "approved_by": person.login}
        made = made.but(headers={**made.headers, **people})
        committed = bus.engine.put_within(db, [made])
        words = f"правка № {number}, подготовил {proposed_by}, утвердил {person.login}"
        note = f"Заменено исправленным сообщением {made.id}: {words}"
        dropped = operations.drop_within(bus, db, [message_id], actor=person.login, reason=note)
        events = [Event(made.id, "corrected", f"Исправлено из {message_id}: {words}", actor=person.login)]
        if not dropped:  # finished long ago: it stays what it is
            events.append(Event(message_id, "corrected", note, actor=person.login))
        bus.journal.record(db, events)
        _decide(db, number, "approved", person, new_id=made.id)
        _audit(db, person, "correction.approved", message_id, number, f"Правка № {number} утверждена", made.id)
    committed()
    for queue in dropped.values():
        bus.wake(queue)
    return made.id


def reject(bus: Bus, number: int, reason: str, *, person: Person) -> None:
    """Not this one. Raises Permanent like `approve`."""
    _need(person, "messages.approve")
    reason = _words(reason, "Напишите, почему правка не утверждена: это прочтёт тот, кто её готовил")
    with bus.database.transaction() as connection:
        db = driver(connection)
        message_id, *_ = _undecided(db, number, person)
        _decide(db, number, "rejected", person, reason)
        note = f"Правка № {number} не утверждена. {reason}"
        _audit(db, person, "correction.rejected", message_id, number, note)


def withdraw(bus: Bus, number: int, *, person: Person) -> None:
    """By the person who prepared it, and nobody else. Raises Permanent."""
    _need(person, "messages.edit")
    with bus.database.transaction() as connection:
        db = driver(connection)
        message_id, *_ = _undecided(db, number, person, own=True)
        _decide(db, number, "withdrawn", person)
        _audit(db, person, "correction.withdrawn", message_id, number, f"Правка № {number} отозвана")


def correction(database: Database, number: int) -> Correction:
    """Raises ConfigError when there is none."""
    with database.transaction() as connection:
        row = driver(connection).execute(f"{_SELECT} WHERE c.id = %s", (number,)).fetchone()
    if row is None:
        raise ConfigError(f"Нет правки № {number}. Посмотрите список правок")
    return Correction(*row)


def corrections(
    database: Database, before: int | None = None, limit: int = 50, *, state: str = "", message_id: UUID | None = None
) -> list[Correction]:
    """One page, the newest first; the next one is `before` the last one's number. Raises ConfigError."""
    if state and state not in STATES:
        raise ConfigError(f"Нет состояния «{state}». Бывают: {', '.join(STATES)}")
    conditions = ["c.id < %(before)s"]
    if state:
        conditions.append(f"{_STATE} = %(state)s")
    if message_id:
        conditions.append("c.message_id = %(message_id)s")
    with database.transaction() as connection:
        rows = driver(connection).execute(
            f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY c.id DESC LIMIT %(limit)s",
            {"before": before or 2**63 - 1, "limit": limit, "state": state, "message_id": message_id},
        )
        return [Correction(*row) for row in rows]


def compared(bus: Bus, number: int, person: Person) -> Compared:
    """What the correction changes, masked for who may not see personal data. The look is audited.

    Raises Permanent when one of the bodies was removed after its term.
    """
    one = correction(bus.database, number)
    found = contents.look(bus, one.message_id, {"body"}, person, most_bytes=editing.EDIT_MOST_BYTES)
    operations.viewed(bus, one.message_id, f"Просмотр: правка № {number}", actor=person.login)
    new = _body(bus, number)
    if found.masked:
        new = masking.masked_body(new, contents.plain_names(bus, one.kind, one.queue))
    old = editing.text_of(found.body or b"")
    return Compared(found.masked, editing.difference(old, editing.text_of(new)))


def _text(bus: Bus, message_id: UUID, person: Person) -> str:
    found = contents.look(bus, message_id, {"body"}, person, most_bytes=editing.EDIT_MOST_BYTES)
    if found.body is None or not found.body:
        raise Permanent("У сообщения нет тела: править нечего. Посмотрите его карточку")
    if "body" in found.cut:
        raise editing.too_long()
    return editing.text_of(found.body)


def _checked(bus: Bus, message_id: UUID, text: str) -> bytes:
    octets = editing.octets_of(text)
    _, original = _made(bus, message_id, octets, 0)
    if editing.text_of(octets) == editing.text_of(original.body):
        raise Permanent("Содержимое не изменилось: исправьте его, либо просто отправьте сообщение повторно")
    return octets


def _made(bus: Bus, message_id: UUID, octets: bytes, number: int) -> tuple[Message, Message]:
    """(the new message, checked; the original)."""
    original, queue, _, _, question = _original(bus, message_id)
    answers = bool(original.in_reply_to and question)
    route = bus.routes.by_name.get(queue)
    made = original.but(
        id=uuid7(),
        body=octets,
        received=None,
        fingerprint="",
        external_id=f"correction:{number}",
        queue=queue if queue != UNKNOWN_QUEUE else "",
        # A reply is understood by its question: it is found anew, or stays the cause.
        cause=original.cause if original.in_reply_to else original.id,
        in_reply_to=original.in_reply_to if answers else "",
        key="" if route is not None and route.key else original.key,
        headers={
            **original.headers,
            **{"corrected": str(original.id), "correction": str(number), "signature_of": str(original.id)},
        },
    )
    if queue == UNKNOWN_QUEUE and original.in_reply_to:
        raise UnknownKind("Это ответ на неизвестный запрос: правка содержимого не поможет. Отклоните его")
    return editing.check(bus.routes, made.queue, made), original


def _original(bus: Bus, message_id: UUID) -> tuple[Message, str, str, str, bool]:
    """(message, queue, state, reason, its question is known). Raises Permanent for what can't be edited."""
    with bus.database.transaction() as connection:
        db = driver(connection)
        found = bus.journal.load(db, [message_id])
        row = db.execute("SELECT queue, state, reason FROM bus.entry WHERE message_id = %s", (message_id,)).fetchone()
        if not found or row is None:
            raise Permanent(f"Нет сообщения {message_id}. Посмотрите журнал сообщений")
        message = found[0]
        question = bus.outgoing.question(db, message.source, message.in_reply_to) if message.in_reply_to else None
    queue, state, reason = row
    _refuse_busy(state)
    if queue not in (*bus.routes.by_name, *bus.engine.sinks, UNKNOWN_QUEUE):
        raise ConfigError(f"Очередь {queue} больше никто не обслуживает: подключите её и повторите")
    return message, queue, state, reason, question is not None


def _refuse_busy(state: str) -> None:
    if state not in EDITABLE:
        raise Permanent("Сообщение сейчас обрабатывается: правят только то, что в карантине или завершено")


def _body(bus: Bus, number: int) -> bytes:
    with bus.database.transaction() as connection:
        db = driver(connection)
        row = db.execute("SELECT body, body_payload FROM bus.correction WHERE id = %s", (number,)).fetchone()
        return bus.payloads.join(db, *row) if row else b""


def _entry(db: Driver, message_id: UUID) -> tuple[str, datetime]:
    row = db.execute(
        "SELECT state, changed_at FROM bus.entry WHERE message_id = %s FOR UPDATE", (message_id,)
    ).fetchone()
    if row is None:
        raise Permanent("Запись исходного сообщения удалена по сроку хранения")
    return row


def _undecided(
    db: Driver, number: int, person: Person, sha256: str | None = None, *, own: bool = False
) -> tuple[UUID, str, str, datetime]:
    """A proposal that this person may decide about, locked: its message, who prepared it, and how the message stood.

    own: one that this person prepared.
    """
    row = db.execute(
        f"SELECT message_id, {_STATE}, proposed_by, proposed_account, sha256, entry_state, entry_changed_at "
        "FROM bus.correction c WHERE id = %s FOR UPDATE",
        (number,),
    ).fetchone()
    if row is None:
        raise ConfigError(f"Нет правки № {number}. Посмотрите список правок")
    message_id, state, proposed_by, account, digest, *was = row
    if state != "proposed":
        raise Permanent(f"О правке № {number} уже решено: {STATES[state]}")
    is_own = proposed_by == person.login or account == person.account_id
    if own and not is_own:
        raise Permanent("Отозвать правку может только тот, кто её подготовил")
    if is_own and not own:
        raise Permanent("Свою правку не утверждают и не отклоняют: решает другой человек. Свою можно отозвать")
    if sha256 not in (None, digest):
        raise Permanent("Показана не та правка: обновите страницу и посмотрите её снова")
    return message_id, proposed_by, *was


def _decide(
    db: Driver, number: int, state: str, person: Person, decision: str = "", new_id: UUID | None = None
) -> None:
    db.execute(
        "UPDATE bus.correction SET state = %s, decided_at = clock_timestamp(), decided_by = %s, decision = %s, "
        "new_id = %s WHERE id = %s",
        (state, person.login, decision, new_id, number),
    )


def _need(person: Person, permission: str) -> None:
    """The permission, a face, and eyes that see the body."""
    known = permissions()
    for one in (permission, "messages.content", contents.PERSONAL):
        if not person.may(one):
            raise Permanent(f"Для правки содержимого нужно право «{known[one]}»: его даёт администратор")
    if person.account_id is None:
        raise Permanent("Правки готовят и утверждают люди со своей учётной записью: войдите в консоль")


def _words(text: str, otherwise: str) -> str:
    words = storable(text.strip())
    if not words:
        raise Permanent(otherwise)
    if len(words) > NOTE_MOST:
        raise Permanent(f"Слишком длинно: не больше {NOTE_MOST} знаков")
    return words


def _audit(
    db: Driver, person: Person, action: str, message_id: UUID, number: int, note: str, new_id: UUID | None = None
) -> None:
    detail = {"correction": number} | ({"new": str(new_id)} if new_id else {})
    audit.record(db, person.login, action, "message", str(message_id), note, detail)


_STATE: Final = "CASE WHEN c.state = 'proposed' AND c.expires_at <= clock_timestamp() THEN 'expired' ELSE c.state END"
_SELECT: Final = f"""
SELECT c.id, c.message_id, m.seq, m.kind, e.queue, c.entry_state, c.sha256, c.note, {_STATE}, c.proposed_at,
    c.proposed_by, c.expires_at, c.decided_at, c.decided_by, c.decision, c.new_id
FROM bus.correction c JOIN bus.message m ON m.id = c.message_id JOIN bus.entry e ON e.message_id = c.message_id
"""
