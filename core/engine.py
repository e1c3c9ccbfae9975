"""The way of a message, whole and in one place.

    accept   ── journal ── COMMIT ── acknowledge                          (Engine.accept)
    claim    ── validate ── transform ── handle ── COMMIT                 (Engine.drain_route)
    claim    ── prepare ── COMMIT ── send ── confirm ── COMMIT            (Engine.drain_sink)

What it promises: a source hears "accepted" only after the journal's commit; a handler's writes, the messages it
yields and the state "handled" are one commit; a sink repeats the same bytes under the same id until the far side
confirms. So a crash at any instruction leads to a repeat without a second effect.

A batch is handled in one savepoint. If anything in it fails, it is rolled back and each message gets a savepoint of
its own: the poisonous one costs only itself, the healthy ones cost one round trip instead of two.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import psycopg
import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from core import queues as q
from core import stages
from core.batch import Batch, failed, pause
from core.connector import Delivery, Sink
from core.crashpoints import crash_point
from core.database import Database, Driver, driver
from core.discovery import Routes
from core.errors import BusError, ConfigError, IdReused, Permanent, Retryable, Unavailable, UnknownKind
from core.handling import HandlerSession
from core.journal import Addressed, Event, Journal
from core.message import OUTCOME_WORDS, Message
from core.neighbours import served_elsewhere
from core.outgoing import Outgoing
from core.queues import Claimed, Failed, Queues
from core.rates import Meter
from core.replies import Reply
from core.route import Context, Retry, Route, order_key

UNKNOWN_QUEUE = "unknown"
"""Messages that no route takes, and answers to nothing we asked: kept in quarantine, shown, resendable."""

SINK_BATCH_MOST = 16
SINK_TRANSACTION_S = 2.0
SINK_RETRY = Retry(attempts=1_000_000)
"""A sink repeats until the far side confirms or refuses; only a Permanent error ends it."""
_log = structlog.get_logger(__name__)

_RECEIVED = crash_point("accept.received", "сообщение в памяти, в журнале ничего")
_JOURNALED = crash_point("accept.journaled", "записано в журнал, не зафиксировано")
_ACCEPTED = crash_point("accept.committed", "журнал зафиксирован, источник ещё не знает")
_ACKNOWLEDGED = crash_point("accept.acknowledged", "источник знает, отметка об этом не записана")
_CLAIMED = crash_point("handle.claimed", "взято в работу, ничего не сделано")
_TRANSFORMED = crash_point("handle.transformed", "проверено и преобразовано, обработчик не вызван")
_HANDLED = crash_point("handle.handled", "обработчик выполнен, состояние не записано")
_SETTLED = crash_point("handle.settled", "всё записано, не зафиксировано")
_COMMITTED = crash_point("handle.committed", "обработка зафиксирована, следующие очереди не разбужены")
_PREPARED = crash_point("send.prepared", "байты и идентификатор готовы, не зафиксированы")
_KEPT = crash_point("send.kept", "байты и идентификатор зафиксированы, не отправлены")
_COUNTED = crash_point("send.counted", "отмечено, что отправка начинается")
_SENT = crash_point("send.sent", "другая сторона приняла, подтверждение не записано")
_CONFIRMED = crash_point("send.confirmed", "подтверждение записано, не зафиксировано")
_FINISHED = crash_point("send.committed", "отправка зафиксирована")


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a delivery.

    message_id  in the journal; of the earlier message when this one had come before (`repeated`)
    problem     it is kept in quarantine for this reason; IdReused: its id belongs to another content
    """

    message_id: UUID
    repeated: bool
    problem: Permanent | None = None


