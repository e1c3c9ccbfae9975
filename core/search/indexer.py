"""Fills the search index behind the intake: forward from where it is, then backward to the oldest message.

A part of the bus; one of a cluster works. A batch is one transaction that writes keys and progress together, so
after a crash it goes on where it was. It takes a bounded share of the time, and nothing when there is nothing to do.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Final

import structlog
from lxml import etree

from core.database import Database, Driver, driver
from core.errors import BusError
from core.locks import ClusterLocks
from core.payloads import REMOVED, PayloadStore
from core.search import values
from core.search.rules import Rule, rules

LOCK: Final = "search index"
SHARE: Final = 0.2
"""Of the time that it works while there is something to do."""
IDLE_S: Final = 2.0
BATCH: Final = 2000
"""Numbers of one batch when no body is read."""
BODIES: Final = 300
"""The same when bodies are."""
BODY_MOST_BYTES: Final = 4 * 1024 * 1024
"""Longer bodies are not looked into."""
SETTLED_S: Final = 0.5
"""A number is given out a moment before its transaction is seen to be under way."""
_log = structlog.get_logger(__name__)


class Indexer:
    """A thread until `stop`."""

    def __init__(self, database: Database, payloads: PayloadStore, *, idle_s: float = IDLE_S) -> None:
        self._database = database
        self._payloads = payloads
        self._idle_s = idle_s
        self._locks = ClusterLocks(database)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="search index", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._locks.close()

    def _run(self) -> None:
        pause_s = self._idle_s
        while not self._stopping.wait(pause_s):
            began = time.monotonic()
            pause_s = self._idle_s
            try:
                if self._locks.hold(LOCK) and self.step():
                    pause_s = max(0.001, (time.monotonic() - began) * (1 / SHARE - 1))
            except BusError as error:
                _log.warning("search index", reason=error.reason)
            except Exception:  # whatever it is, the next step comes
                _log.exception("search index")

    def step(self) -> bool:
        """One batch; was there anything to do? Raises Unavailable."""
        with self._database.transaction(durable=False) as connection:
            db = driver(connection)
            hold_off_retention(db)
            known = rules(db)
            return self._forward(db, known) or self._backward(db, known) or _removed(db)

    def _forward(self, db: Driver, known: Sequence[Rule]) -> bool:
        row = db.execute(_CURSOR, {"settled": SETTLED_S}).fetchone()
        assert row is not None
        high, candidate, is_settled = row
        if high >= candidate:
            db.execute(_NEXT_CANDIDATE, (high,))
            return False
        if not is_settled:
            return False
        to = min(candidate, high + (BODIES if any(one.kind for one in known) else BATCH))
        self._index(db, known, db.execute(_RANGE, (high, to)).fetchall())
        db.execute("UPDATE bus.search_cursor SET high = %s", (to,))
        return True

    def _backward(self, db: Driver, known: Sequence[Rule]) -> bool:
        """The rule that is nearest to now goes first."""
        waiting = [one for one in known if not one.is_complete]
        if not waiting:
            return False
        one = max(waiting, key=lambda rule: rule.low)
        if one.kind:
            together = [one]
            found = db.execute(_OF_KIND, {"kind": one.kind, "low": one.low, "limit": BODIES}).fetchall()
            is_last = len(found) < BODIES
        else:
            together = [rule for rule in waiting if not rule.kind and rule.low == one.low]
            found = db.execute(_BACKWARD, {"low": one.low, "limit": BATCH}).fetchall()
            is_last = len(found) < BATCH
        self._index(db, together, found)
        low = 0 if is_last else found[-1][0] - 1
        db.execute("UPDATE bus.search_rule SET low = %s WHERE id = ANY(%s)", (low, [rule.id for rule in together]))
        return True

    def _index(self, db: Driver, known: Sequence[Rule], found: Sequence[tuple[int, str]]) -> None:
        """found: (seq, kind) of the messages of a batch."""
        seqs = [seq for seq, _ in found]
        for rule in known:
            if rule.what in _BUILT_IN:
                db.execute(
                    _BUILT_IN[rule.what],
                    {"rule": rule.id, "seqs": seqs, "headers": list(values.PARTICIPANT_HEADERS)},
                )
        by_kind: dict[str, list[tuple[Rule, etree.XPath | None]]] = {}
        for rule in known:
            if rule.what not in _BUILT_IN:
                path = rule.compiled() if rule.what == "xpath" else None
                by_kind.setdefault(rule.kind, []).append((rule, path))
        wanted = [seq for seq, kind in found if kind in by_kind]
        keys: list[tuple[int, int, int]] = []
        words: list[tuple[int, int, list[int]]] = []
        for seq, kind, inline, payload in db.execute(_BODIES, (wanted, BODY_MOST_BYTES)) if wanted else ():
            body = self._body(db, inline, payload)
            for rule, path in by_kind[kind]:
                if path is None:
                    words.append((seq, rule.id, sorted(map(values.hashed, values.words_of_body(body)))))
                else:
                    keys += [(rule.id, values.hashed(one), seq) for one in values.values_of_body(body, path)]
        if keys:
            db.execute(_ADD, [list(column) for column in zip(*keys, strict=True)])
        if words:
            with db.cursor() as cursor:
                cursor.executemany(_ADD_WORDS, words)

    def _body(self, db: Driver, inline: bytes | None, payload: str | None) -> bytes:
        try:
            return self._payloads.join(db, inline, payload)
        except BusError:  # damaged: it has nothing to be found by
            return b""


def hold_off_retention(db: Driver) -> None:
    """For the rest of the transaction: nobody takes contents away while their words are being written, or the other
    way round."""
    db.execute("SELECT pg_advisory_xact_lock(hashtextextended('omsbus search index', 0))")


def forget_bodies(db: Driver, ids: Sequence[Any]) -> None:
    """What was found in the bodies of these messages (ids) goes with them."""
    db.execute(_FORGET_KEYS + " AND k.rule IN (SELECT id FROM bus.search_rule WHERE what = 'xpath')", (list(ids),))
    db.execute(_FORGET_WORDS, (list(ids),))


def forget_records(db: Driver, ids: Sequence[Any]) -> None:
    """Everything by which these messages (ids) were found."""
    db.execute(_FORGET_KEYS, (list(ids),))
    db.execute(_FORGET_WORDS, (list(ids),))


def _removed(db: Driver) -> bool:
    """Delete a batch of what a removed rule holds, the rule itself in the end."""
    row = db.execute("SELECT id FROM bus.search_rule WHERE removed_at IS NOT NULL ORDER BY id LIMIT 1").fetchone()
    if row is None:
        return False
    gone = sum(db.execute(sql, (row[0], BATCH)).rowcount for sql in _DELETE_RULE)
    if not gone:
        db.execute("DELETE FROM bus.search_rule WHERE id = %s", row)
    return True


_CURSOR: Final = """
SELECT high, candidate, pg_snapshot_xmin(pg_current_snapshot()) >= candidate_xid
       AND candidate_at < clock_timestamp() - make_interval(secs => %(settled)s)
