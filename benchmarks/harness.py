"""What every benchmark gives back, and where it runs: two things compared in one run, the ratio, the conditions."""

from __future__ import annotations

import contextlib
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from core.bus import Bus
from core.connector import Connector
from core.database import Driver, driver
from core.errors import ConfigError
from core.route import Route
from core.settings import Settings

Result = dict[str, Any]


def result(name: str, goal: str, ratios: dict[str, float], reached: bool, **conditions: Any) -> Result:
    """The common shape: name, goal (words), ratios, verdict, conditions."""
    return {
        "name": name,
        "goal": goal,
        "ratios": {what: round(value, 3) for what, value in ratios.items()},
        "verdict": "reached" if reached else "missed",
        "conditions": {**machine(), **conditions},
    }


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {"python": platform.python_version(), "cores": os.cpu_count(), "system": platform.platform()}


@contextlib.contextmanager
def scratch_bus(
    routes: list[Route], connectors: list[Connector] | None = None, *, workers: int = 2, batch_most: int = 256
) -> Iterator[Bus]:
    """A bus on an embedded PostgreSQL of its own (fsync on), in a folder that is deleted afterwards."""
    with tempfile.TemporaryDirectory(prefix="omsbus-bench-") as folder:
        settings = Settings(data_dir=Path(folder), workers=workers, batch_most=batch_most, database_url=None)
        with Bus.open(settings.model_copy(update={"database_url": None}), routes, connectors or []) as bus:
            yield bus


def count(bus: Bus, sql: str, *values: Any) -> int:
    """One number from the database."""
    with bus.database.transaction(durable=False) as connection:
        row = driver(connection).execute(sql, values).fetchone()
    return int(row[0]) if row else 0


def wait_for(bus: Bus, sql: str, number: int, *values: Any, limit_s: float = 120.0) -> float:
    """Seconds until `sql` counts `number`. Raises ConfigError when it takes longer than `limit_s`."""
    began = time.monotonic()
    while (found := count(bus, sql, *values)) < number:
        if time.monotonic() - began > limit_s:
            raise ConfigError(f"Замер не дошёл до конца: {found} из {number} за {limit_s:.0f} с")
        time.sleep(0.02)
    return time.monotonic() - began


def in_database(bus: Bus, work: Callable[[Driver], Any]) -> Any:
    """Run `work` in a transaction."""
    with bus.database.transaction() as connection:
        return work(driver(connection))
