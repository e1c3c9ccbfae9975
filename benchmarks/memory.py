"""Memory of the bus over many messages: what it holds after the warm-up is what it holds at the end."""

from __future__ import annotations

import gc
from typing import Final

import psutil

from benchmarks import bus as bus_bench
from benchmarks.harness import Result, count, result, scratch_bus, start, wait_for

NAME: Final = "memory"
MOST_GROWTH: Final = 0.10
GOAL: Final = "память ровная (±10 %) на 100 000 сообщений"
WAVE: Final = 5_000


def run(messages: int = 100_000) -> Result:
    """RSS of the bus's two processes (intake; workers) in MiB, after the first tenth and at the end."""
    readings: list[float] = []
    modules = [bus_bench.__name__]
    with scratch_bus(modules) as bus:
        bus_bench.Table.metadata.create_all(bus.database.engine)
        start(bus)
        parent = psutil.Process()
        processes = [parent, *(one for one in parent.children() if "python" in one.name())]
        for first in range(0, messages, WAVE):
            bus_bench.fill(bus, WAVE, first)
            wait_for(bus, "SELECT count(*) FROM bench_row", first + WAVE)
            gc.collect()
            readings.append(sum(process.memory_info().rss for process in processes) / 2**20)
        assert count(bus, "SELECT count(*) FROM bench_row") == messages
    warm = readings[max(0, len(readings) // 10 - 1)]
    growth = max(abs(one - warm) for one in readings[len(readings) // 10 :]) / warm
    return result(
        NAME,
        GOAL,
        {"greatest deviation from the warm state": growth, "end against warm": readings[-1] / warm},
        growth <= MOST_GROWTH,
        messages=messages,
        processes=len(processes),
        warm_mib=round(warm, 1),
        end_mib=round(readings[-1], 1),
    )
