"""Moments as people type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigError
from core.moments import moment

MOSCOW = ZoneInfo("Europe/Moscow")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("24.11.2026", datetime(2026, 11, 24, tzinfo=MOSCOW)),
        (" 24.11.2026 09:30 ", datetime(2026, 11, 24, 9, 30, tzinfo=MOSCOW)),
        ("24.11.2026 09:30:15", datetime(2026, 11, 24, 9, 30, 15, tzinfo=MOSCOW)),
        ("2026-11-24", datetime(2026, 11, 24, tzinfo=MOSCOW)),
        ("2026-11-24T09:30", datetime(2026, 11, 24, 9, 30, tzinfo=MOSCOW)),
        ("2026-11-24T09:30:00+05:00", datetime(2026, 11, 24, 4, 30, tzinfo=UTC)),
    ],
)
def test_dates_are_of_the_zone_unless_they_say_another(text: str, expected: datetime) -> None:
    assert moment(text, MOSCOW) == expected


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90с", timedelta(seconds=90)),
        ("15м", timedelta(minutes=15)),
        ("2 ч", timedelta(hours=2)),
        ("3d", timedelta(days=3)),
        ("99999д", timedelta(days=99_999)),
    ],
)
def test_a_duration_is_that_long_ago(text: str, ago: timedelta) -> None:
    before = datetime.now(UTC)
    assert before - ago <= moment(text, MOSCOW) <= datetime.now(UTC) - ago


@given(st.text())
def test_any_text_is_a_moment_or_a_refusal_in_words(text: str) -> None:
    try:
        said = moment(text, MOSCOW).tzname()
    except ConfigError as error:
        said = error.reason if "24.11.2026" in error.reason else None
    assert said
