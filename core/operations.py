"""What an operator may do to messages and queues.

Every call leaves one row in the audit, in the transaction of its deed, and an event with its actor in the journal of
each message.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from uuid_utils.compat import uuid7

from core import audit
from core.database import Driver, driver, storable
from core.declarations import look_for_orphans
from core.engine import UNKNOWN_QUEUE
from core.errors import ConfigError, Permanent
from core.journal import Event
from core.message import Message
from core.queues import UNFINISHED
from core.retention import notice
from core.route import order_key
from core.scheduler import run_now

if TYPE_CHECKING:
    from core.bus import Bus

AUDITED_MOST = 1000
"""Ids of messages that one row of the audit names; the journal of each message has its event in any case."""


def resend(bus: Bus, ids: Sequence[UUID], *, actor: str) -> int:
    """Send again: a message in quarantine or waiting for a retry goes on at once, as it is; how many.

    A message that was finished goes as a copy (a new message with this one as its cause): what was handled once is
    never silently handled twice under the same id. Raises Permanent when an id is unknown, ConfigError for a copy whose
    queue the settings of this process don't have.
    """
    with bus.database.transaction() as connection:
        db = driver(connection)
        resent = resend_within(bus, db, ids, actor=actor)
        _audit(db, actor, "message.resent", ids, f"Отправлено повторно: {len(ids)}")
    resent.committed()
    return len(ids)


@dataclass(slots=True)
class Resent:
    """went: id → id of what goes on, its own or that of a copy. committed: to be called after the commit."""

    went: dict[UUID, UUID] = field(default_factory=dict)
    after: list[Callable[[], None]] = field(default_factory=list)

    def committed(self) -> None:
        for one in self.after:
            one()


def resend_within(
    bus: Bus, db: Driver, ids: Sequence[UUID], *, actor: str, note: str = "Отправлено повторно"
) -> Resent:
    """The same in the caller's transaction, with the events and without the row of the audit."""
    resent = Resent()
    copies: list[Message] = []
    woken: set[str] = set()
    known = {message.id: message for message in bus.journal.load(db, ids)}
    if missing := [one for one in ids if one not in known]:
        raise Permanent(f"Нет сообщения {missing[0]}. Посмотрите список: omsbus message list")
    for one in ids:
        queue, key, state, seq = _entry(db, one)
        resent.went[one] = one
        if state in ("handled", "sent", "dropped"):
            _known(bus, queue)
            copies.append(_copy(known[one], queue))
            resent.went[one] = copies[-1].id
        else:
            woken.add(_again(bus, db, known[one], queue, key, seq))
    bus.journal.record(db, [Event(one, "resent", note, actor=actor) for one in ids])
    resent.after = [bus.engine.put_within(db, copies), *(functools.partial(bus.wake, queue) for queue in woken)]
    return resent


def _again(bus: Bus, db: Driver, message: Message, queue: str, key: str, seq: int) -> str:
    """Back to "ready", and to the queue that takes it now (a kind may have been connected since)."""
    if queue == UNKNOWN_QUEUE:
        route, _ = bus.routes.of(message)
        if route is None:
            raise Permanent(f"Вид сведений {message.kind} по-прежнему не подключён: повтор ничего не даст")
        queue = route.name
    if not key and queue in bus.routes.by_name:  # it was put aside before its place in the order was known
        with contextlib.suppress(Exception):  # a route's own program; the message then goes on without order
            key = order_key(bus.routes.by_name[queue], message)
    db.execute(
        "UPDATE bus.entry SET state = 'ready', queue = %s, key = %s, attempts = 0, due_at = NULL, error = '', "
        "reason = '', changed_at = clock_timestamp() WHERE seq = %s AND state IN ('quarantined', 'retry', 'held')",
        (queue, key, seq),
    )
    bus.queues.release(db, queue, [key])
    notice(db, seq)
    return queue


def _copy(message: Message, queue: str) -> Message:
    """A new message that begins the way anew. An answer keeps its cause: the question by which it is understood."""
    cause = message.cause if message.in_reply_to else message.id
    return message.but(id=uuid7(), source="resend", external_id="", cause=cause, queue=queue, in_reply_to="")


def drop(bus: Bus, ids: Sequence[UUID], *, actor: str, reason: str) -> int:
    """Decide that these shall not be handled; their keys go on. How many were dropped."""
    with bus.database.transaction() as connection:
        db = driver(connection)
        dropped = drop_within(bus, db, ids, actor=actor, reason=reason)
        if dropped:
            _audit(db, actor, "message.dropped", list(dropped), f"Отклонено: {len(dropped)}. {reason}")
    for queue in set(dropped.values()):
        bus.wake(queue)
    return len(dropped)


def drop_within(bus: Bus, db: Driver, ids: Sequence[UUID], *, actor: str, reason: str) -> dict[UUID, str]:
    """The same in the caller's transaction, without the row of the audit and without waking anybody.

    Those that were dropped, with their queues.
    """
    dropped: dict[UUID, str] = {}
    for one in ids:
        queue, key, state, seq = _entry(db, one)
        if state in ("handled", "sent", "dropped"):
            continue
        db.execute(
            "UPDATE bus.entry SET state = 'dropped', due_at = NULL, changed_at = clock_timestamp() WHERE seq = %s",
            (seq,),
        )
        bus.queues.release(db, queue, [key])
        bus.journal.record(db, [Event(one, "dropped", reason, actor=actor)])
        dropped[one] = queue
    return dropped


