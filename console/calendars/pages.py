"""Календари: the list with the import, one year of one as a calendar on the wall."""

from __future__ import annotations

import calendar as months
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final
from urllib.parse import quote

from fastapi import APIRouter, File, Form, UploadFile
from fastapi.responses import Response

from console.shell.page import Page, allowed
from core import calendars_book
from core.calendar_files import FILE_MOST_BYTES
from core.calendars import Calendar

router = APIRouter()

MONTHS: Final = (
    *("Январь", "Февраль", "Март", "Апрель", "Май", "Июнь"),
    *("Июль", "Август", "Сентябрь", "Октябрь", "Ноябрь", "Декабрь"),
)
KINDS: Final = {"off": "нерабочий", "working": "рабочий", "short": "сокращённый"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One day on the wall; look: classes of its colour; note: said with it."""

    day: date
    look: str
    note: str


@router.get("/calendars")
def every(page: Page = allowed("schedules.read")) -> Response:
    kept = calendars_book.all_of(page.bus)
    return page.show("calendars/list.html", kept=kept, shipped=calendars_book.shipped(), path_of=_path)


@router.post("/calendars/import")
def take(
    name: str = Form(""),
    title: str = Form(""),
    file: UploadFile = File(),
    page: Page = allowed("schedules.write"),
) -> Response:
    octets = file.file.read(FILE_MOST_BYTES + 1)
    made = calendars_book.import_file(page.bus, name, octets, actor=page.actor, title=title)
    page.say(f"Календарь загружен; годы, о которых он знает: {', '.join(map(str, made.years))}")
    return page.to(_path(made.name))


@router.post("/calendars/shipped")
def take_shipped(file: str = Form(""), page: Page = allowed("schedules.write")) -> Response:
    made = calendars_book.import_shipped(page.bus, file, actor=page.actor)
    page.say(f"Календарь загружен; годы, о которых он знает: {', '.join(map(str, made.years))}")
    return page.to(_path(made.name))


@router.get("/calendars/{name}")
def one(name: str, year: int | None = None, page: Page = allowed("schedules.read")) -> Response:
    kept = calendars_book.get(page.bus, name)
    now = datetime.now(UTC).year
    shown = year if year and 1990 <= year <= 2100 else now if kept.calendar.knows(now) else _latest(kept.calendar, now)
    return page.show(
        "calendars/one.html",
        kept=kept,
        year=shown,
        years=sorted({*kept.calendar.years, now, now + 1}),
        wall=[(MONTHS[month - 1], _month(kept.calendar, shown, month)) for month in range(1, 13)],
        days=calendars_book.days_of(kept.calendar, shown),
        kinds=KINDS,
        home=_path(name),
    )


@router.post("/calendars/{name}/remove")
def remove(name: str, page: Page = allowed("schedules.write")) -> Response:
    calendars_book.remove(page.bus, name, actor=page.actor)
    page.say(f"Календарь {name} удалён")
    return page.to("/calendars")


def _latest(calendar: Calendar, now: int) -> int:
    return calendar.years[-1] if calendar.years else now


def _month(calendar: Calendar, year: int, month: int) -> list[list[Cell | None]]:
    """Weeks, Monday first; None: a day of another month."""
    named = {one.day: one for one in calendar.days}
    weeks = []
    for week in months.Calendar().monthdatescalendar(year, month):
        cells: list[Cell | None] = []
        for day in week:
            known = named.get(day)
            look = "" if calendar.works(day) else "day-off"
            if known:
                look = {"off": "day-off day-named", "working": "day-working", "short": "day-short"}[known.kind]
            note = f"{KINDS[known.kind]}{': ' if known.note else ''}{known.note}" if known else ""
            cells.append(Cell(day, look, note) if day.month == month else None)
        weeks.append(cells)
    return weeks


def _path(name: str) -> str:
    return f"/calendars/{quote(name, safe='')}"
