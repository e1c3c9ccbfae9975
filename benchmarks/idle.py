"""What an idle bus costs: processor time and memory of `omsbus run`, its child and, apart, its PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil

from benchmarks.harness import Result, result
from benchmarks.w1 import BusStack
from core import postgres

NAME: Final = "idle"
MOST_CORE_SHARE: Final = 0.02
MOST_RSS_MIB: Final = 250.0
GOAL: Final = "шина без работы: менее 2 % ядра и менее 250 МБ памяти (процесс шины и его обработчик вместе)"
REST_S: Final = 8.0
WATCH_S: Final = 20.0


def run() -> Result:
    """Shares of one core; MiB."""
    with tempfile.TemporaryDirectory(prefix="omsbus-bench-") as folder:
        home = Path(folder)
        with postgres.embedded(home) as url, BusStack(url, home / "bus") as bus:
            time.sleep(REST_S)  # what a start leaves behind is over
            servers = [one for one in psutil.process_iter() if _belongs(one, home)]
            begun = _cpu_s(bus.processes()), _cpu_s(servers)
            time.sleep(WATCH_S)
            share = (_cpu_s(bus.processes()) - begun[0]) / WATCH_S
            server_share = (_cpu_s(servers) - begun[1]) / WATCH_S
            sizes = [one.memory_info().rss / 2**20 for one in bus.processes()]
    return result(
        NAME,
        GOAL,
        {
            "share of a core against the limit": share / MOST_CORE_SHARE,
            "memory against the limit": sum(sizes) / MOST_RSS_MIB,
        },
        share < MOST_CORE_SHARE and sum(sizes) < MOST_RSS_MIB,
        core_percent=round(share * 100, 2),
        postgres_core_percent=round(server_share * 100, 2),
        rss_mib=[round(one, 1) for one in sizes],
        watched_s=WATCH_S,
        load_average=round(os.getloadavg()[0], 1),
    )


def _cpu_s(processes: Sequence[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _belongs(process: psutil.Process, home: Path) -> bool:
    with contextlib.suppress(psutil.Error):
        line = process.cmdline()
        if line and "postgres" in line[0] and any(str(home) in word for word in line):
            return True
        parent = process.parent()
        return process.name().startswith("postgres") and parent is not None and str(home) in " ".join(parent.cmdline())
    return False
