"""The journal's list and searches, in a journal of as many messages as wanted: every filter, rare and common values.

The messages are invented: kinds, queues, states, partners and persons in the proportions of a fund's day, bodies of
half a kilobyte, half a year of them. They are made by the database itself, with the indexes built afterwards. A case is
measured so often with other values and at other places; of each the median, the 95th percentile and the worst are told.
"""

from __future__ import annotations

import contextlib
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from benchmarks.harness import Result, result
from core import cards
from core.bus import Bus
from core.database import Driver, driver
from core.reading import Wanted
from core.search.finding import Found, find
from core.search.indexer import Indexer
from core.settings import Settings

NAME: Final = "journal"
MESSAGES: Final = 1_000_000
TIMES: Final = 40
PAGE: Final = 50
LIST_P95_MS: Final = 150.0
SEARCH_P95_MS: Final = 1000.0
CHUNK: Final = 500_000
DAYS: Final = 180
PERSONS: Final = 2_000_000
GOAL: Final = f"страница журнала быстрее {LIST_P95_MS:.0f} мс, любой поиск быстрее {SEARCH_P95_MS:.0f} мс (p95)"
INDEXED_KIND: Final = "{urn:bench}Services"


@dataclass(frozen=True, slots=True)
class Case:
    """`wanted` makes the filters of one try; `is_list`: it must be as fast as a list is."""

    name: str
    wanted: Callable[[random.Random], Wanted]
    is_list: bool = False


def run(messages: int = MESSAGES, times: int = TIMES) -> Result:
    """Milliseconds a page; `ratios` are the shares of the goals that are used up (1 is the goal)."""
    figures: dict[str, str] = {}
    shares: dict[str, float] = {}
    with journal(messages, figures) as bus:
        figures_of_tables(bus, figures)
        for case in cases(bus, messages):
            measured = [_measure(bus, case, number) for number in range(times)]
            spent = [ms for ms, _ in measured]
            p95 = statistics.quantiles(spent, n=20)[-1]
            unfinished = sum(not found.complete for _, found in measured)
            figures[f"{case.name}: p50, p95, worst ms"] = (
                f"{statistics.median(spent):.0f}, {p95:.0f}, {max(spent):.0f}"
                + (f" (не до конца: {unfinished} из {times})" if unfinished else "")
            )
            shares[case.name] = p95 / (LIST_P95_MS if case.is_list else SEARCH_P95_MS)
        figures["card: p50, p95, worst ms"] = _cards(bus, messages, times)
    return result(
        NAME, GOAL, shares, max(shares.values()) <= 1, messages=messages, page=PAGE, times=times, **figures,
        database="embedded, fsync on, shared_buffers 128MB",
    )  # fmt: skip


