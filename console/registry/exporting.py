"""Export of what a list shows, as csv or xlsx: the same rows and masks, read by a cursor in a thread."""

# mypy: allow-subclassing-any, allow-untyped-decorators

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterable, Iterator
from datetime import date
from typing import IO, Any, ClassVar, Final
from urllib.parse import quote

import openpyxl
import sqlalchemy as sa
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette_admin.actions import ActionSelection, action
from starlette_admin.export import BaseExporter
from starlette_admin.types import RequestAction
from starlette_admin.views import build_export_form

from console.registry import looks
from console.registry.fields import Choice, written
from console.registry.showing import shown
from core.screen import Screen

ROWS_MOST: Final = {"csv": 100_000, "xlsx": 20_000}
STATEMENT_MOST_S: Final = 60
"""So long may the database look for the next rows."""
_CHUNK_ROWS: Final = 500
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


class _Format(BaseExporter):
    """A name in the dialog; what is written is below."""

    def __init__(self, extension: str) -> None:
        self.extension = extension

    async def generate(self, fields: Any, rows: Any) -> bytes:
        raise NotImplementedError


class Exporting:
    """A part of RegistryView."""

    screen: Screen
    exporters: ClassVar[Any] = (_Format("csv"), _Format("xlsx"))

    @action(
        name="export",
        text="Выгрузить",
        confirmation="",
        header="Выгрузка в файл",
        icon_class="list.export",
        submit_btn_text="Выгрузить",
        form=build_export_form,
        custom_response=True,
        allow_empty_selection=True,
        dedicated_button=True,
        modal_size="lg",
    )
    async def export_action(self, request: Request, selection: ActionSelection) -> Response:
        """The rows on this page, those chosen, or all that match, up to ROWS_MOST."""
        view: Any = self
        request.state.action = RequestAction.EXPORT
        form = await request.form()
        extension = str(form.get("format") or "")
        if extension not in ROWS_MOST:
            return RedirectResponse(f"/registry/{view.key}/list", status_code=303)
        chosen = {str(one) for one in form.getlist("fields")}
        columns = [one for one in view.get_fields_list(request) if not chosen or one.name in chosen]
        query = QueryParams((request.query_params.get("_list_query") or "").lstrip("?"))
        params = view._parse_list_params(request, query)
        scope = str(form.get("scope") or "page")
        statement = sa.select(view.model)
        if scope == "selected" and not selection.is_select_all:
            pks = [value for value in map(view._pk_of, await selection.pks()) if value is not None]
            statement = statement.where(getattr(view.model, view.screen.pk).in_(pks[: looks.IDS_MOST]))
        else:
            pks = []
            statement = await view._apply_search_and_filters(request, statement, params.q, params.filters)
        statement = view.build_order_clauses(request, params.sorts, statement).limit(ROWS_MOST[extension])
        if scope == "page":
            statement = statement.offset((params.page - 1) * params.page_size).limit(params.page_size)
        detail = {
            "format": extension,
            "scope": scope,
            "fields": [one.name for one in columns],
            "masked": view.masks(request),
            "ids": [str(one) for one in pks],
            "criteria": looks.digest(str(query), view._admin.secret_key),
        }
        await looks.record(request, view.screen, "registry.exported", "", f"Выгрузка: {view.screen.title}", detail)
        rows = _rows(request, view, columns, statement)
        made = _csv(rows) if extension == "csv" else _xlsx(rows)
        name = f"{view.screen.title} {date.today():%d.%m.%Y}.{extension}"
        headers = {"content-disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
        return StreamingResponse(made, media_type="text/csv" if extension == "csv" else _XLSX, headers=headers)


def _rows(request: Request, view: Any, columns: list[Any], statement: Any) -> Iterator[list[str]]:
    """Titles, then the rows as texts, masked for this person."""
    person, screen = request.state.person, view.screen
    yield [str(one.label) for one in columns]
    choices = {one.name: dict(one.choices or ()) if isinstance(one, Choice) else None for one in columns}
    engine = request.app.state.bus.database.engine
    with engine.connect() as connection:
        connection.execute(sa.text(f"SET LOCAL statement_timeout = '{STATEMENT_MOST_S}s'"))
        read = connection.execution_options(stream_results=True, yield_per=_CHUNK_ROWS)
        wanted = statement.with_only_columns(*(getattr(view.model, one.name) for one in columns))
        for row in read.execute(wanted):
            yield [
                _harmless(written(shown(screen, person, one.name, value), person.zone, choices[one.name]))
                for one, value in zip(columns, row, strict=True)
            ]


def _harmless(text: str) -> str:
    """No text is a formula when a spreadsheet opens the file."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv(rows: Iterable[list[str]]) -> Iterator[bytes]:
    """As Excel in Russia opens it: semicolons, UTF-8 with a mark."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=";", lineterminator="\r\n")
    buffer.write("\ufeff")
    for count, row in enumerate(rows):
        writer.writerow(row)
        if count % _CHUNK_ROWS == 0:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()


def _xlsx(rows: Iterable[list[str]]) -> Iterator[bytes]:
    """A sheet, written row by row to a temporary file."""
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Реестр")
    for row in rows:
        sheet.append([openpyxl.cell.cell.ILLEGAL_CHARACTERS_RE.sub("", one) for one in row])
    with tempfile.TemporaryFile() as file:
        book.save(file)
        yield from _pieces(file)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while piece := file.read(256 * 1024):
        yield piece