def move(bus: Bus, queue: str, to: str, *, actor: str) -> int:
    """Take the unfinished messages of a queue that does not run into another one, as they stand; how many.

    For a route or a connector that was renamed: what was prepared keeps its bytes and its id, so that the far side
    recognises a repeat, and answers still find their questions. Raises ConfigError.
    """
    _known(bus, to)
    _at_rest(bus, queue, "route" if to in bus.routes.by_name else "sink")
    moved = 0
    with bus.database.transaction() as connection:
        # Before the first of its many transactions: a crash must not leave a deed without its row.
        note = f"Незавершённые сообщения очереди {queue} переводятся в очередь {to}"
        audit.record(driver(connection), actor, "queue.moved", "queue", queue, note, {"to": to})
    while ids := _unfinished(bus, queue):
        with bus.database.transaction() as connection:
            db = driver(connection)
            for message in bus.journal.load(db, ids):
                _, key, state, seq = _entry(db, message.id)
                if state not in UNFINISHED:
                    continue
                if not key and to in bus.routes.by_name:
                    with contextlib.suppress(Exception):  # a route's own program; the message goes on without order
                        key = order_key(bus.routes.by_name[to], message)
                db.execute("UPDATE bus.entry SET queue = %s, key = %s WHERE seq = %s", (to, key, seq))
                notice(db, seq)
                note = f"Переведено из очереди {queue} в очередь {to}"
                bus.journal.record(db, [Event(message.id, "moved", note, actor=actor)])
                moved += 1
            db.execute("UPDATE bus.outgoing SET sink = %s WHERE message_id = ANY(%s)", (to, ids))
    with bus.database.transaction() as connection:
        for column in ("sink", "replies_to"):
            driver(connection).execute(
                f"UPDATE bus.outgoing SET {column} = %s WHERE {column} = %s AND answered_at IS NULL "
                "AND answer_due_at IS NOT NULL",
                (to, queue),
            )
    look_for_orphans(bus.database)
    bus.wake(to)
    return moved


def drop_queue(bus: Bus, queue: str, *, actor: str, reason: str) -> int:
    """Drop all unfinished messages of a queue that does not run; how many. Raises ConfigError."""
    _at_rest(bus, queue)
    dropped = 0
    with bus.database.transaction() as connection:
        note = f"Отклоняются все незавершённые сообщения очереди {queue}. {reason}"
        audit.record(driver(connection), actor, "queue.dropped", "queue", queue, note)
    while ids := _unfinished(bus, queue):
        with bus.database.transaction() as connection:
            dropped += len(drop_within(bus, driver(connection), ids, actor=actor, reason=reason))
    bus.wake(queue)
    look_for_orphans(bus.database)
    return dropped


def set_state(bus: Bus, queue: str, state: str, *, actor: str, reason: str = "") -> None:
    """Pause or resume a queue, a sink or a source. Raises ConfigError when there is none."""
    with bus.database.transaction() as connection:
        db = driver(connection)
        _change(
            db,
            queue,
            "state = %s, reason = %s, rest_until = NULL, failures = 0, changed_at = clock_timestamp(), changed_by = %s",
            (state, storable(reason), actor),
        )
        action, words = ("queue.paused", "поставлена на паузу") if state == "paused" else ("queue.resumed", "пущена")
        note = f"Очередь {queue} {words}" + (f". {reason}" if reason else "")
        audit.record(db, actor, action, "queue", queue, note)
    if state == "running":
        bus.wake(queue)


def drain_now(bus: Bus, queue: str, *, actor: str) -> None:
    """End the rest of a queue whose far side was away, and wake its workers at once.

    Messages that wait for their next attempt keep their time. Raises ConfigError when there is no such queue, it is a
    source, or it does not run.
    """
    with bus.database.transaction() as connection:
        db = driver(connection)
        row = db.execute("SELECT side, state FROM bus.queue WHERE name = %s FOR UPDATE", (storable(queue),)).fetchone()
        if row and row[0] == "source":
            raise ConfigError(f"{queue} — источник: его не разбирают, а опрашивают")
        if row and row[1] != "running":
            raise ConfigError(f"Очередь {queue} стоит: сначала пустите её")
        _change(db, queue, "rest_until = NULL, failures = 0, reason = ''", ())
        audit.record(db, actor, "queue.drained", "queue", queue, f"Очередь {queue}: разобрать сейчас, не отдыхая")
    bus.wake(queue)


def poll(bus: Bus, source: str, *, actor: str) -> None:
    """Ask for one poll of a source now; whichever process polls it obeys, even when it is paused."""
    with bus.database.transaction() as connection:
        db = driver(connection)
        _change(db, source, "poll_asked_at = clock_timestamp()", ())
        audit.record(db, actor, "queue.polled", "queue", source, f"Заказан опрос источника {source}")


