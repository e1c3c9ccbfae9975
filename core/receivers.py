"""Polls the sources: one thread a source, one process of the cluster at a time."""

from __future__ import annotations

import contextlib
import math
import random
import threading
import time
from collections.abc import Callable, Mapping

import structlog

from core.connector import Source, cron_of
from core.database import Database, driver
from core.engine import Engine
from core.errors import BusError, ConfigError, Unavailable
from core.locks import ClusterLocks

POLL_MOST = 300
"""Batches taken in one poll before the source's state is looked at again."""
LOOK_S = 0.5
"""How often the state (paused? poll asked for?) is looked at; also how often the lock is tried."""
REST_MOST_S = 300.0

_log = structlog.get_logger(__name__)


class Receivers:
    """Runs the polls until `stop`."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        sources: Mapping[str, Source],
        refusal: Callable[[], str] = lambda: "",
    ) -> None:
        """refusal: why nothing may be taken now (Russian), "" when it may; looked at before each batch."""
        self._refusal = refusal
        self._database = database
        self._engine = engine
        self._sources = sources
        self._locks = ClusterLocks(database)
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(name, source), name=f"source {name}")
            for name, source in sources.items()
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the polls under way and return."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._locks.close()

    def _run(self, name: str, source: Source) -> None:
        by_clock = bool(cron_of(source))
        due = math.inf if by_clock else 0.0
        failures = 0
        while not self._stopping.is_set():
            try:
                if self._locks.hold(f"source {name}") and self._wanted(name, due):
                    failures = self._poll(name, source, failures)
                    pause_s = source.interval_s * random.uniform(1.0, 1.1)
                    if not by_clock:
                        due = time.monotonic() + max(pause_s, rest_s(failures))
            except Unavailable as error:
                _log.warning("database away", source=name, reason=error.reason)
            except Exception:  # whatever it is, the polling of this source goes on
                _log.exception("source failed", source=name)
            until_due_s = due - time.monotonic()
            self._stopping.wait(min(LOOK_S, until_due_s) if until_due_s > 0 else LOOK_S)

    def _wanted(self, name: str, due: float) -> bool:
        """The interval is over and the source runs, or somebody asked for a poll (a paused one obeys too)."""
        with self._database.transaction(durable=False) as connection:
            row = (
                driver(connection)
                .execute(
                    "SELECT state, poll_asked_at IS NOT NULL AND poll_asked_at > coalesce(polled_at, '-infinity') "
                    "FROM bus.queue WHERE name = %s",
                    (name,),
                )
                .fetchone()
            )
        return bool(row and (row[1] or (row[0] == "running" and time.monotonic() >= due)))

    def _poll(self, name: str, source: Source, failures: int) -> int:
        """One poll: take everything that is there; the number of failures in a row."""
        taken = 0
        try:
            for _ in range(POLL_MOST):
                if refusal := self._refusal():
                    with contextlib.suppress(Unavailable):  # a full disk takes no notes either
                        self._note(name, f"Принято {taken}, затем: {refusal}" if taken else refusal)
                    return failures
                deliveries = source.receive()
                if not deliveries:
                    break
                taken += len(self._engine.accept(deliveries))
                if self._stopping.is_set():
                    break
        except ConfigError as error:
            self._note(name, f"Остановлен: {error.reason}", stopped=error.reason)
            return 0  # resumed by a person who has mended it: no reason to wait
        except BusError as error:
            self._note(name, f"Принято {taken}, затем: {error.reason}", failures=failures + 1)
            return failures + 1
        except Exception as error:
            # A defect of the connector: it must not end the polling of this source, nor of others.
            _log.exception("source failed", source=name)
            self._note(
                name,
                f"Ошибка в программе коннектора ({type(error).__name__}): передайте журнал разработчику",
                failures + 1,
            )
            return failures + 1
        self._note(name, f"Принято {taken}" if taken else "Пусто")
        return 0

    def _note(self, name: str, result: str, failures: int = 0, *, stopped: str = "") -> None:
        with self._database.transaction(durable=False) as connection:
            driver(connection).execute(
                "UPDATE bus.queue SET polled_at = clock_timestamp(), poll_result = %(result)s, "
                "failures = %(failures)s, "
                "state = CASE WHEN %(stopped)s <> '' THEN 'stopped' ELSE state END, "
                "reason = CASE WHEN %(stopped)s <> '' THEN %(stopped)s ELSE reason END WHERE name = %(name)s",
                {"result": result, "failures": failures, "stopped": stopped, "name": name},
            )


def rest_s(failures: int) -> float:
    """Seconds to leave a source alone after so many failures in a row."""
    return min(2.0 ** min(failures, 10), REST_MOST_S) if failures else 0.0
