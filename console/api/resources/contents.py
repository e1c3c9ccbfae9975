"""What messages carry: bodies, envelopes, results of stages, files. Every look is audited; personal data is masked."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import Path, Query
from fastapi.responses import StreamingResponse
from pydantic import ConfigDict, Field

from console.api.problems import named
from console.api.resource import Asked, Resource
from console.api.values import MessageId, Shown
from core import contents

carried = Resource("Содержимое", "Тело, конверт, результаты этапов и вложения сообщения")

Part = Literal["body", "received", "outputs", "detail", "headers"]


class Octets(Shown):
    """Text where it is UTF-8, else base64."""

    model_config = ConfigDict(title="Содержимое")

    text: str | None = Field(default=None, title="Текст")
    base64: str | None = Field(default=None, title="Октеты в base64", description="Когда это не текст в UTF-8")


class Output(Octets):
    """What a stage made."""

    model_config = ConfigDict(title="Результат этапа")

    stage: str = Field(title="Этап")


class Detail(Shown):
    """Details of an error."""

    model_config = ConfigDict(title="Подробности")

    stage: str = Field(title="Этап")
    text: str = Field(title="Текст")


class Contents(Shown):
    """What was asked for."""

    model_config = ConfigDict(title="Содержимое сообщения")

    masked: bool = Field(title="Персональные данные скрыты", description="У токена нет права personal.read")
    body: Octets | None = Field(title="Тело")
    received: Octets | None = Field(title="Конверт, как он пришёл")
    outputs: list[Output] = Field(title="Результаты этапов")
    details: list[Detail] = Field(title="Подробности ошибок")
    headers: dict[str, str] = Field(title="Заголовки")
    cut: dict[str, int] = Field(title="Обрезано", description="Часть → её полная длина в байтах; целиком — файлом")


@carried.look("/messages/{message_id}/contents", "messages.content", "Содержимое", response_model=Contents)
def get_contents(
    call: Asked,
    message_id: MessageId,
    part: Annotated[list[Part], Query(title="Части", min_length=1, max_length=5)] = ["body"],  # noqa: B006
) -> Any:
    """Просмотр записывается в журнал и в аудит. Без права personal.read персональные данные скрыты маской."""
    with named():
        found = contents.look(call.bus, message_id, frozenset(part), call.person)
    return {
        "masked": found.masked,
        "body": _octets(found.body),
        "received": _octets(found.received),
        "outputs": [{"stage": stage, **_octets(octets)} for stage, octets in found.outputs],  # type: ignore[dict-item]
        "details": [{"stage": stage, "text": text} for stage, text in found.details],
        "headers": found.headers,
        "cut": found.cut,
    }


_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Файл",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
FilePart = Annotated[
    str,
    Path(
        title="Часть",
        description="body, received, outputs:<номер> или attachment:<номер> (с нуля)",
        pattern=r"^(body|received|(outputs|attachment):[0-9]{1,4})$",
        examples=["attachment:0"],
    ),
]


@carried.look(
    "/messages/{message_id}/files/{part}",
    "messages.content",
    "Скачать содержимое файлом",
    response_class=StreamingResponse,
    responses=_FILE,
)
def get_file(call: Asked, message_id: MessageId, part: FilePart) -> StreamingResponse:
    """Файл целиком, любой длины. Вложение отдаётся только с правом personal.read: замаскировать его нельзя."""
    if part.startswith("attachment"):
        call.need(contents.PERSONAL)
    with named():
        found = contents.download(call.bus, message_id, part, call.person)
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(found.name)}"}
    if found.size_bytes is not None:
        headers["Content-Length"] = str(found.size_bytes)
    return StreamingResponse(found.pieces, media_type="application/octet-stream", headers=headers)


def _octets(octets: bytes | None) -> dict[str, str | None] | None:
    if octets is None:
        return None
    try:
        return {"text": octets.decode(), "base64": None}
    except UnicodeDecodeError:
        return {"text": None, "base64": base64.b64encode(octets).decode()}
