"""How the chain stands now: its end, and what each stream has under it and still waiting. Cheap at any length."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from core.database import Database, driver
from core.seals import blocks, rows
from core.seals.heads import Head, head_of

WAITING_MOST: Final = 100_000
"""Rows that wait are counted no further."""


@dataclass(frozen=True, slots=True)
class StreamStanding:
    """last: number of the last sealed row; sealed_at: of its block; waiting: rows after it; oldest_at: of the first."""

    name: str
    title: str
    last: int
    sealed_at: datetime | None
    waiting: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True)
class Standing:
    """head is None when nothing is sealed yet."""

    head: Head | None
    sealed_at: datetime | None
    streams: list[StreamStanding]


def standing(database: Database) -> Standing:
    """Raises Unavailable."""
    with database.transaction(durable=False) as connection:
        db = driver(connection)
        end = blocks.head(db)
        streams = []
        for one in rows.STREAMS.values():
            row = db.execute(
                "SELECT last, sealed_at FROM bus.seal WHERE stream = %s ORDER BY last DESC LIMIT 1", (one.name,)
            ).fetchone()
            last, sealed_at = row or (0, None)
            found = db.execute(_WAITING.format(stream=one.name, at=one.moment), (last, WAITING_MOST)).fetchone()
            streams.append(StreamStanding(one.name, one.title, last, sealed_at, *(found or (0, None))))
    return Standing(head_of(end) if end else None, end.sealed_at if end else None, streams)


_WAITING: Final = (
    "SELECT count(*), min(at) FROM (SELECT {at} AS at FROM bus.{stream} WHERE seq > %s ORDER BY seq LIMIT %s) AS part"
)
