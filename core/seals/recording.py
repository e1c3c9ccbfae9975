"""Verifications that were made: kept with their findings, so that everybody sees the last ones."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from core import audit
from core.database import Database, driver
from core.errors import ConfigError, Unavailable
from core.locks import ClusterLocks
from core.seals.heads import Head
from core.seals.verifying import Report, verify

LOCK: Final = "seals verification"
SILENT: Final = timedelta(seconds=60)
"""A running verification that tells nothing for so long has died with its process."""
RUNS_SHOWN: Final = 20
_PATIENCE_S: Final = 0.5
OUTCOMES: Final = {
    "running": "идёт",
    "whole": "цело",
    "broken": "есть расхождения",
    "stopped": "прервана",
    "failed": "не закончена",
}


@dataclass(frozen=True, slots=True)
class Run:
    """A verification. report: `Report.plain()`, {} while it runs; note: why it did not end."""

    id: int
    started_at: datetime
    started_by: str
    seen_at: datetime
    finished_at: datetime | None
    outcome: str
    first_block: int
    last_block: int
    blocks: int
    rows: int
    head: str
    note: str
    report: dict[str, Any]

    @property
    def words(self) -> str:
        return OUTCOMES[self.outcome]

    @property
    def share(self) -> int:
        """Percent of the blocks that are checked."""
        wanted = self.last_block - self.first_block + 1
        return min(100, 100 * self.blocks // wanted) if wanted > 0 else 100


def runs(database: Database, limit: int = RUNS_SHOWN) -> list[Run]:
    """The last verifications, the newest first."""
    with database.transaction() as connection:
        db = driver(connection)
        rows = db.execute(f"SELECT {_COLUMNS} FROM bus.verification ORDER BY id DESC LIMIT %s", (limit,)).fetchall()
    found = [Run(*row) for row in rows]
    now = datetime.now(UTC)
    return [_as_it_is(one, now) for one in found]


def run(database: Database, number: int) -> Run:
    """Raises ConfigError when there is none."""
    with database.transaction() as connection:
        row = driver(connection).execute(f"SELECT {_COLUMNS} FROM bus.verification WHERE id = %s", (number,)).fetchone()
    if row is None:
        raise ConfigError(f"Нет проверки № {number}. Посмотрите список: Управление → Цепочка хешей")
    return _as_it_is(Run(*row), datetime.now(UTC))


def _as_it_is(found: Run, now: datetime) -> Run:
    if found.outcome != "running" or now - found.seen_at < SILENT:
        return found
    values = {name: getattr(found, name) for name in Run.__dataclass_fields__}
    return Run(**{**values, "outcome": "stopped", "note": "Процесс, который проверял, остановлен: запустите снова"})


class Recorded:
    """One verification at a time in the cluster: `begin`, then `go`; its progress and its end are in bus.verification.

    Raises ConfigError (`begin`) when another one runs.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._locks = ClusterLocks(database)

    def begin(self, *, actor: str, first: int = 1) -> int:
        """Take the lock and note the beginning; the number of this verification."""
        try:
            if not self._is_free():
                raise ConfigError("Проверка цепочки уже идёт: дождитесь её конца")
            with self._database.transaction() as connection:
                db = driver(connection)
                row = db.execute(
                    "INSERT INTO bus.verification (started_by, first_block, last_block) "
                    "VALUES (%s, %s, (SELECT coalesce(max(number), 0) FROM bus.seal)) RETURNING id",
                    (actor, max(1, first)),
                ).fetchone()
                assert row is not None
                audit.record(db, actor, "chain.verified", "chain", str(row[0]), "Начата проверка цепочки хешей")
        except BaseException:
            self._locks.close()
            raise
        return int(row[0])

    def _is_free(self) -> bool:
        """The lock; the server lets it go a moment after its last holder has ended."""
        ends = time.monotonic() + _PATIENCE_S
        while not (held := self._locks.hold(LOCK)) and time.monotonic() < ends:
            time.sleep(0.05)
        return held

    def go(self, number: int, *, first: int = 1, kept: tuple[Head, ...] = (), **how: Any) -> Report:
        """Check and note; frees the lock. Takes what `verify` takes."""
        told = how.pop("progress", lambda _: None)

        def progress(report: Report) -> None:
            self._note(number, report)
            told(report)

        try:
            report = verify(self._database, first=first, kept=kept, progress=progress, **how)
            self._end(number, report)
            return report
        except BaseException as error:
            note = getattr(error, "reason", "") or f"Ошибка программы: {type(error).__name__}"
            self._fail(number, note)
            raise
        finally:
            self._locks.close()

    def _note(self, number: int, report: Report) -> None:
        with self._database.transaction(durable=False) as connection:
            driver(connection).execute(
                "UPDATE bus.verification SET seen_at = clock_timestamp(), blocks = %s, rows = %s, last_block = %s "
                "WHERE id = %s",
                (report.blocks, report.rows, report.last, number),
            )

    def _end(self, number: int, report: Report) -> None:
        outcome = "stopped" if report.stopped else "whole" if report.whole else "broken"
        self._note(number, report)
        with self._database.transaction() as connection:
            driver(connection).execute(
                "UPDATE bus.verification SET finished_at = clock_timestamp(), outcome = %s, head = %s, report = %s "
                "WHERE id = %s",
                (outcome, str(report.head or ""), json.dumps(report.plain(), ensure_ascii=False), number),
            )

    def _fail(self, number: int, note: str) -> None:
        try:
            with self._database.transaction() as connection:
                driver(connection).execute(
                    "UPDATE bus.verification SET finished_at = clock_timestamp(), outcome = 'failed', note = %s "
                    "WHERE id = %s",
                    (note, number),
                )
        except Unavailable:  # told as silent then
            pass


_COLUMNS: Final = ", ".join(Run.__dataclass_fields__)
