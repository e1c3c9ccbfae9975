"""Queues: how they stand, pause and resume, poll, drain."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from console.api.problems import Refusal, named
from console.api.resource import Asked, Resource
from console.api.values import Given, Name, Reason, Shown
from core import operations, overrides, reading
from core.settings import PAUSE_MOST_S

queues = Resource("Очереди", "Маршруты, отправка и приём: глубина, состояние, пауза и пуск, опрос")


class Queue(Shown):
    """A queue as it stands."""

    model_config = ConfigDict(title="Очередь", from_attributes=True)

    name: str = Field(title="Имя", examples=["zags.death"])
    side: Literal["route", "sink", "source"] = Field(title="Сторона: маршрут, отправка, приём")
    title: str = Field(title="Название")
    state: Literal["running", "paused", "stopped"] = Field(title="Состояние")
    reason: str = Field(title="Почему стоит или отдыхает")
    rest_until: datetime | None = Field(title="Отдыхает до", description="Другая сторона недоступна")
    failures: int = Field(title="Неудач подряд")
    polled_at: datetime | None = Field(title="Последний опрос")
    poll_result: str = Field(title="Чем он кончился")
    changed_at: datetime = Field(title="Состояние изменилось")
    changed_by: str = Field(title="Кто изменил")
    ready: int = Field(title="Готово", description=f"Глубины считаются до {reading.DEPTH_MOST}")
    held: int = Field(title="Ждёт своего ключа")
    retry: int = Field(title="Ждёт повтора")
    quarantined: int = Field(title="В карантине")
    oldest_at: datetime | None = Field(title="Старейшее ждущее принято")
    per_minute: float = Field(title="Обработано или отправлено за минуту")


class Queues(Shown):
    """All of them: they are tens, not thousands."""

    model_config = ConfigDict(title="Очереди")

    items: list[Queue] = Field(title="Очереди")


@queues.look("/queues", "queues.read", "Все очереди", response_model=Queues)
def list_queues(call: Asked) -> Any:
    """Маршруты, затем отправка, затем приём."""
    return {"items": reading.queues(call.bus.database)}


@queues.look("/queues/{name}", "queues.read", "Одна очередь", response_model=Queue)
def get_queue(call: Asked, name: Name) -> Any:
    """Состояние и глубины сейчас."""
    return _queue(call, name)


@queues.act("/queues/{name}/pause", "queues.operate", "Поставить на паузу", response_model=Queue)
def pause_queue(call: Asked, name: Name, given: Reason) -> Any:
    """Сообщения копятся и не теряются."""
    with named():
        operations.set_state(call.bus, name, "paused", actor=call.actor, reason=given.reason)
    return _queue(call, name)


@queues.act("/queues/{name}/resume", "queues.operate", "Пустить", response_model=Queue)
def resume_queue(call: Asked, name: Name) -> Any:
    """После паузы, остановки из-за ошибки настройки или раньше конца отдыха."""
    with named():
        operations.set_state(call.bus, name, "running", actor=call.actor)
    return _queue(call, name)


@queues.act("/queues/{name}/poll", "queues.operate", "Опросить источник сейчас", response_model=Queue, status=202)
def poll_source(call: Asked, name: Name) -> Any:
    """Опрос заказан: когда он пройдёт, изменятся polled_at и poll_result. Источник на паузе тоже слушается."""
    operations.poll(call.bus, _of_side(call, name, source=True), actor=call.actor)
    return _queue(call, name)


@queues.act("/queues/{name}/drain", "queues.operate", "Разобрать сейчас", response_model=Queue, status=202)
def drain_queue(call: Asked, name: Name) -> Any:
    """Не ждать конца отдыха: другая сторона снова доступна. Сообщения, которые ждут повтора, ждут своего срока."""
    operations.drain_now(call.bus, _of_side(call, name, source=False), actor=call.actor)
    return _queue(call, name)


def _queue(call: Asked, name: str) -> reading.QueueRow:
    with named():
        return reading.queue(call.bus.database, name)


def _of_side(call: Asked, name: str, *, source: bool) -> str:
    """The name, when the queue is (or is not) a source. Raises Refusal: 404, 409."""
    if (_queue(call, name).side == "source") != source:
        text = "опрашивают только источники" if source else "источник не разбирают, а опрашивают"
        raise Refusal(409, "conflict", "Не получилось", f"Очередь {name}: {text}")
    return name


class Number(Shown):
    """One number."""

    model_config = ConfigDict(title="Число очереди", from_attributes=True)

    name: str = Field(title="Имя", examples=["attempts"])
    title: str = Field(title="Что это")
    bounds: str = Field(title="Каким может быть")
    in_force: float = Field(title="Действует")
    base: float = Field(title="По коду и настройкам")
    override: float | None = Field(title="Задано людьми")


class Numbers(Shown):
    """All of them."""

    model_config = ConfigDict(title="Числа очереди", from_attributes=True)

    items: list[Number] = Field(title="Числа")
    changed_at: datetime | None = Field(title="Изменены")
    changed_by: str = Field(title="Кем")


class NewNumbers(Given):
    """What to set; null and what is left out: by code and settings."""

    model_config = ConfigDict(extra="forbid", title="Новые числа очереди")

    concurrency: int | None = Field(default=None, title="Обработчиков одновременно", ge=1, le=64)
    attempts: int | None = Field(default=None, title="Попыток до карантина", ge=1, le=100)
    first_s: float | None = Field(default=None, title="Первая пауза, с", gt=0, le=PAUSE_MOST_S)
    factor: float | None = Field(default=None, title="Во сколько раз растёт пауза", ge=1, le=100)
    most_s: float | None = Field(default=None, title="Пауза не больше, с", gt=0, le=PAUSE_MOST_S)


@queues.look("/queues/{name}/numbers", "queues.read", "Числа очереди", response_model=Numbers)
def get_queue_numbers(call: Asked, name: Name) -> Any:
    """Сколько обработчиков и попыток, какие паузы; у источника чисел нет."""
    with named():
        return overrides.numbers(call.bus, name)


@queues.change("/queues/{name}/numbers", "queues.operate", "Задать числа очереди", response_model=Numbers)
def set_queue_numbers(call: Asked, name: Name, given: NewNumbers) -> Any:
    """Заменяет все сразу: чего нет в теле, возвращается к коду и настройкам. Действует без перезапуска."""
    with named():
        overrides.numbers(call.bus, name)
    return overrides.override(call.bus, name, given.model_dump(exclude_none=True), actor=call.actor)
