"""The watch: one process of the cluster looks at the gauges every few seconds, keeps the book and tells the channels.

It sleeps in between; a channel that is away is tried again with a growing pause and delays the others by its
time-out at most. A process that only takes messages in stands by: it watches while no scheduler lives.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import structlog

from core import rates
from core.alerting import book
from core.alerting.book import Book, Notice
from core.alerting.bulletin import bulletin
from core.alerting.channels import Channel, channels, severities
from core.alerting.rules import CLOCKS, judge
from core.database import Database, driver
from core.errors import BusError
from core.gauges import Watched
from core.locks import ClusterLocks
from core.settings import Settings

PAUSE_S: Final = 10.0
PAUSE_MOST_S: Final = 300.0
"""After the first failure of a channel, and at most."""
TIDY_S: Final = 3600.0
LOCK: Final = "alerts"
_log = structlog.get_logger(__name__)


class Watch:
    """Runs until `stop`. standby: only while no process lives that would do it."""

    def __init__(self, database: Database, watched: Watched, settings: Settings, *, standby: bool = False) -> None:
        self._database = database
        self._watched = watched
        self._settings = settings.alerts
        self._console_url = settings.console_url
        self._zone = ZoneInfo(settings.alerts.timezone)
        self._channels: list[Channel] = channels(settings.alerts)
        self._book = Book(settings.alerts, severities(self._channels))
        self._standby = standby
        self._locks = ClusterLocks(database)
        self._tidied_at = float("-inf")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._locks.close()

    def once(self) -> bool:
        """Look, decide, tell; False when another process does it. Raises BusError."""
        if self._standby and self._is_watched():
            self._locks.close()
            return False
        if not self._locks.hold(LOCK):
            return False
        gauges = self._watched.look()
        judgement = judge(gauges, self._settings.limits)
        with self._database.transaction() as connection:
            self._book.note(driver(connection), judgement, gauges.at)
        for channel in self._channels:
            self._tell(channel, gauges.at)
        if time.monotonic() - self._tidied_at > TIDY_S:
            self._tidied_at = time.monotonic()
            with self._database.transaction() as connection:
                rates.forget(driver(connection))
                book.forget(driver(connection), [one.name for one in self._channels], gauges.at)
        return True

    def _is_watched(self) -> bool:
        with self._database.transaction(durable=False) as connection:
            rows = driver(connection).execute("SELECT DISTINCT role FROM bus.live_process").fetchall()
        return any(row[0] in CLOCKS for row in rows)

    def _tell(self, channel: Channel, now: datetime) -> None:
        with self._database.transaction() as connection:
            notices = self._book.due(driver(connection), channel.name, now)
        if not notices:
            return
        try:
            channel.send(bulletin(notices, now, console_url=self._console_url, zone=self._zone), datetime.now(UTC))
        except BusError as error:
            self._failed(channel, notices, now, error.reason)
        except Exception as error:  # a defect of ours must not silence the other channels
            _log.exception("alert not sent", channel=channel.name)
            self._failed(channel, notices, now, f"Ошибка в программе: {type(error).__name__}")
        else:
            with self._database.transaction() as connection:
                book.told(driver(connection), notices, now)

    def _failed(self, channel: Channel, notices: list[Notice], now: datetime, reason: str) -> None:
        attempts = max(one.attempts for one in notices)
        pause_s = min(PAUSE_S * 2 ** min(attempts, 10), PAUSE_MOST_S)
        _log.warning("alert not sent", channel=channel.name, reason=reason, again_s=pause_s)
        with self._database.transaction() as connection:
            book.not_told(driver(connection), notices, now + timedelta(seconds=pause_s), reason)

    def _run(self) -> None:
        while not self._stopping.wait(self._settings.every_s):
            try:
                self.once()
            except BusError as error:
                _log.warning("alerts not looked at", reason=error.reason)
            except Exception:
                _log.exception("alerts not looked at")
