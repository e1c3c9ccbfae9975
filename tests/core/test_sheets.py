"""Rows as CSV and XLSX."""

from __future__ import annotations

import csv
import io

import pytest
from openpyxl import load_workbook

from core import sheets

HEADINGS = ("Кто", "Что")


def csv_of(rows: list[tuple[sheets.Cell, ...]]) -> list[list[str]]:
    text = b"".join(sheets.csv_pieces(HEADINGS, rows)).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text), delimiter=";"))


def xlsx_of(rows: list[tuple[sheets.Cell, ...]]) -> list[tuple[object, ...]]:
    book = load_workbook(io.BytesIO(b"".join(sheets.xlsx_pieces("Аудит", HEADINGS, rows))))
    return list(book["Аудит"].iter_rows(values_only=True))


@pytest.mark.parametrize("read", [csv_of, xlsx_of])
@pytest.mark.feature("TECH-03")
def test_texts_and_numbers_come_back(read) -> None:
    rows = read([("Иванова; «Вера»\nдве строки", 7)])
    assert [str(one) for one in rows[1]] == ["Иванова; «Вера»\nдве строки", "7"]
    assert list(rows[0]) == list(HEADINGS)


@pytest.mark.parametrize("text", ["=1+1", "+7", "-x", "@cmd", "=HYPERLINK('http://x')"])
def test_no_text_becomes_a_formula(text: str) -> None:
    assert csv_of([(text, 1)])[1][0] == f"'{text}"
    book = load_workbook(io.BytesIO(b"".join(sheets.xlsx_pieces("Аудит", HEADINGS, [(text, 1)]))))
    cell = book["Аудит"]["A2"]
    assert (cell.value, cell.data_type) == (text, "s")


def test_signs_that_a_workbook_cannot_hold_are_left_out() -> None:
    assert xlsx_of([("а\x00б\x1f\ud800", 1)])[1] == ("аб", 1)
    assert len(str(xlsx_of([("ж" * 40_000, 1)])[1][0])) < 32_768


def test_a_long_csv_comes_in_pieces() -> None:
    pieces = list(sheets.csv_pieces(HEADINGS, (("x" * 1000, n) for n in range(300))))
    assert len(pieces) > 3
    assert len(b"".join(pieces).splitlines()) == 301
