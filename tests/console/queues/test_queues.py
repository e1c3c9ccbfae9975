"""The pages of queues: everything of them is seen, and done, and refused to whoever may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from core import discovery, overrides, standing
from core.database import driver
from core.message import Message
from core.route import Route

pytestmark = pytest.mark.feature("BUS-06")


class Nothing(BaseModel):
    """An empty body."""


def route(name: str = "t.work", title: str = "Проба: работа") -> Route:
    made = Route(name, title=title, body=Nothing)
    made.handler(lambda _body, _context: None)
    return made


@pytest.fixture
def bus(bus_of: Any, tmp_path: Path) -> Any:
    """A route `t.work`, a folder with the source `box.inbox` and the sink `box`."""
    for folder in ("in", "out"):
        (tmp_path / "box" / folder).mkdir(parents=True)
    settings = {"box": {"type": "files", "url": f"file://{tmp_path}/box", "inbox": {}, "outbox": {}}}
    return bus_of([route()], discovery.connectors(settings), connectors=settings)


@pytest.fixture
def operator(console_of: Any, bus: Any) -> Any:
    return console_of(bus).person("operator")


def do(bus: Any, sql: str) -> None:
    with bus.database.transaction() as connection:
        driver(connection).execute(sql)


def test_the_list_shows_every_queue_by_its_title_and_its_name(operator: Any, bus: Any) -> None:
    bus.engine.put([Message(kind="t.work", body=b"{}")])
    text = operator.get("/queues").text
    for words in (
        "Проба: работа",
        "t.work",
        "box.inbox",
        "Отправка: box",
        "Готово",
        "/messages?queue=t.work&amp;state=ready",
    ):
        assert words in text
    assert "onclick" not in text
    assert 'style="' not in text


def test_the_list_is_searched_and_filtered_by_the_address(operator: Any) -> None:
    for query, seen, unseen in (
        ("q=РАБОТА", "t.work", "box.inbox"),
        ("q=box", "box.inbox", "t.work"),
        ("side=sink", "Отправка: box", "t.work"),
        ("mode=paused", "Ничего не найдено", "t.work"),
        ("q=%3Cscript%3E", "&lt;script&gt;", "<script>a"),
    ):
        text = operator.get(f"/queues?{query}").text
        assert seen in text
        assert unseen not in text.partition("<table")[2]
        assert operator.get(f"/queues/part?{query}").status_code == 200


def test_every_queue_has_a_page_with_its_part_and_an_unknown_one_is_a_sentence(operator: Any) -> None:
    for name in ("t.work", "box", "box.inbox", "unknown"):
        page = operator.get(f"/queues/{name}")
        assert page.status_code == 200
        assert f"<code>{name}</code>" in page.text
        assert operator.get(f"/queues/{name}/part").status_code == 200
    answer = operator.get("/queues/t.nowhere")
    assert answer.status_code == 404
    assert "Нет очереди t.nowhere" in answer.text


def test_a_queue_shows_its_last_messages_and_its_charts(operator: Any, bus: Any) -> None:
    [accepted] = bus.engine.put([Message(kind="t.work", body=b"{}")])
    bus.engine.drain("t.work", 10)
    bus.meter.flush()
    text = operator.get("/queues/t.work?span=day").text
    assert f"/messages/{accepted.message_id}" in text
    assert "обработано" in text
    assert text.count('<svg viewBox="0 0 ') == 3
    assert 'aria-current="true">Сутки' in text


def test_a_queue_is_paused_with_a_reason_and_resumed(operator: Any, bus: Any) -> None:
    refused = operator.submit("/queues/t.work/pause", reason="  ")
    assert refused.status_code == 303
    assert standing.standing(bus, "t.work").mode == "running"
    assert operator.submit("/queues/t.work/pause", reason="ждём схему").headers["location"] == "/queues/t.work"
    assert "ждём схему" in operator.get("/queues").text
    found = standing.standing(bus, "t.work")
    assert (found.mode, found.row.changed_by) == ("paused", operator.login)
    assert operator.submit("/queues/t.work/resume", back="list").headers["location"] == "/queues"
    assert standing.standing(bus, "t.work").mode == "running"


def test_a_source_is_polled_now_and_nothing_else_is(operator: Any, bus: Any) -> None:
    assert "опрашивать сейчас некому" in _said(operator, operator.submit("/queues/box.inbox/poll"))
    assert standing.standing(bus, "box.inbox").poll_asked
    assert "это не источник" in _said(operator, operator.submit("/queues/t.work/poll"))


def test_a_resting_queue_is_drained_now(operator: Any, bus: Any) -> None:
    do(bus, "UPDATE bus.queue SET rest_until = now() + interval '1 hour', reason = 'нет сети' WHERE name = 'box'")
    assert "отдыхает до" in operator.get("/queues/box").text
    assert "отдых закончен" in _said(operator, operator.submit("/queues/box/drain"))
    assert standing.standing(bus, "box").mode == "running"


def test_numbers_are_changed_refused_with_their_bounds_and_set_back(operator: Any, bus: Any) -> None:
    saved = operator.submit("/queues/t.work/numbers", attempts="5", concurrency="", first_s="0,5")
    assert "без перезапуска" in _said(operator, saved)
    assert bus.retry_of(bus.routes.by_name["t.work"]).attempts == 5
    assert bus.retry_of(bus.routes.by_name["t.work"]).first_s == 0.5
    assert operator.login in operator.get("/queues/t.work").text
    wrong = operator.submit("/queues/t.work/numbers", attempts="1000")
    assert "нужно целое от 1 до 100" in _said(operator, wrong)
    assert bus.retry_of(bus.routes.by_name["t.work"]).attempts == 5
    operator.submit("/queues/t.work/numbers/reset")
    assert not overrides.numbers(bus, "t.work").changed


def test_messages_of_an_orphan_are_moved_or_dropped_with_a_confirmation_that_counts_them(
    bus_of: Any, console_of: Any
) -> None:
    old = bus_of([route("t.old", "Старая"), route("t.older", "Ещё старее")], rolling=False)
    old.engine.put([Message(kind=kind, body=b"{}") for kind in ("t.old", "t.old", "t.old", "t.older")])
    old.membership.leave()
    bus = bus_of([route()], rolling=False)
    operator = console_of(bus).person("operator")
    text = operator.get("/queues/t.old").text
    assert "Отклонить 3 сообщения очереди" in text
    assert "Перевести 3 сообщения" in text
    assert "t.work" in text
    assert "Выберите" in _said(operator, operator.submit("/queues/t.old/move"))
    moved = operator.submit("/queues/t.old/move", to="t.work")
    assert moved.headers["location"] == "/queues/t.work"
    assert "переведено 3 сообщения" in _said(operator, moved)
    assert "почему сообщения отклоняются" in _said(operator, operator.submit("/queues/t.older/drop"))
    assert "отклонено 1 сообщение" in _said(operator, operator.submit("/queues/t.older/drop", reason="не нужны"))
    assert operator.get("/queues/t.older").status_code == 404


@pytest.mark.feature("SMEV-11")
def test_who_only_reads_changes_nothing_and_who_has_no_right_sees_nothing(console_of: Any, bus: Any) -> None:
    desk = console_of(bus)
    auditor, stranger = desk.person("auditor"), desk.person("personal")
    for path in (
        *("/queues/t.work/pause", "/queues/t.work/resume", "/queues/box.inbox/poll", "/queues/t.work/drain"),
        *("/queues/t.work/numbers", "/queues/t.work/numbers/reset", "/queues/t.work/move", "/queues/t.work/drop"),
    ):
        page = auditor.get(path.rsplit("/", 1)[0].removesuffix("/numbers"))
        assert page.status_code == 200
        assert f'action="{path}"' not in page.text
        assert auditor.submit(path, reason="x", to="box", attempts="2").status_code == 403
    assert standing.standing(bus, "t.work").mode == "running"
    assert not overrides.numbers(bus, "t.work").changed
    for path in ("/queues", "/queues/part", "/queues/t.work", "/queues/t.work/part"):
        assert stranger.get(path).status_code == 403


def _said(browser: Any, answer: Any) -> str:
    """What the next page says after a change."""
    assert answer.status_code == 303
    return str(browser.get("/queues").text)
