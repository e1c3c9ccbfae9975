"""Files with calendars: both formats, and what is wrong with others."""

from __future__ import annotations

from datetime import date

import pytest

from core import calendar_files
from core.calendars import Day
from core.calendars_book import SHIPPED
from core.errors import BusError, ConfigError, MalformedXml

XML = """<?xml version="1.0" encoding="UTF-8"?>
<calendar year="2026" lang="ru" date="2025.10.01"><holidays><holiday id="1" title="Новогодние каникулы"/></holidays>
<days><day d="01.01" t="1" h="1"/><day d="01.09" t="1" f="01.03"/><day d="04.30" t="2"/><day d="02.28" t="3"/></days>
</calendar>"""


@pytest.mark.feature("BUS-07")
def test_csv_is_read_with_comments_blanks_and_both_spellings() -> None:
    found = calendar_files.read(
        "# 2026\n\n09.01.2026; Выходной ;Перенос\n30.04.2026;сокращенный\n28.02.2026;рабочий".encode()
    )
    assert found == [
        Day(date(2026, 1, 9), "off", "Перенос"), Day(date(2026, 2, 28), "working"), Day(date(2026, 4, 30), "short"),
    ]  # fmt: skip


def test_csv_as_excel_saves_it_is_read_too() -> None:
    assert calendar_files.read("09.01.2026;выходной;Перенос".encode("cp1251"))[0].note == "Перенос"
    assert calendar_files.read("\ufeff09.01.2026;выходной".encode())[0].kind == "off"


@pytest.mark.feature("BUS-07")
def test_the_xml_of_a_production_calendar_is_read_with_its_holidays_and_moves() -> None:
    assert calendar_files.read(XML.encode()) == [
        Day(date(2026, 1, 1), "off", "Новогодние каникулы"), Day(date(2026, 1, 9), "off", "Перенос с 01.03"),
        Day(date(2026, 2, 28), "working"), Day(date(2026, 4, 30), "short"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"", "нет ни одного дня"),
        ("# только слова".encode(), "нет ни одного дня"),
        (b"2026-01-01;x", "Строка 1: «2026-01-01» — не день"),
        ("31.02.2026;выходной".encode(), "не день вида"),
        ("01.01.2026;гулянье".encode(), "вид дня «гулянье»"),
        (b"01.01.2026", "вид дня «»"),
        ("01.01.1600;выходной".encode(), "год 1600"),
        ("01.01.2026;выходной\n01.01.2026;рабочий".encode(), "Строка 2: день 01.01.2026 назван второй раз"),
        (b"PK\x03\x04\x00\x00\x00", "не текстовый файл"),
        (b'"' + b"a" * 200_000, "не CSV"),
        (b"x" * (calendar_files.FILE_MOST_BYTES + 1), "больше 1 МБ"),
        (b"<year/>", "не производственный календарь"),
        (b'<calendar year="two"/>', "не производственный календарь"),
        (b'<calendar year="2026"><days><day d="13.40" t="1"/></days></calendar>', "день «13.40»"),
        (b'<calendar year="2026"><days><day d="01.01" t="9"/></days></calendar>', "вид дня t"),
        (b'<calendar year="2026"><days/></calendar>', "нет ни одного дня"),
    ],
    ids=range(16),
)
def test_what_is_no_calendar_is_refused_with_the_place(octets: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        calendar_files.read(octets)


def test_an_xml_bomb_is_refused_by_the_guarded_parser() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]><calendar year="2026">&a;</calendar>'
    with pytest.raises(MalformedXml, match="DOCTYPE"):
        calendar_files.read(bomb)


@pytest.mark.feature("BUS-07")
def test_what_is_shipped_is_read_and_agrees_with_the_law() -> None:
    """Article 112 of the Labour Code; holidays on a day off move on to the next working day, except in January."""
    [file] = sorted(SHIPPED.glob("*.csv"))
    off = {one.day for one in calendar_files.read(file.read_bytes()) if one.kind == "off"}
    holidays = {date(2026, 1, day) for day in range(1, 9)} | {
        date(2026, 2, 23), date(2026, 3, 8), date(2026, 5, 1), date(2026, 5, 9), date(2026, 6, 12), date(2026, 11, 4),
    }  # fmt: skip
    assert holidays < off
    assert off - holidays == {date(2026, 1, 9), date(2026, 3, 9), date(2026, 5, 11), date(2026, 12, 31)}


@pytest.mark.parametrize(
    "octets", [b"\xff\xfe\x00", b"<", b";;;;", b"\x80" * 100, "\ud800".encode("utf-8", "surrogatepass")]
)
def test_any_octets_are_a_calendar_or_a_bus_error(octets: bytes) -> None:
    with pytest.raises(BusError):
        calendar_files.read(octets)
