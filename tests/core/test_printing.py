"""What commands print: Russian, and no wider than a person reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core import printing


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 с"),
        (0.9, "0 с"),
        (-5, "0 с"),
        (59, "59 с"),
        (60, "1 мин"),
        (3_600, "1 ч"),
        (3_665, "1 ч 1 мин"),
        (86_400 + 59, "1 дн"),
        (3 * 86_400 + 7_200, "3 дн 2 ч"),
    ],
)
def test_a_duration_is_told_in_its_two_largest_units(seconds: float, expected: str) -> None:
    assert printing.lasting(seconds) == expected


def test_moments_are_told_in_moscow_time() -> None:
    moment = datetime(2026, 11, 24, 21, 5, 6, tzinfo=UTC)
    assert printing.date(moment) == "25.11.2026 00:05:06"
    assert printing.date(None) == ""
    assert printing.age(moment, moment + timedelta(minutes=2)) == "2 мин"


def test_a_long_cell_is_folded_and_markup_is_taken_literally(capsys: pytest.CaptureFixture[str]) -> None:
    printing.table(("Имя", "Значение"), [("[bold]", "x" * 300)], title="Всё [i]подряд[/i]")
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= printing.WIDTH_COLUMNS
    assert said.count("x") == 300
    assert "[bold]" in said


def test_a_sentence_stays_on_one_line_so_that_a_command_in_it_can_be_copied(
    capsys: pytest.CaptureFixture[str],
) -> None:
    printing.say("omsbus message show " * 20)
    assert capsys.readouterr().out.count("\n") == 1
