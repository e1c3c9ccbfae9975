"""Connectors and kinds: what is connected, whether it answers, which documents are known."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Query
from fastapi.responses import Response
from pydantic import ConfigDict, Field

from console.api.problems import missing, named
from console.api.resource import Asked, Resource
from console.api.values import Line, Name, Shown
from core import connection_check, kinds

connectors = Resource("Коннекторы", "Внешние системы: приём, отправка, проверка связи")
kinds_ = Resource("Виды сведений", "Маршруты и их документы: схемы, преобразования, примеры")


class Connector(Shown):
    """A far side."""

    model_config = ConfigDict(title="Коннектор")

    name: str = Field(title="Имя", examples=["smev"])
    type: str = Field(title="Тип", examples=["smev3"])
    sources: list[str] = Field(title="Приём", description="Имена очередей-источников")
    sinks: list[str] = Field(title="Отправка", description="Имена очередей отправки")


class Connectors(Shown):
    """All that are switched on in this process."""

    model_config = ConfigDict(title="Коннекторы")

    items: list[Connector] = Field(title="Коннекторы")


class Checked(Shown):
    """The outcome of a test."""

    model_config = ConfigDict(title="Проверка связи", from_attributes=True)

    connector: str = Field(title="Коннектор")
    asked_at: datetime = Field(title="Когда")
    ok: bool = Field(title="Связь есть")
    said: str = Field(title="Что выяснилось")


@connectors.look("/connectors", "connectors.read", "Все коннекторы", response_model=Connectors)
def list_connectors(call: Asked) -> Any:
    """Включённые в настройках этого узла. Настройки и секреты через API не отдаются."""
    return {"items": [_shown(call, name) for name in sorted(call.bus.lines)]}


@connectors.look("/connectors/{name}", "connectors.read", "Один коннектор", response_model=Connector)
def get_connector(call: Asked, name: Name) -> Any:
    """Его приём и отправка; как они стоят — в /queues."""
    return _shown(call, name)


@connectors.act("/connectors/{name}/check", "connectors.test", "Проверить связь", response_model=Checked)
def check_connector(call: Asked, name: Name) -> Any:
    """Сообщения не передаются. Ждёт результата до 30 секунд; дольше — 503, спросите ещё раз."""
    _shown(call, name)
    return connection_check.check(call.bus, name, actor=call.actor)


def _shown(call: Asked, name: str) -> dict[str, Any]:
    if name not in call.bus.lines:
        raise missing(f"Нет коннектора {name}, или он выключен в настройках")
    connector = call.bus.lines[name].connector
    kind = str(call.bus.settings.connectors.get(name, {}).get("type", name))
    return {"name": name, "type": kind, "sources": sorted(connector.sources), "sinks": sorted(connector.sinks)}


class KindLine(Shown):
    """A kind."""

    model_config = ConfigDict(title="Вид сведений", from_attributes=True)

    name: str = Field(title="Имя", examples=["zags.death"])
    title: str = Field(title="Название")
    subsystem: str = Field(title="Подсистема")
    commands: bool = Field(title="Команда", description="Тело — JSON, а не документ")


class Kinds(Shown):
    """All of them."""

    model_config = ConfigDict(title="Виды сведений")

    items: list[KindLine] = Field(title="Виды")


class Form(Shown):
    """One version."""

    model_config = ConfigDict(title="Версия", from_attributes=True)

    version: str = Field(title="Версия")
    root: str = Field(title="Корневой элемент", description="{пространство имён}имя")


class File(Shown):
    """A file."""

    model_config = ConfigDict(title="Файл", from_attributes=True)

    path: str = Field(title="Путь", description="Скачать: /kinds/{name}/file?path=…")
    title: str = Field(title="Что это")
    size_bytes: int = Field(title="Длина, байт")
    sha256: str = Field(title="Отпечаток SHA-256")


class Kind(KindLine):
    """A kind with its documents."""

    model_config = ConfigDict(title="Вид сведений целиком", from_attributes=True)

    formats: list[Form] = Field(title="Версии")
    files: list[File] = Field(title="Схемы, преобразования, примеры")


@kinds_.look("/kinds", "connectors.read", "Все виды сведений", response_model=Kinds)
def list_kinds(call: Asked) -> Any:
    """Виды с документами, затем команды."""
    return {"items": kinds.kinds(call.bus.routes.by_name.values())}


@kinds_.look("/kinds/{name}", "connectors.read", "Один вид сведений", response_model=Kind)
def get_kind(call: Asked, name: Name) -> Any:
    """Версии, корневые элементы и файлы."""
    found = _kind(call, name)
    line = {field: getattr(found, field) for field in KindLine.model_fields}
    return line | {"formats": found.formats, "files": kinds.files(found.formats)}


@kinds_.look(
    "/kinds/{name}/file",
    "connectors.read",
    "Файл вида сведений",
    response_class=Response,
    responses={
        200: {
            "description": "Файл",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
def get_kind_file(call: Asked, name: Name, path: Annotated[Line, Query(title="Путь из списка файлов")]) -> Response:
    """Схема, преобразование или пример целиком."""
    found = _kind(call, name)
    with named():
        octets = kinds.text_of(found.formats, path)
    file = quote(path.rpartition("/")[2])
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{file}"}
    return Response(octets, media_type="application/octet-stream", headers=headers)


def _kind(call: Asked, name: str) -> kinds.Kind:
    for one in kinds.kinds(call.bus.routes.by_name.values()):
        if one.name == name:
            return one
    raise missing(f"Нет вида сведений {name}. Посмотрите список: /kinds")
