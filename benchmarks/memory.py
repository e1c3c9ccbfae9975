"""Memory of the bus over many messages: what it holds after the warm-up is what it holds at the end."""

from __future__ import annotations

import gc
from typing import Final

import psutil

from benchmarks import bus as bus_bench
from benchmarks.harness import Result, count, in_database, result, scratch_bus, wait_for

NAME: Final = "memory"
MOST_GROWTH: Final = 0.10
GOAL: Final = "память ровная (±10 %) на 100 000 сообщений"
WAVE: Final = 5_000


def run(messages: int = 100_000) -> Result:
    """RSS of the whole process (intake, workers, engine) in MiB, after the first tenth and at the end."""
    process = psutil.Process()
    readings: list[float] = []
    with scratch_bus([bus_bench.route]) as bus:
        in_database(bus, lambda db: bus_bench.Table.metadata.create_all(bus.database.engine))
        bus.start(intake=False, work=True, schedule=False)
        for first in range(0, messages, WAVE):
            bus_bench.fill(bus, WAVE, first)
            wait_for(bus, "SELECT count(*) FROM bench_row", first + WAVE)
            gc.collect()
            readings.append(process.memory_info().rss / 2**20)
        assert count(bus, "SELECT count(*) FROM bench_row") == messages
    warm = readings[max(0, len(readings) // 10 - 1)]
    growth = max(abs(one - warm) for one in readings[len(readings) // 10 :]) / warm
    return result(
        NAME,
        GOAL,
        {"greatest deviation from the warm state": growth, "end against warm": readings[-1] / warm},
        growth <= MOST_GROWTH,
        messages=messages,
        warm_mib=round(warm, 1),
        end_mib=round(readings[-1], 1),
    )
