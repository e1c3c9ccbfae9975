"""The routes of the self-test, served by real processes of the bus: OMSBUS_ROUTE_MODULES names this module.

Each effect is a row of `selftest_effect`, which has no unique constraint: what happens twice shows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Literal

import sqlalchemy as sa
from pydantic import BaseModel

from core.errors import Permanent, Retryable
from core.message import Message
from core.route import Context, Retry, Route
from simulators.selftest.cargo import FIRST_QUEUE, SECOND_QUEUE

TABLES = """
CREATE TABLE IF NOT EXISTS selftest_effect (
    seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    n          bigint NOT NULL,
    step       text NOT NULL,
    key        text NOT NULL,
    message_id uuid NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
_RETRY = Retry(attempts=60, first_s=0.2, factor=1.7, most_s=3.0)
"""Many attempts: a full disk must be outlived, and only the poisonous may end in quarantine."""


class Body(BaseModel):
    """See simulators.selftest.cargo.Cargo."""

    n: int
    what: Literal["ok", "retry", "refuse", "defect"]
    key: str
    times: int
    to: list[str]
    follow: bool
    pad: str


def _key(message: Message) -> str:
    return str(json.loads(message.body)["key"])


register = Route(FIRST_QUEUE, title="Самопроверка: первый шаг", body=Body, key=_key, retry=_RETRY)
follow = Route(SECOND_QUEUE, title="Самопроверка: второй шаг", body=Body, key=_key, retry=_RETRY)


@register.handler
def on_register(body: Body, ctx: Context) -> Iterator[Message]:
    """One row, then what the message asks for."""
    _write(body, "first", ctx)
    _obey(body, ctx)
    if body.follow:
        yield Message(kind=SECOND_QUEUE, body=ctx.message.body, key=body.key)
    else:
        yield from _emitted(body, ctx)


@follow.handler
def on_follow(body: Body, ctx: Context) -> Iterator[Message]:
    """One row, then the messages for the far sides."""
    _write(body, "second", ctx)
    yield from _emitted(body, ctx)


def _write(body: Body, step: str, ctx: Context) -> None:
    ctx.db.execute(
        sa.text("INSERT INTO selftest_effect (n, step, key, message_id) VALUES (:n, :step, :key, :id)"),
        {"n": body.n, "step": step, "key": body.key, "id": ctx.message.id},
    )


def _obey(body: Body, ctx: Context) -> None:
    """Fail as told, after the row was written: a failure must take it back."""
    if body.what == "refuse":
        raise Permanent("Сообщение самопроверки: так и задумано, отклоните")
    if body.what == "defect":
        raise ZeroDivisionError("as the message asks")
    if body.what == "retry":
        attempts = ctx.db.execute(
            sa.text("SELECT attempts FROM bus.entry WHERE message_id = :id"), {"id": ctx.message.id}
        ).scalar_one()
        if attempts < body.times:
            raise Retryable("Сообщение самопроверки: получится с другого раза")


def _emitted(body: Body, ctx: Context) -> Iterator[Message]:
    for sink in body.to:
        yield Message(kind="selftest", body=ctx.message.body, queue=sink, key=body.key)
