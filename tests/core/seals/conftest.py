"""A journal with something in it, sealed; and a superuser who tampers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import psycopg
import pytest

from core import audit
from core.bus import Bus
from core.database import driver
from core.journal import Event
from core.message import Attachment, Message
from core.route import Route
from core.seals.sealing import seal_all

QUEUE = "sealed.queue"


@dataclass
class Journal:
    """A bus whose journal can be filled, sealed and tampered with."""

    bus: Bus
    tamper: Callable[..., Any]

    def fill(self, first: int = 0, count: int = 6) -> list[Message]:
        """Short and packed bodies, an envelope, an attachment, events with output and detail, audit."""
        sent = []
        for number in range(first, first + count):
            body = f"<a>{number}</a>".encode() if number % 2 else b"<b>" + b"x" * 2000 + f"{number}</b>".encode()
            with_file = Attachment("файл.txt", open=lambda: BytesIO(b"content" * 50))
            sent.append(
                Message(
                    kind="later",
                    queue=QUEUE,
                    body=body,
                    source="there",
                    external_id=f'внешний "{number}"\\ \n/',
                    received=b"<envelope>" + body + b"</envelope>" if number == 0 else None,
                    attachments=(with_file,) if number == 0 else (),
                    headers={"имя": "значение"},
                    reply_within_s=0.1 if number == 2 else None,
                )
            )
        self.bus.engine.put(sent)
        with self.bus.database.transaction() as connection:
            db = driver(connection)
            events = [
                Event(
                    one.id, "handled", f"заметка {place}", "подробности", 1, duration_ms=1.1 * place, output=b"y" * 3000
                )
                for place, one in enumerate(sent)
            ]
            self.bus.journal.record(db, events)
            audit.record(db, "ivanova", "message.viewed", "message", str(sent[0].id), "смотрела", {"part": "body"})
        return sent

    def seal(self) -> int:
        return seal_all(self.bus.database)

    def one(self, sql: str, *values: Any) -> Any:
        """The first value that a statement gives."""
        with self.bus.database.transaction() as connection:
            row = driver(connection).execute(sql, values).fetchone()
        assert row is not None
        return row[0]


@pytest.fixture
def journal(bus_of: Any, database_url: str) -> Iterator[Journal]:
    """Empty. `tamper` is a superuser without triggers: one statement, committed."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        yield Journal(bus_of([Route(QUEUE, title="Опечатанная очередь")]), connection.execute)


@pytest.fixture
def sealed(journal: Journal) -> Journal:
    """Twice filled and sealed: blocks 1 to 6."""
    for first in (0, 6):
        journal.fill(first)
        journal.seal()
    return journal
