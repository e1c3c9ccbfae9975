"""Reads uploaded tables: csv as Excel writes it in Russia (UTF-8 or Windows-1251, semicolons or commas), and xlsx."""

# mypy: allow-subclassing-any

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import AsyncGenerator, Iterator
from datetime import date, datetime
from typing import Any, Final

import anyio.to_thread
import openpyxl
from openpyxl.utils.exceptions import InvalidFileException
from starlette_admin.importers import BaseImporter, ImportConfig, ImportContext

UPLOAD_MOST_BYTES: Final = 5 * 1024 * 1024
ROWS_MOST: Final = 5_000
UNPACKED_MOST_BYTES: Final = 100 * 1024 * 1024
"""A larger sheet would fill the memory: a file of a few kilobytes can hold gigabytes."""
LIMITS: Final = ImportConfig(max_upload_size=UPLOAD_MOST_BYTES, max_rows=ROWS_MOST)

_Row = dict[str, Any]


class CsvRows(BaseImporter):
    """csv. The first line names the columns, by their titles or names."""

    extension = "csv"

    async def parse(self, ctx: ImportContext) -> AsyncGenerator[_Row]:
        for row in await anyio.to_thread.run_sync(_csv, ctx.content):
            yield row


class XlsxRows(BaseImporter):
    """xlsx: its first sheet."""

    extension = "xlsx"

    async def parse(self, ctx: ImportContext) -> AsyncGenerator[_Row]:
        for row in await anyio.to_thread.run_sync(_xlsx, ctx.content):
            yield row


IMPORTERS: Final = (CsvRows(), XlsxRows())


def _csv(content: bytes) -> list[_Row]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1251")
    first = text.partition("\n")[0]
    delimiter = max(";,\t", key=first.count)
    return list(_named(csv.reader(io.StringIO(text), delimiter=delimiter)))


def _xlsx(content: bytes) -> list[_Row]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(one.file_size for one in archive.infolist()) > UNPACKED_MOST_BYTES:
                raise ValueError("The sheet is too large")
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    except (zipfile.BadZipFile, InvalidFileException, KeyError) as error:
        raise ValueError("Not an xlsx file") from error
    sheet = book.worksheets[0]
    rows = list(_named([_text(one) for one in row] for row in sheet.iter_rows(values_only=True)))
    book.close()
    return rows


def _named(lines: Any) -> Iterator[_Row]:
    """Rows by their header; empty lines are passed over. One more than allowed is read, so that it is noticed."""
    header: list[str] | None = None
    for count, line in enumerate(lines):
        if header is None:
            header = [one.strip() for one in line]
        elif any(one.strip() for one in line):
            yield dict(zip(header, line, strict=False))
        if count > ROWS_MOST + 1:
            return


def _text(value: Any) -> str:
    """A cell as it would be typed."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%d.%m.%Y %H:%M:%S}" if value.time() != datetime.min.time() else f"{value:%d.%m.%Y}"
    if isinstance(value, date):
        return f"{value:%d.%m.%Y}"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
