"""The processes that share a database: each knows of the others, and none goes on that must not.

A process that runs parts of the bus is a row of bus.process from `join` to `leave`. One small thread moves its beat;
an advisory lock of its connection says that it lives, so a killed one is known at once and a lost machine in 60 s.

Refused at the start, with a ConfigError that says what to do:
    another configuration than a live process has (core/configuration.py), unless `rolling` is set
    a migration while processes of the older schema live, unless `rolling` is set
    a clock that differs from the database's by more than `clock_most_s`
Found at a beat, a process ends: its parts stop, its row keeps "stopped" and why, it exits with code 1:
    the schema was migrated further; the clock went away; an older process has another configuration (of two that
    found each other late, after the database was away, the one that started later yields, unless `rolling` let it in)
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg
import structlog

from core import printing
from core.configuration import Configuration, version
from core.database import Database, Driver
from core.errors import BusError, ConfigError, Unavailable
from core.neighbours import heads, named

BEAT_S = 5.0
LOOK_AROUND_BEATS: Final = 12
"""Every so many beats somebody looks for queues that nobody serves."""
DEAD_S: Final = 60
"""Without a beat for so long a process counts as dead (the view bus.live_process)."""
FORGET_S: Final = 86_400
JOIN_LOCK: Final = 0x6F6D7303
"""Held in the transaction of whoever joins or changes what is declared."""
_LIFE_CLASS: Final = 0x6F6D7302
_NO_WRITES = (psycopg.errors.DiskFull, psycopg.errors.ReadOnlySqlTransaction)
_log = structlog.get_logger(__name__)


def now() -> float:
    """This machine's clock, seconds since the epoch."""
    return time.time()


