"""Расписания: the list, one with its next runs and history, the form with a live preview, the deeds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form
from fastapi.responses import Response

from console.shell.menu import Item
from console.shell.page import Page, allowed
from core import calendars_book, masking, operations, schedules_book
from core.cron_words import words
from core.errors import BusError
from core.schedule import CRON_MOST_CHARACTERS, MISSED, RULES, Schedule
from core.schedule_history import history
from core.schedules_book import RUNS_SHOWN, ZONES, Line

MENU = [Item("Расписания", "/schedules", "fa-clock", "Шина", 5, "schedules.read")]
router = APIRouter()

HISTORY_PAGE: Final = 30
_WEEKDAYS: Final = ("понедельник", "вторник", "среда", "четверг", "пятница", "суббота", "воскресенье")
_MONTHS: Final = (
    *("января", "февраля", "марта", "апреля", "мая", "июня"),
    *("июля", "августа", "сентября", "октября", "ноября", "декабря"),
)
ORIGINS: Final = {
    "operator": "заведено людьми",
    "connector": "опрос из настроек коннектора",
    "settings": "объявлено в файле настроек",
    "code": "объявлено в коде подсистемы",
}


@dataclass(frozen=True, slots=True)
class Filled:
    """What stands in the form."""

    title: str = ""
    queue: str = ""
    body: str = "{}"
    cron: str = "0 9 * * *"
    timezone: str = "Europe/Moscow"
    missed: str = "once"
    calendar: str = ""
    rule: str = "skip"

    def schedule(self, name: str) -> Schedule:
        """Raises ConfigError."""
        return Schedule(
            name,
            self.cron.strip(),
            self.queue,
            self.title,
            self.body,
            self.timezone.strip(),
            self.missed,
            self.calendar,
            self.rule,
        )


def _filled(
    title: str = Form(""),
    queue: str = Form(""),
    body: str = Form(""),
    cron: str = Form(""),
    timezone: str = Form("Europe/Moscow"),
    missed: str = Form("once"),
    calendar: str = Form(""),
    rule: str = Form("skip"),
) -> Filled:
    return Filled(title, queue, body, cron, timezone, missed, calendar, rule)


@router.get("/schedules")
def every(page: Page = allowed("schedules.read")) -> Response:
    return page.show("schedules/list.html", **_list(page))


@router.get("/schedules/part")
def every_again(page: Page = allowed("schedules.read")) -> Response:
    return page.show("schedules/rows.html", **_list(page))


@router.get("/schedules/preview")
def preview(
    cron: str = "",
    timezone: str = "Europe/Moscow",
    calendar: str = "",
    rule: str = "skip",
    page: Page = allowed("schedules.write"),
) -> Response:
    """A part of the form: what the fields mean, or what is wrong with them."""
    filled = Filled(cron=cron, timezone=timezone, calendar=calendar, rule=rule)
    return page.show("schedules/preview.html", **_preview(page, filled))


@router.get("/schedules/new")
def new(page: Page = allowed("schedules.write")) -> Response:
    return _form(page, Filled(), None)


@router.post("/schedules/new")
def make(page: Page = allowed("schedules.write"), filled: Filled = Depends(_filled)) -> Response:
    try:
        name = schedules_book.add(page.bus, filled.schedule(""), actor=page.actor)
    except BusError as error:
        return _form(page, filled, None, problem=_explained(error, schedules_book.name_of(filled.title)))
    page.say("Расписание создано")
    return page.to(_path(name))


@router.get("/schedules/{name}")
def one(name: str, before: int | None = None, page: Page = allowed("schedules.read")) -> Response:
    line = schedules_book.line(page.bus, name)
    before = before if before is None or 0 < before < 2**63 else None
    runs = history(page.bus.database, name, before=before, limit=HISTORY_PAGE + 1)
    schedule, now = line.schedule, datetime.now(UTC)
    return page.show(
        "schedules/one.html",
        line=line,
        home=_path(name),
        words=words(schedule),
        coming=[] if line.paused else [_said(run) for run in schedule.following(now, RUNS_SHOWN)],
        zone=_zone(schedule),
        missed=MISSED[schedule.missed],
        rule=RULES[schedule.rule],
        calendars=calendars_book.names(page.bus),
        unknown_years=schedules_book.unknown_years(schedule, now),
        origin=ORIGINS[line.origin],
        declared=_declared(line),
        body=_body(page, schedule),
        runs=runs[:HISTORY_PAGE],
        before=before,
        older=runs[HISTORY_PAGE - 1].seq if len(runs) > HISTORY_PAGE else None,
    )


@router.get("/schedules/{name}/edit")
def edit(name: str, page: Page = allowed("schedules.write")) -> Response:
    line = schedules_book.line(page.bus, name)
    one = line.schedule
    body = one.body if page.may("personal.read") else ""
    filled = Filled(one.title, one.queue, body, one.cron, one.timezone, one.missed, one.calendar, one.rule)
    return _form(page, filled, line)


@router.post("/schedules/{name}/edit")
def change(name: str, page: Page = allowed("schedules.write"), filled: Filled = Depends(_filled)) -> Response:
    line = schedules_book.line(page.bus, name)
    kept = filled if filled.body.strip() else _with_body(filled, line.schedule.body)
    try:
        schedules_book.change(page.bus, name, kept.schedule(name), actor=page.actor)
    except BusError as error:
        return _form(page, filled, line, problem=_explained(error, name))
    page.say("Расписание изменено")
    return page.to(_path(name))


@router.post("/schedules/{name}/run")
def run(name: str, page: Page = allowed("schedules.operate")) -> Response:
    operations.run_schedule(page.bus, name, actor=page.actor)
    page.say("Команда поставлена в очередь; её ход — в истории запусков")
    return page.to(_path(name))


@router.post("/schedules/{name}/pause")
def pause(name: str, page: Page = allowed("schedules.operate")) -> Response:
    schedules_book.line(page.bus, name)
    operations.pause_schedule(page.bus, name, paused=True, actor=page.actor)
    page.say(f"Расписание {name} поставлено на паузу")
    return page.to(_path(name))


@router.post("/schedules/{name}/resume")
def resume(name: str, page: Page = allowed("schedules.operate")) -> Response:
    schedules_book.line(page.bus, name)
    operations.pause_schedule(page.bus, name, paused=False, actor=page.actor)
    page.say(f"Расписание {name} снова работает; запуски, пропущенные за паузу, не выполняются")
    return page.to(_path(name))


@router.post("/schedules/{name}/reset")
def reset(name: str, page: Page = allowed("schedules.write")) -> Response:
    schedules_book.set_back(page.bus, name, actor=page.actor)
    page.say(f"Расписание {name} снова работает как объявлено")
    return page.to(_path(name))


@router.post("/schedules/{name}/remove")
def remove(name: str, page: Page = allowed("schedules.write")) -> Response:
    schedules_book.remove(page.bus, name, actor=page.actor)
    page.say(f"Расписание {name} удалено")
    return page.to("/schedules")


def _list(page: Page) -> dict[str, Any]:
    lines = schedules_book.lines(page.bus)
    return {
        "lines": [(one, words(one.schedule), _path(one.schedule.name)) for one in lines],
        "origins": ORIGINS,
        "zone_of": _zone,
    }


def _form(page: Page, filled: Filled, line: Line | None, *, problem: str = "") -> Response:
    queues = schedules_book.commands(page.bus)
    return page.show(
        "schedules/form.html",
        status=422 if problem else 200,
        filled=filled,
        line=line,
        problem=problem,
        own=line is None or line.origin == "operator",
        queues=queues,
        fields={queue: schedules_book.fields_of(page.bus, queue) for queue in queues},
        zones=ZONES if filled.timezone in ZONES else {filled.timezone: filled.timezone, **ZONES},
        missed=MISSED,
        rules=RULES,
        calendars=calendars_book.names(page.bus),
        origin=ORIGINS[line.origin] if line else "",
        hidden_body=line is not None and not page.may("personal.read"),
        home=_path(line.schedule.name) if line else "/schedules",
        cron_most=CRON_MOST_CHARACTERS,
        **_preview(page, filled),
    )


def _preview(page: Page, filled: Filled) -> dict[str, Any]:
    """What the fields mean: {wrong} or {meaning, coming, unknown_years}."""
    found: dict[str, Any] = {"wrong": "", "meaning": "", "coming": [], "unknown_years": []}
    try:
        schedule = schedules_book.drawn(page.bus, filled.schedule("проверка"))
    except BusError as error:
        return found | {"wrong": _explained(error, "проверка")}
    now = datetime.now(UTC)
    coming = [_said(run) for run in schedule.following(now, RUNS_SHOWN)]
    wrong = "" if coming else "По этому календарю такой день не наступит за год"
    return {
        "wrong": wrong,
        "meaning": words(schedule),
        "coming": coming,
        "unknown_years": schedules_book.unknown_years(schedule, now),
    }


def _said(run: datetime) -> tuple[datetime, str]:
    """(the moment, «среда, 25 ноября 2026, 03:15» by the clock of the schedule)."""
    clock = f"{run:%H:%M:%S}" if run.second else f"{run:%H:%M}"
    return run, f"{_WEEKDAYS[run.weekday()]}, {run.day} {_MONTHS[run.month - 1]} {run.year}, {clock}"


def _zone(schedule: Schedule) -> str:
    return ZONES.get(schedule.timezone, schedule.timezone)


def _declared(line: Line) -> list[tuple[str, str]]:
    """What an operator changed: (what, how it is declared)."""
    was: Mapping[str, Any] = line.declared
    said = {
        "cron": ("Когда", str(was["cron"])),
        "timezone": ("Часовой пояс", ZONES.get(was["timezone"], was["timezone"])),
        "missed": ("Пропущенные запуски", MISSED.get(was["missed"], "")),
        "calendar": ("Календарь", was["calendar"] or "без календаря"),
        "rule": ("Нерабочие дни", RULES.get(was["rule"], "")),
    }
    return [said[field] for field in line.changed if field in said]


def _body(page: Page, schedule: Schedule) -> str:
    body = schedule.body.encode()
    if not page.may("personal.read"):
        route = page.bus.routes.by_name.get(schedule.queue)
        body = masking.masked_body(body, route.plain if route else ())
    try:
        return json.dumps(json.loads(body), ensure_ascii=False, indent=2)
    except ValueError:
        return body.decode()


def _with_body(filled: Filled, body: str) -> Filled:
    return replace(filled, body=body)


def _explained(error: BusError, name: str) -> str:
    text = error.reason.removeprefix(f"Расписание {name}: ")
    return text[:1].upper() + text[1:]


def _path(name: str) -> str:
    return f"/schedules/{quote(name, safe='')}"
