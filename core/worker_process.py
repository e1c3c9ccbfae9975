"""The child of core.processes: `python -m core.worker_process`. Drains until the pipe from its parent closes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading

from core import logs
from core.bus import Bus
from core.errors import BusError
from core.processes import READY_LINE, settle
from core.settings import Settings

NICE = 5
"""Somebody waits for the answer of the intake, nobody for a drain: where a core is short, the parent comes first."""


def main() -> None:
    """Read one line of JSON (the settings), drain, end with the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the whole group; the parent says when
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.nice(NICE)
    settings = Settings(**json.loads(sys.stdin.buffer.readline()))
    logs.set_up(settings.log_level)
    try:
        _work(settings)
    except BusError as error:
        print(f"Ошибка: {error.reason}", file=sys.stderr)
        sys.exit(1)


def _work(settings: Settings) -> None:
    with Bus.open(settings, declare=False) as bus:
        bus.start(intake=False, work=True, schedule=False)
        settle()
        with contextlib.suppress(BrokenPipeError):  # the parent is gone already: seen below
            os.write(1, READY_LINE + b"\n")
        parent_is_gone = threading.Event()
        threading.Thread(target=_watch, args=(parent_is_gone,), daemon=True).start()
        bus.until(parent_is_gone)


def _watch(parent_is_gone: threading.Event) -> None:
    # Not through sys.stdin: its lock would be held when the interpreter ends.
    while os.read(0, 4096):
        pass
    parent_is_gone.set()


if __name__ == "__main__":
    main()
