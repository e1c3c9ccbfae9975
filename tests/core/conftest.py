"""A far side under the tests' command, and a table where the effects of handlers are counted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa

from core.bus import Bus
from core.connector import Delivery, Prepared, Receipt
from core.database import Database, driver
from core.errors import Permanent
from core.message import Message
from core.route import Context, Route


@dataclass
class Offer:
    """A delivery: comes again until it is acknowledged or refused."""

    far: FarSide
    message: Message
    problem: Permanent | None = None

    def ack(self) -> None:
        if self.far.ack_error:
            raise self.far.ack_error
        self.far.on_ack(self)
        self.far.acked.append(self.message.external_id)

    def reject(self, reason: Permanent) -> None:
        self.far.refused.append(self.message.external_id)


@dataclass
class FarSide:
    """A connector with the source `far.in` and the sink `far`, its far side in memory."""

    name: str = "far"
    interval_s: float = 0.05
    offers: list[Offer] = field(default_factory=list)
    acked: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    sent: list[tuple[str, bytes, bool]] = field(default_factory=list)
    """(external id, body, repeated) of every send, also of those that failed."""
    polls: int = 0
    opens: int = 0
    ack_error: BaseException | None = None
    receive_errors: list[BaseException] = field(default_factory=list)
    prepare_error: BaseException | None = None
    send_errors: dict[bytes, list[BaseException]] = field(default_factory=dict)
    """Body → what its next sends raise; b"*" is for any."""
    lost_answer: list[BaseException] = field(default_factory=list)
    """Raised after the message has arrived."""
    on_ack: Callable[[Offer], None] = lambda offer: None
    on_receive: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.sources = {f"{self.name}.in": self}
        self.sinks = {self.name: self}
        self._numbers = itertools.count(1)

    def offer(self, external_id: str, body: bytes = b"{}", *, kind: str = "t.work", **fields: Any) -> Offer:
        problem = fields.pop("problem", None)
        fields = {"source": self.name} | fields
        offered = Offer(self, Message(kind=kind, body=body, external_id=external_id, **fields), problem)
        self.offers.append(offered)
        return offered

    # Connector
    def open(self) -> None:
        self.opens += 1

    def check(self) -> str:
        return "Связь есть"

    def close(self) -> None:
        pass

    # Source
    def receive(self) -> Sequence[Delivery]:
        self.polls += 1
        self.on_receive()
        if self.receive_errors:
            raise self.receive_errors.pop(0)
        done = {*self.acked, *self.refused}
        return [one for one in self.offers if one.message.external_id not in done][:10]

    # Sink
    def prepare(self, message: Message) -> Prepared:
        if self.prepare_error:
            raise self.prepare_error
        return Prepared(f"out-{next(self._numbers)}", message.body)

    def send(self, message: Message, prepared: Prepared, *, repeated: bool) -> Receipt:
        self.sent.append((prepared.external_id, message.body, repeated))
        for key in (message.body, b"*"):
            if errors := self.send_errors.get(key):
                raise errors.pop(0)
        if self.lost_answer:
            raise self.lost_answer.pop(0)
        return Receipt("Принято", b"<ok/>")


@pytest.fixture
def far() -> FarSide:
    return FarSide()


@pytest.fixture
def far_side() -> type[FarSide]:
    """For a second one."""
    return FarSide


@dataclass
class Effects:
    """The table of effects, without any constraint: what was done twice stands there twice."""

    database: Database

    def write(self, context: Context, text: str) -> None:
        context.db.execute(sa.text("INSERT INTO t.effect (text) VALUES (:text)"), {"text": text})

    def texts(self) -> list[str]:
        """In the order in which they were written."""
        with self.database.transaction() as connection:
            return [row[0] for row in driver(connection).execute("SELECT text FROM t.effect ORDER BY n")]


@pytest.fixture
def effects(database: Database) -> Effects:
    with database.transaction() as connection:
        driver(connection).execute("CREATE SCHEMA t; CREATE TABLE t.effect (n bigserial, text text)")
    return Effects(database)


Behaviour = Callable[[Message, Context], Iterable[Message] | None]


@pytest.fixture
def working(effects: Effects) -> Callable[..., Route]:
    """Makes the route `t.work`: writes the body as its effect, then does what the test adds.

    The key is the part of the body before the first "/".
    """

    def make(then: Behaviour | None = None, *, name: str = "t.work", keyed: bool = True, **options: Any) -> Route:
        key = (lambda message: message.body.decode().partition("/")[0]) if keyed else None
        route = Route(name, title="Работа", key=key, **options)

        def handle(_body: Any, context: Context) -> Iterator[Message]:
            effects.write(context, context.message.body.decode())
            yield from (then(context.message, context) if then else None) or ()

        route.handler(handle)
        return route

    return make


class Look:
    """What stands in the tables of the bus."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._database.transaction() as connection:
            return driver(connection).execute(sql, values).fetchall()  # type: ignore[arg-type]

    def one(self, sql: str, *values: Any) -> Any:
        """The only column of the only row."""
        [(value,)] = self.rows(sql, *values)
        return value

    def do(self, sql: str, *values: Any) -> None:
        with self._database.transaction() as connection:
            driver(connection).execute(sql, values)  # type: ignore[arg-type]

    def states(self, queue: str = "t.work") -> dict[str, str]:
        """{body: state} of a queue."""
        rows = self.rows(
            "SELECT convert_from(m.body, 'UTF8'), e.state FROM bus.entry e JOIN bus.message m USING (seq) "
            "WHERE e.queue = %s ORDER BY seq",
            queue,
        )
        return dict(rows)

    def reason(self, body: str) -> str:
        return str(
            self.one("SELECT e.reason FROM bus.entry e JOIN bus.message m USING (seq) WHERE m.body = %s", body.encode())
        )

    def events(self, body: str) -> list[str]:
        """Stages of the events of the message with this body."""
        rows = self.rows(
            "SELECT v.stage FROM bus.event v JOIN bus.message m ON m.id = v.message_id WHERE m.body = %s "
            "ORDER BY v.seq",
            body.encode(),
        )
        return [row[0] for row in rows]

    def id_of(self, body: str) -> Any:
        return self.one("SELECT id FROM bus.message WHERE body = %s", body.encode())


