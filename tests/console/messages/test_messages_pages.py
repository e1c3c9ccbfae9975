"""The journal's pages: who sees what, where links lead, and that no content is shown without a note of it."""

from __future__ import annotations

import csv
import io
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest

from core.bus import Bus
from core.database import driver
from core.journal import Addressed, Event
from core.message import Attachment, Message
from core.route import Route
from core.search import rules
from core.search.indexer import Indexer

pytestmark = [pytest.mark.feature("BUS-10"), pytest.mark.feature("TECH-01")]
PERSON = "Вымышленникова"
BODY = f"<a ИдСвед='17'><имя>{PERSON}</имя></a>".encode()


@pytest.fixture
def bus(bus_of: Any) -> Bus:
    return bus_of([Route("t.acts", title="Акты", plain=["ИдСвед"])])  # type: ignore[no-any-return]


def put(bus: Bus, count: int = 1, state: str = "handled", **more: Any) -> list[UUID]:
    made = [Message(**({"kind": "t.acts", "body": BODY, "source": "smev.in"} | more)) for _ in range(count)]
    reason = "Документ не соответствует схеме" if state == "quarantined" else ""
    error = "SchemaViolation" if reason else ""
    with bus.database.transaction() as connection:
        rows = [Addressed(one, "t.acts", state, error, reason) for one in made]
        bus.journal.add(driver(connection), rows)
    return [one.id for one in made]


def ask(bus: Bus, sql: str, *given: Any) -> list[Any]:
    with bus.database.transaction() as connection:
        return driver(connection).execute(sql, given).fetchall()


def index(bus: Bus) -> None:
    indexer = Indexer(bus.database, bus.payloads)
    for _ in range(6):
        indexer.step()
        ask(bus, "UPDATE bus.search_cursor SET candidate_at = '2000-01-01' RETURNING 1")


GETS = (
    *("/messages", "/messages/find?q=1", "/messages/export.csv", "/messages/keys", "/messages/keys/part"),
    *("/messages/{id}", "/messages/{id}/history", "/messages/{id}/part/body", "/messages/{id}/download"),
)
POSTS = {
    "/messages/search": "zags.reader",
    "/messages/saved": "zags.reader",
    "/messages/saved/1/forget": "zags.reader",
    "/messages/keys": "operator",
    "/messages/keys/words": "operator",
    "/messages/keys/snils/remove": "operator",
    "/messages/{id}/resend": "auditor",
    "/messages/{id}/drop": "auditor",
}
"""Path → a role that must not."""


@pytest.mark.feature("SMEV-11")
def test_a_role_without_the_permission_is_refused(bus: Bus, console_of: Any) -> None:
    [message_id] = put(bus)
    desk = console_of(bus)
    stranger, operator = desk.person("zags.reader"), desk.person("operator")
    for path in GETS:
        assert stranger.get(path.format(id=message_id)).status_code == 403, path
        assert operator.get(path.format(id=message_id)).status_code in (200, 303), path


@pytest.mark.feature("SMEV-11")
def test_a_deed_without_the_permission_is_refused(bus: Bus, console_of: Any) -> None:
    [message_id] = put(bus, state="quarantined")
    desk = console_of(bus)
    people = {role: desk.person(role) for role in set(POSTS.values())}
    for path, role in POSTS.items():
        refused = people[role].submit(path.format(id=message_id), reason="x", title="x", query="x")
        assert refused.status_code == 403, path
    assert ask(bus, "SELECT state FROM bus.entry") == [("quarantined",)]


def test_the_list_is_paged_both_ways_by_links(bus: Bus, console_of: Any) -> None:
    ids = put(bus, 120)
    operator = console_of(bus).person("operator")
    first = operator.get("/messages")
    assert str(ids[-1]) in first.text
    assert str(ids[69]) not in first.text
    older = operator.get(_href(first.text, "next"))
    assert str(ids[69]) in older.text
    assert str(ids[70]) not in older.text
    last = operator.get(_href(older.text, "next"))
    assert str(ids[0]) in last.text
    assert 'rel="next"' not in last.text
    back = operator.get(_href(last.text, "prev"))
    assert str(ids[69]) in back.text
    assert str(ids[19]) not in back.text
    newest = operator.get(_href(back.text, "prev"))
    assert newest.status_code in (200, 303)


def _href(text: str, rel: str) -> str:
    from html import unescape

    head, _, _ = text.partition(f'rel="{rel}"')[2].partition(">")
    return unescape(head.partition('href="')[2].partition('"')[0])


def test_filters_stand_in_the_address_and_are_kept_by_the_pages(bus: Bus, console_of: Any) -> None:
    put(bus, 60, state="quarantined")
    handled = put(bus, 3)
    operator = console_of(bus).person("operator")
    sent = operator.submit("/messages/search", state="quarantined", reason="схеме", queue="")
    assert sent.status_code == 303
    assert parse_qs(urlsplit(sent.headers["location"]).query) == {"state": ["quarantined"], "reason": ["схеме"]}
    page = operator.get(sent.headers["location"])
    assert not [one for one in handled if str(one) in page.text]
    assert "state=quarantined" in _href(page.text, "next")
    assert "Таких сообщений нет" in operator.get("/messages?kind=none").text


