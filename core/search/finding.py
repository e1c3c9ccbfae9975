"""A page of the journal by any filters, in bounded time however long the journal is.

Nothing is counted and no table is scanned: candidates come from one index in order (core.search.streams), in growing
portions, and each portion is looked at until the page is full. A search that would take longer than its budget stops
where it is and says so: it is continued from there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

import psycopg

from core.database import Database, Driver, driver
from core.errors import ConfigError
from core.reading import CLOCK_SLACK_S, MESSAGE_COLUMNS, STATES, MessageRow, Wanted, first_since
from core.search.streams import Plan, Segment, plan

BUDGET_S: Final = 0.6
PORTION_FIRST: Final = 200
PORTION_MOST: Final = 20_000
SLOW_PORTION_S: Final = 0.05
"""A portion that took longer is not followed by a larger one."""
_TOP: Final = 2**62


@dataclass(frozen=True, slots=True)
class Found:
    """rows: the newest first. complete: False when time was over, `reached` is then how far the search has come.

    more   there are further ones behind the last row
    about  how many there may be in all; exact only where `is_exact`
    """

    rows: list[MessageRow]
    complete: bool = True
    more: bool = False
    reached: int | None = None
    about: int = 0
    is_exact: bool = False

    @property
    def next(self) -> int | None:
        """`before` (or `after`, oldest first) of the next page; None: there is none."""
        if not self.complete:
            return self.reached
        return self.rows[-1].seq if self.more else None


def find(
    database: Database,
    wanted: Wanted,
    limit: int,
    *,
    oldest_first: bool = False,
    budget_s: float | None = BUDGET_S,
) -> Found:
    """At most `limit` messages. budget_s None: as long as it takes. Raises ConfigError for senseless filters."""
    _check(wanted)
    with database.transaction() as connection:
        db = driver(connection)
        # The planner must never choose to read a whole table of millions because it is in doubt.
        db.execute("SET LOCAL enable_seqscan = off; SET LOCAL jit = off")
        window = _window(db, wanted)
        chosen = plan(db, wanted)
        walk = _Walk(db, chosen, window, oldest_first, budget_s)
        seqs = walk.take(limit + 1)
        db.execute("SET LOCAL statement_timeout = 0")  # it was for the portions
        rows = db.execute(_ROWS, (seqs[:limit],), prepare=False).fetchall() if seqs else []
    found = [MessageRow(*row) for row in rows]
    found.sort(key=lambda row: row.seq, reverse=not oldest_first)
    complete = walk.complete or len(seqs) > limit
    is_exact = complete and len(seqs) <= limit and wanted.before is None and wanted.after is None
    return Found(
        rows=found,
        complete=complete,
        more=len(seqs) > limit,
        reached=walk.reached,
        about=len(found) if is_exact else max(round(chosen.matches), len(found)),
        is_exact=is_exact,
    )


def messages(database: Database, wanted: Wanted, limit: int, *, oldest_first: bool = False) -> list[MessageRow]:
    """One page however long it takes, the newest first; the next one is `before` the last row's seq (or `after`).

    Raises ConfigError.
    """
    return find(database, wanted, limit, oldest_first=oldest_first, budget_s=None).rows


def pages(
    database: Database, wanted: Wanted, limit: int, page: int = 500, *, oldest_first: bool = True
) -> Iterator[list[MessageRow]]:
    """Up to `limit` messages, a page at a time: rows may change state between pages. As long as it takes."""
    while limit > 0:
        found = messages(database, wanted, min(limit, page), oldest_first=oldest_first)
        if not found:
            return
        yield found
        limit -= len(found)
        last = found[-1].seq
        wanted = replace(wanted, after=last) if oldest_first else replace(wanted, before=last)


def conditions_of(db: Driver, wanted: Wanted) -> tuple[list[str], dict[str, Any]]:
    """All of `wanted` as SQL over bus.entry e and bus.message m, and its values. Raises ConfigError."""
    _check(wanted)
    low, high, period, values = _window(db, wanted)
    chosen = plan(db, wanted)
    bounds = "e.seq >= %(low)s AND e.seq < %(high)s"
    made = [bounds, *chosen.conditions.values(), *([period] if period else [])]
    return made, {**chosen.values, **values, "low": low, "high": high}


def _check(wanted: Wanted) -> None:
    if wanted.state and wanted.state not in STATES:
        raise ConfigError(f"Нет состояния «{wanted.state}». Бывают: {', '.join(STATES)}")


def _window(db: Driver, wanted: Wanted) -> tuple[int, int, str, dict[str, Any]]:
    """(low, high, condition of the period, its values): numbers from low up to high, not included."""
    low = 0 if wanted.after is None else wanted.after + 1
    high = _TOP if wanted.before is None else wanted.before
    conditions, values = [], {}
    slack = timedelta(seconds=CLOCK_SLACK_S)
    if wanted.since:
        low = max(low, first_since(db, wanted.since - slack))
        conditions.append("m.accepted_at >= %(since)s")
        values["since"] = wanted.since
    if wanted.until:
        high = min(high, first_since(db, wanted.until + slack))
        conditions.append("m.accepted_at < %(until)s")
        values["until"] = wanted.until
    return low, high, " AND ".join(conditions), values


class _Walk:
    """Goes through the candidates of a plan, portion by portion."""

    def __init__(
        self,
        db: Driver,
        chosen: Plan,
        window: tuple[int, int, str, dict[str, Any]],
        oldest_first: bool,
        budget_s: float | None,
    ) -> None:
        low, high, period, values = window
        self._db = db
        self._plan = chosen
        self._low, self._high = low, high
        self._values = {**chosen.values, **values}
        self._conditions = [*chosen.beside, *([period] if period else [])]
        self._oldest_first = oldest_first
        self._budget_s = budget_s
        self._ends = math.inf if budget_s is None else time.monotonic() + budget_s
        self.complete = True
        self.reached: int | None = None

    def take(self, most: int) -> list[int]:
        """Numbers of the first messages for which everything holds, in order."""
        taken: list[int] = []
        segments = self._plan.stream.segments
        for segment in reversed(segments) if self._oldest_first else segments:
            self._through(segment, taken, most)
            if len(taken) >= most or not self.complete:
                break
        return taken

    def _through(self, segment: Segment, taken: list[int], most: int) -> None:
        low = max(self._low, 0 if segment.low is None else segment.low)
        high = min(self._high, _TOP if segment.high is None else segment.high)
        left = segment.most
        conditions = [*self._conditions, *([segment.exact] if segment.exact else [])]
        portion = max(PORTION_FIRST, most) if conditions else most
        while low < high:
            if left is not None and left <= 0:
                return
            began = time.monotonic()
            if began > self._ends:
                self.complete = False
                return
            size = portion if left is None else min(portion, left)
            looked = self._look(segment, conditions, low, high, size, most - len(taken))
            if looked is None:
                self.complete = False
                return
            count, last, found = looked
            taken += found
            if left is not None:
                left -= count
            if len(taken) >= most or count < size:
                self._note(low, high, last if count >= size else None)
                return
            self._note(low, high, last)
            if self._oldest_first:
                low = last + 1
            else:
                high = last
            if time.monotonic() - began < SLOW_PORTION_S:
                portion = min(portion * 2, PORTION_MOST)

    def _note(self, low: int, high: int, last: int | None) -> None:
        """How far everything has been looked at. The next segment looks at the rest of the window."""
        if last is not None:
            self.reached = last
            if self._oldest_first:
                self._low = max(self._low, last + 1)
            else:
                self._high = min(self._high, last)
        elif self._oldest_first:
            self.reached = high - 1
            self._low = max(self._low, high)
        else:
            self.reached = low
            self._high = min(self._high, low)

    def _look(
        self, segment: Segment, conditions: list[str], low: int, high: int, size: int, most: int
    ) -> tuple[int, int, list[int]] | None:
        """(candidates, the last of them, those that fit); None when it took too long."""
        order = "ASC" if self._oldest_first else "DESC"
        values = {**self._values, "low": low, "high": high, "chunk": size, "most": most}
        sql = _PORTION.format(
            candidates=segment.sql.format(order=order),
            last="max" if self._oldest_first else "min",
            joins=_joins(conditions),
            conditions=" AND ".join(conditions) or "true",
            order=order,
        )
        if self._budget_s is None:
            row = self._db.execute(sql, values, prepare=False).fetchone()
        else:
            left_ms = max(1, math.ceil((self._ends - time.monotonic()) * 1000))
            try:
                with self._db.transaction():
                    self._db.execute(f"SET LOCAL statement_timeout = {left_ms}")
                    row = self._db.execute(sql, values, prepare=False).fetchone()
            except psycopg.errors.QueryCanceled:
                return None
        assert row is not None
        return row[0], row[1] or 0, row[2]


def _joins(conditions: list[str]) -> str:
    """Each candidate is looked up by its number, whatever the planner thinks of the conditions."""
    text = " ".join(conditions)
    return (_ENTRY if "e." in text else "") + (_MESSAGE if "m." in text else "")


_ENTRY: Final = (
    " CROSS JOIN LATERAL (SELECT seq, queue, key, state, reason FROM bus.entry WHERE seq = c.seq OFFSET 0) AS e"
)
_MESSAGE: Final = (
    " CROSS JOIN LATERAL (SELECT seq, kind, source, headers, accepted_at FROM bus.message "
    "WHERE seq = c.seq OFFSET 0) AS m"
)
_PORTION: Final = """
WITH c AS MATERIALIZED ({candidates})
SELECT (SELECT count(*) FROM c), (SELECT {last}(seq) FROM c),
       ARRAY(SELECT c.seq FROM c {joins} WHERE {conditions} ORDER BY c.seq {order} LIMIT %(most)s)
"""
_ROWS: Final = f"SELECT {MESSAGE_COLUMNS} FROM bus.entry e JOIN bus.message m USING (seq) WHERE e.seq = ANY(%s)"
