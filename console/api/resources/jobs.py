"""Jobs over many messages, and corrections that wait for another person."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from fastapi import Path
from pydantic import ConfigDict, Field, model_validator

from console.api.problems import named
from console.api.resource import Asked, Resource
from console.api.values import IDS_MOST, PAGE_USUAL, Cursor, Given, Limit, Line, Paged, Shown, pack, unpack
from core import bulk, corrections, quarantine
from core.bulk import CHOSEN_MOST, RATE_MOST_PER_S
from core.quarantine import Chosen
from core.reading import Wanted

jobs = Resource("Задания", "Карантин по причинам; повтор или отклонение многих сообщений с заданной скоростью")
corrections_ = Resource("Правки", "Исправленные сообщения, которые ждут второго человека; решают люди в консоли")

JobId = Annotated[int, Path(title="Номер задания", ge=1, le=2**63 - 1)]


class Group(Shown):
    """Messages in quarantine for one reason."""

    model_config = ConfigDict(title="Группа карантина", from_attributes=True)

    queue: str = Field(title="Очередь")
    name: str = Field(title="Имя группы", description="Вместе с очередью годится для задания")
    error: str = Field(title="Вид ошибки")
    reason: str = Field(title="Причина")
    kind: str = Field(title="Вид сведений последнего")
    many: int = Field(title="Сколько")
    is_more: bool = Field(title="Не меньше стольких", description="true: точное число больше")


class Groups(Shown):
    """The largest first."""

    model_config = ConfigDict(title="Карантин по причинам")

    items: list[Group] = Field(title="Группы")


@jobs.look("/quarantine", "messages.read", "Карантин по причинам", response_model=Groups)
def list_quarantine(call: Asked) -> Any:
    """Крупные группы сверху."""
    return {"items": quarantine.groups(call.bus.database)}


class JobFilter(Given):
    """Which messages of the quarantine or of those that wait for a retry."""

    model_config = ConfigDict(extra="forbid", title="Отбор")

    state: Literal["quarantined", "retry"] = Field(default="quarantined", title="Состояние")
    queue: Line = Field(default="", title="Очередь")
    kind: Line = Field(default="", title="Вид сведений")
    reason_like: Line = Field(default="", title="Часть причины")


class JobGroup(Given):
    """A group of /quarantine."""

    model_config = ConfigDict(extra="forbid", title="Группа карантина для задания")

    queue: Line = Field(title="Очередь")
    name: Line = Field(title="Имя группы")


class NewJob(Given):
    """What to do with what. Exactly one of ids, filter, group."""

    model_config = ConfigDict(
        extra="forbid",
        title="Новое задание",
        json_schema_extra={
            "oneOf": [
                {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
                for name in ("ids", "filter", "group")
            ]
        },
    )

    action: Literal["resend", "drop"] = Field(title="Что сделать")
    ids: list[UUID] | None = Field(default=None, title="Id сообщений", min_length=1, max_length=IDS_MOST)
    filter: JobFilter | None = Field(default=None, title="Отбор")
    group: JobGroup | None = Field(default=None, title="Группа карантина")
    reason: Line = Field(default="", title="Почему", description="Обязательно для drop")
    rate_per_s: float = Field(default=bulk.RATE_PER_S, title="Сообщений в секунду", ge=0.01, le=RATE_MOST_PER_S)
    errors_most: int = Field(
        default=bulk.ERRORS_MOST,
        title="Остановить после стольких ошибок",
        ge=0,
        le=CHOSEN_MOST,
        description="0 — никогда",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(one is not None for one in (self.ids, self.filter, self.group)) != 1:
            raise ValueError("задайте ровно одно из полей ids, filter, group")
        return self

    def chosen(self) -> list[UUID] | Wanted | Chosen:
        if self.group is not None:
            return Chosen(self.group.queue, self.group.name)
        return Wanted(**self.filter.model_dump()) if self.filter is not None else list(self.ids or ())


class Job(Shown):
    """A job as it stands."""

    model_config = ConfigDict(title="Задание", from_attributes=True)

    id: int = Field(title="Номер")
    action: Literal["resend", "drop"] = Field(title="Что делает")
    title: str = Field(title="Над чем")
    reason: str = Field(title="Почему")
    rate_per_s: float = Field(title="Сообщений в секунду")
    errors_most: int = Field(title="Остановить после стольких ошибок")
    state: str = Field(title="Состояние", description="planned, running, paused, done, cancelled, stopped")
    note: str = Field(title="Почему остановлено")
    total: int = Field(title="Всего")
    waiting: int = Field(title="Ещё не отправлено")
    under_way: int = Field(title="В работе")
    succeeded: int = Field(title="Успешно")
    failed: int = Field(title="С ошибкой")
    skipped: int = Field(title="Не понадобилось")
    created_at: datetime = Field(title="Создано")
    created_by: str = Field(title="Кем")
    started_at: datetime | None = Field(title="Начато")
    finished_at: datetime | None = Field(title="Закончено")


class Jobs(Paged):
    """The newest first."""

    model_config = ConfigDict(title="Список заданий")

    items: list[Job] = Field(title="Задания")


@jobs.look("/jobs", "messages.read", "Все задания", response_model=Jobs)
def list_jobs(call: Asked, limit: Limit = PAGE_USUAL, cursor: Cursor = None) -> Any:
    """Новые сверху."""
    rows = bulk.jobs(call.bus.database, unpack(cursor, before=int).get("before"), limit + 1)
    further, rows = len(rows) > limit, rows[:limit]
    return {"items": rows, "next": pack(before=rows[-1].id) if further else None}


@jobs.act("/jobs", "messages.resend", "Начать задание", response_model=Job, status=201, repeatable=False)
def start_job(call: Asked, given: NewJob) -> Any:
    """Выбранное запоминается в этот миг; ход смотрят в /jobs/{job_id}."""
    made = bulk.start(
        call.bus,
        given.chosen(),
        given.action,
        actor=call.actor,
        rate_per_s=given.rate_per_s,
        errors_most=given.errors_most,
        reason=given.reason,
    )
    return bulk.job(call.bus.database, made)


@jobs.look("/jobs/{job_id}", "messages.read", "Одно задание", response_model=Job)
def get_job(call: Asked, job_id: JobId) -> Any:
    """Сколько сделано и сколько осталось."""
    return _job(call, job_id)


class Item(Shown):
    """A message of a job."""

    model_config = ConfigDict(title="Сообщение задания", from_attributes=True)

    place: int = Field(title="Место")
    message_id: UUID = Field(title="Id сообщения")
    state: str = Field(title="Состояние", description="waiting, under_way, succeeded, failed, skipped")
    went_id: UUID | None = Field(title="Что отправлено", description="Само сообщение или его копия")
    note: str = Field(title="Пояснение")
    changed_at: datetime | None = Field(title="Когда")


class Items(Paged):
    """In the order of acceptance."""

    model_config = ConfigDict(title="Сообщения задания")

    items: list[Item] = Field(title="Сообщения")


@jobs.look("/jobs/{job_id}/items", "messages.read", "Сообщения задания", response_model=Items)
def list_job_items(call: Asked, job_id: JobId, limit: Limit = PAGE_USUAL, cursor: Cursor = None) -> Any:
    """Итог по каждому."""
    after = unpack(cursor, after=int).get("after", 0)
    with named():
        rows = bulk.items(call.bus.database, job_id, min(after, 2**31 - 1), limit + 1)
    further, rows = len(rows) > limit, rows[:limit]
    return {"items": rows, "next": pack(after=rows[-1].place) if further else None}


@jobs.act("/jobs/{job_id}/pause", "messages.resend", "Приостановить", response_model=Job)
def pause_job(call: Asked, job_id: JobId) -> Any:
    """Начатые сообщения заканчиваются."""
    return _changed(call, job_id, "pause")


@jobs.act("/jobs/{job_id}/continue", "messages.resend", "Продолжить", response_model=Job)
def continue_job(call: Asked, job_id: JobId) -> Any:
    """После паузы или остановки из-за ошибок; счёт ошибок начинается заново."""
    return _changed(call, job_id, "continue")


@jobs.act("/jobs/{job_id}/cancel", "messages.resend", "Отменить", response_model=Job)
def cancel_job(call: Asked, job_id: JobId) -> Any:
    """Что не отправлено, отправлено не будет."""
    return _changed(call, job_id, "cancel")


class Correction(Shown):
    """A corrected body that waits, or was decided about. Its contents are seen in the console."""

    model_config = ConfigDict(title="Правка", from_attributes=True)

    id: int = Field(title="Номер")
    message_id: UUID = Field(title="Исходное сообщение")
    kind: str = Field(title="Вид сведений")
    queue: str = Field(title="Очередь")
    sha256: str = Field(title="Отпечаток исправленного тела")
    note: str = Field(title="Что исправлено")
    state: str = Field(title="Состояние", description="proposed, approved, rejected, withdrawn, expired")
    proposed_at: datetime = Field(title="Подготовлена")
    proposed_by: str = Field(title="Кем")
    expires_at: datetime = Field(title="Истекает")
    decided_at: datetime | None = Field(title="Решение принято")
    decided_by: str = Field(title="Кем решено")
    decision: str = Field(title="Пояснение решения")
    new_id: UUID | None = Field(title="Отправленное сообщение")


class Corrections(Paged):
    """The newest first."""

    model_config = ConfigDict(title="Правки")

    items: list[Correction] = Field(title="Правки")


@corrections_.look("/corrections", "messages.read", "Все правки", response_model=Corrections)
def list_corrections(call: Asked, limit: Limit = PAGE_USUAL, cursor: Cursor = None) -> Any:
    """Готовят и утверждают правки люди в консоли: токен не говорит, кто его держит."""
    rows = corrections.corrections(call.bus.database, unpack(cursor, before=int).get("before"), limit + 1)
    further, rows = len(rows) > limit, rows[:limit]
    return {"items": rows, "next": pack(before=rows[-1].id) if further else None}


@corrections_.look("/corrections/{correction_id}", "messages.read", "Одна правка", response_model=Correction)
def get_correction(call: Asked, correction_id: Annotated[int, Path(title="Номер правки", ge=1, le=2**63 - 1)]) -> Any:
    """Что с ней решили."""
    with named():
        return corrections.correction(call.bus.database, correction_id)


def _job(call: Asked, job_id: int) -> bulk.Job:
    with named():
        return bulk.job(call.bus.database, job_id)


def _changed(call: Asked, job_id: int, what: str) -> bulk.Job:
    _job(call, job_id)
    bulk.change(call.bus, job_id, what, actor=call.actor)
    return _job(call, job_id)
