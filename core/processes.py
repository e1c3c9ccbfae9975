"""Worker processes of the embedded bus: Python uses one core a process, and a machine has more.

The parent takes messages in, keeps the schedules and the web; a child drains the queues. A child that dies is
started again. A child whose parent dies (kill -9 too) finishes its batch and ends: it reads the parent's end of a
pipe. What it needs to know comes as one line of JSON on that pipe, so nothing of it shows in a process list.
"""

from __future__ import annotations

import contextlib
import gc
import json
import subprocess
import sys
import threading
import time

import structlog

from core.errors import Unavailable
from core.settings import Settings

READY_S = 60.0
STOP_S = 30.0
AGAIN_MOST_S = 30.0
STEADY_S = 60.0
"""A child that has lived so long was well: its end is no reason to wait longer than after the first one."""
READY_LINE = b"ready"
_log = structlog.get_logger(__name__)


def settle() -> None:
    """Say that a process has started: what it holds now stays, and the garbage collector need not look at it again.

    A full collection would otherwise stop everybody for a tenth of a second now and then.
    """
    gc.collect()
    gc.freeze()


class WorkerProcess:
    """One child, kept alive until `stop`."""

    def __init__(self, settings: Settings, database_url: str) -> None:
        values = settings.model_dump(mode="json") | {"database_url": database_url}
        self._line = json.dumps(values).encode() + b"\n"
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="worker process", daemon=True)

    def start(self) -> None:
        """Returns when the child drains. Raises Unavailable when it does not come up."""
        self._thread.start()
        if not self._ready.wait(READY_S):
            self.stop()
            raise Unavailable("Процесс обработчиков не запустился: причина в журнале выше")

    def stop(self) -> None:
        """Let the child finish its batch and end."""
        self._stopping.set()
        self._thread.join(timeout=STOP_S + 5)

    @property
    def alive(self) -> bool:
        return self._ready.is_set()

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            self._one_life()
            if self._stopping.is_set():
                return
            steady = time.monotonic() - began > STEADY_S
            failures = 1 if steady else min(failures + 1, 10)
            _log.error("worker process ended, starting it again", times=failures)
            self._stopping.wait(min(0.5 * 2**failures, AGAIN_MOST_S))

    def _one_life(self) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "core.worker_process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(self._line)
            process.stdin.flush()
            if process.stdout.readline().strip() == READY_LINE:
                self._ready.set()
            while process.poll() is None and not self._stopping.wait(0.2):
                pass
        except OSError:
            pass  # the child ended before it had read its line
        finally:
            self._ready.clear()
            self._end(process)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Closing the pipe asks the child to end."""
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
