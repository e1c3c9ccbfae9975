"""A journal of some thousand messages of several kinds, made by the database, and an indexer that has no thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core.database import Database, driver
from core.payloads import PayloadStore
from core.search.indexer import Indexer

MESSAGES = 1500


@pytest.fixture
def journal(database: Database) -> Database:
    """MESSAGES messages, one a minute, in every state, with gaps in their numbers."""
    fill(database, MESSAGES)
    return database


def fill(database: Database, count: int) -> None:
    with database.transaction() as connection:
        db = driver(connection)
        db.execute(_MESSAGES, (count,))
        db.execute("SET LOCAL omsbus.retention = 'on'")
        db.execute("DELETE FROM bus.message WHERE seq % 7 = 0")
        db.execute(_ENTRIES)
        db.execute("ANALYZE bus.message; ANALYZE bus.entry")


@pytest.fixture
def indexer(journal: Database, tmp_path: Path) -> Indexer:
    return Indexer(journal, PayloadStore(tmp_path.as_uri(), inline_bytes=10_000, blob_bytes=10_000))


@pytest.fixture
def indexed(indexer: Indexer, journal: Database) -> Callable[[], None]:
    """Lets the indexer come to its end."""

    def run() -> None:
        settle(journal)
        while indexer.step() or not _is_done(journal):
            settle(journal)

    return run


def settle(database: Database) -> None:
    """As if time had gone by."""
    with database.transaction() as connection:
        driver(connection).execute("UPDATE bus.search_cursor SET candidate_at = candidate_at - interval '1 minute'")


def _is_done(database: Database) -> bool:
    with database.transaction() as connection:
        row = (
            driver(connection)
            .execute(
                "SELECT high >= (SELECT max(seq) FROM bus.message) "
                "AND NOT EXISTS (SELECT FROM bus.search_rule WHERE low > 0) FROM bus.search_cursor"
            )
            .fetchone()
        )
    return bool(row and row[0])


_MESSAGES = """
INSERT INTO bus.message (id, kind, version, key, source, external_id, fingerprint, outcome, in_reply_to, replies_to,
                         headers, attachments, body, accepted_at)
SELECT gen_random_uuid(), 'kind ' || (i * 7 %% 3), '', '', 'source ' || (i * 5 %% 4), 'e' || i, '', 'request', '', '',
       CASE WHEN i %% 5 = 0 THEN jsonb_build_object('smev.sender', 'SYS' || (i %% 3)) ELSE '{}' END, '[]',
       convert_to('<p:a xmlns:p="urn:p"><p:snils>112-233-445 ' || (i %% 90 + 10) || '</p:snils><p:name>Пётр слово'
           || (i %% 40) || '</p:name></p:a>', 'UTF8'),
       '2026-01-01 00:00+00'::timestamptz + make_interval(mins => i)
FROM generate_series(1, %s) AS i
"""
_ENTRIES = """
INSERT INTO bus.entry (seq, message_id, queue, key, state, reason, error)
SELECT seq, id, 'queue ' || (seq * 11 % 4), CASE WHEN seq % 3 = 0 THEN 'key' || (seq % 20) ELSE '' END, state,
       CASE WHEN state IN ('quarantined', 'retry', 'dropped') THEN 'Причина номер ' || (seq % 5) ELSE '' END, ''
FROM (SELECT seq, id, (ARRAY['handled', 'handled', 'handled', 'sent', 'ready', 'held', 'retry', 'quarantined',
                             'dropped', 'handled'])[1 + (seq * 3 % 10)] AS state FROM bus.message) AS m
"""