def cases(bus: Bus, messages: int) -> list[Case]:
    """Every filter, with common, rare and absent values."""
    first, last = _ends(bus)
    rare = _rare_seq(bus)

    def moment(r: random.Random) -> datetime:
        return first + (last - first) * r.random()

    def person(r: random.Random) -> str:
        return f"key {r.randrange(PERSONS)}"

    def day(r: random.Random, **more: Any) -> Wanted:
        since = moment(r)
        return Wanted(since=since, until=since + timedelta(hours=4), **more)

    return [
        Case("list", lambda _: Wanted(), is_list=True),
        Case("list, deep", lambda r: Wanted(before=r.randrange(messages)), is_list=True),
        Case("list, period", day, is_list=True),
        Case("kind, common", lambda r: Wanted(kind="{urn:bench}Death", before=r.randrange(messages)), is_list=True),
        Case("kind, rare", lambda _: Wanted(kind="{urn:bench}Rare")),
        Case("kind, absent", lambda r: Wanted(kind=f"none {r.random()}")),
        Case("queue", lambda r: Wanted(queue=r.choice(_QUEUES), before=r.randrange(messages)), is_list=True),
        Case("queue and kind", lambda _: Wanted(queue="zags.death", kind="{urn:bench}Death"), is_list=True),
        Case("queue and kind, never both", lambda _: Wanted(queue="zags.death", kind="{urn:bench}Birth")),
        Case("handled", lambda r: Wanted(state="handled", before=r.randrange(messages)), is_list=True),
        Case("sent in a queue that never sends", lambda _: Wanted(state="sent", queue="zags.death")),
        Case("quarantined", lambda _: Wanted(state="quarantined"), is_list=True),
        Case("quarantined of a queue", lambda r: Wanted(state="quarantined", queue=r.choice(_QUEUES)), is_list=True),
        Case("quarantined of a rare kind", lambda _: Wanted(state="quarantined", kind="{urn:bench}Rare")),
        Case("retry", lambda _: Wanted(state="retry"), is_list=True),
        Case("dropped", lambda _: Wanted(state="dropped"), is_list=True),
        Case("reason, common", lambda _: Wanted(reason_like="не соответствует схеме"), is_list=True),
        Case("reason, rare", lambda r: Wanted(reason_like=f"строка {r.randrange(1000)},", state="quarantined")),
        Case("reason, absent", lambda r: Wanted(reason_like=f"{r.random()}")),
        Case("participant, common", lambda r: Wanted(participant="SYS1", before=r.randrange(messages)), is_list=True),
        Case("participant, rare", lambda r: Wanted(participant=f"clinic {r.randrange(400)}")),
        Case("participant, absent", lambda r: Wanted(participant=f"none {r.random()}")),
        Case("participant and quarantined", lambda _: Wanted(participant="SYS1", state="quarantined")),
        Case("participant and rare kind", lambda _: Wanted(participant="SYS2", kind="{urn:bench}Rare")),
        Case("source, common", lambda _: Wanted(source="smev.requests"), is_list=True),
        Case("order key", lambda r: Wanted(key=person(r))),
        Case("order key and period", lambda r: replace(day(r), key=person(r))),
        Case("external id", lambda r: Wanted(external_id=f"e{r.randrange(messages)}")),
        Case("XPath key", lambda r: Wanted(search_key="enp", value=f"{10**15 + r.randrange(PERSONS)}")),
        Case("words, rare", lambda r: Wanted(words=f"Вымыслова{r.randrange(PERSONS)}")),
        Case("words, common", lambda _: Wanted(words="поликлиника амбулаторно")),
        Case("words, two", lambda r: Wanted(words=f"участковый{r.randrange(500)} поликлиника")),
        Case("words, absent", lambda r: Wanted(words=f"нет{r.randrange(10**9)}")),
        Case("words and state", lambda _: Wanted(words="поликлиника", state="quarantined")),
        Case("period, kind and state", lambda r: day(r, kind="{urn:bench}Death", state="quarantined")),
        Case("rare kind before an old place", lambda _: Wanted(kind="{urn:bench}Rare", before=rare)),
    ]


def _measure(bus: Bus, case: Case, number: int) -> tuple[float, Found]:
    wanted = case.wanted(random.Random(f"{case.name} {number}"))
    began = time.perf_counter()
    found = find(bus.database, wanted, PAGE)
    return (time.perf_counter() - began) * 1000, found


def _cards(bus: Bus, messages: int, times: int) -> str:
    spent = []
    some = random.Random(1)
    for _ in range(times):
        began = time.perf_counter()
        cards.card(bus.database, cards.find(bus.database, str(UUID(int=_id(1 + some.randrange(messages))))))
        spent.append((time.perf_counter() - began) * 1000)
    return f"{statistics.median(spent):.0f}, {statistics.quantiles(spent, n=20)[-1]:.0f}, {max(spent):.0f}"


@contextlib.contextmanager
def journal(messages: int, figures: dict[str, str]) -> Iterator[Bus]:
    """A bus with a journal of so many messages, indexed to the last; deleted afterwards."""
    with tempfile.TemporaryDirectory(prefix="omsbus-bench-") as folder:
        settings = Settings(data_dir=Path(folder)).model_copy(update={"database_url": None, "route_modules": []})
        with Bus.open(settings) as bus:
            began = time.monotonic()
            with bus.database.dedicated() as db:
                generate(db, messages)
            figures["made in, s"] = f"{time.monotonic() - began:.0f}"
            began = time.monotonic()
            index(bus)
            figures["indexed in, s (messages a second)"] = (
                f"{time.monotonic() - began:.0f} ({messages / (time.monotonic() - began):.0f})"
            )
            with bus.database.dedicated() as db:
                db.execute("VACUUM (ANALYZE) bus.search_key, bus.search_words")
                db.execute("CHECKPOINT")
            yield bus


