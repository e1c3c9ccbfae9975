"""The sealer: rows that nobody can come before any more are put under a block of the chain.

Sequence numbers are given before their transactions commit, so a row may appear below one that is seen already. The
sealer therefore looks twice: it remembers the highest numbers that it sees and the transactions that are under way, and
seals up to there at a later look, when all of those are over and every statement that had begun is too (waiting no
longer than `STATEMENTS_S` for those that only read). A row that comes even later is found by the verification.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from core.database import Database, driver
from core.errors import BusError
from core.locks import ClusterLocks
from core.seals import blocks, heads, rows
from core.seals.blocks import Block
from core.seals.settings import SealSettings

LOCK: Final = "seals"
BLOCK_ROWS: Final = 4096
"""Rows of a full block."""
LOOK_S: Final = 10.0
SETTLE_S: Final = 3.0
"""A look is this old before it is used."""
STATEMENTS_S: Final = 60.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at a moment: the highest number of each stream, and the first transaction that had not begun."""

    at: float
    highest: Mapping[str, int]
    transaction: str


@dataclass(slots=True)
class Horizon:
    """Up to where each stream may be sealed. Forgets nothing between looks but what a restart forgets: that is safe."""

    settle_s: float = SETTLE_S
    settled: dict[str, int] = field(default_factory=lambda: dict.fromkeys(rows.STREAMS, 0))
    pending: Look | None = None

    def look(self, database: Database) -> None:
        """Look at the database: one short statement, or two."""
        with database.transaction(durable=False) as connection:
            db = driver(connection)
            pending = self.pending
            now = time.monotonic()
            if pending and now - pending.at >= self.settle_s:
                patient = now - pending.at < STATEMENTS_S
                row = db.execute(_SETTLED, {"transaction": pending.transaction, "patient": patient}).fetchone()
                if row and row[0]:
                    self.settled, self.pending = dict(pending.highest), None
            if self.pending is None:
                row = db.execute(_HIGHEST).fetchone()
                assert row is not None
                highest = dict(zip(rows.STREAMS, row[:-1], strict=True))
                if highest != self.settled:
                    self.pending = Look(now, highest, row[-1])


def seal_next(database: Database, stream: str, horizon: int, *, most: int = BLOCK_ROWS) -> Block | None:
    """Seal the next rows of a stream up to the horizon; None when there are none."""
    with database.transaction(durable=False) as connection:
        after = blocks.last_of(driver(connection), stream)
    found = [one for page in rows.leaves(database, stream, after, horizon, most) for one in page]
    if not found:
        return None
    with database.transaction() as connection:
        return blocks.add(driver(connection), stream, after, found)


class Sealer:
    """A thread until `stop`: seals in the process that leads. A stop or a crash leaves whole blocks only."""

    def __init__(
        self, database: Database, settings: SealSettings, *, look_s: float = LOOK_S, settle_s: float = SETTLE_S
    ) -> None:
        self._database = database
        self._settings = settings
        self._look_s = look_s
        self._horizon = Horizon(settle_s)
        self._sealed: dict[str, int] = {}
        self._waiting_since: dict[str, float] = {}
        self._stopping = threading.Event()
        self._locks = ClusterLocks(database)
        self._thread = threading.Thread(target=self._run, name="sealer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._locks.close()

    def _run(self) -> None:
        while not self._stopping.wait(self._look_s):
            try:
                if self._locks.hold(LOCK):
                    self._round()
                else:
                    self._sealed.clear()
            except BusError as error:
                _log.warning("sealing", reason=error.reason)
            except Exception:  # whatever it is, the next look comes
                _log.exception("sealing")

    def _round(self) -> None:
        self._horizon.look(self._database)
        made: Block | None = None
        for stream, horizon in self._horizon.settled.items():
            if stream not in self._sealed:
                with self._database.transaction(durable=False) as connection:
                    self._sealed[stream] = blocks.last_of(driver(connection), stream)
            while self._is_due(stream, horizon) and not self._stopping.is_set():
                began = time.monotonic()
                block = seal_next(self._database, stream, horizon)
                self._sealed[stream] = block.last if block else horizon
                made = block or made
                self._pause(time.monotonic() - began)
        if made and self._settings.heads_file:
            self._note(made)

    def _is_due(self, stream: str, horizon: int) -> bool:
        """Enough for a full block, or something that has waited long enough."""
        waiting = horizon - self._sealed[stream]
        if waiting <= 0:
            self._waiting_since.pop(stream, None)
            return False
        since = self._waiting_since.setdefault(stream, time.monotonic())
        return waiting >= BLOCK_ROWS or time.monotonic() - since >= self._settings.every_s - self._look_s

    def _pause(self, worked_s: float) -> None:
        """Leave the database to others for a while."""
        self._stopping.wait(worked_s * (1 / self._settings.share - 1))

    def _note(self, made: Block) -> None:
        assert self._settings.heads_file
        try:
            heads.append(self._settings.heads_file, made)
        except OSError as error:
            _log.error("head of the chain not written", file=str(self._settings.heads_file), reason=str(error))


def seal_all(database: Database, *, limit_s: float = 30.0) -> int:
    """Seal everything that is there now, for commands and tests; rows sealed. Waits for transactions under way."""
    horizon, count = Horizon(settle_s=0.0), 0
    ends = time.monotonic() + limit_s
    horizon.look(database)
    pending = horizon.pending
    while horizon.pending is pending and pending is not None and time.monotonic() < ends:
        with contextlib.suppress(BusError):
            horizon.look(database)
        time.sleep(0.01)
    for stream, last in horizon.settled.items():
        while block := seal_next(database, stream, last):
            count += block.count
    return count


_HIGHEST: Final = (
    "SELECT "
    + ", ".join(f"(SELECT coalesce(max(seq), 0) FROM bus.{name})" for name in rows.STREAMS)
    + ", pg_snapshot_xmax(pg_current_snapshot())::text"
)
_SETTLED: Final = """
SELECT pg_snapshot_xmin(pg_current_snapshot()) >= %(transaction)s::xid8 AND NOT (%(patient)s AND EXISTS (
    -- Whoever has taken a number but no transaction yet shows by the age of his view.
    SELECT 1 FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid()
      AND backend_xmin IS NOT NULL AND age(backend_xmin) >= age(%(transaction)s::xid8::xid)))
"""
