"""Schedules: what runs when, run now, pause, and those that people made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query
from pydantic import ConfigDict, Field

from console.api.problems import named
from console.api.resource import Asked, Resource
from console.api.values import (
    PAGE_USUAL,
    Cursor,
    Given,
    Limit,
    Line,
    Made,
    Name,
    NonEmptyLine,
    Paged,
    Shown,
    pack,
    unpack,
)
from core import operations, schedule_history, schedules_book
from core.schedule import CRON_MOST_CHARACTERS, Schedule
from core.schedules_book import BODY_MOST_CHARACTERS, TITLE_MOST_CHARACTERS

schedules = Resource("Расписания", "Что и когда запускается: список, запуск сейчас, пауза, создание и правка")

RUNS_MOST = 50


class ScheduleLine(Shown):
    """A schedule."""

    model_config = ConfigDict(title="Расписание")

    name: str = Field(title="Имя")
    title: str = Field(title="Название")
    queue: str = Field(title="Очередь, которой ставится команда")
    cron: str = Field(title="Расписание cron", description="5 полей, или 6 с секундами в конце", examples=["0 9 * * *"])
    timezone: str = Field(title="Часовой пояс", examples=["Europe/Moscow"])
    missed: Literal["skip", "once", "all"] = Field(title="Пропущенные запуски")
    calendar: str = Field(title="Календарь", description='"" — все дни одинаковы')
    rule: Literal["skip", "next", "previous"] = Field(title="Что делать с запуском в нерабочий день")
    origin: str = Field(title="Откуда", description="operator, connector, settings, code")
    paused: bool = Field(title="На паузе")
    changed: bool = Field(title="Изменено людьми")
    next: datetime | None = Field(title="Следующий запуск")
    last_at: datetime | None = Field(title="Последний запуск")
    last_state: str = Field(title="Состояние последнего запуска", description='"" — запусков не было')


class Schedules(Shown):
    """All of them."""

    model_config = ConfigDict(title="Расписания")

    items: list[ScheduleLine] = Field(title="Расписания")


class Wish(Given):
    """A schedule as it shall be."""

    model_config = ConfigDict(extra="forbid", title="Каким быть расписанию")

    title: str = Field(title="Название", min_length=1, max_length=TITLE_MOST_CHARACTERS)
    queue: NonEmptyLine = Field(title="Очередь команд", examples=["sfr.snils.ask"])
    body: str = Field(default="{}", title="Команда, JSON", max_length=BODY_MOST_CHARACTERS)
    cron: str = Field(title="Расписание cron", min_length=9, max_length=CRON_MOST_CHARACTERS, examples=["0 9 * * 1-5"])
    timezone: Line = Field(default="Europe/Moscow", title="Часовой пояс")
    missed: Literal["skip", "once", "all"] = Field(default="once", title="Пропущенные запуски")
    calendar: Line = Field(default="", title="Календарь рабочих дней")
    rule: Literal["skip", "next", "previous"] = Field(default="skip", title="Запуск в нерабочий день")

    def schedule(self, name: str) -> Schedule:
        """Raises ConfigError."""
        return Schedule(
            name, self.cron.strip(), self.queue, self.title, self.body, self.timezone, self.missed, self.calendar,
            self.rule,
        )  # fmt: skip


class NewSchedule(Wish):
    """A new one."""

    model_config = ConfigDict(extra="forbid", title="Новое расписание")

    name: Line = Field(default="", title="Имя", description='"" — составить из названия')


@schedules.look("/schedules", "schedules.read", "Все расписания", response_model=Schedules)
def list_schedules(call: Asked) -> Any:
    """С последним и следующим запуском."""
    return {"items": [_shown(one) for one in schedules_book.lines(call.bus)]}


@schedules.look("/schedules/{name}", "schedules.read", "Одно расписание", response_model=ScheduleLine)
def get_schedule(call: Asked, name: Name) -> Any:
    """Как оно сейчас действует."""
    return _shown(_line(call, name))


class Coming(Shown):
    """The next runs."""

    model_config = ConfigDict(title="Ближайшие запуски")

    items: list[datetime] = Field(title="Моменты")


@schedules.look("/schedules/{name}/next", "schedules.read", "Ближайшие запуски", response_model=Coming)
def list_next_runs(
    call: Asked, name: Name, count: Annotated[int, Query(title="Сколько", ge=1, le=RUNS_MOST)] = 10
) -> Any:
    """Пауза не учитывается."""
    return {"items": _line(call, name).schedule.following(datetime.now(UTC), count)}


class Run(Shown):
    """One run."""

    model_config = ConfigDict(title="Запуск")

    message_id: UUID = Field(title="Id сообщения")
    planned: datetime | None = Field(title="На какой момент", description="null — запущено вручную")
    began_at: datetime = Field(title="Начат")
    state: str = Field(title="Состояние")
    attempts: int = Field(title="Попыток")
    reason: str = Field(title="Причина")
    took_s: float | None = Field(title="Заняло, с", description="null — ещё не закончен")
    actor: str = Field(title="Кто запустил")


class Runs(Paged):
    """A page, the newest first."""

    model_config = ConfigDict(title="История запусков")

    items: list[Run] = Field(title="Запуски")


@schedules.look("/schedules/{name}/runs", "schedules.read", "История запусков", response_model=Runs)
def list_runs(call: Asked, name: Name, limit: Limit = PAGE_USUAL, cursor: Cursor = None) -> Any:
    """Новые сверху; и у расписания, которого уже нет."""
    before = unpack(cursor, before=int).get("before")
    rows = schedule_history.history(call.bus.database, name, before=before, limit=limit + 1)
    further, rows = len(rows) > limit, rows[:limit]
    fields = ("message_id", "planned", "began_at", "state", "attempts", "reason", "actor")
    items = [
        {field: getattr(one, field) for field in fields} | {"took_s": one.took and one.took / timedelta(seconds=1)}
        for one in rows
    ]
    return {"items": items, "next": pack(before=rows[-1].seq) if further else None}


@schedules.act(
    "/schedules/{name}/run", "schedules.operate", "Запустить сейчас", response_model=Made, status=201, repeatable=False
)
def run_schedule(call: Asked, name: Name) -> Any:
    """Расписание на паузе тоже запускается."""
    _line(call, name)
    return {"message_id": operations.run_schedule(call.bus, name, actor=call.actor)}


@schedules.act("/schedules/{name}/pause", "schedules.operate", "Поставить на паузу", response_model=ScheduleLine)
def pause_schedule(call: Asked, name: Name) -> Any:
    """Запуски за время паузы пропущенными не считаются."""
    return _paused(call, name, paused=True)


@schedules.act("/schedules/{name}/resume", "schedules.operate", "Снять с паузы", response_model=ScheduleLine)
def resume_schedule(call: Asked, name: Name) -> Any:
    """Следующий запуск — по расписанию."""
    return _paused(call, name, paused=False)


@schedules.act("/schedules", "schedules.write", "Создать расписание", response_model=ScheduleLine, status=201)
def create_schedule(call: Asked, given: NewSchedule) -> Any:
    """Ставит команду (JSON) в очередь, которая принимает команды; тело проверяется сразу."""
    name = schedules_book.add(call.bus, given.schedule(given.name), actor=call.actor)
    return _shown(_line(call, name))


@schedules.change("/schedules/{name}", "schedules.write", "Изменить расписание", response_model=ScheduleLine)
def change_schedule(call: Asked, name: Name, given: Wish) -> Any:
    """У объявленного в коде или настройках меняются cron, пояс, пропуски, календарь и правило; остальное не берётся."""
    _line(call, name)
    schedules_book.change(call.bus, name, given.schedule(name), actor=call.actor)
    return _shown(_line(call, name))


@schedules.act("/schedules/{name}/reset", "schedules.write", "Вернуть к объявленному", response_model=ScheduleLine)
def reset_schedule(call: Asked, name: Name) -> Any:
    """Отменяет правки людей у расписания из кода или настроек."""
    _line(call, name)
    schedules_book.set_back(call.bus, name, actor=call.actor)
    return _shown(_line(call, name))


@schedules.remove("/schedules/{name}", "schedules.write", "Удалить расписание")
def remove_schedule(call: Asked, name: Name) -> None:
    """Только созданное людьми; история запусков остаётся в журнале."""
    _line(call, name)
    schedules_book.remove(call.bus, name, actor=call.actor)


def _paused(call: Asked, name: str, *, paused: bool) -> dict[str, Any]:
    with named():
        operations.pause_schedule(call.bus, name, paused=paused, actor=call.actor)
    return _shown(_line(call, name))


def _line(call: Asked, name: str) -> schedules_book.Line:
    with named():
        return schedules_book.line(call.bus, name)


def _shown(line: schedules_book.Line) -> dict[str, Any]:
    """Without the body: it may name a person."""
    fields = ("name", "title", "queue", "cron", "timezone", "missed", "calendar", "rule")
    return {field: getattr(line.schedule, field) for field in fields} | {
        "origin": line.origin,
        "paused": line.paused,
        "changed": bool(line.changed),
        "next": line.next,
        "last_at": line.last.began_at if line.last else None,
        "last_state": line.last.state if line.last else "",
    }
