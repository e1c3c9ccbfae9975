"""How fast messages go now, and the points of a chart: bus.rate read for people.

The pace is what the current and the last full minute had, spread over them: steady enough to be read, and a few seconds
old at most. All numbers are the whole cluster's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from core import rates
from core.database import Database, Driver
from core.rates import Counts, Point


@dataclass(frozen=True, slots=True)
class Pace:
    """Messages a minute. done: handled or sent."""

    accepted: float = 0.0
    done: float = 0.0
    quarantined: float = 0.0


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time that a chart shows: `steps` points `step_s` seconds apart, the last one is under way."""

    name: str
    title: str
    step_s: int
    steps: int

    @property
    def step(self) -> timedelta:
        return timedelta(seconds=self.step_s)


SPANS: Final[Mapping[str, Span]] = {
    one.name: one
    for one in (
        Span("hour", "Час", 60, 60),
        Span("day", "Сутки", 3600, 24),
        Span("week", "Неделя", 6 * 3600, 28),
    )
}


def now(db: Driver) -> dict[str, Pace]:
    """Queue → its pace; queues where nothing happened lately are left out."""
    rows = db.execute(_NOW).fetchall()
    return {row[0]: Pace(*(float(value) for value in row[1:])) for row in rows}


def points(database: Database, span: Span, queue: str = "", *, at: datetime | None = None) -> list[Point]:
    """Every step of the span, oldest first, those where nothing happened too; of one queue or of all."""
    at = at or datetime.now(UTC)
    last = datetime.fromtimestamp(at.timestamp() // span.step_s * span.step_s, UTC)
    began = [last - span.step * (span.steps - 1 - place) for place in range(span.steps)]
    known = {one.began: one.counts for one in rates.series(database, began[0], span.step_s, queue)}
    return [Point(one, known.get(one, Counts())) for one in began]


_NOW: Final = """
SELECT queue, round(sum(accepted) * 60 / took.s, 1), round(sum(handled + sent) * 60 / took.s, 1),
       round(sum(quarantined) * 60 / took.s, 1)
FROM bus.rate CROSS JOIN (SELECT 60 + extract(second FROM now()) AS s) AS took
WHERE span = 'minute' AND began >= date_trunc('minute', now()) - interval '1 minute'
GROUP BY queue, took.s
"""
