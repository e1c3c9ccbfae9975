"""When a schedule fires: cron of 5 and 6 fields, time zones, and what becomes of runs that were missed."""

from __future__ import annotations

import itertools
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


@pytest.mark.feature("BUS-07")
def test_the_hour_that_comes_twice_fires_once_and_the_hour_that_is_left_out_fires_at_its_end() -> None:
    nightly = _schedule("30 2 * * *", timezone="Europe/Berlin")
    autumn = nightly.following(datetime(2026, 10, 24, 12, tzinfo=UTC), 2)
    assert [run.astimezone(UTC) for run in autumn] == [
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 26, 1, 30, tzinfo=UTC),
    ]  # fmt: skip
    [spring] = nightly.following(datetime(2026, 3, 28, 12, tzinfo=UTC))
    assert spring.astimezone(UTC) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)


@pytest.mark.feature("BUS-07")
def test_an_interval_goes_on_through_the_hour_that_comes_twice() -> None:
    runs = _schedule("*/30 * * * *", timezone="Europe/Berlin").following(datetime(2026, 10, 25, 0, 20, tzinfo=UTC), 4)
    instants = [run.astimezone(UTC) for run in runs]
    assert [b - a for a, b in itertools.pairwise(instants)] == [timedelta(minutes=30)] * 3


@pytest.mark.parametrize("downtime", [timedelta(minutes=1), timedelta(days=3), timedelta(days=800)])
def test_the_one_run_after_a_downtime_is_the_last_that_the_clock_would_have_fired(downtime: timedelta) -> None:
    now = datetime(2026, 10, 26, 12, tzinfo=UTC)
    for cron in ("30 2 * * *", "* * * * * *", "0 0 29 2 *", "*/7 3 * * *"):
        plan = _schedule(cron, timezone="Europe/Berlin")
        [*runs] = plan.missed_runs(now - downtime, now)
        if runs:
            assert plan.following(runs[0])[0] > now
        else:
            assert plan.following(now - downtime)[0] > now


@pytest.mark.parametrize("cron", ["R * * * *", "r(0-9) 3 * * *", "*" * 10_000, "1," * 5000 + "1 * * * *", "", " "])
def test_a_cron_without_measure_or_with_chance_in_it_is_refused(cron: str) -> None:
    with pytest.raises(ConfigError, match="не похоже на cron") as refused:
        _schedule(cron)
    assert len(refused.value.reason) < 200


def test_names_of_months_and_days_are_no_chance() -> None:
    assert _schedule("0 3 * mar,apr fri").following(NOON)[0].month == 3
