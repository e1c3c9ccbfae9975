"""Charts: readable without seeing, without scripts and styles, whatever the values are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from lxml import etree

from console.shell import charts
from console.shell.charts import Series, chart

MOSCOW = ZoneInfo("Europe/Moscow")
HOUR = [datetime(2026, 11, 24, 11, 0, tzinfo=UTC) + timedelta(minutes=n) for n in range(60)]


def drawn(*series: Series, moments: list[datetime] = HOUR, words: charts.Words = charts.count) -> etree._Element:
    return etree.fromstring(str(chart("c", "Сообщения <&>", moments, series, zone=MOSCOW, words=words)))


def test_a_chart_says_what_it_shows_in_words_and_in_the_readers_zone() -> None:
    values = [float(n) for n in range(60)]
    figure = drawn(Series("Принято", values, note="1 770"))
    told = figure.findtext(".//desc")
    assert told
    assert "С 24.11.2026 14:00 по 24.11.2026 14:59" in told
    assert "больше всего 59 в 24.11 14:59, последнее значение 59" in told
    assert figure.findtext(".//svg/title") == "Сообщения <&>"
    hints = [one.findtext("title") for one in figure.iter("rect") if one.get("class") == "chart-hint"]
    assert len(hints) == 60
    assert hints[7] == "14:07: принято 7"
    assert {one.text for one in figure.iter("text")} >= {"0", "50", "100", "14:10", "14:50"}


def test_it_needs_neither_styles_nor_scripts() -> None:
    figure = drawn(Series("А", [1.0] * 60), Series("Б", [2.0] * 60, kind="bar"), Series("В", [3.0] * 60, kind="area"))
    assert not [one for one in figure.iter() if one.get("style") or any(name.startswith("on") for name in one.attrib)]


def test_a_gap_is_a_gap_and_a_lone_value_is_a_dot() -> None:
    values: list[float | None] = [1.0, 2.0, None, 3.0, None, 4.0, 5.0] + [None] * 53
    figure = drawn(Series("Ожидание", values))
    assert len(list(figure.iter("polyline"))) == 2
    assert len(list(figure.iter("circle"))) == 1


@pytest.mark.parametrize("values", [[0.0] * 60, [None] * 60], ids=["zeros", "nothing"])
def test_nothing_is_said_plainly(values: list[float | None]) -> None:
    figure = drawn(Series("Принято", values))
    assert "за это время ничего не было" in "".join(figure.itertext())
    assert "Принято: ничего" in (figure.findtext(".//desc") or "")


def test_a_chart_without_steps_is_drawn_too() -> None:
    assert drawn(Series("Принято", []), moments=[]).findtext(".//desc") == "Данных нет."


@pytest.mark.parametrize(("most", "end"), [(0.0003, 0.0004), (1, 1), (3, 4), (59, 100), (201, 400), (1e9, 1e9)])
def test_the_axis_ends_at_a_round_number_not_below_the_values(most: float, end: float) -> None:
    assert charts._nice(most) == pytest.approx(end)


@pytest.mark.parametrize(
    ("value", "words"), [(0, "0"), (0.04, "40 мс"), (1.5, "1,5 с"), (180, "3 мин"), (7200, "2 ч"), (36000, "10 ч")]
)
def test_seconds_are_told_in_the_unit_that_fits(value: float, words: str) -> None:
    assert charts.seconds(value) == words


@pytest.mark.parametrize(("step_h", "label"), [(1, "16:00"), (6, "24.11")])
def test_longer_spans_have_their_own_labels(step_h: int, label: str) -> None:
    moments = [datetime(2026, 11, 24, 0, 0, tzinfo=UTC) + timedelta(hours=step_h * n) for n in range(24)]
    figure = drawn(Series("Принято", [1.0] * 24), moments=moments)
    assert label in {one.text for one in figure.iter("text")}