def generate(db: Driver, messages: int) -> None:
    """Messages and their entries; the indexes that are no constraint are built afterwards."""
    db.execute("SET synchronous_commit = off; SET maintenance_work_mem = '512MB'; SET work_mem = '128MB'")
    indexes = db.execute(_INDEXES).fetchall()
    for name, _ in indexes:
        db.execute(f"DROP INDEX bus.{name}")
    db.execute("ALTER TABLE bus.message DROP CONSTRAINT message_source_external_id_key")
    for first in range(1, messages + 1, CHUNK):
        values = {"first": first, "last": min(first + CHUNK - 1, messages), "messages": messages, "persons": PERSONS}
        db.execute(_MESSAGES, {**values, "days": DAYS})
        db.execute(_ENTRIES, values)
    db.execute("ALTER TABLE bus.message ADD UNIQUE (source, external_id)")
    for _, definition in indexes:
        db.execute(definition)
    db.execute(
        "INSERT INTO bus.queue (name, side) SELECT q, CASE q WHEN 'smev' THEN 'sink' ELSE 'route' END "
        "FROM unnest(%s::text[]) AS q ON CONFLICT DO NOTHING",
        (list(_QUEUES),),
    )
    db.execute("VACUUM (ANALYZE) bus.message, bus.entry")


def index(bus: Bus) -> None:
    """Let the indexer come to its end, with a key and the words of one kind."""
    with bus.database.transaction() as connection:
        for statement in _RULES:
            driver(connection).execute(statement, {"kind": INDEXED_KIND})
    indexer = Indexer(bus.database, bus.payloads)
    while indexer.step():
        pass


def figures_of_tables(bus: Bus, figures: dict[str, str]) -> None:
    """How much room everything takes."""
    with bus.database.transaction() as connection:
        for table in ("message", "entry", "search_key", "search_words"):
            row = driver(connection).execute("SELECT pg_total_relation_size(%s)", (f"bus.{table}",)).fetchone()
            figures[f"bus.{table}, MB"] = f"{row[0] / 1e6:.0f}" if row else ""


def _ends(bus: Bus) -> tuple[datetime, datetime]:
    with bus.database.transaction() as connection:
        row = (
            driver(connection)
            .execute(
                "SELECT (SELECT accepted_at FROM bus.message ORDER BY seq LIMIT 1), "
                "(SELECT accepted_at FROM bus.message ORDER BY seq DESC LIMIT 1)"
            )
            .fetchone()
        )
    assert row
    return row[0], row[1]


def _rare_seq(bus: Bus) -> int:
    with bus.database.transaction() as connection:
        row = (
            driver(connection)
            .execute("SELECT coalesce(min(seq), 1) FROM bus.message WHERE kind = '{urn:bench}Rare'")
            .fetchone()
        )
    return int(row[0]) if row else 1


def _id(number: int) -> int:
    return (0x0190 << 112) | (7 << 76) | (2 << 62) | number


