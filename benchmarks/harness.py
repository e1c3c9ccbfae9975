"""What every benchmark gives back, and where it runs: two things compared in one run, the ratio, the conditions."""

from __future__ import annotations

import contextlib
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from core.bus import Bus
from core.database import driver
from core.errors import ConfigError
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
def scratch_bus(modules: Sequence[str], *, workers: int = 2, connector: str = "") -> Iterator[Bus]:
    """A bus with the routes of these modules, on an embedded PostgreSQL of its own (fsync on), deleted afterwards.

    connector: type of a connector to configure under the name "smev"; the benchmark pauses its queue.
    """
    with tempfile.TemporaryDirectory(prefix="omsbus-bench-") as folder:
        settings = Settings(data_dir=Path(folder), workers=workers)
        if connector:
            nothing = {"type": connector, "endpoints": {"1.3": "http://127.0.0.1:9"}, "trust_dir": folder}
            keys = {"key_file": f"{folder}/none", "certificate_file": f"{folder}/none"}
            settings = settings.model_copy(update={"connectors": {"smev": {**nothing, **keys}}})
        settings = settings.model_copy(update={"database_url": None, "route_modules": list(modules)})
        with Bus.open(settings) as bus:
            yield bus


def start(bus: Bus) -> None:
    """Start the workers as `omsbus run` does: in a process of their own."""
    bus.start(intake=False, work=True, schedule=False, processes=1)


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