class Engine:
    """One per process; thread-safe. `wake` tells the workers that a queue has work, after the commit."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        queues: Queues,
        outgoing: Outgoing,
        routes: Routes,
        sinks: dict[str, Sink],
        wake: Callable[[str], None],
        retry_of: Callable[[Route], Retry] = lambda route: route.retry,
        meter: Meter | None = None,
    ) -> None:
        self.database = database
        self.meter = meter or Meter(database)
        self.journal = journal
        self.queues = queues
        self.outgoing = outgoing
        self.routes = routes
        self.sinks = sinks
        self._wake = wake
        self._retry_of = retry_of

    # ── accept → commit → acknowledge ────────────────────────────────────────────────────────────────────────────

    def accept(self, deliveries: Sequence[Delivery]) -> list[Accepted]:
        """Journal a batch in one commit, then acknowledge each. Raises Unavailable with nothing acknowledged."""
        _RECEIVED()
        accepted = self._keep([(one.message, one.problem) for one in deliveries])
        _ACCEPTED()
        self._acknowledge(deliveries, accepted)
        return accepted

    def keep(self, deliveries: Sequence[Delivery]) -> list[Accepted]:
        """Journal a batch in one commit; the caller tells the senders (a push source: its answer is the
        acknowledgement). Raises Unavailable with nothing acknowledged."""
        _RECEIVED()
        given = [(one.message, one.problem) for one in deliveries]
        accepted = self._keep_at_once(given) or self._keep(given)
        _ACCEPTED()
        return accepted

    def put(self, messages: Sequence[Message]) -> list[Accepted]:
        """Journal messages that nobody waits to hear about: commands, schedules, resends. Raises Unavailable."""
        return self._keep([(message, None) for message in messages])

    def put_within(self, db: Driver, messages: Sequence[Message]) -> Callable[[], None]:
        """The same in the caller's transaction. What is returned is called after its commit: it wakes the queues."""
        return self._journal(db, [(message, None) for message in messages])[1]

    def _keep(self, given: Sequence[tuple[Message, Permanent | None]]) -> list[Accepted]:
        if not given:
            return []
        with self.database.transaction() as connection:
            accepted, committed = self._journal(driver(connection), given)
            _JOURNALED()
        committed()
        return accepted

    def _journal(
        self, db: Driver, given: Sequence[tuple[Message, Permanent | None]]
    ) -> tuple[list[Accepted], Callable[[], None]]:
        addressed = [self._address(db, *one) for one in given]
        new = self.journal.add(db, addressed)
        accepted = [
            Accepted(one.message.id, repeated=False, problem=problem)
            if one.message.id in new
            else self._absorb(db, one.message)
            for one, (_, problem) in zip(addressed, given, strict=True)
        ]
        self.journal.record(db, [_put_aside(one) for one in addressed if one.reason and one.message.id in new])
        # An answer that was put aside (a bad signature) may be a forgery: the true one is still awaited.
        ready = [one for one in addressed if one.state == "ready"]
        self.outgoing.answered(db, [one.message for one in ready if one.message.id in new])

        def committed() -> None:
            self.meter.accepted([one for one in addressed if one.message.id in new])
            self._wake_all({one.queue for one in ready})

        return accepted, committed

    def _keep_at_once(self, given: Sequence[tuple[Message, Permanent | None]]) -> list[Accepted] | None:
        """The usual case in one statement and one round trip: short requests for queues that are ours.

        None when they are not that, or when it is not known whether they were kept: `_keep` finds out, and takes
        those that were for repeats.
        """
        if not all(problem is None and self.journal.is_short(message) for message, problem in given):
            return None
        try:
            with self.database.at_once() as db:
                addressed = [self._address(db, message, None) for message, _ in given]
                if any(one.reason for one in addressed):
                    return None
                new = self.journal.add(db, addressed)
        except Unavailable:
            return None
        self.meter.accepted([one for one in addressed if one.message.id in new])
        self._wake_all({one.queue for one in addressed})
        if len(new) == len(addressed):
            return [Accepted(one.message.id, repeated=False) for one in addressed]
        with self.database.transaction() as connection:
            return [
                Accepted(one.message.id, repeated=False)
                if one.message.id in new
                else self._absorb(driver(connection), one.message)
                for one in addressed
            ]

    def _address(self, db: Driver, message: Message, problem: Permanent | None) -> Addressed:
        """Where the message goes: to whoever asked, else by its kind; a message with a problem goes nowhere."""
        if message.in_reply_to and (question := self.outgoing.question(db, message.source, message.in_reply_to)):
            message = message.but(
                cause=question.message_id,
                queue=question.replies_to,
                key=message.key or question.key,
                kind=message.kind or question.kind,
            )
        elif message.in_reply_to and problem is None:
            problem = UnknownKind(
                "Ответ на неизвестный запрос: исходного сообщения в журнале нет. Проверьте, не отправлено ли оно "
                "другой системой под этим же сертификатом; если нет — отклоните"
            )
        route, version = self.routes.of(message)
        elsewhere = None
        if route is None and message.queue not in self.sinks and problem is None:
            elsewhere = served_elsewhere(db, message)
        if elsewhere:  # while an update is under way; without its route we can't tell its order key
            return Addressed(message.but(kind=elsewhere.kind, version=elsewhere.version), elsewhere.queue)
        if route is None and message.queue not in self.sinks and problem is None:
            what = f"Нет очереди {message.queue}" if message.queue else f"Неизвестный вид сведений {message.kind}"
            problem = UnknownKind(f"{what}: подключите её в настройках (omsbus new kind …) и отправьте повторно")
        if route is not None and not message.key and problem is None:
            try:
                if key := order_key(route, message):
                    message = message.but(key=key)
            except Exception as error:  # a route's own program
                problem = Permanent(
                    f"Не определить, за какими сообщениями это идёт по порядку ({type(error).__name__}). Проверьте "
                    "содержимое: если оно верно, исправьте Route.key маршрута; затем отправьте повторно"
                )
        queue = message.queue or (route.name if route else UNKNOWN_QUEUE)
        kind = route.name if route and message.kind in self.routes.by_root else message.kind
        if (version, kind) != (message.version, message.kind):
            message = message.but(version=version, kind=kind)
        if problem is None:
            return Addressed(message, queue)
        return Addressed(message, queue, "quarantined", type(problem).__name__, problem.reason)

    def _absorb(self, db: Driver, message: Message) -> Accepted:
        """The external id is known: the same content is a repeat, another content is kept and shown."""
        earlier = self.journal.twin(db, message)
        assert earlier is not None, "a conflict without its row"
        message_id, fingerprint = earlier
        if fingerprint == message.digest():
            self.journal.record(db, [Event(message_id, "repeated", "Получено повторно; второго действия не будет")])
            return Accepted(message_id, repeated=True)
        problem = IdReused(
            f"Под идентификатором {message.external_id} уже принято другое содержимое (сообщение {message_id}). "
            "Выясните у отправителя, какое верно; это отклоните либо отправьте в обработку"
        )
        other = message.but(external_id=f"{message.external_id}#{message.digest()[:16]}")
        addressed = self._address(db, other, problem)
        if self.journal.add(db, [addressed]):
            self.journal.record(db, [_put_aside(addressed)])
            self.meter.accepted([addressed])
            return Accepted(other.id, repeated=False, problem=problem)
        again = self.journal.twin(db, other)
        assert again is not None
        return Accepted(again[0], repeated=True, problem=problem)

    def _acknowledge(self, deliveries: Sequence[Delivery], accepted: Sequence[Accepted]) -> None:
        events = []
        for delivery, one in zip(deliveries, accepted, strict=True):
            try:
                if delivery.problem is None:
                    delivery.ack()
                    events.append(Event(one.message_id, "acknowledged"))
                else:
                    delivery.reject(delivery.problem)
                    events.append(Event(one.message_id, "refused", delivery.problem.reason))
            except BusError as error:
                # It will come again, be absorbed as a repeat and be acknowledged then.
                _log.warning("not acknowledged", message_id=str(one.message_id), reason=error.reason)
                events.append(Event(one.message_id, "not acknowledged", error.reason, error.detail))
            except Exception as error:  # a defect of the connector; the others want their acknowledgement all the same
                _log.exception("not acknowledged", message_id=str(one.message_id))
                events.append(Event(one.message_id, "not acknowledged", f"Ошибка коннектора: {type(error).__name__}"))
        _ACKNOWLEDGED()
        try:
            with self.database.transaction(durable=False) as connection:
                self.journal.record(driver(connection), events)
        except Unavailable as error:  # the messages themselves are safe
            _log.warning("acknowledgements not noted", reason=error.reason)

    def expire(self) -> None:
        """Tell the routes whose questions nobody answered in time."""
        with self.database.transaction() as connection:
            db = driver(connection)
            committed = self.put_within(db, self.outgoing.overdue(db))
        committed()

    # ── claim → validate → transform → handle → commit ───────────────────────────────────────────────────────────

    def drain(self, queue: str, limit: int) -> int:
        """Take one batch of a queue through its way; how many messages were claimed (0: nothing to do)."""
        if queue in self.routes.by_name:
            return self.drain_route(self.routes.by_name[queue], limit)
        if queue in self.sinks:
            return self.drain_sink(queue, self.sinks[queue], limit)
        return 0

    def drain_route(self, route: Route, limit: int) -> int:
        """One batch of a route in one transaction."""
        with self.database.transaction() as connection:
            db = driver(connection)
            if not self.queues.may_run(db, route.name):
                return 0
            claimed = self.queues.claim(db, route.name, limit)
            if not claimed:
                return 0
            _CLAIMED()
            batch = Batch(route.name)
            prepared = [one for one in claimed if batch.attempt(one, lambda one: stages.apply(route, one.message))]
            _TRANSFORMED()
            self._handle(connection, route, prepared, batch)
            _HANDLED()
            self._settle(db, route.name, batch, "handled", self._retry_of(route))
            _SETTLED()
        _COMMITTED()
        self.meter.settled(batch, len(claimed))
        self._wake_all(batch.queues)
        return len(claimed)

    def _handle(self, connection: sa.Connection, route: Route, claimed: Sequence[Claimed], batch: Batch) -> None:
        """Run the handlers: all in one savepoint, or, when something fails, each in its own."""
        db = driver(connection)

        def run(some: Sequence[Claimed]) -> None:
            with self._savepoint(connection) as session:
                done = [(one, *self._run(db, session, route, one, batch.made[one.seq])) for one in some]
                self.journal.add(db, [emitted for _, all_emitted, _ in done for emitted in all_emitted])
            for one, emitted, notes in done:
                batch.add(one, emitted, notes)

        if len(claimed) > 1:
            try:
                run(claimed)
                return
            except Exception:  # found out below, one by one, whose fault it is
                if connection.invalidated or db.closed:
                    raise
        for one in claimed:
            batch.attempt(one, lambda one: run([one]), keep=False)

    def _run(
        self, db: Driver, session: Session, route: Route, claimed: Claimed, body: stages.Body
    ) -> tuple[list[Addressed], list[str]]:
        message = claimed.message
        handler = route.handlers.get(message.outcome)
        if handler is None:
            raise Permanent(
                f"Маршрут {route.name} не обрабатывает исход «{OUTCOME_WORDS[message.outcome]}». Посмотрите, что "
                "сообщила другая сторона (omsbus message show), и отклоните; либо добавьте обработчик и отправьте "
                "повторно",
                detail=str(body.value) if isinstance(body.value, Reply) else "",
            )
        context = Context(message, session)
        emitted = [self._emit(db, route, message, one) for one in handler(body.value, context) or ()]
        return emitted, context.notes

    def _emit(self, db: Driver, route: Route, cause: Message, message: Message) -> Addressed:
        if message.id == cause.id:  # passed on: a message of its own, else the journal would take it for a repeat
            message = message.but(id=uuid7(), source="bus", external_id="", in_reply_to="")
        return self._address(db, message.but(cause=cause.id, replies_to=message.replies_to or route.name), problem=None)

    @contextlib.contextmanager
    def _savepoint(self, connection: sa.Connection) -> Iterator[Session]:
        # In this mode the session itself is the savepoint.
        with HandlerSession(connection, join_transaction_mode="create_savepoint", expire_on_commit=False) as session:
            yield session
            session.keep()

    def _settle(self, db: Driver, queue: str, batch: Batch, state: str, retry: Retry) -> None:
        """Write down what became of a batch; the caller commits."""
        self.queues.finish(db, queue, batch.done, state)
        batch.events += [_put_aside(one) for one in batch.emitted if one.reason]
        self.queues.fail(db, queue, [one for error in batch.failed for one in self._verdict(batch, *error, retry)])
        if batch.stopped:
            self.queues.stop(db, queue, batch.stopped.reason)
        self.journal.record(db, batch.events)

    def _verdict(self, batch: Batch, claimed: Claimed, error: Exception, retry: Retry) -> Iterator[Failed]:
        """Failure is an instruction: what the bus does next with this message."""
        attempt = claimed.attempts + 1
        if isinstance(error, ConfigError):
            batch.stopped = error
            batch.events.append(failed(claimed, "stopped", error.reason, error, attempt))
            return
        again = isinstance(error, Retryable) and attempt < retry.attempts
        reason = (
            error.reason if isinstance(error, BusError) else f"Ошибка в программе обработки: {type(error).__name__}"
        )
        if isinstance(error, Retryable) and not again:
            reason = f"Не удалось за {attempt} попыток: {reason}"
        pause_s = pause(retry, attempt, error) if again else 0.0
        state = "retry" if again else "quarantined"
        batch.events.append(failed(claimed, state, reason, error, attempt))
        yield Failed(claimed, state, type(error).__name__, reason, pause_s)

    # ── claim → prepare → commit → send → confirm → commit ───────────────────────────────────────────────────────

    def drain_sink(self, queue: str, sink: Sink, limit: int) -> int:
        """Prepare what is new in one transaction, then send what is prepared in another."""
        limit = min(limit, SINK_BATCH_MOST)
        return max(self._prepare(queue, sink, limit), self._send(queue, sink, limit))

    def _prepare(self, queue: str, sink: Sink, limit: int) -> int:
        with self.database.transaction() as connection:
            db = driver(connection)
            if not self.queues.may_run(db, queue):
                return 0
            claimed = self.queues.claim(db, queue, limit, only=q.NOT_PREPARED, follow=False)
            batch = Batch(queue)

            def prepare(one: Claimed) -> None:
                prepared = sink.prepare(one.message)
                with db.transaction():  # a savepoint
                    # A worker that prepared it and let go after our claim had begun leaves no trace on the entry.
                    first = self.outgoing.add(db, queue, one.message, prepared)
                if first:
                    note = f"Подготовлено под идентификатором {prepared.external_id}"
                    # Sealed with the event: what is sent later is provably this (core.evidence).
                    detail = f"sha256:{hashlib.sha256(prepared.body).hexdigest()}"
                    batch.events.append(Event(one.message.id, "prepared", note, detail, one.attempts + 1))

            for one in claimed:
                batch.attempt(one, prepare, keep=False)
            self._settle(db, queue, batch, "sent", SINK_RETRY)
            if claimed:
                _PREPARED()
        if claimed:
            _KEPT()
            self.meter.settled(batch, 0)
        return len(claimed)

    def _send(self, queue: str, sink: Sink, limit: int) -> int:
        batch = Batch(queue)
        resting: Unavailable | None = None
        with self.database.transaction() as connection:
            db = driver(connection)
            if not self.queues.may_run(db, queue):
                return 0
            claimed = self.queues.claim(db, queue, limit, only=q.PREPARED, follow=False)
            # Committed apart and first: after a crash we must know that this may have reached the far side.
            sends = self.outgoing.count_sends(self.database, [one.message.id for one in claimed])
            if claimed:
                _COUNTED()
            deadline = time.monotonic() + SINK_TRANSACTION_S
            for place, one in enumerate(claimed):
                if place and (time.monotonic() > deadline or resting or batch.stopped):
                    break
                try:
                    began = time.monotonic()
                    if one.problem:
                        raise one.problem
                    prepared = self.outgoing.prepared(db, one.message.id)
                    receipt = sink.send(one.message, prepared, repeated=sends[one.message.id] > 1)
                    _SENT()
                except Unavailable as error:
                    resting = error
                    batch.events.append(failed(one, "unavailable", error.reason, error, 0))
                except psycopg.Error:  # our own database: all of this batch comes again
                    raise
                except Exception as error:
                    if isinstance(error, Retryable) and error.renew:
                        q.renew(db, one.message.id)
                    batch.failed.append((one, error))
                    if isinstance(error, ConfigError):
                        batch.stopped = error
                else:
                    self.outgoing.confirmed(db, one.message)
                    batch.done.append(one)
                    taken_ms = (time.monotonic() - began) * 1000
                    batch.events.append(
                        Event(one.message.id, "sent", receipt.note, "", one.attempts + 1, "", taken_ms, receipt.answer)
                    )
            self._settle(db, queue, batch, "sent", SINK_RETRY)
            if batch.done:
                self.queues.awake(db, queue)
            if resting:
                failures = self.queues.failures(db, queue) + 1
                self.queues.rest(db, queue, pause(Retry(most_s=120), failures, resting), resting.reason)
            if batch.done:
                _CONFIRMED()
        if batch.done:
            _FINISHED()
        if claimed:
            self.meter.settled(batch, len(batch.done) + len(batch.failed))
        return len(claimed) if not resting else 0

    def _wake_all(self, names: Iterable[str]) -> None:
        self.meter.signalled(names)
        for name in names:
            self._wake(name)


def _put_aside(one: Addressed) -> Event:
    return Event(one.message.id, "quarantined", one.reason)
