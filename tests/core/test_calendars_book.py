"""What operators do to calendars: import replaces years, schedules obey at once, everything is audited."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from core import calendars_book, schedules_book
from core.bus import Bus
from core.calendars import THE_WEEK
from core.errors import ConfigError
from core.schedule import Schedule

NEW_YEAR = "01.01.2026;выходной;Новый год\n02.01.2026;выходной".encode()


@pytest.fixture
def bus(bus_of: Callable[..., Bus]) -> Bus:
    return bus_of()


@pytest.mark.feature("BUS-07")
def test_an_import_replaces_the_years_of_its_file_and_keeps_the_others(bus: Bus) -> None:
    calendars_book.import_file(bus, "ru", NEW_YEAR, actor="ivanova", title="Наш")
    calendars_book.import_file(bus, "ru", "01.01.2027;выходной".encode(), actor="petrov")
    made = calendars_book.import_file(bus, "ru", "07.01.2026;праздник".encode(), actor="petrov")
    assert [one.day for one in made.days] == [date(2026, 1, 7), date(2027, 1, 1)]
    [kept] = calendars_book.all_of(bus)
    assert (kept.calendar.title, kept.changed_by, kept.calendar.years) == ("Наш", "petrov", (2026, 2027))


@pytest.mark.feature("BUS-07")
def test_every_change_of_a_calendar_is_audited(bus: Bus, look: Any) -> None:
    calendars_book.import_file(bus, "ru", NEW_YEAR, actor="ivanova")
    calendars_book.remove(bus, "ru", actor="petrov")
    assert look.rows("SELECT actor, action, object_id, detail FROM bus.audit ORDER BY seq") == [
        ("ivanova", "calendar.imported", "ru", {"days": 2, "years": [2026]}),
        ("petrov", "calendar.removed", "ru", {}),
    ]


def test_a_wrong_file_changes_nothing(bus: Bus, look: Any) -> None:
    calendars_book.import_file(bus, "ru", NEW_YEAR, actor="ivanova")
    days = "\n".join(f"{n:02}.{month:02}.2026;выходной" for month in (3, 4, 5) for n in range(1, 31)).encode()
    for octets in (b"junk", days):
        with pytest.raises(ConfigError):
            calendars_book.import_file(bus, "ru", octets, actor="ivanova")
    assert look.one("SELECT count(*) FROM bus.calendar_day") == 2
    assert look.one("SELECT count(*) FROM bus.audit") == 1


def _off(first: str, count: int) -> bytes:
    days = [date.fromisoformat(first) + timedelta(days=n) for n in range(count)]
    return "\n".join(f"{day:%d.%m.%Y};выходной" for day in days).encode()


def test_two_files_that_together_leave_no_working_day_are_refused(bus: Bus) -> None:
    calendars_book.import_file(bus, "ru", _off("2026-12-01", 31), actor="ivanova")
    with pytest.raises(ConfigError, match="подряд"):
        calendars_book.import_file(bus, "ru", _off("2027-01-01", 40), actor="ivanova")
    assert calendars_book.get(bus, "ru").calendar.years == (2026,)


@pytest.mark.parametrize("name", ["", "a/b", "x" * 41, "\x00", "-ru", "ru;drop"])
def test_a_name_that_cannot_be_one_is_refused(bus: Bus, name: str) -> None:
    with pytest.raises(ConfigError, match="Имя календаря"):
        calendars_book.import_file(bus, name, NEW_YEAR, actor="ivanova")


def test_a_calendar_that_schedules_follow_is_not_removed(bus: Bus) -> None:
    calendars_book.import_file(bus, "ru", NEW_YEAR, actor="ivanova")
    bus.schedules.declare([Schedule("nightly", "0 3 * * *", "bus.poll", calendar="ru")])
    with pytest.raises(ConfigError, match="nightly"):
        calendars_book.remove(bus, "ru", actor="ivanova")
    assert calendars_book.get(bus, "ru").schedules == ("nightly",)
    with pytest.raises(ConfigError, match="omsbus calendar list"):
        calendars_book.remove(bus, "нет", actor="ivanova")


@pytest.mark.feature("BUS-07")
def test_new_days_owe_nothing_for_the_past(bus: Bus) -> None:
    """What yesterday's calendar called a day off was not missed, because today's says otherwise."""
    bus.schedules.declare([Schedule("nightly", "0 3 * * *", "bus.poll", calendar="ru", missed="all")])
    before = bus.schedules.find("nightly")[1]["known_since"]
    assert bus.schedules.get("nightly").days == THE_WEEK
    calendars_book.import_file(bus, "ru", NEW_YEAR, actor="ivanova")
    schedule, state = bus.schedules.find("nightly")
    assert state["known_since"] > before
    assert not schedule.days.works(date(2026, 1, 1))


@pytest.mark.feature("BUS-07")
def test_years_without_data_are_told(bus: Bus) -> None:
    calendars_book.import_shipped(bus, "ru-2026.csv", actor="ivanova")
    wanted = schedules_book.drawn(bus, Schedule("t", "0 3 * * *", "bus.poll", calendar="ru"))
    assert schedules_book.unknown_years(wanted, datetime(2026, 3, 2, tzinfo=UTC)) == []
    assert schedules_book.unknown_years(wanted, datetime(2026, 12, 28, tzinfo=UTC)) == [2027]
    with pytest.raises(ConfigError, match="В поставке нет"):
        calendars_book.import_shipped(bus, "../features.toml", actor="ivanova")
