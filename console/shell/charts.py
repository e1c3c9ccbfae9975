"""Charts as SVG made on the server: no script, no inline style, colours by CSS classes (static/console/charts.css).

    chart("accepted", "Принято", moments, [Series("Принято", values, "main")], zone=page.person.zone)

What it promises: every chart has a title, a description in words for whoever does not see it, axes with round numbers,
and a hint at each step that says the moment and all values. A value of None is a gap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from markupsafe import Markup

from core.printing import number

WIDTH: Final = 440
HEIGHT: Final = 170
LEFT: Final = 54
RIGHT: Final = 8
TOP: Final = 10
BOTTOM: Final = 26
_PLOT: Final = WIDTH - LEFT - RIGHT
_FLOOR: Final = HEIGHT - BOTTOM
_LABELS_MOST: Final = 7

Words = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart. tone: main, good, bad, warn. kind: line, area or bar. note: said in the key."""

    title: str
    values: Sequence[float | None]
    tone: str = "main"
    kind: str = "line"
    note: str = ""


def count(value: float) -> str:
    """«1 200», «0,4»."""
    return number(round(value)) if value == round(value) or value >= 10 else f"{value:.1f}".replace(".", ",")


def seconds(value: float) -> str:
    """«0», «40 мс», «1,5 с», «3 мин», «2 ч»."""
    if value == 0:
        return "0"
    if value < 1:
        return f"{value * 1000:.0f} мс"
    for most, size, unit in ((120, 1, "с"), (7200, 60, "мин"), (math.inf, 3600, "ч")):
        if value < most:
            return f"{value / size:.1f}".rstrip("0").rstrip(".").replace(".", ",") + f" {unit}"
    return ""


def chart(
    key: str, title: str, moments: Sequence[datetime], series: Sequence[Series], *, zone: ZoneInfo, words: Words = count
) -> Markup:
    """A figure with its key. key: unique on the page. moments: the beginnings of the steps, evenly apart."""
    step = moments[1] - moments[0] if len(moments) > 1 else timedelta(minutes=1)
    top = _nice(max((value for one in series for value in one.values if value is not None), default=0.0))
    drawn = [
        *_grid(top, words),
        *_clock(moments, step, zone),
        *(part for one in series for part in _drawn(one, len(moments), top)),
        *(_hint(place, moment, step, series, len(moments), zone, words) for place, moment in enumerate(moments)),
    ]
    if not any(value for one in series for value in one.values):
        drawn.append(
            Markup(
                '<text class="chart-none" x="{}" y="{}" text-anchor="middle">за это время ничего не было</text>'
            ).format(LEFT + _PLOT / 2, TOP + (_FLOOR - TOP) / 2)
        )
    return Markup(
        '<figure class="chart"><figcaption><span class="chart-title">{title}</span>{keys}</figcaption>'
        '<svg viewBox="0 0 {width} {height}" role="img" aria-labelledby="{key}-t {key}-d">'
        '<title id="{key}-t">{title}</title><desc id="{key}-d">{told}</desc>{drawn}</svg></figure>'
    ).format(
        title=title,
        key=key,
        keys=Markup("").join(_key(one) for one in series),
        width=WIDTH,
        height=HEIGHT,
        told=_told(moments, series, zone, words),
        drawn=Markup("").join(drawn),
    )


def _key(one: Series) -> Markup:
    note = Markup(" <b>{}</b>").format(one.note) if one.note else ""
    return Markup('<span class="chart-key chart-{}">{}{}</span>').format(one.tone, one.title, note)


def _nice(most: float) -> float:
    """The end of the axis: 1, 2, 4 or 5 times a power of ten, not less than the value."""
    if most <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in (1, 2, 4, 5, 10) if step * power >= most * 0.999)


def _x(place: float, steps: int) -> float:
    return round(LEFT + _PLOT * (place + 0.5) / max(1, steps), 1)


def _y(value: float, top: float) -> float:
    return round(_FLOOR - (_FLOOR - TOP) * min(value, top) / top, 1)


