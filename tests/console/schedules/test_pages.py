"""Расписания: what each role sees and does; the form takes hostile input without a 500."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import BaseModel

from core import audit, calendars_book, operations, schedules_book
from core.bus import Bus
from core.route import Route
from core.scheduler import fire

Desk = Any


class Command(BaseModel):
    """A command about a person."""

    snils: str


FORM = {"title": "Ночная сверка", "queue": "t.command", "body": '{"snils": "11223344595"}', "cron": "0 3 * * *",
        "timezone": "Europe/Moscow", "missed": "once", "calendar": "", "rule": "skip"}  # fmt: skip


@pytest.fixture
def bus(bus_of: Callable[..., Bus]) -> Bus:
    route = Route("t.command", title="Команда", body=Command)
    route.handler(lambda _body, ctx: ctx.note("сделано"))
    nightly = {"cron": "0 3 * * *", "queue": "t.command", "title": "Ночная", "body": FORM["body"]}
    return bus_of([route], schedules={"nightly": nightly})


@pytest.fixture
def desk(bus: Bus, console_of: Callable[[Bus], Desk]) -> Desk:
    return console_of(bus)


@pytest.mark.feature("BUS-07", "SMEV-06")
def test_the_list_and_one_tell_when_in_words_and_what_came_of_it(bus: Bus, desk: Desk) -> None:
    fire(bus.engine, bus.schedules.get("nightly"), "2026-03-01T00:00:00+00:00")
    bus.engine.drain("t.command", 10)
    reader = desk.person("auditor")
    listed = reader.get("/schedules").text
    assert "каждый день в 03:00" in listed
    assert "объявлено в файле настроек" in listed
    assert "/schedules/nightly/pause" not in listed, "an auditor does nothing"
    page = reader.get("/schedules/nightly").text
    assert page.count("<li><time") == 10
    assert "по расписанию" in page
    assert "сделано" in page
    assert reader.get("/schedules/part").status_code == 200


@pytest.mark.feature("BUS-07")
def test_an_operator_runs_pauses_and_resumes(bus: Bus, desk: Desk) -> None:
    operator = desk.person("operator", login="petrov")
    assert operator.submit("/schedules/nightly/run").headers["location"] == "/schedules/nightly"
    assert "petrov" in operator.get("/schedules/nightly").text
    operator.submit("/schedules/nightly/pause")
    assert "на паузе" in operator.get("/schedules").text
    operator.submit("/schedules/nightly/resume")
    assert not schedules_book.line(bus, "nightly").paused


@pytest.mark.feature("BUS-07", "SMEV-10")
def test_an_administrator_makes_changes_sets_back_and_removes(bus: Bus, desk: Desk, rows: Any) -> None:
    administrator = desk.person("administrator", login="ivanova")
    assert administrator.get("/schedules/new").status_code == 200
    made = administrator.submit("/schedules/new", **FORM)
    home = "/schedules/" + quote("ночная-сверка")
    assert made.headers["location"] == home
    assert administrator.get(home).status_code == 200
    changed = administrator.submit(f"{home}/edit", **FORM | {"cron": "30 4 * * 1-5"})
    assert changed.status_code == 303
    assert "по будням в 04:30" in administrator.get(home).text.lower()
    assert administrator.submit(f"{home}/remove").headers["location"] == "/schedules"
    administrator.submit("/schedules/nightly/edit", **FORM | {"cron": "0 6 * * *", "queue": "", "body": ""})
    assert "Объявлено иначе" in administrator.get("/schedules/nightly").text
    administrator.submit("/schedules/nightly/reset")
    assert bus.schedules.get("nightly").cron == "0 3 * * *"
    actions = [row[0] for row in rows("SELECT action FROM bus.audit WHERE object_kind = 'schedule' ORDER BY seq")]
    assert actions == [f"schedule.{deed}" for deed in ("created", "changed", "removed", "changed", "reset")]


@pytest.mark.feature("SMEV-11")
def test_pages_are_refused_without_the_permission(desk: Desk) -> None:
    people = {role: desk.person(role) for role in ("personal", "auditor", "operator", "administrator")}
    for role, allowed_role, paths in (
        ("personal", "auditor", ("/schedules", "/schedules/part", "/schedules/nightly", "/calendars")),
        ("operator", "administrator", ("/schedules/new", "/schedules/preview?cron=*", "/schedules/nightly/edit")),
    ):
        for path in paths:
            assert people[role].get(path).status_code == 403, path
            assert people[allowed_role].get(path).status_code == 200, path


@pytest.mark.feature("SMEV-11")
def test_deeds_are_refused_without_the_permission_and_leave_no_trace(bus: Bus, desk: Desk, rows: Any) -> None:
    home = "/schedules/nightly"
    for role, paths in (
        ("operator", ("/schedules/new", f"{home}/edit", f"{home}/reset", f"{home}/remove")),
        ("operator", ("/calendars/import", "/calendars/shipped", "/calendars/ru/remove")),
        ("auditor", (f"{home}/run", f"{home}/pause", f"{home}/resume")),
    ):
        person = desk.person(role)
        for path in paths:
            assert person.submit(path, **FORM, files={"file": b"01.01.2026"}).status_code == 403, path
    assert rows("SELECT 1 FROM bus.audit WHERE object_kind IN ('schedule', 'calendar')") == []
    assert bus.schedules.get("nightly").cron == "0 3 * * *"


@pytest.mark.feature("BUS-07")
def test_the_preview_explains_any_cron(desk: Desk) -> None:
    administrator = desk.person("administrator")
    for cron, said in {
        "0 0 31 2 *": "никогда не наступит",
        "x" * 10_000: "не похоже на cron",
        "* " * 5_000: "не похоже на cron",
        "R * * * *": "не похоже на cron",
        "": "не похоже на cron",
        "<script>alert(1)</script> * * * *": "не похоже на cron",
        "\x00 * * * *": "не похоже на cron",
        "* * * * * *": "Каждую секунду",
        "0 0 29 2 *": "29-го числа",
        "15 3 * * *": "Каждый день в 03:15",
    }.items():
        answer = administrator.get("/schedules/preview", params={"cron": cron}, headers={"x-part": "1"})
        assert answer.status_code == 200, cron
        assert said in answer.text, cron
        assert "<script>" not in answer.text
        assert answer.text.count("<li>") in (0, 10)


def test_the_preview_and_the_form_say_what_else_is_wrong(desk: Desk) -> None:
    administrator = desk.person("administrator")
    for changes in ({"timezone": "Mars/Base"}, {"timezone": "../../etc/passwd"}, {"calendar": "нет"}, {"rule": "x"}):
        asked = administrator.get("/schedules/preview", params={"cron": "0 3 * * *"} | changes)
        assert asked.status_code == 200
        assert "alert-danger" in asked.text, changes
        refused = administrator.submit("/schedules/new", **FORM | changes)
        assert refused.status_code == 422
        assert "Ночная сверка" in refused.text, "what was typed is not lost"


@pytest.mark.feature("BUS-07")
def test_a_wrong_form_comes_back_with_a_sentence(desk: Desk, bus: Bus) -> None:
    administrator = desk.person("administrator")
    for changes, said in (
        ({"cron": "0 0 31 2 *"}, "День по «0 0 31 2 *» никогда не наступит"),
        ({"title": ""}, "Дайте расписанию название"),
        ({"queue": "unknown"}, "не принимает команд"),
        ({"body": "{}"}, "неверные поля: snils"),
        ({"missed": "never"}, "Политика пропусков"),
    ):
        refused = administrator.submit("/schedules/new", **FORM | changes)
        assert refused.status_code == 422
        assert said in refused.text
    assert len(schedules_book.lines(bus)) == 1


@pytest.mark.feature("BUS-14")
def test_a_command_about_a_person_is_masked_and_kept_when_it_is_not_touched(bus: Bus, desk: Desk) -> None:
    schedules_book.add(bus, bus.schedules.get("nightly").__class__("mine", **_own()), actor="ivanova")
    administrator = desk.person("administrator")
    for path in ("/schedules/mine", "/schedules/mine/edit"):
        assert "11223344595" not in administrator.get(path).text
    administrator.submit("/schedules/mine/edit", **FORM | {"body": "", "cron": "0 7 * * *"})
    found = bus.schedules.get("mine")
    assert (found.cron, found.body) == ("0 7 * * *", FORM["body"])
    assert "11223344595" in desk.person("administrator", "personal").get("/schedules/mine").text


def _own() -> dict[str, str]:
    return {name: FORM[name] for name in ("cron", "queue", "title", "body")}


def test_a_schedule_that_is_not_there_is_404_and_a_deed_to_it_a_sentence(desk: Desk) -> None:
    administrator = desk.person("administrator")
    for name in ("нет", "%00", "..%2F..", "x" * 500):
        assert administrator.get(f"/schedules/{name}").status_code == 404
        for deed in ("run", "pause", "resume", "reset", "remove", "edit"):
            assert administrator.submit(f"/schedules/{name}/{deed}", **FORM).status_code in (303, 404)


@pytest.mark.feature("BUS-07")
def test_a_page_of_a_schedule_warns_of_a_year_that_its_calendar_does_not_know(bus: Bus, desk: Desk) -> None:
    calendars_book.import_file(bus, "ru", "01.01.2020;выходной".encode(), actor="ivanova", title="Календарь РФ")
    administrator = desk.person("administrator")
    administrator.submit("/schedules/new", **FORM | {"calendar": "ru"})
    page = administrator.get("/schedules/" + quote("ночная-сверка")).text
    assert "нет данных на" in page
    assert "Каждый рабочий день в 03:00" in page


def test_history_has_pages(bus: Bus, desk: Desk) -> None:
    with audit.acting_from("cli"):
        for _ in range(33):
            operations.run_schedule(bus, "nightly", actor="ivanova")
    reader = desk.person("auditor")
    page = reader.get("/schedules/nightly").text
    assert page.count("вручную") == 30
    before = page.partition("before=")[2].partition('"')[0]
    assert reader.get(f"/schedules/nightly?before={before}").text.count("вручную") == 3
    for wrong in ("-1", "0", str(2**70)):
        assert reader.get(f"/schedules/nightly?before={wrong}").status_code == 200
    assert reader.get("/schedules/nightly?before=x").status_code == 422
