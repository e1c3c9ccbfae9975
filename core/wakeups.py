"""Wake-ups between processes of one machine that share no broker: PostgreSQL's NOTIFY.

Like every signal they may be lost: the sweep finds the work. They are coalesced: a queue that is woken a thousand
times in a moment is told once.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import psycopg
import structlog

from core.database import Database, Driver

CHANNEL = "omsbus_work"
GATHER_S = 0.003
"""Wake-ups that come within this time go out together."""
AGAIN_S = 1.0
"""Pause before a lost connection is opened again."""
LOOK_S = 0.5

_log = structlog.get_logger(__name__)


class Announcer:
    """Tells other processes that queues have work. `wake` never blocks and never raises."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: set[str] = set()
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="announcer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._news.set()
        self._thread.join()

    def wake(self, queue: str) -> None:
        with self._lock:
            self._waiting.add(queue)
        self._news.set()

    def _run(self) -> None:
        connection: Driver | None = None
        while not self._stopping.is_set():
            self._news.wait()
            self._stopping.wait(GATHER_S)
            self._news.clear()
            with self._lock:
                queues, self._waiting = self._waiting, set()
            try:
                connection = connection or self._database.dedicated()
                for queue in queues:
                    announce(connection, queue)
            except psycopg.Error as error:
                _log.warning("not announced", error=type(error).__name__)
                connection = None
                self._stopping.wait(AGAIN_S)
        if connection is not None:
            connection.close()


class Listener:
    """Passes what other processes announce on to the workers of this one."""

    def __init__(self, database: Database, wake: Callable[[str], None]) -> None:
        self._database = database
        self._wake = wake
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with contextlib.closing(self._database.dedicated()) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    while not self._stopping.is_set():
                        for notice in connection.notifies(timeout=LOOK_S):
                            self._wake(notice.payload)
                            if self._stopping.is_set():
                                break
            except psycopg.Error as error:
                _log.warning("not listening", error=type(error).__name__)
                self._stopping.wait(AGAIN_S)


def announce(connection: Driver, queue: str) -> None:
    """Say in one statement that a queue has work."""
    connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, queue))
