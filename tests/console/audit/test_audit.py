"""The page of the audit."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from openpyxl import load_workbook

from console.audit import objects
from core import audit, trail
from core.access import permissions
from core.database import driver
from core.trail import Wanted

MESSAGE = "0193f0aa-1111-7000-8000-000000000001"


@pytest.fixture
def desk(bus_of: Any, console_of: Any) -> Any:
    made = console_of(bus_of())
    with made.bus.database.transaction() as connection, audit.acting_from("console", "10.0.0.9"):
        db = driver(connection)
        audit.record(db, "ivanova", "queue.paused", "queue", "t.one", "Очередь t.one поставлена на паузу")
        audit.record(db, "petrov", "message.viewed", "message", MESSAGE, "Просмотр: тело")
        audit.record(
            db, "petrov", "message.resent", "message", "", "Отправлено: 1", {"count": 1, "messages": [MESSAGE]}
        )
        audit.record(db, "petrov", "registry.viewed", "erz.person", "7/8", "Карточка")
        audit.record(db, "", "strange.deed", "strange", "<b>x</b>", "=1+1", {"strange": {"a": [1, None]}})
    return made


@pytest.fixture
def auditor(desk: Any) -> Any:
    return desk.person("auditor", "erz.reader", login="auditor1")


def rows_of(answer: Any) -> int:
    return len(re.findall(r'<tr id="a\d+"', answer.text))


@pytest.mark.feature("SMEV-11")
def test_only_an_auditor_reads_and_exports(desk) -> None:
    readers = {name for name, role in permissions.roles().items() if "audit.read" in role.permissions}
    assert readers == {"administrator", "auditor"}
    person = desk.person(*(set(permissions.roles()) - readers))
    assert person.get("/audit").status_code == 403
    assert person.submit("/audit/export", form="csv").status_code == 403


def test_who_only_reads_does_not_export(desk) -> None:
    from core.access import roles

    roles.save(desk.bus.database, "reader", "Читатель", ["audit.read"], actor="test", new=True)
    person = desk.person("reader")
    assert "/audit/export" not in person.get("/audit").text
    assert person.submit("/audit/export", form="csv").status_code == 403


@pytest.mark.feature("SMEV-11")
def test_rows_are_filtered(auditor) -> None:
    for query, many in (
        ("actor=ivanova&object_kind=queue", 1),
        ("action=message.viewed", 1),
        ("looks=true", 2),
        ("looks=true&actor=ivanova", 0),
        ("object_kind=message&object_id=" + MESSAGE, 1),
        ("via=console", 5),
        ("via=api", 0),
        ("since=2020-01-01&until=2020-01-02", 0),
        ("since=2020-01-01&via=console", 5),
        ("since=1ч&via=console", 5),
        ("actor=%00", 0),
    ):
        answer = auditor.get(f"/audit?{query}")
        assert (answer.status_code, rows_of(answer)) == (200, many), query
        assert many or "Таких записей нет" in answer.text


def test_a_strange_question_is_answered(auditor) -> None:
    for query in ("since=вчера", "until=9999-12-31", "since=0001-01-01", "before=99999999999999999999", "via=%00"):
        assert auditor.get(f"/audit?{query}").status_code == 200, query


def test_every_row_says_what_in_russian_and_links_to_its_object(auditor) -> None:
    page = auditor.get("/audit?via=console").text
    assert 'href="/queues/t.one"' in page
    assert page.count(f'href="/messages/{MESSAGE}"') == 2
    assert 'href="/registry/erz/' in page
    assert "pk=7%2F8" in page
    assert "Просмотр содержимого сообщения" in page
    assert "<b>x</b>" not in page
    assert "strange.deed" in page


def test_pages_go_down_and_up(desk, auditor) -> None:
    with desk.bus.database.transaction() as connection, audit.acting_from("bus"):
        for number in range(120):
            audit.record(driver(connection), "bus", "queue.paused", "queue", f"q{number:03}", f"раз {number:03}")
    first = auditor.get("/audit?via=bus")
    assert "раз 119" in first.text
    assert 'rel="prev"' not in first.text
    [older] = re.findall(r'rel="next" href="([^"]+)"', first.text)
    second = auditor.get(older.replace("&amp;", "&"))
    assert "раз 069" in second.text
    [older] = re.findall(r'rel="next" href="([^"]+)"', second.text)
    third = auditor.get(older.replace("&amp;", "&"))
    assert rows_of(third) == 20
    assert 'rel="next"' not in third.text
    [newer] = re.findall(r'rel="prev" href="([^"]+)"', third.text)
    again = auditor.get(newer.replace("&amp;", "&"))
    assert "раз 069" in again.text
    [newer] = re.findall(r'rel="prev" href="([^"]+)"', again.text)
    top = auditor.get(newer.replace("&amp;", "&"))
    assert "раз 119" in top.text
    assert 'rel="prev"' not in top.text


@pytest.mark.feature("SMEV-11")
def test_an_export_holds_what_was_found_and_is_itself_told(desk, auditor) -> None:
    answer = auditor.submit("/audit/export", form="csv", looks="true")
    assert answer.headers["content-disposition"].endswith('.csv"')
    lines = answer.content.decode("utf-8-sig").splitlines()
    assert len(lines) == 3
    assert "Просмотр содержимого сообщения" in answer.text
    [row] = trail.rows(desk.bus.database, Wanted(action="audit.exported"))
    assert (row.actor, row.via, row.detail) == ("auditor1", "console", {"looks": True})


def test_an_export_for_excel_keeps_texts_as_texts(auditor) -> None:
    answer = auditor.submit("/audit/export", form="xlsx", via="console")
    sheet = load_workbook(io.BytesIO(answer.content))["Аудит"]
    notes = [row[8] for row in sheet.iter_rows(values_only=True)]
    assert notes[0] == "Примечание"
    assert "=1+1" in notes


def test_an_export_that_makes_no_sense_is_refused(desk, auditor) -> None:
    for form in ({"form": "pdf"}, {"form": "csv", "since": "вчера"}, {"form": "csv", "until": "9999-12-31"}):
        assert auditor.submit("/audit/export", **form).status_code == 303, form
    assert trail.rows(desk.bus.database, Wanted(action="audit.exported")) == []


def test_rows_of_registries_are_called_by_their_screens() -> None:
    titles = objects.titles()
    assert titles["queue"] == "Очередь"
    assert "erz.person" in titles
