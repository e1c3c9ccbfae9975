"""The charts of what goes through: of the whole bus or of one queue, over the hour, the day or the week."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from markupsafe import Markup

from console.shell import charts
from console.shell.charts import Series, chart
from core import pace
from core.database import Database
from core.pace import SPANS, Span
from core.rates import quantile

SHARE = 0.95
"""Of the messages: this many waited no longer than the chart of waiting says."""


def span_of(name: str) -> Span:
    """The span of that name; the hour for any other."""
    return SPANS.get(name, SPANS["hour"])


def traffic(
    database: Database, span: Span, zone: ZoneInfo, queue: str = "", *, done: str = "Обработано"
) -> list[Markup]:
    """Three charts: accepted and done, put into quarantine, how long 95 % waited. done: what is said of the second."""
    points = pace.points(database, span, queue)
    moments = [one.began for one in points]
    counts = [one.counts for one in points]
    accepted = [float(one.accepted) for one in counts]
    finished = [float(one.handled + one.sent) for one in counts]
    aside = [float(one.quarantined) for one in counts]
    waited = [quantile(one.waited, SHARE) for one in counts]
    through = [
        Series("Принято", accepted, "main", "area", _sum(accepted)),
        Series(done, finished, "good", "line", _sum(finished)),
    ]
    return [
        chart("chart-through", "Сообщения", moments, through, zone=zone),
        chart(
            "chart-waited",
            "Ожидание от приёма до завершения",
            moments,
            [Series("95 % не дольше", waited, "warn", "line", _worst(waited))],
            zone=zone,
            words=charts.seconds,
        ),
        chart(
            "chart-aside",
            "Ушло в карантин",
            moments,
            [Series("Карантин", aside, "bad", "bar", _sum(aside))],
            zone=zone,
        ),
    ]


def _sum(values: Sequence[float]) -> str:
    return charts.count(sum(values))


def _worst(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return charts.seconds(max(known)) if known else "нет данных"
