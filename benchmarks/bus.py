"""The bus alone, against one Celery task a message on the same machine and the same database.

Both begin with messages that are journaled already, take the 4 KB document from the journal, apply the same XSLT, write
the same row and mark the message as handled. The bus drains in batches; the peer is what people build by hand: a task
a message, one commit each. It runs on Celery's in-memory transport, the fastest: with a real broker it is slower.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final
from uuid import UUID

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from benchmarks.harness import Result, count, result, scratch_bus, start, wait_for
from benchmarks.sample import NAMESPACE, STYLE, Fields, document
from core.bus import Bus
from core.message import Message
from core.route import Context, Format, Route

NAME: Final = "bus"
MIN_RATE: Final = 2000.0
MIN_RATIO: Final = 4.0
GOAL: Final = (
    "шина без криптографии (4 КБ в журнале, XSLT, одна строка): не менее 2000 сообщений в секунду "
    "и не менее 4× против задачи Celery на сообщение с фиксацией каждой"
)
WORKERS: Final = 2


class Table(DeclarativeBase):
    """Tables of the benchmark."""


class Row(Table):
    """What one message leaves."""

    __tablename__ = "bench_row"

    message_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[str]
    act_no: Mapped[str]
    surname: Mapped[str]
    given: Mapped[str]
    birth_date: Mapped[str]
    death_date: Mapped[str]
    place: Mapped[str]
    cause: Mapped[str]


route = Route(
    "bench.bus",
    title="Замер: одна строка на сообщение",
    formats=[Format("1", root=f"{{{NAMESPACE}}}RegisterDeath", transform=str(STYLE))],
    body=Fields,
)


@route.handler
def write_row(body: Fields, ctx: Context) -> Iterator[Message]:
    """One row, nothing more."""
    ctx.db.add(Row(message_id=ctx.message.id, **body.__dict__))
    return iter(())


def run(messages: int = 10_000, peer_messages: int = 2_000) -> Result:
    """Rates in messages a second."""
    with scratch_bus([__name__], workers=WORKERS) as bus:
        Table.metadata.create_all(bus.database.engine)
        ours = _bus(bus, messages)
        peer = _peer(bus, peer_messages)
    return result(
        NAME,
        GOAL,
        {"messages a second": ours, "against one Celery task a message": ours / peer},
        ours >= MIN_RATE and ours / peer >= MIN_RATIO,
        messages=messages,
        peer_messages=peer_messages,
        peer_per_second=round(peer),
        body_bytes=len(document(0)),
        workers=WORKERS,
        peer="Celery, in-memory transport, threads, one commit a task",
        database="embedded, fsync on",
    )


def fill(bus: Bus, messages: int, first: int = 0) -> None:
    """Journal so many messages."""
    for begin in range(first, first + messages, 500):
        numbers = range(begin, min(begin + 500, first + messages))
        bus.engine.put([Message(kind=route.name, body=document(number)) for number in numbers])


def _bus(bus: Bus, messages: int) -> float:
    fill(bus, messages)
    rows = count(bus, "SELECT count(*) FROM bench_row")
    began = time.monotonic()
    start(bus)
    wait_for(bus, "SELECT count(*) FROM bench_row", rows + messages)
    taken_s = time.monotonic() - began
    bus.stop()
    return messages / taken_s


def _peer(bus: Bus, messages: int) -> float:
    """The peer in a process of its own, as it would run: two workers, nothing else."""
    fill(bus, messages)
    rows = count(bus, "SELECT count(*) FROM bench_row")
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.peer", bus.database.url], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    taken_s = wait_for(bus, "SELECT count(*) FROM bench_row", rows + messages)
    process.wait(timeout=60)
    process.stdout.close()
    return messages / taken_s