def test_senseless_filters_are_told_and_never_an_error(bus: Bus, console_of: Any) -> None:
    operator = console_of(bus).person("operator", "personal")
    for query in ("since=вчера", "state=lost", "by=snils", "value=1", "before=x", "words=—", "by=none&value=1"):
        assert operator.get(f"/messages?{query}").status_code == 200, query


@pytest.mark.feature("BUS-14")
def test_what_is_typed_about_a_person_stands_in_no_address(bus: Bus, console_of: Any) -> None:
    [message_id] = put(bus)
    rules.declare_words(bus, "t.acts", title="Акты", actor="test")
    index(bus)
    desk = console_of(bus)
    seeing = desk.person("operator", "personal")
    sent = seeing.submit("/messages/search", words=PERSON)
    where = sent.headers["location"]
    assert PERSON.lower() not in where.lower()
    page = seeing.get(where)
    assert str(message_id) in page.text
    assert PERSON not in page.text
    again = seeing.submit("/messages/search", words="", words_kept=parse_qs(urlsplit(where).query)["words"][0])
    assert again.headers["location"] == where
    refused = desk.person("operator").get(where)
    assert refused.status_code == 403
    assert "Персональные данные" in refused.text
    assert desk.person("operator").get(where.replace("/messages?", "/messages/export.csv?")).status_code == 403


def test_whatever_is_known_of_a_message_leads_to_its_card(bus: Bus, console_of: Any) -> None:
    first, second = put(bus, source="a", external_id="17")[0], put(bus, source="b", external_id="17")[0]
    [seq] = ask(bus, "SELECT seq FROM bus.message WHERE id = %s", first)[0]
    operator = console_of(bus).person("operator")
    for known in (str(first), str(seq), str(first).replace("-", "")[:31]):
        assert operator.get("/messages/find", params={"q": known}).headers["location"] == f"/messages/{first}"
    several = operator.get("/messages/find", params={"q": "17"}) if seq != 17 else None
    if several:
        assert str(first) in several.text
        assert str(second) in several.text
    assert operator.get("/messages/find", params={"q": "нет такого"}).status_code == 404
    assert operator.get("/messages/find").headers["location"] == "/messages"


@pytest.mark.feature("BUS-14")
def test_the_export_is_a_table_without_contents_and_without_formulas(bus: Bus, console_of: Any) -> None:
    put(bus, source="=cmd()", external_id="+1")
    answer = console_of(bus).person("operator").get("/messages/export.csv?kind=t.acts")
    assert answer.headers["content-type"].startswith("text/csv")
    [_, row] = list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff")), delimiter=";"))
    assert "'=cmd()" in row
    assert "'+1" in row
    assert PERSON not in answer.text
    assert ask(bus, "SELECT via, action, detail FROM bus.audit WHERE action = 'messages.exported'") == [
        ("console", "messages.exported", {"kind": "t.acts"})
    ]


def test_the_card_tells_everything_but_contents(bus: Bus, console_of: Any) -> None:
    [cause] = put(bus)
    [message_id] = put(bus, state="quarantined", cause=cause, headers={"имя": PERSON})
    [effect] = put(bus, cause=message_id)
    with bus.database.transaction() as connection:
        event = Event(message_id, "quarantined", "Не по схеме", detail=PERSON, duration_ms=12, attempt=1)
        bus.journal.record(driver(connection), [event])
    page = console_of(bus).person("operator", "personal").get(f"/messages/{message_id}")
    assert page.status_code == 200
    for known in ("карантин", "Документ не по схеме", "Акты", str(cause), str(effect), "12 мс", "Правка и отправка"):
        assert known in page.text
    assert PERSON not in page.text
    assert not ask(bus, "SELECT 1 FROM bus.event WHERE stage = 'viewed'")


PARTS = ("body", "received", "outputs", "difference", "signatures", "headers", "detail")


@pytest.mark.feature("BUS-14")
def test_each_part_is_noted_and_masked_by_role(bus: Bus, console_of: Any) -> None:
    [message_id] = put(bus, received=f"<e><имя>{PERSON}</имя></e>".encode(), headers={"имя": PERSON})
    with bus.database.transaction() as connection:
        output = f"<o>{PERSON}</o>".encode()
        event = Event(message_id, "handled", "Обработано", detail=PERSON, output=output)
        bus.journal.record(driver(connection), [event])
    desk = console_of(bus)
    masked, seeing = desk.person("auditor", login="олег"), desk.person("operator", "personal", login="анна")
    for number, part in enumerate(PARTS, start=1):
        for browser, is_seen in ((masked, False), (seeing, part != "signatures")):
            for headers in ({}, {"x-part": "1"}):
                answer = browser.get(f"/messages/{message_id}/part/{part}", headers=headers)
                assert answer.status_code == 200, part
                assert (PERSON in answer.text) == is_seen, part
                assert ("<html" in answer.text) == (not headers)
        looks = ask(bus, "SELECT actor, count(*) FROM bus.event WHERE stage = 'viewed' GROUP BY actor ORDER BY actor")
        assert looks == [("анна", 2 * number), ("олег", 2 * number)], part
    told = ask(bus, "SELECT count(*) FROM bus.audit WHERE action = 'message.viewed' AND via = 'console'")
    assert told == [(4 * len(PARTS),)]
    assert seeing.get(f"/messages/{message_id}/part/other").status_code == 404