class Membership:
    """This process among the others. Thread-safe.

    describe     makes the configuration; asked once, at `join`
    end          stops the parts of this process; called once by the beat, when the process must not go on
    look_around  called every minute while this process is a member
    """

    def __init__(
        self,
        database: Database,
        schemas: Sequence[str],
        describe: Callable[[], Configuration],
        *,
        rolling: bool,
        clock_most_s: float,
        end: Callable[[], None],
        look_around: Callable[[], None],
    ) -> None:
        self._database = database
        self._schemas = schemas
        self._describe = describe
        self._rolling = rolling
        self._clock_most_s = clock_most_s
        self._end = end
        self._look_around = look_around
        self._connection: Driver | None = None
        self._row: dict[str, Any] = {}
        self._guard = threading.Lock()
        self._leaving = threading.Event()
        self._told: list[threading.Event] = []
        self._thread: threading.Thread | None = None
        self.reason = ""
        """Why this process must not go on."""

    # ── start ────────────────────────────────────────────────────────────────────────────────────────────────────

    def check_in(self) -> None:
        """Before anything is written: is the clock right? Raises ConfigError, Unavailable."""
        with self._connected() as db:
            if problem := self._clock_problem(_clock(db)):
                raise ConfigError(problem)

    def join(self) -> bool:
        """Become a member, and beat from now on; True when nobody else lives. Raises ConfigError, Unavailable."""
        if self._thread is not None:
            return False
        found = self._describe()
        with self._connected() as db, db.transaction():
            db.execute("SELECT pg_advisory_xact_lock(%s)", (JOIN_LOCK,))
            clock = _clock(db)
            if problem := self._clock_problem(clock) or self._conflict(db, found):
                raise ConfigError(problem)
            others = db.execute("SELECT count(*) FROM bus.live_process").fetchone()
            self._row = {
                "role": "", "host": socket.gethostname(), "pid": os.getpid(), "version": version(),
                "heads": json.dumps(heads(db, self._schemas)), "fingerprint": found.fingerprint,
                "configuration": json.dumps(found.parts), "serves": json.dumps(found.serves),
                "rolling": self._rolling, "clock_off_s": clock.off_s, "state": "starting",
            }  # fmt: skip
            # On a full disk the bus must come up all the same: the beat writes the row as soon as there is room.
            with contextlib.suppress(*_NO_WRITES), db.transaction():
                self._insert(db)
        self._thread = threading.Thread(target=self._run, args=(found,), name="cluster", daemon=True)
        self._thread.start()
        return others == (0,)

    def appear(self) -> None:
        """Write the row that could not be written at `join`. Raises Unavailable."""
        with self._connected() as db:
            self._write(db)

    def began(self, role: str) -> None:
        """The parts run."""
        with self._guard:
            self._row |= {"role": role, "state": "running"}
        with contextlib.suppress(BusError), self._connected() as db:
            db.execute(
                "DELETE FROM bus.process p WHERE NOT EXISTS (SELECT 1 FROM bus.live_process l WHERE l.id = p.id) "
                "AND (p.beat_at < clock_timestamp() - make_interval(secs => %s) OR (p.host, p.role) = (%s, %s))",
                (FORGET_S, self._row["host"], role),
            )
            self._write(db)

    def until(self, stopping: threading.Event) -> None:
        """Wait for `stopping`. Raises ConfigError when this process must not go on."""
        self._told.append(stopping)
        if self.reason:
            stopping.set()
        stopping.wait()
        if self.reason:
            raise ConfigError(self.reason)

    def leave(self) -> None:
        """No member any more. The row of a process that had to end stays, for people to see. Idempotent."""
        self._leaving.set()
        if self._thread is not None:
            self._thread.join()
        with self._guard:
            if self._connection is None:
                return
            with contextlib.suppress(psycopg.Error):
                if "id" in self._row and not self.reason:
                    self._connection.execute("DELETE FROM bus.process WHERE id = %s", (self._row["id"],))
                self._connection.close()
            self._connection = None

    # ── the beat ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _run(self, found: Configuration) -> None:
        beats = 0
        while not self._leaving.wait(BEAT_S):
            beats += 1
            try:
                if problem := self._beat(found):
                    self._finish(problem)
                    return
                if beats % LOOK_AROUND_BEATS == 0:
                    self._look_around()
            except BusError:
                pass  # the database is away: the parts say so
            except Exception:
                _log.exception("cluster")

    def _beat(self, found: Configuration) -> str:
        """Say that we live; why we must not go on, "" when we may."""
        with self._connected() as db:
            clock = _clock(db)
            self._row["clock_off_s"] = clock.off_s
            if json.dumps(heads(db, self._schemas)) != self._row["heads"]:
                problem = (
                    "Схему базы обновил процесс новой версии программы; этот остановлен, чтобы не работать наполовину. "
                    "Обновите программу на этой машине и запустите снова"
                )
            else:
                problem = self._clock_problem(clock) or self._conflict(db, found, self._row.get("started_at"))
        with contextlib.suppress(Unavailable), self._connected() as db:  # the disk may be full
            self._write(db)
        return problem

    def _finish(self, problem: str) -> None:
        self.reason = problem
        _log.error("process must not go on", reason=problem)
        self._row |= {"state": "stopped", "reason": problem}
        with contextlib.suppress(BusError), self._connected() as db:
            self._write(db)
        try:
            self._end()
        except Exception:
            _log.exception("stop failed")
        finally:
            for event in self._told:
                event.set()

    def _write(self, db: Driver) -> None:
        values = {"id": None, "reason": ""} | self._row
        changed = db.execute(
            "UPDATE bus.process SET beat_at = clock_timestamp(), clock_off_s = %(clock_off_s)s, state = %(state)s, "
            "reason = %(reason)s, role = %(role)s WHERE id = %(id)s",
            values,
        )
        if not changed.rowcount:  # taken for dead while the database or this machine slept
            self._insert(db)

    def _insert(self, db: Driver) -> None:
        values = {"id": None, "started_at": None, "reason": ""} | self._row
        row = db.execute(
            "INSERT INTO bus.process (id, role, host, pid, version, heads, fingerprint, configuration, serves, "
            "rolling, started_at, beat_at, clock_off_s, state, reason) VALUES ("
            "coalesce(%(id)s::bigint, nextval(pg_get_serial_sequence('bus.process', 'id'))), %(role)s, %(host)s, "
            "%(pid)s, %(version)s, %(heads)s, %(fingerprint)s, %(configuration)s, %(serves)s, %(rolling)s, "
            "coalesce(%(started_at)s::timestamptz, clock_timestamp()), clock_timestamp(), %(clock_off_s)s, "
            "%(state)s, %(reason)s) RETURNING id, started_at",
            values,
        ).fetchone()
        assert row is not None
        self._row |= {"id": row[0], "started_at": row[1]}
        db.execute("SELECT pg_try_advisory_lock(%s, %s)", (_LIFE_CLASS, row[0]))

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Driver]:
        """Our own connection, opened anew after it was lost, with our lock. Raises Unavailable."""
        with self._guard:
            try:
                if self._connection is None:
                    self._connection = self._database.dedicated()
                    self._connection.execute(
                        "SET synchronous_commit TO off"
                    )  # a crash of the server ends us all anyway
                    if "id" in self._row:
                        self._connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (_LIFE_CLASS, self._row["id"]))
                yield self._connection
            except (psycopg.OperationalError, psycopg.InterfaceError, *_NO_WRITES) as error:
                if self._connection is not None:
                    with contextlib.suppress(psycopg.Error):
                        self._connection.close()
                self._connection = None
                raise Unavailable("База данных недоступна: шина повторит сама", detail=str(error)) from error

    # ── what may be wrong ────────────────────────────────────────────────────────────────────────────────────────

    def _clock_problem(self, clock: _Clock) -> str:
        if abs(clock.off_s) - clock.slack_s <= self._clock_most_s:
            return ""
        off = f"{'спешат' if clock.off_s > 0 else 'отстают'} на {printing.lasting(round(abs(clock.off_s)))}"
        return (
            f"Часы этой машины {off} против часов базы данных; допустимо {printing.lasting(self._clock_most_s)} "
            "(clock_most_s). Включите службу точного времени (chrony или systemd-timesyncd) на обеих машинах и "
            "запустите снова"
        )

    def _conflict(self, db: Driver, mine: Configuration, since: datetime | None = None) -> str:
        """An older live process with another configuration."""
        if self._rolling:
            return ""
        row = db.execute(
            "SELECT role, host, pid, started_at, configuration FROM bus.live_process WHERE fingerprint <> %s "
            "AND started_at < coalesce(%s::timestamptz, 'infinity') ORDER BY started_at LIMIT 1",
            (mine.fingerprint, since),
        ).fetchone()
        if row is None:
            return ""
        return (
            f"С этой базой уже работает процесс с другой настройкой или версией: {named(row)}. Отличаются: "
            f"{mine.differences(row[4])}. Запустите с теми же настройками и программой либо сначала остановите тот "
            "процесс; при обновлении без остановки задайте OMSBUS_ROLLING=true"
        )


@dataclass(frozen=True, slots=True)
class _Clock:
    """off_s: our clock minus the database's, known to ± slack_s."""

    off_s: float
    slack_s: float


def _clock(db: Driver) -> _Clock:
    before = now()
    row = db.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    after = now()
    assert row is not None
    return _Clock((before + after) / 2 - row[0], abs(after - before) / 2)
