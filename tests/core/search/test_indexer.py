"""The index is filled from both sides, goes on after a crash, and forgets what the journal has forgotten."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core import removal
from core.database import Database, driver
from core.errors import ConfigError
from core.reading import Wanted
from core.search import indexer as indexing
from core.search import rules, values
from core.search.finding import find
from core.search.indexer import Indexer

pytestmark = pytest.mark.feature("BUS-10")
XPATH = {"title": "СНИЛС", "kind": "kind 1", "xpath": "//p:snils", "namespaces": {"p": "urn:p"}, "personal": True}


def ask(database: Database, sql: str, *given: Any) -> list[Any]:
    with database.transaction() as connection:
        return driver(connection).execute(sql, given).fetchall()


def keys(database: Database) -> set[tuple[int, int, int]]:
    return set(ask(database, "SELECT rule, value, seq FROM bus.search_key"))


class BusOnly:
    """What core.search.rules needs of a bus."""

    def __init__(self, database: Database, indexer: Indexer) -> None:
        self.database = database
        self.payloads = indexer._payloads


@pytest.fixture
def bus(journal: Database, indexer: Indexer) -> Any:
    return BusOnly(journal, indexer)


def test_the_hash_of_the_database_is_the_hash_of_the_program(database: Database) -> None:
    for text in ("", "a", "Ёлка", "\U0001f600", "x" * 1000):
        assert ask(database, "SELECT bus.search_value(%s)", text)[0][0] == values.hashed(text)
        assert values.of_value(values.token(values.hashed(text))) == values.hashed(text)


def test_every_message_is_indexed_from_both_sides(journal: Database, indexed: Callable[[], None]) -> None:
    ask(journal, "UPDATE bus.search_cursor SET high = 500, candidate = 500 RETURNING 1")
    ask(journal, "UPDATE bus.search_rule SET since = 500, low = 500 RETURNING 1")
    indexed()
    expected = ask(
        journal,
        "SELECT r.id, bus.search_value(one.name), m.seq FROM bus.message m JOIN bus.entry e USING (seq) "
        "CROSS JOIN bus.search_rule r CROSS JOIN LATERAL (SELECT m.source UNION SELECT m.headers ->> 'smev.sender') "
        "AS one (name) WHERE r.name = 'participant' AND one.name IS NOT NULL "
        "UNION SELECT r.id, bus.search_value(e.key), e.seq FROM bus.entry e CROSS JOIN bus.search_rule r "
        "WHERE r.name = 'key' AND e.key <> ''",
    )
    assert keys(journal) == set(expected)


def test_after_a_crash_in_any_batch_it_goes_on_where_it_was(
    journal: Database, indexer: Indexer, indexed: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "BATCH", 200)
    ask(journal, "UPDATE bus.search_cursor SET high = 700, candidate = 1400 RETURNING 1")
    ask(journal, "UPDATE bus.search_rule SET since = 700, low = 700 RETURNING 1")
    ask(journal, "UPDATE bus.search_cursor SET candidate_at = '2000-01-01' RETURNING 1")
    original = Indexer._index
    steps = 0
    while True:

        def crash(self: Indexer, *given: Any) -> None:
            original(self, *given)
            raise KeyboardInterrupt  # after the keys, before the progress

        monkeypatch.setattr(Indexer, "_index", crash)
        before = keys(journal)
        try:
            worked = indexer.step()
        except KeyboardInterrupt:
            worked = True
            assert keys(journal) == before
        monkeypatch.setattr(Indexer, "_index", original)
        if not worked or not indexer.step():
            break
        steps += 1
    assert steps > 4
    indexed()
    assert len({seq for _, _, seq in keys(journal)}) == ask(journal, "SELECT count(*) FROM bus.message")[0][0]


def test_a_number_that_is_committed_late_is_not_passed_over(
    database: Database, indexer: Indexer, indexed: Callable[[], None]
) -> None:
    indexed()
    sql = (
        "INSERT INTO bus.message (id, kind, version, key, source, external_id, fingerprint, outcome, in_reply_to, "
        "replies_to, headers, attachments, body) VALUES (gen_random_uuid(), 'k', '', '', %s, %s, '', 'request', '', "
        "'', '{}', '[]', '') RETURNING seq"
    )
    with database.dedicated() as slow, slow.transaction():
        late = slow.execute(sql, ("late", "1")).fetchone()[0]  # type: ignore[index]
        soon = ask(database, sql, "soon", "2")[0][0]
        assert late < soon
        indexer.step()
        _time_goes_by(database)
        for _ in range(3):
            indexer.step()
        assert not ask(database, "SELECT 1 FROM bus.search_key WHERE seq >= %s", late)
    for _ in range(3):
        indexer.step()
        _time_goes_by(database)
    assert {row[0] for row in ask(database, "SELECT seq FROM bus.search_key WHERE seq >= %s", late)} == {late, soon}


def _time_goes_by(database: Database) -> None:
    ask(database, "UPDATE bus.search_cursor SET candidate_at = candidate_at - interval '1 hour' RETURNING 1")


def test_a_key_that_is_declared_later_is_filled_back_to_the_oldest(
    journal: Database, bus: Any, indexer: Indexer, indexed: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "BODIES", 100)
    indexed()
    made = rules.declare_key(bus, "snils", **XPATH, actor="анна")
    assert (made.share, made.is_complete) == (0.0, False)
    indexer.step()
    with journal.transaction() as connection:
        half = rules.rule(driver(connection), "snils")
    assert 0 < half.share < 1
    indexed()
    of_kind = ask(journal, "SELECT count(*) FROM bus.message WHERE kind = 'kind 1'")[0][0]
    assert ask(journal, "SELECT count(*) FROM bus.search_key WHERE rule = %s", made.id) == [(of_kind,)]
    assert ask(journal, "SELECT action, actor FROM bus.audit") == [("search.declared", "анна")]
    assert find(journal, Wanted(search_key="snils", value="112-233-445 11"), 10).rows
    rules.remove(bus, "snils", actor="анна")
    with pytest.raises(ConfigError):
        find(journal, Wanted(search_key="snils", value="1"), 10)
    while indexer.step():
        pass
    assert not ask(journal, "SELECT 1 FROM bus.search_key WHERE rule = %s", made.id)
    assert not ask(journal, "SELECT 1 FROM bus.search_rule WHERE id = %s", made.id)


BAD = {
    "name": ({}, "СНИЛС", "Имя ключа"),
    "path": ({"xpath": "//p:snils["}, "snils", "XPath не понят"),
    "prefix": ({"namespaces": {}}, "snils", "XPath не понят"),
    "nothing": ({"xpath": "//p:nothing"}, "snils", "ничего не нашлось"),
    "kind": ({"kind": "none"}, "snils", "приложите образец"),
    "untitled": ({"title": " "}, "snils", "название"),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_a_key_that_cannot_work_is_not_declared(case: str, bus: Any) -> None:
    changes, name, told = BAD[case]
    with pytest.raises(ConfigError, match=told):
        rules.declare_key(bus, name, **(XPATH | changes), actor="анна")


def test_a_sample_decides_and_a_name_is_given_once(bus: Any) -> None:
    with pytest.raises(ConfigError, match="в образце ничего"):
        rules.declare_key(bus, "snils", **XPATH, sample=b"<a/>", actor="анна")
    rules.declare_key(bus, "snils", **XPATH, sample=b'<a xmlns="urn:p"><snils>1</snils></a>', actor="анна")
    with pytest.raises(ConfigError, match="уже есть"):
        rules.declare_key(bus, "snils", **XPATH, actor="анна")
    with pytest.raises(ConfigError, match="встроен"):
        rules.remove(bus, "participant", actor="анна")


@pytest.mark.feature("BUS-14")
def test_what_retention_takes_can_be_found_no_more(
    journal: Database, bus: Any, indexer: Indexer, indexed: Callable[[], None]
) -> None:
    rules.declare_key(bus, "snils", **XPATH, actor="анна")
    rules.declare_words(bus, "kind 1", title="Вид 1", actor="анна")
    indexed()
    first, second = ask(journal, "SELECT seq, id FROM bus.message WHERE kind = 'kind 1' ORDER BY seq LIMIT 2")
    with journal.transaction() as connection:
        db = driver(connection)
        removal.permit(db)
        removal.take_bodies(db, [first[1]])
        removal.take_records(db, [second[1]], "true")
    left = ask(
        journal,
        "SELECT k.seq, r.name FROM bus.search_key k JOIN bus.search_rule r ON r.id = k.rule WHERE seq = ANY(%s)",
        [first[0], second[0]],
    )
    assert {seq for seq, _ in left} == {first[0]}
    assert "snils" not in {name for _, name in left}
    assert not ask(journal, "SELECT 1 FROM bus.search_words WHERE seq = ANY(%s)", [first[0], second[0]])


def test_retention_and_the_index_wait_for_each_other(journal: Database, indexer: Indexer) -> None:
    done = threading.Event()

    def index() -> None:
        indexer.step()
        done.set()

    with journal.transaction() as connection:
        removal.permit(driver(connection))
        thread = threading.Thread(target=index)
        thread.start()
        assert not done.wait(0.2)
    thread.join()
    assert done.is_set()


def test_it_works_as_a_part_of_the_bus(journal: Database, indexer: Indexer, eventually: Any) -> None:
    running = Indexer(journal, indexer._payloads, idle_s=0.05)
    running.start()
    try:
        eventually(lambda: rules.lag(journal) == 0)
        assert keys(journal)
    finally:
        running.stop()


def words_of(text: str) -> Iterator[str]:
    yield from values.words_of_body(text.encode())


def test_words_are_told_apart_and_brought_to_one_form() -> None:
    assert set(words_of('<a b="Ёлка">один <c>Два</c> 3х-я</a>')) == {"елка", "один", "два", "3х"}
    assert set(words_of('{"имя": ["Пётр", 15, true, null]}')) == {"петр", "15"}
    assert set(words_of("ФИО;Иванов")) == {"фио", "иванов"}
    assert values.words_of_body("Иванов".encode("cp1251")) == set()
    assert values.words_of_body(b"\x00\xff") == set()
    assert len(set(words_of("<a>" + " ".join(f"слово{n}" for n in range(9000)) + "</a>"))) == values.WORDS_MOST