@pytest.mark.feature("BUS-14")
def test_names_of_attachments_are_masked_and_only_some_may_take_them(bus: Bus, console_of: Any) -> None:
    file = Attachment(f"{PERSON}.html", "text/html", open=lambda: io.BytesIO(b"<script>"))
    [message_id] = put(bus, attachments=(file,))
    desk = console_of(bus)
    operator = desk.person("operator")
    assert PERSON not in operator.get(f"/messages/{message_id}").text
    where = f"/messages/{message_id}/download?part=attachment:0"
    assert operator.get(where).status_code == 403
    got = desk.person("operator", "personal").get(where)
    assert got.content == b"<script>"
    assert got.headers["content-type"] == "application/octet-stream"
    assert got.headers["content-disposition"].startswith("attachment")


def test_a_body_is_downloaded_masked_or_whole(bus: Bus, console_of: Any) -> None:
    [message_id] = put(bus)
    desk = console_of(bus)
    assert desk.person("operator", "personal").get(f"/messages/{message_id}/download").content == BODY
    masked = desk.person("operator").get(f"/messages/{message_id}/download")
    assert PERSON not in masked.text
    assert "17" in masked.text


def test_deeds_are_done_and_told(bus: Bus, console_of: Any) -> None:
    first, second, third = put(bus, state="quarantined")[0], put(bus, state="quarantined")[0], put(bus)[0]
    operator = console_of(bus).person("operator", login="анна")
    assert operator.submit(f"/messages/{first}/resend").headers["location"] == f"/messages/{first}"
    operator.submit(f"/messages/{second}/drop", reason="не нужно")
    operator.submit(f"/messages/{third}/resend")
    states = dict(ask(bus, "SELECT message_id, state FROM bus.entry WHERE message_id <> ALL(%s)", [third]))
    assert (states[first], states[second]) == ("ready", "dropped")
    assert ask(bus, "SELECT count(*) FROM bus.message WHERE cause = %s", third) == [(1,)]
    assert operator.submit(f"/messages/{second}/drop", reason=" ").status_code == 303
    history = operator.get(f"/messages/{second}/history").text
    assert "анна" in history
    assert "не нужно" in history


def test_a_message_that_is_not_there_is_told(bus: Bus, console_of: Any) -> None:
    operator = console_of(bus).person("operator")
    assert operator.get(f"/messages/{UUID(int=1)}").status_code == 404
    assert operator.get("/messages/not-an-id").status_code == 422


def test_filters_are_kept_under_a_name(bus: Bus, console_of: Any) -> None:
    desk = console_of(bus)
    anna = desk.person("operator", login="анна")
    anna.submit("/messages/saved", title="Мой карантин", query="state=quarantined")
    page = anna.get("/messages?state=quarantined").text
    assert "Мой карантин" in page
    assert "Мой карантин" not in desk.person("operator", login="олег").get("/messages").text
    [[number]] = ask(bus, "SELECT id FROM bus.saved_search")
    anna.submit(f"/messages/saved/{number}/forget")
    assert "Мой карантин" not in anna.get("/messages").text


def test_keys_are_declared_shown_and_removed(bus: Bus, console_of: Any) -> None:
    put(bus, 3)
    desk = console_of(bus)
    administrator = desk.person("administrator")
    given = {"name": "packet", "title": "Пакет", "kind": "t.acts", "xpath": "/a/@ИдСвед", "namespaces": ""}
    wrong = administrator.submit("/messages/keys", **(given | {"xpath": "//a["}))
    assert wrong.status_code == 422
    assert "XPath не понят" in wrong.text
    assert 'value="packet"' in wrong.text
    assert administrator.submit("/messages/keys", **given).status_code == 303
    assert administrator.submit("/messages/keys/words", kind="t.acts").status_code == 303
    page = administrator.get("/messages/keys").text
    assert "Пакет" in page
    assert "Текст: Акты" in page
    index(bus)
    found = desk.person("operator").get("/messages?by=packet&value=17")
    assert found.text.count("/messages/0") >= 3
    assert administrator.submit("/messages/keys/packet/remove").status_code == 303
    assert "Пакет" not in administrator.get("/messages/keys/part").text


def test_a_key_is_tried_on_a_file(bus: Bus, console_of: Any) -> None:
    administrator = console_of(bus).person("administrator")
    given = {"name": "packet", "title": "Пакет", "kind": "t.acts", "xpath": "/a/@b"}
    nothing = administrator.submit("/messages/keys", files={"file": ("a.xml", b"<a/>")}, **given)
    assert nothing.status_code == 422
    assert administrator.submit("/messages/keys", files={"file": ("a.xml", b"<a b='1'/>")}, **given).status_code == 303
