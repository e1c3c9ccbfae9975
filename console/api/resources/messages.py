"""Messages: the journal, one message, what it carries, resend and drop."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query
from pydantic import ConfigDict, Field

from console.api.problems import named
from console.api.resource import Asked, Resource
from console.api.values import (
    IDS_MOST,
    PAGE_USUAL,
    CursorField,
    Done,
    Given,
    Limit,
    Line,
    MessageId,
    Moment,
    NonEmptyLine,
    Paged,
    Shown,
    pack,
    sane,
    unpack,
)
from core import cards, operations
from core.payloads import REMOVED
from core.reading import Wanted
from core.search import asking

messages = Resource("Сообщения", "Журнал, карточка сообщения, повторная отправка и отклонение")

State = Literal["ready", "held", "retry", "quarantined", "handled", "sent", "dropped"]


class MessageLine(Shown):
    """A line of the journal."""

    model_config = ConfigDict(title="Строка журнала", from_attributes=True)

    seq: int = Field(title="Номер", description="Порядок приёма")
    id: UUID = Field(title="Id сообщения")
    kind: str = Field(title="Вид сведений", examples=["zags.death"])
    version: str = Field(title="Версия вида")
    outcome: str = Field(
        title="Что это", description="request, answer, rejection, status, failure, timeout", examples=["request"]
    )
    queue: str = Field(title="Очередь")
    key: str = Field(title="Ключ порядка", description="Сообщения с одним ключом обрабатываются по порядку")
    state: State = Field(title="Состояние")
    attempts: int = Field(title="Попыток")
    source: str = Field(title="Источник")
    external_id: str = Field(title="Внешний идентификатор", description="Под ним сообщение пришло")
    accepted_at: datetime = Field(title="Принято")
    changed_at: datetime = Field(title="Состояние изменилось")
    due_at: datetime | None = Field(title="Следующая попытка")
    error: str = Field(title="Вид ошибки")
    reason: str = Field(title="Причина", description="Почему в карантине или ждёт повтора")


class Messages(Paged):
    """A page of the journal, the newest first."""

    model_config = ConfigDict(title="Страница журнала")

    items: list[MessageLine] = Field(title="Сообщения")


class Filter(Given):
    """Which messages: every value that is given must hold."""

    queue: Line = Field(default="", title="Очередь")
    kind: Line = Field(default="", title="Вид сведений")
    state: State | None = Field(default=None, title="Состояние")
    key: Line = Field(default="", title="Ключ порядка")
    source: Line = Field(default="", title="Источник")
    external_id: Line = Field(default="", title="Внешний идентификатор", description="Например MessageID СМЭВ")
    reason_like: Line = Field(default="", title="Часть причины")
    since: Moment | None = Field(default=None, title="Принятые не раньше", examples=["2026-11-24T09:30:00+03:00"])
    until: Moment | None = Field(default=None, title="Принятые раньше")
    limit: Limit = PAGE_USUAL
    cursor: CursorField = None


@messages.look("/messages", "messages.read", "Журнал сообщений", response_model=Messages)
def list_messages(call: Asked, wanted: Annotated[Filter, Query()]) -> Any:
    """Новые сверху, без тел и заголовков. Идите по страницам до next = null.

    При редком отборе страница бывает неполной: время одного поиска ограничено.
    """
    before = unpack(wanted.cursor, before=int).get("before")
    chosen = Wanted(
        queue=wanted.queue,
        kind=wanted.kind,
        state=wanted.state or "",
        key=wanted.key,
        source=wanted.source,
        external_id=wanted.external_id,
        reason_like=wanted.reason_like,
        since=sane(wanted.since),
        until=sane(wanted.until),
        before=before,
    )
    found = asking.search(call.bus, chosen, wanted.limit, call.person)
    return {"items": found.rows, "next": None if found.next is None else pack(before=found.next)}


class Attachment(Shown):
    """An attached file."""

    model_config = ConfigDict(title="Вложение")

    place: int = Field(title="Номер", description="С нуля: по нему файл скачивают")
    media_type: str = Field(title="Тип")
    stored: bool = Field(title="Есть ли файл", description="false: пришёл только заголовок, или срок хранения истёк")


class Departure(Shown):
    """What went out."""

    model_config = ConfigDict(title="Отправка", from_attributes=True)

    sink: str = Field(title="Куда")
    external_id: str = Field(title="Под каким идентификатором", description="Для СМЭВ это MessageID")
    replies_to: str = Field(title="Кто примет ответ")
    sends: int = Field(title="Сколько раз отправлялось")
    prepared_at: datetime = Field(title="Подготовлено")
    confirmed_at: datetime | None = Field(title="Другая сторона подтвердила")
    answer_due_at: datetime | None = Field(title="Ответ ждём до")
    answered_at: datetime | None = Field(title="Ожидание закончилось")
    answer: str = Field(title="Чем закончилось", description='answer, rejection, failure, timeout; "" — ещё ждём')


class Message(MessageLine):
    """The card without contents."""

    model_config = ConfigDict(title="Сообщение", from_attributes=True)

    cause: UUID | None = Field(title="Причина: сообщение, из-за которого появилось это")
    in_reply_to: str = Field(title="Ответ на идентификатор")
    fingerprint: str = Field(title="SHA-256 содержимого")
    body_bytes: int = Field(title="Длина тела, байт")
    received_bytes: int | None = Field(title="Длина конверта, байт")
    body_removed: bool = Field(title="Содержимое удалено по сроку хранения")
    attachments: list[Attachment] = Field(title="Вложения")
    outgoing: Departure | None = Field(title="Отправка")


@messages.look("/messages/{message_id}", "messages.read", "Одно сообщение", response_model=Message)
def get_message(call: Asked, message_id: MessageId) -> Any:
    """Карточка без содержимого: где сообщение стоит, откуда пришло, что ушло и чего ждём."""
    card = _card(call, message_id)
    files = [
        {"place": place, "media_type": one["media_type"], "stored": _is_stored(one["payload"])}
        for place, one in enumerate(card.attachments)
    ]
    line = {name: getattr(card.row, name) for name in card.row.__dataclass_fields__}
    rest = ("cause", "in_reply_to", "fingerprint", "body_bytes", "received_bytes", "body_removed", "outgoing")
    return line | {name: getattr(card, name) for name in rest} | {"attachments": files}


class EventLine(Shown):
    """Something that happened."""

    model_config = ConfigDict(title="Событие", from_attributes=True)

    at: datetime = Field(title="Когда")
    stage: str = Field(title="Что", examples=["handled"])
    attempt: int = Field(title="Попытка")
    actor: str = Field(title="Кто", description='"" — сама шина')
    note: str = Field(title="Пояснение")
    duration_ms: float | None = Field(title="Заняло, мс")
    since_ms: float | None = Field(title="После прошлого события, мс")


class Events(Shown):
    """The way of one message."""

    model_config = ConfigDict(title="Ход обработки")

    items: list[EventLine] = Field(title="События")


@messages.look("/messages/{message_id}/events", "messages.read", "Ход обработки", response_model=Events)
def list_events(call: Asked, message_id: MessageId) -> Any:
    """Каждый этап, попытка и действие людей, по порядку."""
    return {"items": _card(call, message_id).events}


class EffectLine(MessageLine):
    """A message that came of it."""

    model_config = ConfigDict(title="Следствие", from_attributes=True)

    depth: int = Field(title="Шагов до него")
    cause: UUID = Field(title="Его причина")


class Family(Shown):
    """What it came of, and what came of it."""

    model_config = ConfigDict(title="Причины и следствия")

    causes: list[MessageLine] = Field(title="Причины", description="От самой первой к ближайшей")
    effects: list[EffectLine] = Field(title="Следствия", description="Каждое сразу за своей причиной")


@messages.look("/messages/{message_id}/family", "messages.read", "Причины и следствия", response_model=Family)
def get_family(call: Asked, message_id: MessageId) -> Any:
    """Дерево сообщений вокруг этого; не больше 20 причин и 200 следствий."""
    card = _card(call, message_id)
    effects = [
        {name: getattr(one.row, name) for name in one.row.__dataclass_fields__}
        | {"depth": one.depth, "cause": one.cause}
        for one in card.effects
    ]
    return {"causes": card.causes, "effects": effects}


Ids = Annotated[list[UUID], Field(title="Id сообщений", min_length=1, max_length=IDS_MOST)]


class Resend(Given):
    """Which to send again."""

    model_config = ConfigDict(extra="forbid", title="Повторная отправка")

    ids: Ids


class Drop(Given):
    """Which to drop, and why."""

    model_config = ConfigDict(extra="forbid", title="Отклонение")

    ids: Ids
    reason: NonEmptyLine = Field(title="Почему", examples=["Повтор, исходное обработано"])


@messages.act("/messages/resend", "messages.resend", "Отправить повторно", response_model=Done, repeatable=False)
def resend_messages(call: Asked, given: Resend) -> Any:
    """Сообщение в карантине или в ожидании повтора идёт дальше сразу; завершённое отправляется копией с новым id.

    Все сразу или ни одного: неизвестный id — отказ 409.
    """
    return {"done": operations.resend(call.bus, _unique(given.ids), actor=call.actor)}


@messages.act("/messages/drop", "messages.resend", "Отклонить", response_model=Done)
def drop_messages(call: Asked, given: Drop) -> Any:
    """Больше не обрабатывать; сообщения того же ключа пойдут дальше. Завершённые не меняются и не считаются."""
    return {"done": operations.drop(call.bus, _unique(given.ids), actor=call.actor, reason=given.reason)}


def _card(call: Asked, message_id: UUID) -> cards.Card:
    with named():
        return cards.card(call.bus.database, message_id)


def _unique(ids: Sequence[UUID]) -> list[UUID]:
    return list(dict.fromkeys(ids))


def _is_stored(payload: str) -> bool:
    return bool(payload) and not payload.startswith(REMOVED)
