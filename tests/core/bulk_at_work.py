"""A process for the tests to kill: it does the jobs of a database. `python bulk_at_work.py DATABASE_URL DATA_DIR`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from core.bus import Bus
from core.route import Context, Route
from core.settings import Settings

route = Route("t.work", title="Работа")


@route.handler
def work(_body: Any, _context: Context) -> None:
    """Nothing: this process drains no queue."""


def main(url: str, data_dir: str) -> None:
    settings = Settings(database_url=url, data_dir=Path(data_dir), rolling=True)
    with Bus.open(settings, [route], []) as bus:
        bus.start(intake=False, work=False, schedule=True)
        print("at work", flush=True)
        sys.stdin.read()  # until the test closes it, or a crash point kills us


if __name__ == "__main__":
    main(*sys.argv[1:])
