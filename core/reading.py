"""What people look at: lists of queues and messages, read so that their cost does not grow with the journal.

Nothing here counts a big table: a depth is counted up to `DEPTH_MOST`, a list is a page that begins after a known
sequence number, a moment is turned into a sequence number by halving. No body is read for a list.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from core.database import Database, Driver, driver
from core.errors import ConfigError

DEPTH_MOST: Final = 100_000
"""A depth is counted no further than this."""
RATE_WINDOW_S: Final = 60
RATE_EVENTS_MOST: Final = 20_000
"""The rate looks at the last minute, or at this many last events when the minute had more."""
CLOCK_SLACK_S: Final = 60
"""Two messages whose order by number and by time differ were accepted within this many seconds."""
STATES: Final = ("ready", "held", "retry", "quarantined", "handled", "sent", "dropped")


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A queue as an operator sees it. Counts stop at DEPTH_MOST.

    oldest_at    when the oldest message that still waits (ready, held, retry) was accepted
    per_minute   messages handled or sent in a minute, by the last minute
    """

    name: str
    side: str
    title: str
    state: str
    reason: str
    rest_until: datetime | None
    failures: int
    polled_at: datetime | None
    poll_result: str
    changed_at: datetime
    changed_by: str
    ready: int
    held: int
    retry: int
    quarantined: int
    oldest_at: datetime | None
    per_minute: float


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A line of a list: no body, no headers, nothing personal."""

    seq: int
    id: UUID
    kind: str
    version: str
    outcome: str
    queue: str
    key: str
    state: str
    attempts: int
    source: str
    external_id: str
    accepted_at: datetime
    changed_at: datetime
    due_at: datetime | None
    error: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages: every field that is set must hold. `before`, `after`: sequence numbers, not included.

    participant  who sent it: a source, the mnemonic of a system in СМЭВ, the partner of a token
    search_key   name of a declared key (core.search.rules), `value` what it must be, or the token of that
    words        all of them in the body, or their tokens
    """

    queue: str = ""
    kind: str = ""
    state: str = ""
    key: str = ""
    source: str = ""
    external_id: str = ""
    reason_like: str = ""
    participant: str = ""
    search_key: str = ""
    value: str = ""
    words: str = ""
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None
    after: int | None = None


def queues(database: Database) -> list[QueueRow]:
    """Every queue, sources last."""
    with database.transaction() as connection:
        db = driver(connection)
        rates = _rates(db)
        return [replace(row, per_minute=rates.get(row.name, 0.0)) for row in depths(db)]


def depths(db: Driver) -> list[QueueRow]:
    """Every queue, sources last, without its rate."""
    return [QueueRow(*(*row, 0.0)) for row in db.execute(_QUEUES, {"most": DEPTH_MOST}).fetchall()]


def queue(database: Database, name: str) -> QueueRow:
    """Raises ConfigError when there is none."""
    for row in queues(database):
        if row.name == name:
            return row
    raise ConfigError(f"Нет очереди {name}. Посмотрите список: omsbus queue list")


def sources(db: Driver) -> list[str]:
    """Every source in the journal, by hops over the index of (source, external_id)."""
    rows = db.execute("""
        WITH RECURSIVE hop (source) AS (
            (SELECT source FROM bus.message ORDER BY source LIMIT 1)
            UNION ALL
            SELECT (SELECT m.source FROM bus.message m WHERE m.source > hop.source ORDER BY m.source LIMIT 1)
            FROM hop WHERE hop.source IS NOT NULL
        ) SELECT source FROM hop WHERE source IS NOT NULL
    """)
    return [row[0] for row in rows]


def first_since(db: Driver, moment: datetime) -> int:
    """The first number whose message was accepted at `moment` or later, found by halving the journal."""
    row = db.execute("SELECT coalesce(min(seq), 0), coalesce(max(seq), 0) + 1 FROM bus.message").fetchone()
    assert row is not None
    low, high = row
    while low < high:
        middle = (low + high) // 2
        found = db.execute(
            "SELECT seq, accepted_at FROM bus.message WHERE seq >= %s ORDER BY seq LIMIT 1", (middle,)
        ).fetchone()
        if found is None or found[1] >= moment:
            high = middle
        else:
            low = found[0] + 1
    return int(low)


def _rates(db: Driver) -> dict[str, float]:
    rows = db.execute(_RATES, {"window": RATE_WINDOW_S, "most": RATE_EVENTS_MOST}).fetchall()
    return {name: float(rate) for name, rate in rows}


MESSAGE_COLUMNS: Final = (
    "m.seq, m.id, m.kind, m.version, m.outcome, e.queue, e.key, e.state, e.attempts, m.source, m.external_id, "
    "m.accepted_at, e.changed_at, e.due_at, e.error, e.reason"
)

_QUEUES: Final = """
WITH retry AS MATERIALIZED (
    SELECT queue, count(*) AS depth, min(seq) AS first
    FROM (SELECT queue, seq FROM bus.entry WHERE state = 'retry' LIMIT %(most)s) AS part GROUP BY queue
)
SELECT q.name, q.side, q.title, q.state, q.reason, q.rest_until, q.failures, q.polled_at, q.poll_result,
       q.changed_at, q.changed_by, ready.depth, held.depth, coalesce(retry.depth, 0), quarantined.depth, m.accepted_at
FROM bus.queue q
CROSS JOIN LATERAL (SELECT count(*) AS depth, min(seq) AS first FROM (
    SELECT seq FROM bus.entry WHERE queue = q.name AND state = 'ready' ORDER BY seq LIMIT %(most)s) AS part) AS ready
CROSS JOIN LATERAL (SELECT count(*) AS depth, min(seq) AS first FROM (
    SELECT seq FROM bus.entry WHERE queue = q.name AND state = 'held' LIMIT %(most)s) AS part) AS held
CROSS JOIN LATERAL (SELECT count(*) AS depth FROM (
    SELECT seq FROM bus.entry WHERE queue = q.name AND state = 'quarantined' LIMIT %(most)s) AS part) AS quarantined
LEFT JOIN retry ON retry.queue = q.name
LEFT JOIN bus.message m ON m.seq = least(ready.first, held.first, retry.first)
ORDER BY q.side = 'source', q.side, q.name
"""

_RATES: Final = """
WITH last AS MATERIALIZED (
    SELECT message_id, at, stage FROM bus.event ORDER BY seq DESC LIMIT %(most)s
), span AS (
    -- a full window of events may be shorter than the minute
    SELECT CASE WHEN count(*) < %(most)s THEN %(window)s
                ELSE greatest(1, least(%(window)s, extract(epoch FROM clock_timestamp() - min(at)))) END AS seconds
    FROM last
)
SELECT e.queue, round(60.0 * count(*) / min(span.seconds), 1)
FROM last JOIN bus.entry e USING (message_id) CROSS JOIN span
WHERE last.stage IN ('handled', 'sent') AND last.at > clock_timestamp() - make_interval(secs => %(window)s)
GROUP BY e.queue
"""
