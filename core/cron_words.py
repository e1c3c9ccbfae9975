"""A cron expression in Russian words: «каждый рабочий день в 03:15». For people; what fires is croniter's business.

cron-descriptor's Russian was tried: it says «каждые 2 часов, только в Sunday», and knows no business days.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Final

from core.schedule import Schedule

TIMES_MOST: Final = 6
"""So many moments of a day are named one by one."""
_MONTHS: Final = (
    *("январе", "феврале", "марте", "апреле", "мае", "июне"),
    *("июле", "августе", "сентябре", "октябре", "ноябре", "декабре"),
)
_ENGLISH_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ON: Final = ("воскресеньям", "понедельникам", "вторникам", "средам", "четвергам", "пятницам", "субботам")
_NTH: Final = ("воскресенье", "понедельник", "вторник", "среду", "четверг", "пятницу", "субботу")
_FROM: Final = ("воскресенья", "понедельника", "вторника", "среды", "четверга", "пятницы", "субботы")
_ORDINAL: Final = ("перв", "втор", "трет", "четвёрт", "пят")
_NAMES: Final = dict(
    zip(("sun", "mon", "tue", "wed", "thu", "fri", "sat"), "0123456", strict=True),
    **{name: str(number) for number, name in enumerate(_ENGLISH_MONTHS, start=1)},
)
_PART: Final = re.compile(r"(\d+)(?:-(\d+))?(?:/(\d+))?|\*/(\d+)")


def words(schedule: Schedule) -> str:
    """When it fires, in one phrase without a full stop."""
    fields = [_named(one) for one in schedule.cron.split()]
    second = fields[5] if len(fields) == 6 else "0"
    minute, hour, day, month, weekday = fields[:5]
    exact, time = _time(second, minute, hour)
    days, limit = _days(day, weekday), ""
    if schedule.calendar and schedule.rule == "skip":
        limit = ", только если день рабочий" if days else ""
        days = days or "каждый рабочий день"
    elif exact and not days:
        days = "каждый день"
    months = "" if month in ("*", "*/1") else _months(month)
    said = " ".join(filter(None, (days, time))) if exact else ", ".join(filter(None, (time, days)))
    said = ", ".join(filter(None, (said, months))) + limit
    if schedule.calendar and schedule.rule != "skip":
        way = "следующий" if schedule.rule == "next" else "предыдущий"
        said += f"; из нерабочего дня — на {way} рабочий"
    return said


def _named(field: str) -> str:
    return re.sub(r"[a-z]{3}", lambda found: _NAMES.get(found[0], found[0]), field.lower()).replace("?", "*")


def _time(second: str, minute: str, hour: str) -> tuple[bool, str]:
    """(are they moments of the day, the words)."""
    hours, minutes, seconds = _numbers(hour, 23), _numbers(minute, 59), _numbers(second, 59)
    if hours and minutes and seconds and len(hours) * len(minutes) * len(seconds) <= TIMES_MOST:
        moments = [
            f"{h:02}:{m:02}" + (f":{s:02}" if second != "0" else "")
            for h, m, s in itertools.product(hours, minutes, seconds)
        ]
        return True, f"в {_listed(moments)}"
    within = "" if hour == "*" else _hours(hour, hours)
    if second == "*" or _step(second):
        pace = _every(_step(second) or 1, "секунда")
        if minute != "*":
            pace += f", минуты: {_spread(minute)}"
    elif minute == "*" or _step(minute):
        pace = _every(_step(minute) or 1, "минута")
        pace += "" if second == "0" else f", секунды: {_spread(second)}"
    elif minutes and len(minutes) == 1 and seconds and len(seconds) == 1:
        at = f"в {minutes[0]:02} мин" + (f" {seconds[0]:02} с" if second != "0" else "")
        at = "в начале часа" if (minutes[0], seconds[0]) == (0, 0) else at
        if hour == "*" or _step(hour):
            return False, f"{_every(_step(hour) or 1, 'час')} {at}"
        pace = f"каждый час {at}"
    else:
        pace = f"каждый час в минуты: {_spread(minute)}"
        pace += "" if second == "0" else f", секунды: {_spread(second)}"
    return False, " ".join(filter(None, (pace, within)))


def _hours(hour: str, hours: list[int]) -> str:
    if _step(hour):
        return f"в часы: {_spread(hour)}"
    if len(hours) > 1 and hours == list(range(hours[0], hours[-1] + 1)):
        return f"с {hours[0]:02}:00 до {hours[-1]:02}:59"
    return f"в {hours[0]:02} ч" if len(hours) == 1 else f"в часы: {_spread(hour)}"


def _days(day: str, weekday: str) -> str:
    if weekday in ("*", "*/1"):
        return "" if day in ("*", "*/1") else _of_month(day)
    of_week = _of_week(weekday)
    return of_week if day in ("*", "*/1") else f"{_of_month(day)}, а также {of_week}"


def _of_month(day: str) -> str:
    if day == "l":
        return "в последний день месяца"
    if step := _step(day):
        return f"в каждый {step}-й день месяца, считая с 1-го числа,"
    numbers = _numbers(day, 31)
    if not numbers:
        return f"по числам месяца: {_spread(day)}"
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"с {numbers[0]}-го по {numbers[-1]}-е число месяца"
    return f"{_listed([f'{one}-го' for one in numbers])} числа месяца"


def _of_week(weekday: str) -> str:
    if found := re.fullmatch(r"(\d)#(\d)", weekday):
        return _nth(int(found[1]) % 7, _ORDINAL[int(found[2]) - 1])
    if found := re.fullmatch(r"l(\d)", weekday):
        return _nth(int(found[1]) % 7, "последн")
    numbers = _numbers(weekday, 7)
    if not numbers:
        return f"по дням недели: {_spread(weekday)} (1 — понедельник)"
    days = sorted({one % 7 or 7 for one in numbers})
    if days == [1, 2, 3, 4, 5]:
        return "по будням"
    if days == list(range(1, 8)):
        return "каждый день"
    if len(days) > 2 and days == list(range(days[0], days[-1] + 1)):
        return f"с {_FROM[days[0] % 7]} по {_NTH[days[-1] % 7]}"
    return f"по {_listed([_ON[one % 7] for one in days])}"


def _nth(weekday: int, stem: str) -> str:
    feminine, neuter = weekday in (3, 5, 6), weekday == 0
    soft = stem in ("трет", "последн")
    if feminine:
        ending = {"трет": "ью", "последн": "юю"}.get(stem, "ую")
    elif neuter:
        ending = {"трет": "ье", "последн": "ее"}.get(stem, "ое")
    else:
        ending = "ий" if soft else "ой" if stem == "втор" else "ый"
    return f"{'во' if stem == 'втор' else 'в'} {stem}{ending} {_NTH[weekday]} месяца"


def _months(month: str) -> str:
    if step := _step(month):
        return f"в каждом {step}-м месяце, считая с января"
    numbers = _numbers(month, 12)
    return f"в {_listed([_MONTHS[one - 1] for one in numbers])}" if numbers else f"месяцы: {_spread(month)}"


def _every(step: int, unit: str) -> str:
    one, few, many = {
        "секунда": ("каждую секунду", "секунды", "секунд"),
        "минута": ("каждую минуту", "минуты", "минут"),
        "час": ("каждый час", "часа", "часов"),
    }[unit]
    if step == 1:
        return one
    if step % 10 == 1 and step % 100 != 11:
        return f"{one.split()[0]} {step}-{'й' if unit == 'час' else 'ю'} {one.split()[1]}"
    return f"каждые {step} {few if step % 10 in (2, 3, 4) and step % 100 not in (12, 13, 14) else many}"


def _step(field: str) -> int:
    """n of */n, when it is more than 1."""
    found = re.fullmatch(r"\*/(\d+)", field)
    return int(found[1]) if found and int(found[1]) > 1 else 0


def _numbers(field: str, most: int) -> list[int]:
    """What a list of numbers, ranges and steps names; [] for everything else, and for `*`."""
    found: set[int] = set()
    for part in field.split(","):
        match = _PART.fullmatch(part)
        if match is None or match[4]:
            return []
        first = int(match[1])
        last = int(match[2]) if match[2] else most if match[3] else first
        if last < first:
            return []
        found |= set(range(first, last + 1, int(match[3] or 1)))
    return sorted(found)


def _spread(field: str) -> str:
    return field.replace(",", ", ").replace("-", "–")


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} и {parts[-1]}"
