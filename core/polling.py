"""The command "poll this source now", so that a schedule (which puts messages into queues) can poll."""

from __future__ import annotations

import sqlalchemy as sa
from pydantic import BaseModel

from core.errors import Permanent
from core.route import Context, Route
from core.schedule import Schedule


class PollCommand(BaseModel):
    """source: the full name, `smev.requests`."""

    source: str


route = Route("bus.poll", title="Опросить источник", body=PollCommand, plain=["source"])

_ASK = sa.text("UPDATE bus.queue SET poll_asked_at = clock_timestamp() WHERE name = :name AND side = 'source'")


@route.handler
def ask(body: PollCommand, ctx: Context) -> None:
    """Note the wish; whichever process polls this source sees it within a moment."""
    if not ctx.db.execute(_ASK, {"name": body.source}).rowcount:  # type: ignore[attr-defined]
        raise Permanent(f"Нет источника {body.source}: посмотрите omsbus queue list и исправьте расписание")
    ctx.note(f"опрос {body.source} назначен")


def schedule_of(source: str, cron: str, timezone: str = "Europe/Moscow") -> Schedule:
    """The schedule of a source that is polled by the clock. Missed polls are made up for by one."""
    body = PollCommand(source=source).model_dump_json()
    return Schedule(f"poll {source}", cron, route.name, f"Опрос {source}", body, timezone)
