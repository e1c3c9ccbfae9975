"""Files with business-day calendars: our CSV, and the XML in which production calendars are published.

CSV     ДД.ММ.ГГГГ;вид;примечание     вид: выходной (or праздник), рабочий, сокращённый; # begins a comment
XML     <calendar year="2026"><days><day d="01.09" t="1"/>…   d: MM.DD; t: 1 off, 2 shortened, 3 working
        (the format of xmlcalendar.ru; names of holidays come from its <holidays>)
Ordinary Saturdays and Sundays need not be named.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import date, datetime
from typing import Final

from core import xml
from core.calendars import Day, calendar_of
from core.errors import ConfigError

FILE_MOST_BYTES: Final = 1024 * 1024
DAYS_MOST: Final = 10_000
NOTE_MOST_CHARACTERS: Final = 200
YEARS: Final = range(1990, 2101)
_KINDS: Final = {
    **dict.fromkeys(("выходной", "праздник", "праздничный", "нерабочий"), "off"),
    "рабочий": "working",
    **dict.fromkeys(("сокращённый", "сокращенный"), "short"),
}
_BY_NUMBER: Final = {"1": "off", "2": "short", "3": "working"}


def read(octets: bytes) -> list[Day]:
    """The days of a file, the earliest first. Raises ConfigError that names the line and what is wrong there."""
    if len(octets) > FILE_MOST_BYTES:
        raise ConfigError("Файл календаря больше 1 МБ: это не производственный календарь")
    looks_like_xml = octets.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
    found: dict[date, Day] = {}
    for place, one in _from_xml(octets) if looks_like_xml else _from_csv(octets):
        if one.day in found:
            raise ConfigError(f"{place}: день {one.day:%d.%m.%Y} назван второй раз. Оставьте одну запись")
        found[one.day] = one
    if not found:
        raise ConfigError("В файле нет ни одного дня. Строки такие: 01.01.2026;выходной;Новый год")
    return list(calendar_of("из файла", "", found.values()).days)


def _from_csv(octets: bytes) -> Iterator[tuple[str, Day]]:
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = octets.decode("cp1251", "replace")  # as Excel saves it
    if "\x00" in text:
        raise ConfigError("Это не текстовый файл: сохраните календарь в CSV (UTF-8)")
    number = 0
    try:
        for number, row in enumerate(csv.reader(io.StringIO(text), delimiter=";"), start=1):
            cells = [cell.strip() for cell in row]
            if not any(cells) or cells[0].startswith("#"):
                continue
            if number > DAYS_MOST:
                raise ConfigError(f"В файле больше {DAYS_MOST} строк: это не производственный календарь")
            yield f"Строка {number}", _row(number, cells)
    except csv.Error as error:
        raise ConfigError(f"Строка {number + 1}: это не CSV", detail=str(error)) from None


def _row(number: int, cells: list[str]) -> Day:
    try:
        day = datetime.strptime(cells[0], "%d.%m.%Y").date()
    except ValueError:
        raise ConfigError(f"Строка {number}: «{cells[0][:20]}» — не день вида 31.12.2026") from None
    kind = _KINDS.get(cells[1].lower() if len(cells) > 1 else "")
    if kind is None:
        given = cells[1][:20] if len(cells) > 1 else ""
        raise ConfigError(f"Строка {number}: вид дня «{given}», а бывает: выходной, рабочий, сокращённый")
    return Day(_within(day, f"Строка {number}"), kind, (cells[2] if len(cells) > 2 else "")[:NOTE_MOST_CHARACTERS])


def _from_xml(octets: bytes) -> Iterator[tuple[str, Day]]:
    root = xml.parse(octets)
    names = {str(one.get("id")): str(one.get("title") or "") for one in root.iterfind("holidays/holiday")}
    year = root.get("year") or ""
    if root.tag != "calendar" or not (year.isascii() and year.isdigit() and int(year) in YEARS):
        raise ConfigError('Это не производственный календарь: нужен <calendar year="2026"> с <days>, либо CSV')
    for one in root.iterfind("days/day"):
        place = f"Строка {one.sourceline}"
        kind = _BY_NUMBER.get(one.get("t") or "")
        try:
            day = datetime.strptime(f"{year}.{one.get('d')}", "%Y.%m.%d").date()
        except ValueError:
            raise ConfigError(f"{place}: день «{(one.get('d') or '')[:20]}», а нужен вида 12.31") from None
        if kind is None:
            raise ConfigError(f"{place}: вид дня t, а бывает 1 (выходной), 2 (сокращённый), 3 (рабочий)")
        moved = f"Перенос с {one.get('f')}" if one.get("f") else ""
        yield place, Day(day, kind, (names.get(one.get("h") or "") or moved)[:NOTE_MOST_CHARACTERS])


def _within(day: date, place: str) -> date:
    if day.year not in YEARS:
        raise ConfigError(f"{place}: год {day.year}, а бывает с {YEARS[0]} по {YEARS[-1]}")
    return day
