"""How a row of a writable screen is created, changed, deleted and imported: checked, audited, told in sentences."""

from __future__ import annotations

from typing import Any, ClassVar

import psycopg
import sqlalchemy as sa
import structlog
from starlette.requests import Request
from starlette_admin.exceptions import FormValidationError
from starlette_admin.fields import BooleanField
from starlette_admin.types import RequestAction

from console.registry import looks
from console.registry.importing import IMPORTERS
from core.screen import Mistake, Screen

_log = structlog.get_logger(__name__)


class Writing:
    """A part of RegistryView."""

    screen: Screen
    importers: ClassVar[Any] = IMPORTERS

    async def _arrange_data(self, request: Request, data: dict[str, Any], is_edit: bool = False) -> dict[str, Any]:
        """What was typed → what is written. Raises FormValidationError."""
        arranged = await super()._arrange_data(request, data, is_edit)  # type: ignore[misc]
        for name, value in arranged.items():
            column = self.screen.columns[name]
            if value is None and not column.nullable and isinstance(column.type, sa.Text):
                arranged[name] = ""
        return self._prepared(arranged)

    async def validate_fields(self, request: Request, data: dict[str, Any], exclude: Any = ()) -> None:
        """Of a file that is only looked at, `prepare` is asked too."""
        await super().validate_fields(request, data, exclude)  # type: ignore[misc]
        if request.state.action == RequestAction.IMPORT:
            self._prepared(dict(data))

    def _prepared(self, values: dict[str, Any]) -> dict[str, Any]:
        if self.screen.prepare is None:
            return values
        try:
            return self.screen.prepare(values)
        except Mistake as mistake:
            raise FormValidationError({mistake.column or self.screen.fields[0].name: mistake.reason}) from None

    async def _populate_obj(self, _request: Request, obj: Any, data: dict[str, Any], is_edit: bool = False) -> Any:
        """Also the columns that `prepare` has derived. What has a default and was not given keeps it."""
        for name, value in data.items():
            column = self.screen.columns[name]
            if value is not None or column.nullable or is_edit:
                setattr(obj, name, value)
        return obj

    def repaired(self, error: Exception) -> FormValidationError | None:
        """What the database refused, as a sentence beside a field; None for what is no mistake of a person."""
        cause = getattr(error, "orig", None)
        if not isinstance(cause, psycopg.errors.IntegrityError | psycopg.errors.DataError):
            return None
        named = cause.diag.constraint_name or ""
        columns = [cause.diag.column_name] if cause.diag.column_name else self._columns_of(named)
        known = [one.name for one in self.screen.fields]
        place = next((name for name in columns if name in known), known[0])
        words: dict[type[Exception], str] = {
            psycopg.errors.UniqueViolation: "Такая запись уже есть",
            psycopg.errors.ForeignKeyViolation: "Записи с таким номером нет, или на эту запись ещё ссылаются",
            psycopg.errors.NotNullViolation: "Заполните это поле",
            psycopg.errors.CheckViolation: "Такое значение здесь недопустимо",
        }
        return FormValidationError({place: words.get(type(cause), "Такое значение здесь недопустимо")})

    def _columns_of(self, constraint: str) -> list[str]:
        """Attributes that a constraint or index of the table is about."""
        table = self.screen.table
        known: list[Any] = [*table.constraints, *table.indexes]
        about = [one for one in known if one.name == constraint]
        if not about and constraint.endswith("_fkey"):
            about = [
                one for one in table.foreign_key_constraints if constraint == f"{table.name}_{one.column_keys[0]}_fkey"
            ]
        columns = [column for one in about for column in one.columns]
        checked = [one for one in about if isinstance(one, sa.CheckConstraint)]
        return [
            name
            for name, column in self.screen.columns.items()
            if any(column is one for one in columns) or any(str(column.name) in str(one.sqltext) for one in checked)
        ]

    async def handle_exception(self, _request: Request, exc: Exception) -> None:
        repaired = self.repaired(exc)
        if repaired is None and not isinstance(exc, FormValidationError):
            told = (
                None if isinstance(exc, sa.exc.SQLAlchemyError) else exc
            )  # an error of the database repeats the values
            _log.error("registry", screen=self.screen.key, error=type(exc).__name__, exc_info=told)
        raise repaired or exc

    # The audit

    async def after_create(self, request: Request, obj: Any) -> None:
        note = f"Создано: {self.screen.one}"
        detail = {"fields": self._typed(request, obj), "after": self._plain(obj)}
        await looks.record(request, self.screen, "registry.created", str(getattr(obj, self.screen.pk)), note, detail)

    async def before_edit(self, request: Request, _data: dict[str, Any], obj: Any) -> None:
        state = sa.inspect(obj)
        changed = [name for name in self.screen.columns if state.attrs[name].history.has_changes()]
        if not changed:
            return
        plain = [name for name in changed if name not in self.screen.personal]
        before = {name: _told(next(iter(state.attrs[name].history.deleted), None)) for name in plain}
        after = {name: _told(getattr(obj, name)) for name in plain}
        detail = {"fields": changed, "before": before, "after": after}
        note = f"Изменено: {self.screen.one}"
        await looks.record(request, self.screen, "registry.changed", str(getattr(obj, self.screen.pk)), note, detail)

    async def before_delete(self, request: Request, obj: Any) -> None:
        note = f"Удалено: {self.screen.one}"
        detail = {"before": self._plain(obj)}
        await looks.record(request, self.screen, "registry.deleted", str(getattr(obj, self.screen.pk)), note, detail)

    async def after_import(self, request: Request, ctx: Any, result: Any) -> None:
        if not ctx.dry_run:
            detail = {"created": result.rows_created, "changed": result.rows_updated, "refused": len(result.errors)}
            note = f"Загрузка из файла: {self.screen.title}"
            await looks.record(request, self.screen, "registry.imported", "", note, detail)

    def _typed(self, request: Request, obj: Any) -> list[str]:
        fields = self.get_fields_list(request)  # type: ignore[attr-defined]
        return [one.name for one in fields if getattr(obj, one.name) not in (None, "") or isinstance(one, BooleanField)]

    def _plain(self, obj: Any) -> dict[str, Any]:
        """Its columns that say nothing of a person."""
        return {name: _told(getattr(obj, name)) for name in self.screen.columns if name not in self.screen.personal}


def _told(value: Any) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    return value if isinstance(value, str) else str(value)
