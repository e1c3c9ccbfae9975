"""Business-day calendars: which day is worked, and how a schedule follows them. Pure, no clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.calendars import THE_WEEK, Calendar, Day, calendar_of
from core.errors import ConfigError
from core.schedule import HORIZON, RULES, Schedule

MOSCOW = ZoneInfo("Europe/Moscow")
FIRST = date(2026, 1, 1)


def _calendar(*days: tuple[str, str]) -> Calendar:
    return calendar_of("ru", "", [Day(date.fromisoformat(day), kind) for day, kind in days])


NEW_YEAR = _calendar(
    *((f"2026-01-{n:02}", "off") for n in range(1, 12)), ("2026-01-17", "working"), ("2026-04-30", "short")
)


def _schedule(cron: str, rule: str, days: Calendar = NEW_YEAR, **fields: Any) -> Schedule:
    return Schedule("t.plan", cron, "t.work", **({"calendar": "ru", "rule": rule, "days": days} | fields))


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=MOSCOW)


def test_the_week_decides_where_a_calendar_says_nothing() -> None:
    assert [THE_WEEK.works(date(2026, 3, day)) for day in range(2, 9)] == [True] * 5 + [False] * 2
    assert not THE_WEEK.knows(2026)
    assert NEW_YEAR.years == (2026,)


def test_holidays_working_saturdays_and_shortened_days() -> None:
    assert not NEW_YEAR.works(date(2026, 1, 5)), "a Monday of the holidays"
    assert NEW_YEAR.works(date(2026, 1, 17)), "a Saturday that is worked"
    assert NEW_YEAR.works(date(2026, 4, 30)), "a shortened day is a working day"
    assert NEW_YEAR.at_or_after(FIRST) == date(2026, 1, 12)
    assert NEW_YEAR.at_or_before(date(2026, 1, 11)) == date(2025, 12, 31)


def test_a_calendar_without_working_days_is_refused() -> None:
    with pytest.raises(ConfigError, match="больше 60 нерабочих дней подряд"):
        calendar_of("ru", "", [Day(FIRST + timedelta(days=n), "off") for n in range(90)])


@pytest.mark.feature("BUS-07")
@pytest.mark.parametrize(
    ("rule", "runs"),
    [
        ("skip", ["2026-02-02T09:00", "2026-03-02T09:00"]),
        ("next", ["2026-01-12T09:00", "2026-02-02T09:00"]),
        ("previous", ["2026-01-30T09:00", "2026-02-27T09:00"]),
    ],
)
def test_a_run_on_a_day_off_is_left_out_or_moved(rule: str, runs: list[str]) -> None:
    """1 January is a holiday, 1 February and 1 March 2026 are Sundays."""
    monthly = _schedule("0 9 1 * *" if rule != "skip" else "0 9 2 * *", rule)
    assert monthly.following(_at("2025-12-31T10:00"), 2) == [_at(one) for one in runs]


@pytest.mark.feature("BUS-07")
def test_runs_moved_to_one_moment_are_one_run() -> None:
    daily = _schedule("15 3 * * *", "next")
    assert daily.following(_at("2025-12-31T12:00"), 2) == [_at("2026-01-12T03:15"), _at("2026-01-13T03:15")]


def test_runs_moved_to_a_day_keep_their_hours_and_come_in_order() -> None:
    """Saturday 20:00, Sunday 08:00 and Monday 12:00 all on Monday."""
    plan = _schedule("0 8,12,20 * * *", "next", THE_WEEK)
    runs = plan.following(_at("2026-03-06T21:00"), 4)
    assert [f"{run:%d %H}" for run in runs] == ["09 08", "09 12", "09 20", "10 08"]


def test_asked_in_the_middle_of_a_day_only_what_is_still_to_come_is_told() -> None:
    plan = _schedule("0 8,12,20 * * *", "previous", THE_WEEK)
    assert [f"{run:%d %H}" for run in plan.following(_at("2026-03-06T12:00"), 2)] == ["06 20", "09 08"]


@pytest.mark.feature("BUS-07")
def test_a_schedule_whose_calendar_leaves_no_day_has_no_run() -> None:
    saturdays = _schedule("0 9 * * 6", "skip", THE_WEEK)
    assert saturdays.following(_at("2026-03-02T00:00")) == []
    for missed in ("once", "all"):
        plan = _schedule("0 9 * * 6", "skip", THE_WEEK, missed=missed)
        assert plan.missed_runs(_at("2026-03-02T00:00"), _at("2026-06-02T00:00")) == []


@pytest.mark.feature("BUS-07")
@pytest.mark.parametrize(("missed", "runs"), [("skip", []), ("once", ["13"]), ("all", ["12", "13"])])
def test_a_downtime_over_the_holidays_owes_only_working_days(missed: str, runs: list[str]) -> None:
    plan = _schedule("15 3 * * *", "skip", missed=missed)
    found = plan.missed_runs(_at("2025-12-31T04:00"), _at("2026-01-13T08:00"))
    assert [f"{run:%d}" for run in found] == runs


def test_in_a_year_without_data_the_week_decides() -> None:
    runs = _schedule("0 9 * * *", "skip").following(_at("2026-12-31T10:00"), 3)
    assert [f"{run:%d.%m.%Y}" for run in runs] == ["01.01.2027", "04.01.2027", "05.01.2027"]


@pytest.mark.feature("BUS-07")
def test_a_second_cron_with_a_calendar_answers_at_once_from_the_end_of_a_day() -> None:
    plan = _schedule("* * * * * *", "next", THE_WEEK)
    assert plan.following(_at("2026-03-06T23:59:59"), 2) == [_at("2026-03-09T00:00:00"), _at("2026-03-09T00:00:01")]


DAYS = st.dictionaries(
    st.dates(FIRST, date(2026, 12, 31)), st.sampled_from(["off", "working", "short"]), max_size=40
).map(lambda found: [Day(day, kind) for day, kind in found.items()])
CRONS = st.sampled_from(
    ["15 3 * * *", "0 9 1 * *", "0 */6 * * *", "30 23 L * *", "0 12 * * 1-5", "0 0 29 2 *", "*/20 8-9 * * 6,7"]
)
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)).map(lambda one: one.replace(tzinfo=UTC))
ZONES = st.sampled_from(["Europe/Moscow", "Europe/Berlin", "America/New_York", "Asia/Kamchatka"])


def _may_be(days: list[Day]) -> Calendar:
    try:
        return calendar_of("ru", "", days)
    except ConfigError:
        return THE_WEEK


@pytest.mark.feature("BUS-07")
@settings(max_examples=40, deadline=None)
@given(days=DAYS, cron=CRONS, rule=st.sampled_from(sorted(RULES)), zone=ZONES, moment=MOMENTS)
def test_whatever_the_calendar_runs_are_later_in_order_on_working_days_at_the_hours_of_cron(
    days: list[Day], cron: str, rule: str, zone: str, moment: datetime
) -> None:
    calendar = _may_be(days)
    plan = _schedule(cron, rule, calendar, timezone=zone)
    runs = plan.following(moment, 8)
    instants = [run.astimezone(UTC) for run in runs]
    assert all(one > moment for one in instants)
    assert instants == sorted(set(instants))
    assert all(calendar.works(run.date()) for run in runs)
    assert all(run.date() <= moment.astimezone(ZoneInfo(zone)).date() + HORIZON + timedelta(days=61) for run in runs)


@pytest.mark.feature("BUS-07")
@settings(max_examples=40, deadline=None)
@given(days=DAYS, cron=CRONS, rule=st.sampled_from(sorted(RULES)), zone=ZONES, moment=MOMENTS)
def test_what_was_missed_is_exactly_what_would_have_been_fired(
    days: list[Day], cron: str, rule: str, zone: str, moment: datetime
) -> None:
    """Step by step from run to run, or asked at once afterwards: the same moments; the last of them for "once"."""
    fields = {"days": _may_be(days), "timezone": zone}
    plan = _schedule(cron, rule, missed="all", **fields)
    now = moment + timedelta(days=9, minutes=7)
    fired, at = [], moment
    while (run := next(iter(plan.following(at)), None)) and run <= now:
        fired.append(run)
        at = run
    assert plan.missed_runs(moment, now) == fired
    assert _schedule(cron, rule, missed="once", **fields).missed_runs(moment, now) == fired[-1:]


@settings(max_examples=25, deadline=None)
@given(cron=CRONS, zone=ZONES, moment=MOMENTS, more=st.integers(1, 30_000))
def test_a_later_question_gets_the_rest_of_the_same_answer(cron: str, zone: str, moment: datetime, more: int) -> None:
    plan = _schedule(cron, "next", NEW_YEAR, timezone=zone)
    later = moment + timedelta(minutes=more)
    runs = plan.following(moment, 20)
    rest = [run for run in runs if run.astimezone(UTC) > later]
    assert plan.following(later, len(rest)) == rest
