"""Rows as files for people: CSV as Excel reads it here, and XLSX. Memory does not grow with the number of rows."""

from __future__ import annotations

import csv
import io
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

FORMS: Final = ("csv", "xlsx")
MEDIA_TYPES: Final = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
Cell = str | int | float | None
_PIECE_BYTES: Final = 64 * 1024
_CELL_MOST: Final = 32_000
"""Characters that Excel takes in a cell: 32767."""
_COMMANDS: Final = ("=", "+", "-", "@", "\t", "\r")
_NOT_IN_XML: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def csv_pieces(headings: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterator[bytes]:
    """UTF-8 with a BOM, semicolons. A text that a spreadsheet would run as a formula gets an apostrophe before it."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=";", lineterminator="\r\n")
    buffer.write("\ufeff")
    writer.writerow(headings)
    for row in rows:
        writer.writerow([_harmless(cell) for cell in row])
        if buffer.tell() >= _PIECE_BYTES:
            yield _taken(buffer)
    yield _taken(buffer)


def xlsx_pieces(title: str, headings: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterator[bytes]:
    """A workbook of one sheet, read back from a temporary file; texts stay texts, also those that begin with "="."""
    with tempfile.TemporaryFile() as file:
        _write(file, title, headings, rows)
        file.seek(0)
        while piece := file.read(_PIECE_BYTES):
            yield piece


def pieces(form: str, title: str, headings: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterator[bytes]:
    """In one of FORMS."""
    return csv_pieces(headings, rows) if form == "csv" else xlsx_pieces(title, headings, rows)


def _write(file: io.BufferedRandom, title: str, headings: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font

    book = Workbook(write_only=True)
    sheet = book.create_sheet(title)
    sheet.freeze_panes = "A2"

    def cell(value: Cell, *, bold: bool = False) -> Any:
        if isinstance(value, str):
            made = WriteOnlyCell(sheet, _NOT_IN_XML.sub("", value)[:_CELL_MOST])
            made.data_type = "s"
        else:
            made = WriteOnlyCell(sheet, value)
        if bold:
            made.font = Font(bold=True)
        return made

    sheet.append([cell(one, bold=True) for one in headings])
    for row in rows:
        sheet.append([cell(one) for one in row])
    book.save(file)


def _harmless(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_COMMANDS) else cell


def _taken(buffer: io.StringIO) -> bytes:
    made = buffer.getvalue().encode("utf-8", "backslashreplace")
    buffer.seek(0)
    buffer.truncate()
    return made
