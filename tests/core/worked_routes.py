"""Routes for the tests of worker processes: what is handled says by whom."""

from __future__ import annotations

import os

import sqlalchemy as sa
from pydantic import BaseModel

from core.route import Context, Route


class Nothing(BaseModel):
    """An empty body."""


route = Route("t.worked", title="Проба процессов", body=Nothing)


@route.handler
def note(body: Nothing, ctx: Context) -> None:
    """Leave a row with this process's number."""
    ctx.db.execute(
        sa.text("INSERT INTO public.effect VALUES (:message_id, :pid)"),
        {"message_id": ctx.message.id, "pid": os.getpid()},
    )
