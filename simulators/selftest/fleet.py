"""The processes of the bus, kept alive as systemd would: whatever ends is started again.

Their output goes through a pipe of ours into a file, so that a limit on their files does not strike their log.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final

import psutil

LOOK_S = 0.1
AGAIN_S, AGAIN_SLOWLY_S = 0.3, 1.0
SHORT_LIFE_S = 2.0
STOP_S = 45.0
OMSBUS: Final = (sys.executable, "-c", "from core.cli import main; main()")
"""How to call this very omsbus."""


class Member:
    """One process that shall run. `name` stands in the plan of faults."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        self.deaths = 0
        self._command = tuple(command)
        self._environment = dict(environment)
        self._armed: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0
        self._again_at = 0.0
        self._wanted = False
        self._lock = threading.RLock()

    @property
    def pid(self) -> int | None:
        """None while it does not run."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        with self._lock:
            self._wanted = True
            if self.pid is None:
                self._spawn()

    def tend(self) -> None:
        """Start it again when it has ended. What it was armed with is over with its life."""
        with self._lock:
            if not self._wanted or self._process is None or self.pid is not None:
                return
            if not self._again_at:
                self.deaths += 1
                self._armed = {}
                lived_s = time.monotonic() - self._began
                self._again_at = time.monotonic() + (AGAIN_S if lived_s > SHORT_LIFE_S else AGAIN_SLOWLY_S)
            if time.monotonic() >= self._again_at:
                self._spawn()

    def kill(self, *, group: bool = True) -> None:
        """SIGKILL to it, with `group` to its children in the same instant too."""
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL) if group else os.kill(pid, signal.SIGKILL)

    def signal(self, number: int) -> None:
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def children(self) -> list[psutil.Process]:
        pid = self.pid
        with contextlib.suppress(psutil.Error):
            return psutil.Process(pid).children(recursive=True) if pid else []
        return []

    def arm(self, variables: Mapping[str, str]) -> None:
        """Kill it and start it with these variables, for one life."""
        with self._lock:
            self.kill()
            self._wait()
            self._armed = dict(variables)
            self._spawn()

    def disarm(self) -> None:
        """Kill it when it still lives with what `arm` gave it; `tend` starts it again without."""
        with self._lock:
            if self._armed:
                self.kill()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL to what is left."""
        with self._lock:
            self._wanted = False
            process = self._process
        if process is None:
            return
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=STOP_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _spawn(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment | self._armed,
            start_new_session=True,
        )
        self._began, self._again_at = time.monotonic(), 0.0
        assert self._process.stdout is not None
        threading.Thread(target=_copy, args=(self._process.stdout, self.log), daemon=True).start()

    def _wait(self) -> None:
        if self._process is not None:
            self._process.wait()


class Fleet:
    """All members, and the thread that tends them."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = {member.name: member for member in members}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._tend, name="fleet", daemon=True)

    def __enter__(self) -> Fleet:
        for member in self.members.values():
            member.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        stops = [threading.Thread(target=member.stop) for member in self.members.values()]
        for stop in stops:
            stop.start()
        for stop in stops:
            stop.join()

    def _tend(self) -> None:
        while not self._stopping.wait(LOOK_S):
            for member in self.members.values():
                member.tend()


def _copy(stream: IO[bytes], log: Path) -> None:
    with stream, contextlib.suppress(OSError, ValueError), log.open("ab", buffering=0) as file:
        while piece := os.read(stream.fileno(), 65536):
            file.write(piece)