@pytest.fixture
def look(database: Database) -> Look:
    return Look(database)


def _put(bus: Bus, *bodies: str, kind: str = "t.work", **fields: Any) -> list[Message]:
    messages = [Message(kind=kind, body=body.encode(), **fields) for body in bodies]
    bus.engine.put(messages)
    return messages


@pytest.fixture
def put() -> Callable[..., list[Message]]:
    """Puts messages with these bodies into the journal, in one commit."""
    return _put


def _run_dry(bus: Bus, queue: str = "t.work", limit: int = 64) -> int:
    """Drain a queue until it has nothing to do; how many batches that took."""
    for batches in itertools.count():
        if not bus.engine.drain(queue, limit):
            return batches
        assert batches < 200, "the queue never runs dry"
    return 0


@pytest.fixture
def run_dry() -> Callable[..., int]:
    return _run_dry


@pytest.fixture
def make_due(look: Look) -> Callable[[], None]:
    """All pauses are over."""

    def due() -> None:
        look.do("UPDATE bus.entry SET due_at = now() - interval '1 second' WHERE state = 'retry'")
        look.do("UPDATE bus.queue SET rest_until = now() - interval '1 second' WHERE rest_until IS NOT NULL")

    return due


@pytest.fixture
def sweep() -> Callable[[Bus], None]:
    """What the sweep does to the queues, without waking anyone."""

    def once(bus: Bus) -> None:
        with bus.database.transaction() as connection:
            bus.queues.sweep(driver(connection))
        bus.engine.expire()

    return once