def put(bus: Bus, message: Message, *, actor: str) -> UUID:
    """Give the bus a message by hand (a command such as `sfr.snils.ask`); its id in the journal."""
    [accepted] = bus.engine.put([message])
    event = Event(accepted.message_id, "put", "Поставлено вручную", actor=actor)
    with bus.database.transaction() as connection:
        db = driver(connection)
        bus.journal.record(db, [event])
        note = f"Поставлено вручную в очередь {message.queue or message.kind}"
        audit.record(db, actor, "message.put", "message", str(event.message_id), note)
    return accepted.message_id


def run_schedule(bus: Bus, name: str, *, actor: str) -> UUID:
    """ "Run now", paused or not; the id of the message it made. Raises ConfigError when there is no such schedule."""
    schedule = bus.schedules.get(name)
    _known(bus, schedule.queue)
    made = run_now(bus.engine, schedule)
    note = f"Расписание {name} запущено вручную"
    with bus.database.transaction() as connection:
        db = driver(connection)
        bus.journal.record(db, [Event(made, "put", note, actor=actor)])
        audit.record(db, actor, "schedule.run", "schedule", name, note, {"message": str(made)})
    return made


def pause_schedule(bus: Bus, name: str, *, paused: bool, actor: str) -> None:
    """Raises ConfigError when there is no such schedule."""
    with bus.database.transaction() as connection:
        db = driver(connection)
        row = db.execute(
            # Runs that fell into a pause were not missed: nobody wanted them.
            "UPDATE bus.schedule SET changed_at = CASE WHEN paused AND NOT %(paused)s THEN clock_timestamp() "
            "ELSE changed_at END, paused = %(paused)s WHERE name = %(name)s RETURNING name",
            {"paused": paused, "name": name},
        )
        if row.fetchone() is None:
            raise ConfigError(f"Нет расписания {name}. Посмотрите список: omsbus schedule list")
        action, words = ("schedule.paused", "на паузе") if paused else ("schedule.resumed", "снова идёт")
        audit.record(db, actor, action, "schedule", name, f"Расписание {name} {words}")


def viewed(bus: Bus, message_id: UUID, what: str, *, actor: str) -> None:
    """Note that a person looked at what may hold personal data. Committed before it is shown."""
    with bus.database.transaction() as connection:
        db = driver(connection)
        bus.journal.record(db, [Event(message_id, "viewed", what, actor=actor)])
        audit.record(db, actor, "message.viewed", "message", str(message_id), what)


def _at_rest(bus: Bus, queue: str, side: str = "") -> None:
    """The queue exists and does not run (and is a route or a sink, as wanted), or only its messages are left."""
    with bus.database.transaction() as connection:
        row = driver(connection).execute("SELECT side, state FROM bus.queue WHERE name = %s", (queue,)).fetchone()
    if row is None:
        if not _unfinished(bus, queue, 1):
            raise ConfigError(f"Нет очереди {queue}. Посмотрите список: omsbus queue list")
        return
    if row[1] == "running":
        raise ConfigError(f"Очередь {queue} работает: сначала поставьте её на паузу (omsbus queue pause {queue})")
    if side and row[0] != side:
        raise ConfigError("Маршрут и отправка — разные стороны: переводите в очередь той же стороны")


def _unfinished(bus: Bus, queue: str, most: int = 500) -> list[UUID]:
    with bus.database.transaction() as connection:
        rows = driver(connection).execute(
            "SELECT message_id FROM bus.entry WHERE queue = %s AND state = ANY(%s) ORDER BY seq LIMIT %s",
            (queue, list(UNFINISHED), most),
        )
        return [row[0] for row in rows]


def _known(bus: Bus, queue: str) -> None:
    """A process with other settings than the running bus must not send a message to quarantine for want of a queue."""
    if queue not in bus.routes.by_name and queue not in bus.engine.sinks:
        raise ConfigError(f"В этих настройках нет очереди {queue}. Укажите --config с настройками работающей шины")


def _audit(db: Driver, actor: str, action: str, ids: Sequence[UUID], note: str) -> None:
    """One row for many messages: the object is the message when it is one, else "" and the detail names them."""
    given = [str(one) for one in ids]
    only = given[0] if len(given) == 1 else ""
    detail = {} if only else {"count": len(given), "messages": given[:AUDITED_MOST]}
    audit.record(db, actor, action, "message", only, note, detail)


def _change(db: Driver, queue: str, assignment: str, values: tuple[Any, ...]) -> None:
    row = db.execute(f"UPDATE bus.queue SET {assignment} WHERE name = %s RETURNING name", (*values, storable(queue)))
    if row.fetchone() is None:
        raise ConfigError(f"Нет очереди {queue}. Посмотрите список: omsbus queue list")


def _entry(db: Driver, message_id: UUID) -> tuple[str, str, str, int]:
    row = db.execute(
        "SELECT queue, key, state, seq FROM bus.entry WHERE message_id = %s FOR UPDATE", (message_id,)
    ).fetchone()
    if row is None:
        raise Permanent(f"Нет сообщения {message_id}. Посмотрите список: omsbus message list")
    return row
