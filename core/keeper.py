"""The housekeeper of the bus: runs retention at its hour and notes the disk hourly. One of a cluster does it."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Final

import structlog

from core import disk
from core.database import Database, driver
from core.errors import BusError
from core.locks import ClusterLocks
from core.payloads import PayloadStore
from core.retention import Retention
from core.schedule import Schedule
from core.settings import Settings

LOCK: Final = "retention"
"""Held by whoever runs retention, this thread or `omsbus retention run`."""
LOOK_S: Final = 30.0
NOTE_S: Final = 3600.0
_log = structlog.get_logger(__name__)


class Keeper:
    """A thread until `stop`; a run under way ends after its batch. Raises ConfigError for a cron that is none."""

    def __init__(
        self, database: Database, payloads: PayloadStore, settings: Settings, *, look_s: float = LOOK_S
    ) -> None:
        self._database = database
        self._settings = settings
        self._look_s = look_s
        self._stopping = threading.Event()
        self._retention = Retention(database, payloads, settings.retention, self._stopping)
        self._schedule = Schedule("retention", settings.retention.cron, "", timezone=settings.retention.timezone)
        self._locks = ClusterLocks(database)
        self._since = datetime.now(UTC)
        self._noted_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._locks.close()

    def _run(self) -> None:
        while not self._stopping.wait(self._look_s):
            try:
                if self._locks.hold(f"{LOCK} keeper"):
                    self._look()
            except BusError as error:
                _log.warning("housekeeping", reason=error.reason)
            except Exception:  # whatever it is, the next look comes
                _log.exception("housekeeping")

    def _look(self) -> None:
        if time.monotonic() - self._noted_at >= NOTE_S:
            disk.note(self._database, self._settings)
            self._noted_at = time.monotonic()
        if not self._schedule.missed_runs(self._last(), datetime.now(UTC)):
            return
        # A lock of its own connection, so that it is free for a command in between.
        locks = ClusterLocks(self._database)
        try:
            if locks.hold(LOCK):
                done = self._retention.run()
                _log.info("retention", bodies=done.bodies.total(), records=done.records.total())
        finally:
            locks.close()

    def _last(self) -> datetime:
        with self._database.transaction(durable=False) as connection:
            row = driver(connection).execute("SELECT max(started_at) FROM bus.retention_run").fetchone()
        return max(row[0], self._since) if row and row[0] else self._since
