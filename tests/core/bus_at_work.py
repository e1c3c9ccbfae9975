"""A bus for the tests to kill: `python bus_at_work.py DATABASE_URL DATA_DIR`.

Its far side lives in the schema `t` of the same database, through connections of its own that commit at once:
t.offer (what it has for us, acknowledged or not), t.arrived (every send that reached it). Effects go to t.effect.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

from core.bus import Bus
from core.connector import Delivery, Prepared, Receipt
from core.errors import Permanent
from core.message import Message
from core.route import Context, Route
from core.settings import Settings

SCHEMA = """
CREATE SCHEMA t;
CREATE TABLE t.offer (id serial PRIMARY KEY, body text NOT NULL, acked boolean NOT NULL DEFAULT false);
CREATE TABLE t.effect (n bigserial, text text);
CREATE TABLE t.arrived (n bigserial, external_id text, body text, repeated boolean);
"""
PAUSE_BEFORE_CONFIRM_S = 0.003
"""The far side has the message and we do not know it yet: the worst moment to die, made long."""


class Offer:
    problem: Permanent | None = None

    def __init__(self, far: Far, number: int, body: str) -> None:
        self.message = Message(kind="t.work", body=body.encode(), source="far", external_id=str(number))
        self._far = far
        self._number = number

    def ack(self) -> None:
        self._far.execute("UPDATE t.offer SET acked = true WHERE id = %s", self._number)

    def reject(self, reason: Permanent) -> None:
        raise AssertionError(reason)


class Far:
    name = "far"
    interval_s = 0.05

    def __init__(self, url: str) -> None:
        self._url = url
        self.sources = {"far.in": self}
        self.sinks = {"far": self}

    def execute(self, sql: str, *values: Any) -> list[Any]:
        with psycopg.connect(self._url, autocommit=True) as connection:
            cursor = connection.execute(sql, values)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def receive(self) -> Sequence[Delivery]:
        rows = self.execute("SELECT id, body FROM t.offer WHERE NOT acked ORDER BY id LIMIT 20")
        return [Offer(self, *row) for row in rows]

    def prepare(self, message: Message) -> Prepared:
        return Prepared(f"out-{message.id}")

    def send(self, message: Message, prepared: Prepared, *, repeated: bool) -> Receipt:
        self.execute(
            "INSERT INTO t.arrived (external_id, body, repeated) VALUES (%s, %s, %s)",
            prepared.external_id, message.body.decode(), repeated,
        )  # fmt: skip
        time.sleep(PAUSE_BEFORE_CONFIRM_S)
        return Receipt("Принято")

    def open(self) -> None: ...
    def check(self) -> str:
        return ""

    def close(self) -> None: ...


route = Route("t.work", title="Работа", key=lambda message: message.body.decode().partition("/")[0])


@route.handler
def work(_body: Any, context: Context) -> Iterator[Message]:
    body = context.message.body
    context.db.execute(sa.text("INSERT INTO t.effect (text) VALUES (:text)"), {"text": body.decode()})
    yield Message(kind="out", queue="far", body=body, key=context.message.key)


def main(url: str, data_dir: str) -> None:
    settings = Settings(database_url=url, data_dir=Path(data_dir), sweep_s=0.2)
    with Bus.open(settings, [route], [Far(url)]) as bus:
        bus.start(intake=True, work=True, schedule=False)
        print("at work", flush=True)
        sys.stdin.read()  # until the test closes it, or kills us


if __name__ == "__main__":
    main(*sys.argv[1:])
