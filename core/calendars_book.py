"""What operators do to business-day calendars. Every change is audited and obeyed at once by the schedules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core import audit, calendar_files
from core.calendars import Calendar, Day, calendar_of, known
from core.database import Driver, driver, storable
from core.errors import ConfigError
from core.settings import HOUSE

if TYPE_CHECKING:
    from core.bus import Bus

SHIPPED: Final = HOUSE / "config" / "calendars"
"""Calendars that come with the bus, `<name>-<year>.csv`; nothing of them is known before it is imported."""
TITLE_MOST_CHARACTERS: Final = 200
_NAME: Final = re.compile(r"[^\W_][\w.-]{0,39}")


@dataclass(frozen=True, slots=True)
class Kept:
    """A calendar with who changed it last, and the schedules that follow it."""

    calendar: Calendar
    changed_at: datetime
    changed_by: str
    schedules: tuple[str, ...]


def all_of(bus: Bus) -> list[Kept]:
    """By name."""
    users: dict[str, list[str]] = {}
    for schedule, _ in bus.schedules.all():
        users.setdefault(schedule.calendar, []).append(schedule.name)
    with bus.database.transaction() as connection:
        db = driver(connection)
        calendars = known(db)
        rows = db.execute("SELECT name, changed_at, changed_by FROM bus.calendar ORDER BY name").fetchall()
    return [Kept(calendars[name], at, by, tuple(users.get(name, ()))) for name, at, by in rows if name in calendars]


def get(bus: Bus, name: str) -> Kept:
    """Raises ConfigError when there is none."""
    for one in all_of(bus):
        if one.calendar.name == name:
            return one
    raise ConfigError(f"Нет календаря {name[:40]}. Посмотрите список: omsbus calendar list")


def names(bus: Bus) -> dict[str, str]:
    """Name → title of every calendar."""
    with bus.database.transaction() as connection:
        rows = driver(connection).execute("SELECT name, title FROM bus.calendar ORDER BY name").fetchall()
    return {name: title or name for name, title in rows}


def import_file(bus: Bus, name: str, octets: bytes, *, actor: str, title: str = "") -> Calendar:
    """Take the days of a file (core.calendar_files) in: the years that it names are replaced whole, others stay.

    Makes the calendar when there is none. Runs of the past, seen by the new days, were not missed. Raises ConfigError.
    """
    name, title = name.strip(), storable(title.strip())[:TITLE_MOST_CHARACTERS]
    if not _NAME.fullmatch(name):
        raise ConfigError("Имя календаря: буквы, цифры, точка, дефис, до 40 знаков. Например: ru")
    days = calendar_files.read(octets)
    years = sorted({one.day.year for one in days})
    with bus.database.transaction() as connection:
        db = driver(connection)
        db.execute(
            "INSERT INTO bus.calendar (name, title, changed_by) VALUES (%(name)s, %(title)s, %(actor)s) "
            "ON CONFLICT (name) DO UPDATE SET title = coalesce(nullif(%(title)s, ''), calendar.title), "
            "changed_at = clock_timestamp(), changed_by = %(actor)s",
            {"name": name, "title": title, "actor": actor},
        )
        db.execute(
            "DELETE FROM bus.calendar_day WHERE calendar = %s AND extract(year FROM day) = ANY(%s)", (name, years)
        )
        with db.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO bus.calendar_day (calendar, day, kind, note) VALUES (%s, %s, %s, %s)",
                [(name, one.day, one.kind, storable(one.note)) for one in days],
            )
        made = known(db)[name]
        calendar_of(made.name, made.title, made.days)  # two years together may leave no working day
        _obeyed_from_now(db, name)
        note = f"Загружен календарь на {', '.join(map(str, years))}: дней {len(days)}"
        audit.record(db, actor, "calendar.imported", "calendar", name, note, {"years": years, "days": len(days)})
    return made


def import_shipped(bus: Bus, file: str, *, actor: str) -> Calendar:
    """One of `shipped`. Raises ConfigError when there is none of that name."""
    if file not in shipped():
        raise ConfigError(f"В поставке нет календаря {file[:40]}")
    name = file.partition("-")[0]
    title = "Производственный календарь РФ" if name == "ru" else ""
    return import_file(bus, name, (SHIPPED / file).read_bytes(), actor=actor, title=title)


def shipped() -> list[str]:
    """File names."""
    return sorted(path.name for path in Path(SHIPPED).glob("*.csv"))


def remove(bus: Bus, name: str, *, actor: str) -> None:
    """Raises ConfigError when there is none, or when a schedule follows it."""
    kept = get(bus, name)
    if kept.schedules:
        raise ConfigError(
            f"По календарю {name} работают расписания: {', '.join(kept.schedules)}. Выберите им сначала другой"
        )
    with bus.database.transaction() as connection:
        db = driver(connection)
        db.execute("DELETE FROM bus.calendar WHERE name = %s", (name,))
        audit.record(db, actor, "calendar.removed", "calendar", name, f"Удалён календарь {name}")


def days_of(calendar: Calendar, year: int) -> list[Day]:
    return [one for one in calendar.days if one.day.year == year]


def _obeyed_from_now(db: Driver, name: str) -> None:
    db.execute(
        "UPDATE bus.schedule SET changed_at = clock_timestamp() WHERE coalesce(changed ->> 'calendar', calendar) = %s",
        (name,),
    )
