"""The desk: all well is said plainly, and every trouble leads to where it is dealt with."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import BaseModel

from console.desk.pages import remedy
from core.alerting import rules
from core.database import driver
from core.desk import Trouble
from core.message import Message
from core.route import Route

pytestmark = pytest.mark.feature("TECH-01", "BUS-06")


class Nothing(BaseModel):
    """An empty body."""


@pytest.fixture
def bus(bus_of: Any) -> Any:
    route = Route("t.work", title="Проба: работа", body=Nothing)
    route.handler(lambda _body, _context: None)
    made = bus_of([route], schedules={"nightly": {"cron": "0 3 * * *", "queue": "t.work", "title": "Ночной"}})
    do(made, "UPDATE bus.process SET role = 'run', state = 'running'")
    return made


def do(bus: Any, sql: str) -> None:
    with bus.database.transaction() as connection:
        driver(connection).execute(sql)


def test_an_empty_bus_says_where_to_begin_and_that_all_is_well(console_of: Any, bus: Any) -> None:
    text = console_of(bus).person("operator").get("/").text
    for words in ("С чего начать", "[connectors.&lt;имя&gt;]", "Всё хорошо", "Ночной", "вся шина"):
        assert words in text
    assert 'style="' not in text


def test_a_bus_at_work_shows_its_figures_and_charts(console_of: Any, bus: Any) -> None:
    bus.engine.put([Message(kind="t.work", body=b"{}") for _ in range(3)])
    bus.engine.drain("t.work", 2)
    bus.meter.flush()
    desk = console_of(bus).person("operator")
    text = desk.get("/?span=week").text
    assert "С чего начать" not in text
    assert 'href="/queues/t.work"' in text, "where the oldest waits"
    assert text.count('<svg viewBox="0 0 ') == 3
    assert 'aria-current="true">Неделя' in text
    for part in ("/desk/part", "/desk/charts?span=day", "/?span=nonsense"):
        assert desk.get(part).status_code == 200


def test_a_trouble_is_told_with_a_link_to_where_it_is_dealt_with(console_of: Any, bus: Any) -> None:
    bus.engine.put([Message(kind="t.work", body=b"{}")])
    do(bus, "UPDATE bus.entry SET state = 'quarantined'")
    do(bus, "UPDATE bus.queue SET state = 'stopped' WHERE name = 'unknown'")
    text = console_of(bus).person("operator").get("/").text
    assert "Всё хорошо" not in text
    assert "Требует внимания: 2" in text
    assert 'href="/queues/unknown"' in text
    assert 'href="/quarantine?queue=t.work"' in text


def test_every_rule_of_the_alerts_has_a_remedy() -> None:
    import inspect

    known = set(re.findall(r'^ +"([a-z.]+)",$', inspect.getsource(rules), re.MULTILINE)) & {
        *("queue.stopped", "queue.paused", "queue.old", "quarantine", "schedule.late", "certificate", "clock"),
        *("disk.refused", "disk.forecast", "process.worker", "process.scheduler"),
    }
    assert len(known) > 6
    for rule in {*known, "source.failing", "sink.unavailable", "process.worker", "process.scheduler"}:
        what, href, title = remedy(Trouble(rule, "far box", "warning", "", None))
        assert what, rule
        assert bool(href) == bool(title)


@pytest.mark.feature("SMEV-11")
def test_who_may_not_see_the_desk_is_taken_to_the_first_page_of_the_own_menu_or_refused(
    console_of: Any, bus: Any
) -> None:
    desk = console_of(bus)
    with_menu, without = desk.person("auditor", login="audit"), desk.person("personal")
    with bus.database.transaction() as connection:
        driver(connection).execute(
            "INSERT INTO bus.role (name, title, permissions) VALUES ('looker', 'Смотрит очереди', '{queues.read}')"
        )
        driver(connection).execute("UPDATE bus.account SET roles = '{looker}' WHERE login = 'audit'")
    assert with_menu.get("/").headers["location"] == "/queues"
    for path in ("/desk/part", "/desk/charts"):
        assert with_menu.get(path).status_code == 403
    assert without.get("/").status_code in (303, 403)
