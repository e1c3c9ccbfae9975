"""Календари: upload, the year on the wall, removal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from core import calendars_book
from core.bus import Bus
from core.schedule import Schedule

Desk = Any
DAYS = "01.01.2026;выходной;Новый год\n17.01.2026;рабочий\n30.04.2026;сокращённый".encode()


@pytest.fixture
def desk(bus_of: Callable[..., Bus], console_of: Callable[[Bus], Desk]) -> Desk:
    return console_of(bus_of())


@pytest.mark.feature("BUS-07")
def test_a_file_is_uploaded_and_its_year_is_seen(desk: Desk, rows: Any) -> None:
    administrator = desk.person("administrator", login="ivanova")
    assert "Календарей ещё нет" in administrator.get("/calendars").text
    taken = administrator.submit("/calendars/import", name="ru", title="Наш", files={"file": ("c.csv", DAYS)})
    assert taken.headers["location"] == "/calendars/ru"
    page = administrator.get("/calendars/ru?year=2026").text
    assert 'class="day-off day-named" title="нерабочий: Новый год"' in page
    assert 'class="day-working"' in page
    assert "На 2031 год дней нет" in administrator.get("/calendars/ru?year=2031").text
    assert "ivanova" in administrator.get("/calendars").text
    assert rows("SELECT actor FROM bus.audit WHERE action = 'calendar.imported'") == [("ivanova",)]


@pytest.mark.feature("BUS-07")
def test_a_shipped_calendar_is_taken_by_a_button(desk: Desk) -> None:
    administrator = desk.person("administrator")
    assert administrator.submit("/calendars/shipped", file="ru-2026.csv").headers["location"] == "/calendars/ru"
    assert "Производственный календарь РФ" in administrator.get("/calendars/ru").text
    refused = administrator.submit("/calendars/shipped", file="../features.toml")
    assert refused.status_code == 303
    assert len(calendars_book.all_of(desk.bus)) == 1


def test_what_is_no_calendar_becomes_a_sentence(desk: Desk) -> None:
    administrator = desk.person("administrator")
    for name, octets in (
        *(("ru", octets) for octets in (b"junk", b"", b"x" * 1_100_000, b"<!DOCTYPE a><a/>")),
        *((name, DAYS) for name in ("", "a/b", "\x00")),
    ):
        answer = administrator.submit("/calendars/import", name=name, files={"file": ("c.csv", octets)})
        assert answer.status_code in (303, 422)
    assert calendars_book.all_of(desk.bus) == []


def test_one_that_is_followed_stays_and_another_is_removed(desk: Desk) -> None:
    calendars_book.import_file(desk.bus, "ru", DAYS, actor="ivanova")
    desk.bus.schedules.declare([Schedule("nightly", "0 3 * * *", "bus.poll", calendar="ru")])
    administrator = desk.person("administrator")
    assert "nightly" in administrator.get("/calendars/ru").text
    administrator.submit("/calendars/ru/remove")
    assert len(calendars_book.all_of(desk.bus)) == 1
    desk.bus.schedules.declare([])
    assert administrator.submit("/calendars/ru/remove").headers["location"] == "/calendars"
    assert calendars_book.all_of(desk.bus) == []
    for path in ("/calendars/нет", "/calendars/%00"):
        assert administrator.get(path).status_code == 404