FROM bus.search_cursor
"""
_NEXT_CANDIDATE: Final = """
UPDATE bus.search_cursor SET candidate = last.seq, candidate_at = clock_timestamp(),
    candidate_xid = pg_snapshot_xmax(pg_current_snapshot())
FROM (SELECT seq FROM bus.message ORDER BY seq DESC LIMIT 1) AS last WHERE last.seq > %s
"""
_RANGE: Final = "SELECT seq, kind FROM bus.message WHERE seq > %s AND seq <= %s ORDER BY seq"
_BACKWARD: Final = "SELECT seq, kind FROM bus.message WHERE seq <= %(low)s ORDER BY seq DESC LIMIT %(limit)s"
_OF_KIND: Final = """
SELECT seq, kind FROM bus.message WHERE kind BETWEEN %(kind)s AND %(kind)s AND seq <= %(low)s
ORDER BY kind DESC, seq DESC LIMIT %(limit)s
"""
_BODIES: Final = f"""
SELECT m.seq, m.kind, m.body, m.body_payload FROM bus.message m LEFT JOIN bus.payload p ON p.sha256 = m.body_payload
WHERE m.seq = ANY(%s) AND coalesce(bus.body_bytes(m.body), p.size_bytes, 0) BETWEEN 1 AND %s
  AND NOT coalesce(starts_with(m.body_payload, '{REMOVED}'), false)
"""
_BUILT_IN: Final = {
    "participant": """
        INSERT INTO bus.search_key (rule, value, seq)
        SELECT %(rule)s, bus.search_value(one.name), m.seq FROM bus.message m CROSS JOIN LATERAL (
            SELECT m.source UNION SELECT m.headers ->> h FROM unnest(%(headers)s::text[]) AS h WHERE m.headers ? h
        ) AS one (name) WHERE m.seq = ANY(%(seqs)s) ON CONFLICT DO NOTHING
    """,
    "key": """
        INSERT INTO bus.search_key (rule, value, seq)
        SELECT %(rule)s, bus.search_value(key), seq FROM bus.entry WHERE seq = ANY(%(seqs)s) AND key <> ''
        ON CONFLICT DO NOTHING
    """,
}
_ADD: Final = """
INSERT INTO bus.search_key (rule, value, seq) SELECT * FROM unnest(%s::int[], %s::bigint[], %s::bigint[])
ON CONFLICT DO NOTHING
"""
_ADD_WORDS: Final = """
INSERT INTO bus.search_words (seq, rule, words) VALUES (%s, %s, %s)
ON CONFLICT (seq) DO UPDATE SET rule = EXCLUDED.rule, words = EXCLUDED.words
"""
_FORGET_KEYS: Final = "DELETE FROM bus.search_key k USING bus.message m WHERE m.id = ANY(%s) AND k.seq = m.seq"
_FORGET_WORDS: Final = "DELETE FROM bus.search_words w USING bus.message m WHERE m.id = ANY(%s) AND w.seq = m.seq"
_DELETE_RULE: Final = (
    "DELETE FROM bus.search_key WHERE (rule, value, seq) IN (SELECT rule, value, seq FROM bus.search_key "
    "WHERE rule = %s LIMIT %s)",
    "DELETE FROM bus.search_words WHERE seq IN (SELECT seq FROM bus.search_words WHERE rule = %s LIMIT %s)",
)
