"""Who may search by what, what the audit is told of it, and what leaves in a link or an export."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from core.access.person import Person
from core.database import Database, driver
from core.discovery import Routes
from core.errors import ConfigError, Permanent
from core.reading import Wanted
from core.route import Format, Route
from core.search import asking, choices, finding, rules, saved
from core.search.indexer import Indexer

pytestmark = pytest.mark.feature("BUS-14")
SEES = Person("анна", "Анна", frozenset({"messages.read", "personal.read"}))
MASKED = Person("олег", "Олег", frozenset({"messages.read"}))
KEY = {"kind": "kind 1", "xpath": "//p:snils", "namespaces": {"p": "urn:p"}, "actor": "анна"}


@pytest.fixture
def bus(journal: Database, indexer: Indexer, indexed: Callable[[], None]) -> Any:
    class BusOnly:
        database, payloads = journal, indexer._payloads
        routes = Routes([Route("kind 1", title="Первый вид")])

    rules.declare_key(BusOnly, "snils", title="СНИЛС", personal=True, **KEY)  # type: ignore[arg-type]
    rules.declare_key(BusOnly, "packet", title="Пакет", personal=False, **KEY)  # type: ignore[arg-type]
    rules.declare_words(BusOnly, "kind 1", title="Первый", actor="анна")  # type: ignore[arg-type]
    indexed()
    return BusOnly


def audited(bus: Any) -> list[tuple[str, str, str]]:
    with bus.database.transaction() as connection:
        return (  # type: ignore[no-any-return]
            driver(connection)
            .execute("SELECT actor, action, note FROM bus.audit WHERE action LIKE 'messages.%' ORDER BY seq")
            .fetchall()
        )


PERSONAL = [Wanted(search_key="snils", value="112-233-445 11"), Wanted(words="петр")]


@pytest.mark.parametrize("wanted", PERSONAL, ids=["key", "words"])
def test_only_who_may_see_personal_data_searches_by_it_and_that_is_noted(wanted: Wanted, bus: Any) -> None:
    for seek in (lambda: asking.search(bus, wanted, 10, MASKED), lambda: next(asking.export(bus, wanted, MASKED))):
        with pytest.raises(Permanent, match="с правом"):
            seek()
    assert audited(bus) == []
    assert asking.search(bus, wanted, 10, SEES).rows
    asking.search(bus, Wanted(**{**_fields(wanted), "before": 100}), 10, SEES)  # the next page is no other search
    [(actor, action, note)] = audited(bus)
    assert (actor, action) == ("анна", "messages.searched")
    assert "112" not in note
    assert "петр" not in note


def _fields(wanted: Wanted) -> dict[str, Any]:
    return {name: getattr(wanted, name) for name in Wanted.__dataclass_fields__}


def test_a_key_that_is_not_personal_is_for_everybody(bus: Any) -> None:
    assert asking.search(bus, Wanted(search_key="packet", value="112-233-445 11"), 10, MASKED).rows
    assert audited(bus) == []


def test_an_unknown_key_is_taken_for_personal(bus: Any) -> None:
    with pytest.raises(Permanent):
        asking.search(bus, Wanted(search_key="none", value="1"), 10, MASKED)


def test_a_link_carries_nothing_that_was_typed_and_finds_the_same(bus: Any) -> None:
    for wanted in PERSONAL:
        link = asking.hidden(wanted)
        assert "112" not in link.value.replace("#", "") or link.value != wanted.value
        assert "петр" not in link.words
        assert asking.search(bus, link, 1000, SEES).rows == asking.search(bus, wanted, 1000, SEES).rows
        assert asking.hidden(link) == link


def test_an_export_holds_what_the_list_holds_and_is_noted(bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "PORTION_FIRST", 50)
    wanted = Wanted(kind="kind 1", state="quarantined")
    header, *rows = asking.export(bus, wanted, MASKED)
    assert header == list(asking.COLUMNS)
    expected = [row for page in finding.pages(bus.database, wanted, 10_000, 7, oldest_first=False) for row in page]
    assert [int(row[0]) for row in rows] == [row.seq for row in expected]
    assert rows[0][4] == "Первый вид"
    assert len({len(row) for row in (header, *rows)}) == 1
    assert audited(bus) == [("олег", "messages.exported", "Выгружен список сообщений журнала")]
    monkeypatch.setattr(asking, "EXPORTED_MOST", 5)
    assert len(list(asking.export(bus, wanted, MASKED))) == 6


@pytest.mark.feature("BUS-10")
def test_saved_filters_are_each_persons_own(database: Database) -> None:
    saved.save(database, "анна", " Карантин ", "state=quarantined")
    saved.save(database, "анна", "Карантин", "state=retry")
    saved.save(database, "олег", "Карантин", "state=held")
    [own] = saved.saved(database, "анна")
    assert (own.title, own.query) == ("Карантин", "state=retry")
    saved.forget(database, "олег", own.id)
    assert saved.saved(database, "анна") == [own]
    saved.forget(database, "анна", own.id)
    assert saved.saved(database, "анна") == []
    with pytest.raises(ConfigError):
        saved.save(database, "анна", "", "state=retry")
    for number in range(saved.SAVED_MOST):
        saved.save(database, "анна", f"Отбор {number}", "state=retry")
    with pytest.raises(ConfigError, match="удалите"):
        saved.save(database, "анна", "Ещё", "state=retry")


@pytest.mark.feature("BUS-10")
def test_kinds_and_queues_are_called_by_their_titles(journal: Database) -> None:
    routes = Routes([Route("t.a", title="Акт", formats=[Format("1", root="{urn:a}Act")])])
    told = {
        "t.a": "Акт", "{urn:a}Act": "Акт", "t.a.answer": "Акт (ответ)", "{urn:b}Other": "Other", "x": "x",
        "smev.unverified": "СМЭВ: подпись не принята",
    }  # fmt: skip
    assert {kind: choices.title_of(routes, kind) for kind in told} == told
    with journal.transaction() as connection:
        assert choices.kinds_in_journal(driver(connection)) == ["kind 0", "kind 1", "kind 2"]