_QUEUES: Final = ("zags.death", "zags.birth", "ffoms.services", "fns.egrul", "sfr.snils", "smev")
_INDEXES: Final = """
SELECT i.indexname, i.indexdef FROM pg_indexes i
WHERE i.schemaname = 'bus' AND i.tablename IN ('message', 'entry')
  AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = format('bus.%I', i.indexname)::regclass)
"""
_MESSAGES: Final = """
INSERT INTO bus.message (id, kind, version, key, source, external_id, fingerprint, outcome, in_reply_to, replies_to,
                         headers, attachments, body, accepted_at)
SELECT ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, '{urn:bench}' || kind, '1.0', '',
       CASE kind WHEN 'Registry' THEN 'registries' ELSE 'smev.requests' END, 'e' || n,
       encode(sha256(n::text::bytea), 'hex'), 'request', '', '',
       CASE kind WHEN 'Registry' THEN jsonb_build_object('http.sender', 'clinic ' || mod(n, 400),
                                                         'http.content_type', 'application/xml')
            ELSE jsonb_build_object('smev.version', '1.3', 'smev.connector', 'smev', 'smev.message_id', 'e' || n,
                                    'smev.sender', 'SYS' || mod(n, 5), 'smev.sender_signature', 'valid') END, '[]',
       convert_to('<b:' || kind || ' xmlns:b="urn:bench"><b:Id>' || n || '</b:Id><b:Family>Вымыслова' || person
           || '</b:Family><b:First>Антонина</b:First><b:Birth>19' || 10 + mod(person, 90) || '-03-17</b:Birth><b:Enp>'
           || 1000000000000000 + person || '</b:Enp><b:Doctor>участковый' || mod(n, 500)
           || '</b:Doctor><b:Place>Областная поликлиника, приём амбулаторно, кабинет ' || mod(n, 100)
           || '</b:Place></b:' || kind || '>', 'UTF8'),
       now() - make_interval(secs => (%(messages)s - n)::float8 * %(days)s * 86400 / %(messages)s)
FROM (SELECT n, mod(n * 7919, %(persons)s) AS person,
             CASE WHEN mod(n, 100003) = 7 THEN 'Rare' WHEN mod(n, 100) < 35 THEN 'Death'
                  WHEN mod(n, 100) < 60 THEN 'Birth' WHEN mod(n, 100) < 64 THEN 'Services'
                  WHEN mod(n, 100) < 70 THEN 'Egrul' WHEN mod(n, 100) < 80 THEN 'Snils' ELSE 'Registry' END AS kind
      FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n) AS given
ORDER BY n
"""
_ENTRIES: Final = """
INSERT INTO bus.entry (seq, message_id, queue, key, state, error, reason, changed_at)
SELECT seq, id, queue, 'key ' || mod(n * 7919, %(persons)s), state,
       CASE WHEN state IN ('quarantined', 'retry', 'dropped') THEN 'SchemaViolation' ELSE '' END,
       CASE WHEN state IN ('quarantined', 'retry', 'dropped')
            THEN 'Документ не соответствует схеме: строка ' || mod(n, 1000) || ', исправьте данные' ELSE '' END,
       accepted_at
FROM (SELECT seq, id, accepted_at, substr(external_id, 2)::bigint AS n,
             CASE kind WHEN '{urn:bench}Death' THEN 'zags.death' WHEN '{urn:bench}Birth' THEN 'zags.birth'
                       WHEN '{urn:bench}Services' THEN 'ffoms.services' WHEN '{urn:bench}Egrul' THEN 'fns.egrul'
                       WHEN '{urn:bench}Snils' THEN 'smev' ELSE 'sfr.snils' END AS queue,
             CASE WHEN seq > %(messages)s - 200 THEN 'ready' WHEN mod(seq * 31, 1000) < 3 THEN 'quarantined'
                  WHEN mod(seq * 31, 10000) = 77 THEN 'dropped' WHEN mod(seq * 31, 100000) = 78 THEN 'retry'
                  WHEN mod(seq * 31, 100000) = 79 THEN 'held' WHEN kind = '{urn:bench}Snils' THEN 'sent'
                  ELSE 'handled' END AS state
      FROM bus.message WHERE seq BETWEEN %(first)s AND %(last)s) AS m
ORDER BY seq
"""
_TOP: Final = "(SELECT max(seq) AS top FROM bus.message) AS m"
_RULES: Final = (
    "INSERT INTO bus.search_rule (name, title, what, kind, xpath, namespaces, personal, since, low) VALUES "
    "('enp', 'ЕНП', 'xpath', %(kind)s, '/b:Services/b:Enp', '{\"b\": \"urn:bench\"}', true, 0, 0), "
    "('words', 'Текст', 'words', %(kind)s, '', '{}', true, 0, 0)",
    f"UPDATE bus.search_rule SET since = top, low = top FROM {_TOP}",
    f"UPDATE bus.search_cursor SET high = top, candidate = top FROM {_TOP}",
)
