"""When a schedule fires: cron of 5 and 6 fields, time zones, and what becomes of runs that were missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.errors import ConfigError
from core.schedule import MISSED_MOST, Schedule

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def _schedule(cron: str = "*/10 * * * *", **fields: Any) -> Schedule:
    return Schedule("t.every", cron, "t.work", **({"timezone": "UTC"} | fields))


@pytest.mark.feature("BUS-07")
def test_five_fields_mean_minutes_and_six_mean_seconds_last() -> None:
    assert _schedule("30 14 * * *").following(NOON) == [NOON.replace(hour=14, minute=30)]
    assert _schedule("* * * * * 15,45").following(NOON, 3) == [
        NOON + timedelta(seconds=seconds) for seconds in (15, 45, 75)
    ]


@pytest.mark.feature("BUS-07")
def test_the_clock_is_that_of_the_schedules_zone() -> None:
    [moscow] = _schedule("0 9 * * *", timezone="Europe/Moscow").following(NOON)
    [vladivostok] = _schedule("0 9 * * *", timezone="Asia/Vladivostok").following(NOON)
    assert moscow == datetime(2026, 3, 3, 6, 0, tzinfo=UTC)
    assert vladivostok == datetime(2026, 3, 2, 23, 0, tzinfo=UTC)


@pytest.mark.feature("BUS-07")
@pytest.mark.parametrize(("missed", "minutes"), [("skip", []), ("once", [60]), ("all", [10, 20, 30, 40, 50, 60])])
def test_after_a_downtime_of_an_hour_the_policy_decides(missed: str, minutes: list[int]) -> None:
    runs = _schedule(missed=missed).missed_runs(NOON, NOON + timedelta(minutes=65))
    assert runs == [NOON + timedelta(minutes=one) for one in minutes]


@pytest.mark.parametrize("missed", ["once", "all"])
def test_when_nothing_was_due_nothing_is_made_up(missed: str) -> None:
    assert _schedule(missed=missed).missed_runs(NOON, NOON + timedelta(minutes=9)) == []


@pytest.mark.parametrize("missed", ["once", "all"])
def test_a_run_due_this_very_moment_counts_as_missed_and_the_last_fired_does_not(missed: str) -> None:
    ten_past = NOON + timedelta(minutes=10)
    assert _schedule(missed=missed).missed_runs(NOON, ten_past) == [ten_past]


def test_all_has_a_limit() -> None:
    runs = _schedule("* * * * * *", missed="all").missed_runs(NOON, NOON + timedelta(days=30))
    assert len(runs) == MISSED_MOST


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"cron": "каждый час"}, "не похоже на cron"),
        ({"cron": "61 * * * *"}, "не похоже на cron"),
        ({"cron": "* * * *"}, "не похоже на cron"),
        ({"cron": "* * * * * * 2030"}, "не похоже на cron"),
        ({"cron": "0 0 30 2 *"}, "никогда не наступит"),
        ({"missed": "never"}, "политика пропусков never"),
        ({"timezone": "Europe/Moskva"}, "нет часового пояса Europe/Moskva"),
        ({"timezone": "/etc/passwd"}, "нет часового пояса"),
    ],
)
def test_a_wrong_schedule_is_refused_by_name(fields: dict[str, str], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as refused:
        _schedule(**fields)
    assert "t.every" in refused.value.reason