def _grid(top: float, words: Words) -> Iterator[Markup]:
    for share in (0.0, 0.5, 1.0):
        y = _y(top * share, top)
        yield Markup('<line class="chart-grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(LEFT, WIDTH - RIGHT, y, y)
        yield Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(LEFT - 5, y + 3.5, words(top * share))


def _clock(moments: Sequence[datetime], step: timedelta, zone: ZoneInfo) -> Iterator[Markup]:
    """Labels below: a few round moments; every second one is left out on a narrow screen."""
    places = [place for place, moment in enumerate(moments) if _is_round(moment.astimezone(zone), step)]
    every = max(1, math.ceil(len(places) / _LABELS_MOST))
    for nth, place in enumerate(places[::every]):
        local = moments[place].astimezone(zone)
        text = f"{local:%d.%m}" if step >= timedelta(hours=6) else f"{local:%H:%M}"
        minor = " chart-minor" if nth % 2 else ""
        x = min(max(_x(place, len(moments)), LEFT + 12), WIDTH - RIGHT - 14)
        yield Markup('<text class="chart-clock{}" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            minor, x, HEIGHT - 8, text
        )


def _is_round(local: datetime, step: timedelta) -> bool:
    if step < timedelta(hours=1):
        return local.minute % 10 == 0
    return local.hour % 4 == 0 if step < timedelta(hours=6) else local.hour < step.total_seconds() / 3600


def _drawn(one: Series, steps: int, top: float) -> Iterator[Markup]:
    if one.kind == "bar":
        width = round(max(1.5, _PLOT / max(1, steps) * 0.7), 1)
        for place, value in enumerate(one.values):
            if value:
                y = _y(value, top)
                yield Markup('<rect class="chart-bar chart-{}" x="{}" y="{}" width="{}" height="{}"/>').format(
                    one.tone, round(_x(place, steps) - width / 2, 1), y, width, round(_FLOOR - y, 1)
                )
        return
    for run in _runs(one.values):
        line = " ".join(f"{_x(place, steps)},{_y(value, top)}" for place, value in run)
        if one.kind == "area":
            ends = f"{_x(run[0][0], steps)},{_FLOOR} {line} {_x(run[-1][0], steps)},{_FLOOR}"
            yield Markup('<polygon class="chart-area chart-{}" points="{}"/>').format(one.tone, ends)
        if len(run) == 1:
            place, value = run[0]
            yield Markup('<circle class="chart-dot chart-{}" cx="{}" cy="{}" r="2.5"/>').format(
                one.tone, _x(place, steps), _y(value, top)
            )
        else:
            yield Markup('<polyline class="chart-line chart-{}" points="{}"/>').format(one.tone, line)


def _runs(values: Sequence[float | None]) -> Iterator[list[tuple[int, float]]]:
    run: list[tuple[int, float]] = []
    for place, value in enumerate(values):
        if value is not None:
            run.append((place, value))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _hint(
    place: int,
    moment: datetime,
    step: timedelta,
    series: Sequence[Series],
    steps: int,
    zone: ZoneInfo,
    words: Words,
) -> Markup:
    width = _PLOT / max(1, steps)
    local = moment.astimezone(zone)
    when = f"{local:%H:%M}" if step < timedelta(hours=1) else f"{local:%d.%m %H:%M}"
    said = ", ".join(
        f"{one.title.lower()} {words(value)}" for one in series if (value := one.values[place]) is not None
    )
    return Markup('<rect class="chart-hint" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>').format(
        round(_x(place, steps) - width / 2, 1), TOP, round(width, 1), _FLOOR - TOP, f"{when}: {said or 'ничего'}"
    )


def _told(moments: Sequence[datetime], series: Sequence[Series], zone: ZoneInfo, words: Words) -> str:
    """The description: from when to when, and of each series its last and its largest value."""
    if not moments:
        return "Данных нет."
    begins, ends = moments[0].astimezone(zone), moments[-1].astimezone(zone)
    parts = [f"С {begins:%d.%m.%Y %H:%M} по {ends:%d.%m.%Y %H:%M}."]
    for one in series:
        known = [(value, place) for place, value in enumerate(one.values) if value is not None]
        if not known or not any(value for value, _ in known):
            parts.append(f"{one.title}: ничего.")
            continue
        most, place = max(known)
        parts.append(
            f"{one.title}: больше всего {words(most)} в {moments[place].astimezone(zone):%d.%m %H:%M}, "
            f"последнее значение {words(known[-1][0])}."
        )
    return " ".join(parts)
