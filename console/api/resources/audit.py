"""What people and programs did, and the proof of what the bus did."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import datetime
from typing import IO, Annotated, Any

from fastapi import Query
from fastapi.responses import StreamingResponse
from pydantic import ConfigDict, Field

from console.api.problems import named
from console.api.resource import Asked, Resource
from console.api.values import (
    PAGE_USUAL,
    CursorField,
    Given,
    Limit,
    Line,
    MessageId,
    Moment,
    Paged,
    Shown,
    pack,
    sane,
    unpack,
)
from core import cards, evidence, trail

audit_ = Resource("Аудит", "Действия людей и программ, просмотры персональных данных, доказательный пакет")

_IN_MEMORY_BYTES = 4 * 1024 * 1024
_PIECE_BYTES = 256 * 1024


class Deed(Shown):
    """One deed."""

    model_config = ConfigDict(title="Действие", from_attributes=True)

    seq: int = Field(title="Номер")
    at: datetime = Field(title="Когда")
    actor: str = Field(title="Кто", description='"" — сама шина')
    via: str = Field(title="Откуда", description="console, api, cli, bus")
    address: str = Field(title="Адрес")
    action: str = Field(title="Действие", examples=["queue.paused"])
    object_kind: str = Field(title="Вид объекта", examples=["queue"])
    object_id: str = Field(title="Объект")
    note: str = Field(title="Пояснение")
    detail: dict[str, Any] = Field(title="Подробности")


class Deeds(Paged):
    """The newest first."""

    model_config = ConfigDict(title="Страница аудита")

    items: list[Deed] = Field(title="Действия")


class DeedFilter(Given):
    """Which."""

    actor: Line = Field(default="", title="Кто")
    action: Line = Field(default="", title="Действие")
    object_kind: Line = Field(default="", title="Вид объекта")
    object_id: Line = Field(default="", title="Объект")
    since: Moment | None = Field(default=None, title="Не раньше")
    until: Moment | None = Field(default=None, title="Раньше")
    limit: Limit = PAGE_USUAL
    cursor: CursorField = None


@audit_.look("/audit", "audit.read", "Аудит", response_model=Deeds)
def list_audit(call: Asked, wanted: Annotated[DeedFilter, Query()]) -> Any:
    """Новые сверху."""
    chosen = trail.Wanted(
        actor=wanted.actor,
        action=wanted.action,
        object_kind=wanted.object_kind,
        object_id=wanted.object_id,
        since=sane(wanted.since),
        until=sane(wanted.until),
        before=unpack(wanted.cursor, before=int).get("before"),
    )
    rows = trail.rows(call.bus.database, chosen, wanted.limit + 1)
    further, rows = len(rows) > wanted.limit, rows[: wanted.limit]
    return {"items": rows, "next": pack(before=rows[-1].seq) if further else None}


@audit_.look(
    "/messages/{message_id}/evidence",
    "evidence.make",
    "Доказательный пакет",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Архив zip",
            "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
def get_evidence(call: Asked, message_id: MessageId) -> StreamingResponse:
    """Проверяется без шины: omsbus evidence verify. Без права personal.read содержимого в пакете нет."""
    with named():
        cards.card(call.bus.database, message_id)
    out = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115  # closed by _pieces
    try:
        evidence.pack(call.bus, message_id, call.person, out)
    except BaseException:
        out.close()
        raise
    size = out.tell()
    out.seek(0)
    headers = {
        "Content-Disposition": f'attachment; filename="evidence-{message_id}.zip"',
        "Content-Length": str(size),
    }
    return StreamingResponse(_pieces(out), media_type="application/zip", headers=headers)


def _pieces(out: IO[bytes]) -> Iterator[bytes]:
    with out:
        while piece := out.read(_PIECE_BYTES):
            yield piece
