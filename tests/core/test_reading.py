"""Lists are read by pages and by halving, and tell the same as a plain look at everything would."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from core import reading
from core.bus import Bus
from core.database import Database, driver
from core.errors import ConfigError
from core.message import Message
from core.reading import Wanted
from core.search import finding

FIRST = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def journal(database: Database) -> Database:
    """100 messages, one a minute from FIRST on, with gaps in their numbers."""
    with database.transaction() as connection:
        db = driver(connection)
        db.execute(
            "INSERT INTO bus.message (id, kind, version, key, source, external_id, fingerprint, outcome, in_reply_to, "
            "replies_to, headers, attachments, body, accepted_at) "
            "SELECT gen_random_uuid(), 'kind', '', '', 'source ' || mod(i, 3), 'e' || i, '', 'request', '', '', '{}', "
            "'[]', '', %s + make_interval(mins => i) FROM generate_series(0, 199) AS i",
            (FIRST,),
        )
        db.execute("SET LOCAL omsbus.retention = 'on'")
        db.execute("DELETE FROM bus.message WHERE seq % 2 = 0 OR seq BETWEEN 50 AND 60")
        db.execute(
            "INSERT INTO bus.entry (seq, message_id, queue, key, state) "
            "SELECT seq, id, 'queue', '', 'quarantined' FROM bus.message"
        )
    return database


def numbers(database: Database, wanted: Wanted) -> list[int]:
    return [row.seq for row in finding.messages(database, wanted, 1000)]


def test_a_period_holds_exactly_what_was_accepted_in_it(journal: Database) -> None:
    everything = finding.messages(journal, Wanted(), 1000)
    for first, last in product((-10, 0, 1, 17, 54, 120, 198, 199, 1000), (-10, 0, 55, 121, 199, 1000)):
        since, until = FIRST + timedelta(minutes=first), FIRST + timedelta(minutes=last)
        expected = [row.seq for row in everything if since <= row.accepted_at < until]
        assert numbers(journal, Wanted(since=since, until=until)) == expected, (first, last)


def test_messages_whose_numbers_and_times_disagree_a_little_are_not_lost(journal: Database) -> None:
    with journal.transaction() as connection:
        driver(connection).execute("ALTER TABLE bus.message DISABLE TRIGGER ALL")
        driver(connection).execute(
            "UPDATE bus.message SET accepted_at = accepted_at + interval '70 seconds' * (seq % 4 - 1)"
        )
    since, until = FIRST + timedelta(minutes=100), FIRST + timedelta(minutes=110)
    expected = [row.seq for row in finding.messages(journal, Wanted(), 1000) if since <= row.accepted_at < until]
    assert len(expected) >= 4
    assert numbers(journal, Wanted(since=since, until=until)) == expected


def test_pages_hold_everything_once_and_no_more_than_was_asked(journal: Database) -> None:
    chosen = Wanted(queue="queue", state="quarantined")
    everything = [row.seq for page in finding.pages(journal, chosen, 1000, page=7) for row in page]
    assert everything == sorted(numbers(journal, Wanted()))
    some = [row.seq for page in finding.pages(journal, chosen, 10, page=7) for row in page]
    assert some == everything[:10]


def test_every_source_is_known(journal: Database, database: Database) -> None:
    with database.transaction() as connection:
        assert reading.sources(driver(connection)) == ["source 0", "source 1", "source 2"]


def test_an_empty_journal_has_no_sources_and_no_messages(database: Database) -> None:
    with database.transaction() as connection:
        assert reading.sources(driver(connection)) == []
    assert numbers(database, Wanted(since=FIRST, until=FIRST + timedelta(days=1), external_id="x")) == []


def test_a_depth_is_counted_no_further_than_the_limit(
    bus_of: Callable[..., Bus], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "DEPTH_MOST", 3)
    bus = bus_of()
    bus.engine.put([Message(kind="no such kind", body=b"x") for _ in range(5)])
    [unknown] = [queue for queue in reading.queues(database) if queue.name == "unknown"]
    assert unknown.quarantined == 3
    assert unknown.oldest_at is None


def test_a_queue_that_is_not_there_is_refused(database: Database) -> None:
    with pytest.raises(ConfigError, match="omsbus queue list"):
        reading.queue(database, "нет")
