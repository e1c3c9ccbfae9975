"""The nemesis: strikes by the plan, each fault in a thread of its own, and mends everything at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from simulators.selftest.faults import FAULTS, Nothing
from simulators.selftest.plan import Planned
from simulators.selftest.scene import Scene

LATE_S = 90.0
"""A fault that is still being mended after so long is a defect of the self-test."""


@dataclass(slots=True)
class Struck:
    """A fault as it went. began, ended: seconds since the epoch; outcome: "done", "nothing", or what went wrong."""

    planned: Planned
    title: str
    text: str = ""
    began: float = 0.0
    ended: float = 0.0
    outcome: str = "done"

    @property
    def done(self) -> bool:
        return self.outcome == "done"

    @property
    def line(self) -> str:
        """For people."""
        return f"{self.title}" + (f" — {self.text}" if self.text else "")


class Nemesis:
    """`run` returns when the plan is over and every fault is mended, or soon after `stop`."""

    def __init__(self, scene: Scene, plan: Sequence[Planned], say: Callable[[Struck], None]) -> None:
        self._scene = scene
        self._plan = plan
        self._say = say
        self._stopping = threading.Event()
        self.struck: list[Struck] = []
        self.began = 0.0

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        """Strike everything. Raises TimeoutError when a fault can't be mended."""
        self.began = time.time()
        threads: list[threading.Thread] = []
        try:
            self._strike_all(threads)
        except BaseException:  # Ctrl+C: nothing may be left to be mended when the world is taken down
            self._stopping.set()
            raise
        finally:
            ends = time.monotonic() + LATE_S
            for thread in threads:
                thread.join(max(0.0, ends - time.monotonic()))
        if late := [thread.name for thread in threads if thread.is_alive()]:
            raise TimeoutError(f"not mended: {', '.join(late)}")

    def _strike_all(self, threads: list[threading.Thread]) -> None:
        started = time.monotonic()
        for planned in self._plan:
            if self._stopping.wait(max(0.0, started + planned.at_s - time.monotonic())):
                break
            struck = Struck(planned, FAULTS[planned.kind].title)
            self.struck.append(struck)
            thread = threading.Thread(target=self._strike, args=(struck,), name=planned.kind, daemon=True)
            thread.start()
            threads.append(thread)

    def _strike(self, struck: Struck) -> None:
        planned = struck.planned
        fault = FAULTS[planned.kind](planned.target, planned.number)
        struck.began = time.time()
        try:
            struck.text = fault.apply(self._scene)
            struck.began = fault.struck_at or struck.began
            self._say(struck)
            self._stopping.wait(planned.for_s)
            fault.undo(self._scene)
        except Nothing:
            struck.outcome = "nothing"
        except Exception as error:  # whatever the operating system says; it is shown, and the run goes on
            struck.outcome = f"{type(error).__name__}: {error}"
            self._say(struck)
        struck.ended = time.time()
