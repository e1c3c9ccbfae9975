"""Business-day calendars: which days people work, beside the week. Pure, except for `known`, which reads them.

A calendar names only the days that differ from the week: holidays, days off moved from elsewhere, working Saturdays.
A year of which it names none follows the week alone; whoever shows a schedule says so (`Calendar.knows`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from core.database import Driver
from core.errors import ConfigError

OFF_IN_A_ROW_MOST: Final = 60
"""Days. The longest row of days off that was ever decreed (spring of 2020) had 43; a longer one is a wrong file."""
_SATURDAY: Final = 5
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Day:
    """kind: off (no work), working (although the week says no), short (an hour less: for people to know only)."""

    day: date
    kind: str
    note: str = ""


@dataclass(frozen=True)
class Calendar:
    """The days that differ from the week. name "": the week alone."""

    name: str = ""
    title: str = ""
    days: tuple[Day, ...] = ()

    def __post_init__(self) -> None:
        for one in self.days:
            if one.kind == "off":
                self._work_from(one.day, _DAY)

    @functools.cached_property
    def _kinds(self) -> dict[date, str]:
        return {one.day: one.kind for one in self.days if one.kind != "short"}

    @functools.cached_property
    def years(self) -> tuple[int, ...]:
        """Years of which something is known, the earliest first."""
        return tuple(sorted({one.day.year for one in self.days}))

    def knows(self, year: int) -> bool:
        return year in self.years

    def works(self, day: date) -> bool:
        kind = self._kinds.get(day)
        return kind == "working" or (kind is None and day.weekday() < _SATURDAY)

    def at_or_after(self, day: date) -> date:
        """The first working day that is not before `day`."""
        return day if self.works(day) else self._work_from(day, _DAY)

    def at_or_before(self, day: date) -> date:
        return day if self.works(day) else self._work_from(day, -_DAY)

    def _work_from(self, day: date, step: timedelta) -> date:
        for _ in range(OFF_IN_A_ROW_MOST + 1):
            if self.works(day):
                return day
            day += step
        raise ConfigError(
            f"Календарь {self.name}: у {day:%d.%m.%Y} больше {OFF_IN_A_ROW_MOST} нерабочих дней подряд. Исправьте файл"
        )


THE_WEEK: Final = Calendar()


def calendar_of(name: str, title: str, days: Iterable[Day]) -> Calendar:
    """Raises ConfigError for a row of days off that no calendar has."""
    return Calendar(name, title, tuple(sorted(days, key=lambda one: one.day)))


def known(db: Driver) -> dict[str, Calendar]:
    """Every calendar by its name: a few hundred rows."""
    days: dict[str, list[Day]] = {}
    for calendar, *fields in db.execute("SELECT calendar, day, kind, note FROM bus.calendar_day ORDER BY day"):
        days.setdefault(calendar, []).append(Day(*fields))
    rows = db.execute("SELECT name, title FROM bus.calendar ORDER BY name").fetchall()
    return {name: Calendar(name, title, tuple(days.get(name, ()))) for name, title in rows}
