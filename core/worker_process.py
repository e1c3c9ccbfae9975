"""The child of core.processes: `python -m core.worker_process`. Drains until the pipe from its parent closes."""

from __future__ import annotations

import json
import signal
import sys

from core import logs
from core.bus import Bus
from core.processes import READY_LINE
from core.settings import Settings


def main() -> None:
    """Read one line of JSON (the settings), drain, end with the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the whole group; the parent says when
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    settings = Settings(**json.loads(sys.stdin.buffer.readline()))
    logs.set_up(settings.log_level)
    with Bus.open(settings, declare=False) as bus:
        bus.start(intake=False, work=True, schedule=False)
        sys.stdout.buffer.write(READY_LINE + b"\n")
        sys.stdout.buffer.flush()
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
