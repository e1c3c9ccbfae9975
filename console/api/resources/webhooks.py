"""Webhooks: subscriptions to state changes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import ConfigDict, Field

from console.api.problems import named
from console.api.resource import Asked, Resource
from console.api.values import PAGE_USUAL, Given, Limit, NonEmptyLine, Shown
from core.webhooks import courier, subscriptions
from core.webhooks.feed import TYPES
from core.webhooks.subscriptions import NAMES_MOST, Wanted

webhooks = Resource("Вебхуки", "Подписки на события шины: подписанные POST на ваш адрес, не меньше одного раза")

WebhookId = Annotated[int, Path(title="Номер подписки", ge=1, le=2**63 - 1)]
EventType = Literal[
    "message.handled",
    "message.sent",
    "message.quarantined",
    "message.dropped",
    "message.answered",
    "queue.paused",
    "queue.stopped",
    "queue.resumed",
    "schedule.fired",
    "connector.unavailable",
    "connector.available",
]
assert set(EventType.__args__) == set(TYPES)  # type: ignore[attr-defined]
_Names = Annotated[list[NonEmptyLine], Field(max_length=NAMES_MOST)]


class Subscribe(Given):
    """What is wanted, and where to."""

    model_config = ConfigDict(extra="forbid", title="Подписка: что и куда")

    title: NonEmptyLine = Field(title="Название", examples=["Реестр ЗЛ: ответы"])
    url: str = Field(
        title="Адрес получателя",
        description="https://…; внутренние сети — только разрешённые в настройках",
        min_length=8,
        max_length=1000,
        examples=["https://erz.example.org/hooks/omsbus"],
    )
    events: list[EventType] = Field(
        title="События",
        min_length=1,
        max_length=len(TYPES),
        description="; ".join(f"{name} — {words.lower()}" for name, words in TYPES.items()),
    )
    queues: _Names = Field(default=[], title="Только эти очереди", description="Пусто — все")
    kinds: _Names = Field(
        default=[], title="Только эти виды сведений", description="Пусто — все; относится к событиям сообщений"
    )

    def wanted(self) -> Wanted:
        return Wanted(self.title, self.url, tuple(self.events), tuple(self.queues), tuple(self.kinds))


class Webhook(Shown):
    """A subscription as it stands."""

    model_config = ConfigDict(title="Подписка", from_attributes=True)

    id: int = Field(title="Номер")
    title: str = Field(title="Название")
    url: str = Field(title="Адрес")
    events: list[str] = Field(title="События")
    queues: list[str] = Field(title="Очереди")
    kinds: list[str] = Field(title="Виды сведений")
    state: Literal["active", "paused", "failed"] = Field(
        title="Состояние", description="failed: выключена шиной, потому что получатель долго не отвечал"
    )
    reason: str = Field(title="Чем кончилась последняя неудача")
    attempts: int = Field(title="Неудач подряд")
    failing_since: datetime | None = Field(title="Неудачи начались")
    due_at: datetime = Field(title="Следующая попытка не раньше")
    told_at: datetime | None = Field(title="Последняя удачная доставка")
    told: int = Field(title="Событий доставлено")
    created_at: datetime = Field(title="Создана")
    created_by: str = Field(title="Кем")


class Created(Shown):
    """The secret is shown this once."""

    model_config = ConfigDict(title="Созданная подписка")

    id: int = Field(title="Номер")
    secret: str | None = Field(
        title="Секрет подписи",
        description="Показывается один раз; null — при повторе по Idempotency-Key: тогда замените секрет",
    )


class Webhooks(Shown):
    """All of them."""

    model_config = ConfigDict(title="Подписки")

    items: list[Webhook] = Field(title="Подписки")


class Attempt(Shown):
    """One POST."""

    model_config = ConfigDict(title="Попытка доставки", from_attributes=True)

    at: datetime = Field(title="Когда")
    delivery: str = Field(title="Номер доставки", description="Заголовок webhook-id")
    events: int = Field(title="Событий")
    attempt: int = Field(title="Попытка")
    status: int | None = Field(title="Код ответа", description="null — ответа не было")
    note: str = Field(title="Что вышло")
    duration_ms: float = Field(title="Заняло, мс")


class Attempts(Shown):
    """The last ones."""

    model_config = ConfigDict(title="Последние доставки")

    items: list[Attempt] = Field(title="Попытки")


class Resume(Given):
    """How to go on."""

    model_config = ConfigDict(extra="forbid", title="Как продолжить")

    skip: bool = Field(default=False, title="Пропустить накопившееся")


@webhooks.look("/webhooks", "webhooks.write", "Все подписки", response_model=Webhooks)
def list_webhooks(call: Asked) -> Any:
    """Секретов в ответе нет."""
    return {"items": subscriptions.listed(call.bus.database)}


@webhooks.act(
    "/webhooks", "webhooks.write", "Подписаться", response_model=Created, status=201, repeatable=False,
    hidden=["secret"],
)  # fmt: skip
def create_webhook(call: Asked, given: Subscribe) -> Any:
    """События начиная с этого мгновения. Проверка подписи и вид тела описаны в docs/api.md."""
    made, secret = subscriptions.create(call.bus, given.wanted(), actor=call.actor)
    return {"id": made, "secret": secret}


@webhooks.look("/webhooks/{webhook_id}", "webhooks.write", "Одна подписка", response_model=Webhook)
def get_webhook(call: Asked, webhook_id: WebhookId) -> Any:
    """Как она стоит."""
    return _get(call, webhook_id)


@webhooks.change("/webhooks/{webhook_id}", "webhooks.write", "Изменить подписку", response_model=Webhook)
def change_webhook(call: Asked, webhook_id: WebhookId, given: Subscribe) -> Any:
    """Секрет остаётся прежним; доставленное второй раз не доставляется."""
    _get(call, webhook_id)
    subscriptions.change(call.bus, webhook_id, given.wanted(), actor=call.actor)
    return _get(call, webhook_id)


@webhooks.remove("/webhooks/{webhook_id}", "webhooks.write", "Удалить подписку")
def remove_webhook(call: Asked, webhook_id: WebhookId) -> None:
    """Недоставленное не будет доставлено."""
    with named():
        subscriptions.remove(call.bus, webhook_id, actor=call.actor)


@webhooks.act("/webhooks/{webhook_id}/pause", "webhooks.write", "Поставить на паузу", response_model=Webhook)
def pause_webhook(call: Asked, webhook_id: WebhookId) -> Any:
    """Что произойдёт за время паузы, будет доставлено после неё."""
    with named():
        subscriptions.pause(call.bus, webhook_id, actor=call.actor)
    return _get(call, webhook_id)


@webhooks.act("/webhooks/{webhook_id}/resume", "webhooks.write", "Продолжить или повторить", response_model=Webhook)
def resume_webhook(call: Asked, webhook_id: WebhookId, given: Resume) -> Any:
    """После паузы, после выключения или не дожидаясь срока следующей попытки."""
    _get(call, webhook_id)
    subscriptions.resume(call.bus, webhook_id, skip=given.skip, actor=call.actor)
    return _get(call, webhook_id)


@webhooks.act(
    "/webhooks/{webhook_id}/secret", "webhooks.write", "Заменить секрет", response_model=Created, repeatable=False,
    hidden=["secret"],
)  # fmt: skip
def renew_webhook_secret(call: Asked, webhook_id: WebhookId) -> Any:
    """Прежний секрет перестаёт действовать сразу."""
    _get(call, webhook_id)
    return {"id": webhook_id, "secret": subscriptions.renew_secret(call.bus, webhook_id, actor=call.actor)}


@webhooks.act("/webhooks/{webhook_id}/test", "webhooks.write", "Проверить доставку", response_model=Attempt)
def send_webhook_test(call: Asked, webhook_id: WebhookId) -> Any:
    """Отправляет одно событие типа test прямо сейчас и рассказывает, что вышло."""
    _get(call, webhook_id)
    return courier.send_test(call.bus, webhook_id, actor=call.actor)


@webhooks.look("/webhooks/{webhook_id}/attempts", "webhooks.write", "Последние доставки", response_model=Attempts)
def list_webhook_attempts(call: Asked, webhook_id: WebhookId, limit: Limit = PAGE_USUAL) -> Any:
    """Новые сверху; хранятся последние двести."""
    _get(call, webhook_id)
    return {"items": subscriptions.attempts(call.bus.database, webhook_id, limit)}


def _get(call: Asked, webhook_id: int) -> subscriptions.Subscription:
    with named():
        return subscriptions.get(call.bus.database, webhook_id)
