"""Values that several resources take or give: names, cursors, pages."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Path, Query
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from console.api.problems import Refusal

PAGE_MOST: Final = 500
PAGE_USUAL: Final = 50
IDS_MOST: Final = 500
_TEXT: Final = r"^[^\x00-\x1f\x7f]*$"
_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_CURSOR: Final = r"^[A-Za-z0-9_-]{1,400}$"


class Given(BaseModel):
    """What a caller sends: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Shown(BaseModel):
    """What the API answers, made from an object of core with the same names."""

    model_config = ConfigDict(from_attributes=True)


Line = Annotated[str, Field(max_length=500, pattern=_TEXT)]
"""One line of text without control characters."""
NonEmptyLine = Annotated[str, Field(min_length=1, max_length=500, pattern=_TEXT)]
Name = Annotated[str, Path(title="Имя", min_length=1, max_length=200, pattern=_TEXT)]
"""In a path."""
MessageId = Annotated[UUID, Path(title="Id сообщения", examples=["0199f3a2-7c11-7d3a-9a51-2f6f0c1b7e10"])]
Limit = Annotated[int, Query(title="Сколько строк", ge=1, le=PAGE_MOST)]
Cursor = Annotated[
    str | None,
    Query(title="Курсор", description="Поле next прошлой страницы, как есть; без него — первая", pattern=_CURSOR),
]
CursorField = Annotated[
    str | None,
    Field(title="Курсор", description="Поле next прошлой страницы, как есть; без него — первая", pattern=_CURSOR),
]


class Paged(Shown):
    """One page of a list."""

    next: str | None = Field(
        default=None, title="Следующая страница", description="Передайте в cursor; null — это была последняя"
    )


class Reason(Given):
    """Why something is done."""

    model_config = ConfigDict(extra="forbid", title="Причина")

    reason: Line = Field(default="", title="Почему", examples=["Регламентные работы у другой стороны"])


class Done(Shown):
    """How many."""

    model_config = ConfigDict(title="Сколько сделано")

    done: int = Field(title="Сколько", examples=[3])


class Made(Shown):
    """A message that was made."""

    model_config = ConfigDict(title="Принятое сообщение")

    message_id: UUID = Field(title="Id сообщения в журнале")


def pack(**place: Any) -> str:
    """A cursor: opaque to the caller."""
    return base64.urlsafe_b64encode(json.dumps(place, separators=(",", ":")).encode()).decode().rstrip("=")


def unpack(cursor: str | None, **wanted: type) -> Mapping[str, Any]:
    """The values of a cursor, {} without one. Raises Refusal (400) for one that is not ours."""
    if cursor is None:
        return {}
    try:
        place = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        known = isinstance(place, dict) and place.keys() == wanted.keys()
        if known and all(type(place[name]) is kind and _fits(place[name]) for name, kind in wanted.items()):
            return place  # type: ignore[no-any-return]
    except (ValueError, binascii.Error, RecursionError):
        pass
    raise Refusal(400, "cursor", "Курсор не подходит", "Передайте в cursor поле next прошлой страницы без изменений")


def _fits(value: Any) -> bool:
    return not isinstance(value, int) or 0 <= value < 2**63


def _moment(given: object) -> object:
    """Only what RFC 3339 allows: pydantic takes bare numbers too. Raises ValueError."""
    if isinstance(given, str) and not _RFC_3339.fullmatch(given):
        raise ValueError("нужно время со смещением, например 2026-11-24T09:30:00+03:00")
    return given


Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]


def sane(moment: AwareDatetime | None) -> datetime | None:
    """The moment brought into the span in which there are messages."""
    if moment is None:
        return None
    return min(max(moment, datetime(2000, 1, 1, tzinfo=UTC)), datetime(2200, 1, 1, tzinfo=UTC))
