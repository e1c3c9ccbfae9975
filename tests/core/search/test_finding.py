"""A search tells the same as a look at every message would, by any filters, from either end, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.database import Database, driver
from core.errors import ConfigError
from core.reading import MessageRow, Wanted
from core.search import finding, streams, values
from core.search.finding import find

pytestmark = pytest.mark.feature("BUS-10")
FIRST = datetime(2026, 1, 1, tzinfo=UTC)

WANTED = st.builds(
    Wanted,
    queue=st.sampled_from(["", "", "queue 0", "queue 3", "none"]),
    kind=st.sampled_from(["", "", "kind 0", "kind 2", "none"]),
    state=st.sampled_from(["", "", "quarantined", "retry", "held", "ready", "dropped", "handled", "sent"]),
    key=st.sampled_from(["", "", "", "key3", "key18", "none"]),
    source=st.sampled_from(["", "", "source 1", "none"]),
    external_id=st.sampled_from(["", "", "", "", "e15", "none"]),
    reason_like=st.sampled_from(["", "", "", "НОМЕР 2", "none"]),
    participant=st.sampled_from(["", "", "", "SYS0", "source 2", "none"]),
    since=st.one_of(st.none(), st.none(), st.integers(0, 1600).map(lambda m: FIRST + timedelta(minutes=m))),
    until=st.one_of(st.none(), st.none(), st.integers(0, 1600).map(lambda m: FIRST + timedelta(minutes=m))),
)


def everything(database: Database) -> list[tuple[MessageRow, dict[str, str]]]:
    """The newest first."""
    with database.transaction() as connection:
        headers = dict(driver(connection).execute("SELECT seq, headers FROM bus.message").fetchall())
    return [(row, headers[row.seq]) for row in find(database, Wanted(), 10_000, budget_s=None).rows]


def fits(row: MessageRow, headers: dict[str, str], wanted: Wanted) -> bool:
    return (
        all(
            not asked or asked == told
            for asked, told in (
                (wanted.queue, row.queue),
                (wanted.kind, row.kind),
                (wanted.state, row.state),
                (wanted.key, row.key),
                (wanted.source, row.source),
                (wanted.external_id, row.external_id),
            )
        )
        and wanted.reason_like.lower() in row.reason.lower()
        and (not wanted.participant or wanted.participant in (row.source, headers.get("smev.sender")))
        and (wanted.since is None or row.accepted_at >= wanted.since)
        and (wanted.until is None or row.accepted_at < wanted.until)
    )


def paged(database: Database, wanted: Wanted, *, oldest_first: bool) -> Iterator[int]:
    while True:
        found = find(database, wanted, 30, oldest_first=oldest_first, budget_s=None)
        yield from (row.seq for row in found.rows)
        if found.next is None:
            return
        wanted = replace(wanted, **{"after" if oldest_first else "before": found.next})


@pytest.mark.parametrize("state_of_index", ["none", "part", "whole"])
def test_a_search_finds_what_a_look_at_everything_finds(
    state_of_index: str, journal: Database, indexer: Any, indexed: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "PORTION_FIRST", 40)
    monkeypatch.setattr("core.search.indexer.BATCH", 300)
    if state_of_index == "whole":
        indexed()
    elif state_of_index == "part":
        _declare_in_the_middle(journal)
        indexer.step()
        indexer.step()
    known = everything(journal)
    assert len(known) > 1000

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(WANTED, st.booleans())
    def try_it(wanted: Wanted, oldest_first: bool) -> None:
        expected = [row.seq for row, headers in known if fits(row, headers, wanted)]
        if oldest_first:
            expected.reverse()
        assert list(paged(journal, wanted, oldest_first=oldest_first)) == expected
        first = find(journal, wanted, 30, oldest_first=oldest_first)
        assert [row.seq for row in first.rows] == expected[:30]
        assert not first.is_exact or first.about == len(expected)

    try_it()


def _declare_in_the_middle(database: Database) -> None:
    """The index began when half of the messages were there."""
    with database.transaction() as connection:
        db = driver(connection)
        db.execute("UPDATE bus.search_cursor SET high = 700, candidate = 1200, candidate_at = '2000-01-01'")
        db.execute("UPDATE bus.search_rule SET since = 700, low = 700")


def test_a_search_that_takes_too_long_stops_and_is_continued(
    journal: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "PORTION_FIRST", 50)
    monkeypatch.setattr(finding, "PORTION_MOST", 50)
    wanted = Wanted(source="none", queue="queue 1")
    found = find(journal, wanted, 10, budget_s=0.0)
    assert not found.complete
    assert not found.is_exact
    steps, before = 0, None
    while not found.complete:
        found = find(journal, replace(wanted, before=before), 10, budget_s=0.004)
        assert found.complete or found.next is None or before is None or found.next < before
        before = found.next or before
        steps += 1
        assert steps < 1000
    assert found.rows == []


def test_a_statement_that_never_ends_is_cancelled(journal: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeping = "SELECT seq FROM bus.entry WHERE pg_sleep(0.01) IS NOT NULL AND seq >= %(low)s AND seq < %(high)s"
    monkeypatch.setattr(streams, "_ALL", sleeping + " ORDER BY seq {order} LIMIT %(chunk)s")
    found = find(journal, Wanted(source="none"), 10, budget_s=0.01)
    assert (found.rows, found.complete) == ([], False)


def test_an_unknown_state_and_an_unknown_key_are_told(journal: Database) -> None:
    with pytest.raises(ConfigError, match="Нет состояния"):
        find(journal, Wanted(state="lost"), 10)
    with pytest.raises(ConfigError, match="Нет ключа поиска"):
        find(journal, Wanted(search_key="snils", value="1"), 10)
    with pytest.raises(ConfigError, match="нет слов"):
        find(journal, Wanted(words="—"), 10)


PLANS = [
    Wanted(),
    Wanted(queue="queue 1"),
    Wanted(kind="kind 1"),
    Wanted(kind="none"),
    Wanted(state="quarantined"),
    Wanted(state="handled"),
    Wanted(state="dropped", queue="queue 1"),
    Wanted(state="retry", kind="kind 1"),
    Wanted(key="key3"),
    Wanted(participant="SYS1"),
    Wanted(participant="source 1", kind="kind 1", state="sent"),
    Wanted(external_id="e15"),
    Wanted(reason_like="номер 2"),
    Wanted(search_key="snils", value="112-233-445 15"),
    Wanted(words="слово3 петр"),
    Wanted(words="слово3", queue="queue 1", state="handled"),
    Wanted(source="source 1"),
    Wanted(since=FIRST + timedelta(minutes=100), until=FIRST + timedelta(minutes=500), kind="kind 1"),
]


def test_no_search_reads_a_whole_table(
    journal: Database, indexed: Callable[[], None], declared: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexed()
    said: list[str] = []
    original = psycopg.Connection.execute

    def execute(self: Any, query: Any, params: Any = None, **more: Any) -> Any:
        if isinstance(query, str) and query.lstrip().startswith(("WITH", "SELECT")):
            with self.cursor() as cursor:
                cursor.execute("EXPLAIN " + query, params)
                said.extend(row[0] for row in cursor.fetchall())
        return original(self, query, params, **more)

    monkeypatch.setattr(psycopg.Connection, "execute", execute)
    for wanted in PLANS:
        said.clear()
        find(journal, wanted, 50, budget_s=None)
        scans = [line for line in said if "Seq Scan on" in line]
        allowed = ("search_rule", "search_cursor", "pg_", "queue ")
        assert not [line for line in scans if not any(name in line for name in allowed)], (wanted, said)
        assert not [line for line in said if "Bitmap Heap Scan on message" in line], wanted


@pytest.fixture
def declared(journal: Database) -> None:
    with journal.transaction() as connection:
        db = driver(connection)
        for kind in range(3):
            db.execute(
                "INSERT INTO bus.search_rule (name, title, what, kind, xpath, namespaces, personal, since, low) "
                "SELECT 'words' || %(kind)s, '', 'words', 'kind ' || %(kind)s, '', '{}', true, max(seq), max(seq) "
                "FROM bus.message",
                {"kind": kind},
            )
        db.execute(
            "INSERT INTO bus.search_rule (name, title, what, kind, xpath, namespaces, personal, since, low) "
            "SELECT 'snils', '', 'xpath', 'kind 1', '//p:snils', '{\"p\": \"urn:p\"}', true, max(seq), max(seq) "
            "FROM bus.message"
        )


def test_keys_and_words_of_bodies_find_their_messages(
    journal: Database, declared: None, indexed: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "PORTION_FIRST", 40)
    indexed()
    with journal.transaction() as connection:
        bodies = driver(connection).execute("SELECT seq, kind, convert_from(body, 'UTF8') FROM bus.message").fetchall()
    for asked in ("112-233-445 11", "11223344511", values.token(values.of_value("112 233 445-11"))):
        expected = sorted(seq for seq, kind, body in bodies if kind == "kind 1" and "112-233-445 11<" in body)
        assert expected
        found = find(journal, Wanted(search_key="snils", value=asked), 1000).rows
        assert sorted(row.seq for row in found) == expected
    for first in (streams.WORDS_FIRST, 100):
        monkeypatch.setattr(streams, "WORDS_FIRST", first)
        expected = sorted(seq for seq, _, body in bodies if "слово7<" in body)
        found = find(journal, Wanted(words="Слово7, ПЕТР"), 1000).rows
        assert sorted(row.seq for row in found) == expected
        tokens = " ".join(map(values.token, values.of_words("слово7 пётр")))
        assert find(journal, Wanted(words=tokens), 1000).rows == found
        assert find(journal, Wanted(words="слово7 слово8"), 1000).rows == []


def test_words_that_everybody_has_do_not_lead_the_search(
    journal: Database, declared: None, indexed: Callable[[], None]
) -> None:
    indexed()
    with journal.transaction() as connection:
        driver(connection).execute("ANALYZE bus.search_words")
    with journal.transaction() as connection:
        db = driver(connection)
        common = streams.plan(db, Wanted(words="петр", state="dropped"))
        rare = streams.plan(db, Wanted(words="слово3", state="handled"))
        unknown = streams.plan(db, Wanted(words="никогда", state="dropped"))
    assert common.stream.covers == ("state",)
    assert rare.stream.covers == ("words",)
    assert unknown.stream.covers == ("words",)
