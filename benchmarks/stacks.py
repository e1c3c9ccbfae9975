"""Measures a stack (the bus, the plain one) with workload W1, and what a kill -9 of everything leaves of it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Protocol

import psutil
import psycopg

from benchmarks.load import REG, Load

DRAINED_S: Final = 300.0
QUIET_S: Final = 10.0
"""After a crash: no new row for so long, and nothing more will come."""
_SAMPLE_S: Final = 0.1


class Stack(Protocol):
    """What is measured, running: a `url` to POST to."""

    url: str

    def processes(self) -> Sequence[psutil.Process]:
        """Whose memory counts."""

    def kill(self) -> None:
        """kill -9 of all its processes."""

    def restart(self) -> None:
        """Start what was killed; returns when it works."""


def measure(stack: Stack, database_url: str, *, messages: int = 3000, warm_up: int = 300) -> dict[str, Any]:
    """Rates a second, p50 and p99 of the POST in ms, peak RSS in MiB, and whether every message became one row."""
    with _reg(database_url) as reg, PeakRss(stack.processes) as peak:
        with Load(stack.url, messages=messages, warm_up=warm_up, wait=True) as load:
            load.until("warm")
            reg.wait_for(warm_up)
            load.go()
            reg.wait_for(warm_up + messages)
            ended_at = time.monotonic()
            report = load.report()
        rows = reg.counts()
    return {
        "accepted_per_s": round(report.accepted_per_s, 1),
        "end_to_end_per_s": round(messages / (ended_at - report.begun_at), 1),
        "p50_ms": round(report.p50_ms, 1),
        "p99_ms": round(report.p99_ms, 1),
        "peak_rss_mib": round(peak.mib, 1),
        "refused": report.refused,
        "lost": len(set(report.answered) - rows.keys()),
        "doubled": sum(1 for number in rows.values() if number > 1),
    }


def crash(stack: Stack, database_url: str, *, messages: int = 2000) -> dict[str, Any]:
    """kill -9 of everything when half of the messages are answered, a restart, the other half.

    lost: answered 2xx and absent; doubled: ids present more than once; unanswered: sent, no answer, not repeated.
    """
    with _reg(database_url) as reg:
        with Load(stack.url, messages=messages, go_on=True, notify_at=messages // 2) as load:
            load.until("warm")
            load.until("reached")
            stack.kill()
            stack.restart()
            report = load.report()
        reg.wait_until_quiet()
        rows = reg.counts()
    return {
        "answered": len(report.answered),
        "unanswered": len(report.unanswered),
        "lost": len(set(report.answered) - rows.keys()),
        "doubled": sum(1 for number in rows.values() if number > 1),
    }


class Reg:
    """The table reg, seen from a connection of its own."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def rows(self) -> int:
        row = self._connection.execute("SELECT count(*) FROM reg").fetchone()
        return int(row[0]) if row else 0

    def counts(self) -> dict[str, int]:
        """{id: how many rows have it}"""
        return dict(self._connection.execute("SELECT id, count(*) FROM reg GROUP BY id").fetchall())

    def wait_for(self, number: int) -> None:
        """Until there are so many rows. Raises TimeoutError."""
        until(lambda: self.rows() >= number, DRAINED_S)

    def wait_until_quiet(self) -> None:
        """Until nothing more comes: QUIET_S without a new row."""
        seen, since = -1, time.monotonic()
        while time.monotonic() - since < QUIET_S:
            if (now := self.rows()) != seen:
                seen, since = now, time.monotonic()
            time.sleep(0.1)


@contextlib.contextmanager
def _reg(database_url: str) -> Iterator[Reg]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(REG.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"))
        connection.execute("TRUNCATE reg")
        yield Reg(connection)


class PeakRss:
    """The greatest sum of the resident memory of some processes, sampled; MiB."""

    def __init__(self, processes: Callable[[], Sequence[psutil.Process]]) -> None:
        self._processes = processes
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.mib = 0.0

    def __enter__(self) -> PeakRss:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_SAMPLE_S):
            total = 0
            for process in self._processes():
                with contextlib.suppress(psutil.Error):
                    total += process.memory_info().rss
            self.mib = max(self.mib, total / 2**20)


def until(condition: Callable[[], Any], limit_s: float) -> None:
    """Raises TimeoutError when it does not come true."""
    ends = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutError(f"it did not come true in {limit_s:.0f} s")
        time.sleep(0.02)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
