"""Giving the bus something: a document or a command for a route, a request for СМЭВ, and what became of it."""

from __future__ import annotations

import base64
import binascii
import functools
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import Path
from pydantic import ConfigDict, Field, model_validator

from console.api.problems import Fault, Refusal, named
from console.api.resource import Asked, Resource
from console.api.values import PAGE_USUAL, Cursor, Given, Limit, Line, Made, Paged, Shown, pack, unpack
from core import discovery, questions, submission
from core.errors import IdReused, MalformedXml, SchemaViolation, SignatureRejected, UnknownKind
from core.message import Message
from core.questions import Question

sending = Resource("Отправка", "Передать шине документ или команду, отправить запрос в СМЭВ, прочитать ответ")

_BASE64 = r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_VARIANTS = ("text", "data", "base64")


class Body(Given):
    """The octets of a document, in one of three forms."""

    text: str | None = Field(
        default=None, title="Документ текстом", description="XML или другой текст", examples=["<Документ/>"]
    )
    data: dict[str, Any] | None = Field(default=None, title="Документ объектом JSON", description="Для команд")
    base64: str | None = Field(
        default=None, title="Документ в base64", pattern="^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(getattr(self, name) is not None for name in _VARIANTS) != 1:
            raise ValueError("задайте ровно одно из полей text, data, base64")
        return self

    def octets(self) -> bytes:
        """Raises Refusal (422)."""
        try:
            if self.base64 is not None:
                return base64.b64decode(self.base64, validate=True)
            if self.text is not None:
                return self.text.encode()
            return json.dumps(self.data, ensure_ascii=False).encode()
        except (ValueError, binascii.Error):  # lone surrogates stand in nested values
            raise _unfit("body", "Документ не читается: проверьте base64 и знаки текста") from None


def _one_of(schema: dict[str, Any]) -> None:
    schema["oneOf"] = [{"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in _VARIANTS]


class Put(Body):
    """A document or a command."""

    model_config = ConfigDict(
        extra="forbid",
        title="Документ или команда",
        json_schema_extra=_one_of,
    )

    kind: Line = Field(title="Маршрут", description="Имя вида сведений", examples=["zags.death"])
    key: Line = Field(
        default="", title="Ключ порядка", description="Сообщения с одним ключом идут по порядку; обычно его знает вид"
    )


@sending.act("/messages", "messages.send", "Передать документ или команду", response_model=Made, status=201)
def put_message(call: Asked, given: Put) -> Any:
    """Документ проверяется сразу так же, как при обработке: по XSD своего вида и по полям команды.

    С Idempotency-Key сообщение попадёт в журнал один раз навсегда: ключ становится его внешним идентификатором.
    """
    message = Message(
        kind=given.kind,
        body=given.octets(),
        key=given.key,
        source=f"api:{call.actor.removeprefix('token:')}",
        external_id=call.key,
    )
    with _Checked("body"):
        return {"message_id": submission.submit(call.bus, message, actor=call.actor)}


class QuestionLine(Shown):
    """A request that can be sent."""

    model_config = ConfigDict(title="Вид запроса", from_attributes=True)

    name: str = Field(title="Имя", examples=["sfr.snils.request"])
    title: str = Field(title="Название")
    hint: str = Field(title="Когда его посылают")
    version: str = Field(title="Версия")
    root: str = Field(title="Корневой элемент")


class Questions(Shown):
    """All of them."""

    model_config = ConfigDict(title="Виды запросов")

    items: list[QuestionLine] = Field(title="Виды запросов")


@sending.look("/questions", "connectors.read", "Какие запросы можно послать", response_model=Questions)
def list_questions(call: Asked) -> Any:  # noqa: ARG001
    """Запросы, которые эта шина умеет отправлять от нашего имени."""
    return {
        "items": [
            {"name": one.name, "title": one.title, "hint": one.hint, "version": one.form.version, "root": one.form.root}
            for one in _questions()
        ]
    }


class Request(Body):
    """A request to send."""

    model_config = ConfigDict(extra="forbid", title="Запрос", json_schema_extra=_one_of)

    question: Line = Field(title="Вид запроса", description="Имя из /questions", examples=["sfr.snils.request"])


@sending.act("/requests", "messages.send", "Отправить запрос в СМЭВ", response_model=Made, status=201, repeatable=False)
def send_request(call: Asked, given: Request) -> Any:
    """Документ проверяется по схеме вида и уходит в очередь отправки; ответ читают в /requests/{message_id}."""
    question = questions.by_name(_questions(), given.question)
    with _Checked("body"):
        return {"message_id": questions.send(call.bus, question, given.octets(), actor=call.actor)}


class Sent(Shown):
    """Where a request stands."""

    model_config = ConfigDict(title="Отправленный запрос", from_attributes=True)

    id: UUID = Field(title="Id сообщения")
    kind: str = Field(title="Вид")
    asked_at: datetime = Field(title="Когда")
    asked_by: str = Field(title="Кто")
    state: str = Field(
        title="Где он",
        description="waiting — ждёт отправки, sent — ждём ответа, answered, rejected, status, failed, timeout, "
        "quarantined, dropped",
    )
    reason: str = Field(title="Причина")
    answer_due_at: datetime | None = Field(title="Ответ ждём до")
    answers: list[UUID] = Field(title="Ответы", description="Id сообщений; содержимое — /messages/{id}/contents")


class Requests(Paged):
    """A page, the newest first."""

    model_config = ConfigDict(title="Отправленные запросы")

    items: list[Sent] = Field(title="Запросы")


@sending.look("/requests", "messages.read", "Отправленные запросы", response_model=Requests)
def list_requests(call: Asked, limit: Limit = PAGE_USUAL, cursor: Cursor = None) -> Any:
    """Что отправлено вручную или через API, новые сверху, с тем, что ответили."""
    text = unpack(cursor, before=str).get("before")
    try:
        before = UUID(text) if text else None
    except ValueError:
        raise Refusal(400, "cursor", "Курсор не подходит", "Передайте в cursor поле next без изменений") from None
    rows = questions.asked(call.bus.database, limit + 1, before)
    further, rows = len(rows) > limit, rows[:limit]
    return {"items": rows, "next": pack(before=str(rows[-1].id)) if further else None}


@sending.look("/requests/{message_id}", "messages.read", "Что ответили на запрос", response_model=Sent)
def get_request(call: Asked, message_id: Annotated[UUID, Path(title="Id сообщения")]) -> Any:
    """Состояние запроса и id пришедших ответов."""
    with named():
        return questions.one(call.bus.database, message_id)


class _Checked:
    """What is wrong with the caller's document becomes 422."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        if isinstance(error, MalformedXml | SchemaViolation | UnknownKind | SignatureRejected):
            lines = [one for one in error.detail.splitlines() if one][:20]
            faults = [Fault(place=self._place, text=one) for one in lines]
            raise Refusal(422, "document", "Документ не принят", error.reason, errors=faults) from None
        if isinstance(error, IdReused):
            raise Refusal(409, "key-reused", "Ключ уже использован", error.reason) from None


def _unfit(place: str, text: str) -> Refusal:
    return Refusal(422, "values", "Неверные значения", text, errors=[Fault(place=place, text=text)])


@functools.cache
def _questions() -> Sequence[Question]:
    return discovery.questions()
