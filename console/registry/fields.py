"""A declared field and its column become a field of starlette-admin: how it is read from a form and written for people.

What can't be read (`Unreadable`) is told beside its input; starlette-admin itself would take it for nothing at all.
"""

# mypy: allow-subclassing-any

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette_admin import fields as engine
from starlette_admin.i18n import get_tzinfo

from console.shell.words import day
from core.database import encodable, storable
from core.screen import Field, Screen

_WHOLE_MOST: Final = {sa.SmallInteger: 2**15 - 1, sa.Integer: 2**31 - 1, sa.BigInteger: 2**63 - 1}
_DAY: Final = "dd.MM.yyyy"


@dataclass(frozen=True)
class Unreadable:
    """What was typed where something else is needed."""

    text: str
    why: str

    def __str__(self) -> str:
        return self.text


class _Told:
    """Tells of what can't be read when the form is checked. The browser's own inputs do: no scripts, no styles."""

    def additional_css_links(self, _request: Request) -> list[str]:
        return []

    additional_js_links = additional_css_links

    async def validate(self, request: Request, value: Any, form_values: dict[str, Any]) -> None:
        if isinstance(value, Unreadable):
            raise ValueError(value.why)
        await super().validate(request, value, form_values)  # type: ignore[misc]

    async def parse_form_data(self, _request: Request, form_data: FormData) -> Any:
        raw = form_data.get(self.id)  # type: ignore[attr-defined]
        text = storable(raw).strip() if isinstance(raw, str) else ""
        return self.read(text) if text else None

    async def parse_import_value(self, request: Request, value: Any) -> Any:
        return await self.parse_form_data(request, FormData([(self.id, "" if value is None else str(value))]))  # type: ignore[attr-defined]

    def read(self, text: str) -> Any:
        """The value, or Unreadable. `text` is not empty."""
        raise NotImplementedError


@dataclass
class Words(_Told, engine.StringField):
    """Text."""

    def read(self, text: str) -> Any:
        return text if encodable(text) else Unreadable("", "В тексте недопустимые знаки")


@dataclass
class Whole(_Told, engine.IntegerField):
    """A whole number. most: as the column holds it."""

    most: int = 2**63 - 1

    def read(self, text: str) -> Any:
        try:
            value = int(text)
        except ValueError:
            return Unreadable(text, "Введите целое число")
        return value if -self.most <= value <= self.most else Unreadable(text, "Число слишком большое")


@dataclass
class Money(_Told, engine.DecimalField):
    """A number with a fraction: 1 234,50."""

    places: int = 2

    def read(self, text: str) -> Any:
        try:
            value = Decimal(text.replace("\xa0", "").replace(" ", "").replace(",", "."))
        except InvalidOperation:
            return Unreadable(text, "Введите число, например 1234,50")
        return value if value.is_finite() and abs(value) < 10**15 else Unreadable(text, "Число слишком большое")

    async def serialize_value(self, request: Request, value: Any) -> Any:
        return str(value) if request.state.action.is_form() else written(value, None)


@dataclass
class Day(_Told, engine.DateField):
    """A date: ДД.ММ.ГГГГ, or as a date input sends it."""

    output_format: str | None = _DAY
    class_: str = "form-control"

    def read(self, text: str) -> Any:
        for form in ("%Y-%m-%d", "%d.%m.%Y", "%Y-%m-%d %H:%M:%S"):
            try:
                return datetime.strptime(text, form).date()
            except ValueError:
                continue
        return Unreadable(text, "Введите дату вида ДД.ММ.ГГГГ")


@dataclass
class Moment(_Told, engine.DateTimeField):
    """A moment, in the person's zone."""

    output_format: str | None = f"{_DAY} HH:mm:ss"
    class_: str = "form-control"
    step: str | None = "1"

    def read(self, text: str) -> Any:
        for form in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M"):
            try:
                return datetime.strptime(text, form).replace(tzinfo=get_tzinfo())
            except ValueError:
                continue
        return Unreadable(text, "Введите время вида ДД.ММ.ГГГГ ЧЧ:ММ")


@dataclass
class Id(_Told, engine.StringField):
    """A UUID."""

    def read(self, text: str) -> Any:
        try:
            return UUID(text)
        except ValueError:
            return Unreadable(text, "Введите номер вида 0190a1b2-0000-7000-8000-000000000000")


@dataclass
class Choice(_Told, engine.EnumField):
    """One of the declared values; its word is shown. A word is read too: so an export can be imported."""

    select2: bool = False

    def read(self, text: str) -> Any:
        for value, word in self.choices or ():
            if text in (str(value), word):
                return value
        return Unreadable(text, "Выберите значение из списка")

    async def serialize_value(self, request: Request, value: Any) -> Any:
        return value if request.state.action.is_form() else dict(self.choices or ()).get(value, value)


@dataclass
class YesNo(_Told, engine.BooleanField):
    """Yes or no; an empty checkbox is no."""

    async def parse_form_data(self, request: Request, form_data: FormData) -> Any:
        return bool(await super().parse_form_data(request, form_data))

    def read(self, text: str) -> Any:
        if text.lower() in ("on", "true", "yes", "1", "да"):
            return True
        return False if text.lower() in ("false", "no", "0", "нет") else Unreadable(text, "Введите «да» или «нет»")


def built(screen: Screen, declared: Field) -> engine.BaseField:
    """The field of starlette-admin for a declared one."""
    column = screen.columns[declared.name]
    made = _of_type(declared, column)
    made.help_text = declared.help or None
    made.required = not column.nullable and column.server_default is None and not isinstance(made, engine.BooleanField)
    made.exclude_from_list = not declared.in_list
    if made.name in screen.links:
        made.default = lambda request: request.query_params.get(declared.name)
    if column.identity is not None or column.computed is not None or _kept_by_database(column):
        made.exclude_from_create = made.exclude_from_edit = made.exclude_from_import = True
    return made


def _kept_by_database(column: sa.Column[Any]) -> bool:
    return isinstance(column.type, sa.DateTime) and column.server_default is not None


def _of_type(declared: Field, column: sa.Column[Any]) -> engine.BaseField:
    kind = column.type
    named: dict[str, Any] = {"name": declared.name, "label": declared.title}
    if declared.choices is not None:
        return Choice(**named, choices=list(declared.choices.items()), coerce=kind.python_type)
    if isinstance(kind, sa.Boolean):
        return YesNo(**named)
    if isinstance(kind, sa.Integer):
        return Whole(**named, most=next(most for type_, most in _WHOLE_MOST.items() if isinstance(kind, type_)))
    if isinstance(kind, sa.Numeric):
        return Money(**named)
    if isinstance(kind, sa.DateTime):
        return Moment(**named)
    if isinstance(kind, sa.Date):
        return Day(**named)
    if isinstance(kind, sa.Uuid):
        return Id(**named)
    return Words(**named)


def written(value: Any, zone: tzinfo | None, choices: Any = None) -> str:
    """A value as it stands in lists and files: ДД.ММ.ГГГГ, moments in the zone, money with a comma, «да» and «нет»."""
    if value is None:
        return ""
    if choices is not None:
        return str(choices.get(value, value))
    if isinstance(value, bool):
        return "да" if value else "нет"
    if isinstance(value, datetime):
        return f"{value.astimezone(zone):%d.%m.%Y %H:%M:%S}"
    if isinstance(value, date):
        return day(value)
    if isinstance(value, Decimal):
        return f"{value:,.2f}".replace(",", "\xa0").replace(".", ",")
    return str(value)
