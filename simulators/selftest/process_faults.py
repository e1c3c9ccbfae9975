"""Faults of the bus's own processes: killed, restarted, frozen, killed at a named step, with a full disk."""

from __future__ import annotations

import contextlib
import resource
import signal
import time
from typing import TYPE_CHECKING

import psutil

import connectors.files.sink
import connectors.files.source
import connectors.http.sink
import connectors.http.source  # noqa: F401  these declare the steps
import core.engine  # noqa: F401
from core.crashpoints import POINTS, VARIABLE
from simulators.selftest.fault import Fault, Nothing, known

if TYPE_CHECKING:
    from simulators.selftest.fleet import Member
    from simulators.selftest.scene import Scene
    from simulators.selftest.world import Shape

AT_WORK_SHARE, AT_WORK_S, PATIENCE_S = 0.8, 1.5, 12.0
"""Most strikes wait until the process is ready and has worked for a while: one that is killed at each start proves
nothing. The others strike at once, in the middle of a start too."""
FULL_DISK_BYTES = 8192
"""No file may grow beyond it while the disk is "full": smaller than any blob of the self-test."""


_INTAKE = ("accept.received", "accept.journaled", "accept.committed")
_SENT = ("handle.", "send.", "http.answered_us", "files.uploaded", "files.registered", "files.published")
_POLLED = (*_INTAKE, "accept.acknowledged", "files.read", "files.renamed")
_PASSED = {
    "run": ("accept.", "http.", "handle.", "send.", "files."),
    "web": (*_INTAKE, "http.read", "http.accepted"),
    "worker": _SENT,
    "scheduler": _POLLED,
}
"""Which steps a process of each kind passes (prefixes)."""


class _OfProcess(Fault):
    group = "process"
    gap_s = 6.0

    @classmethod
    def targets(cls, shape: Shape) -> tuple[str, ...]:
        return shape.members

    def member(self, scene: Scene) -> Member:
        """The process, mostly one that is at work; raises Nothing when it does not run at this moment."""
        member = scene.world.fleet.members[self.target.partition("/")[0]]
        if self.dice.random() < AT_WORK_SHARE and scene.world.wait_ready_one(member.name, PATIENCE_S):
            time.sleep(AT_WORK_S)
        if member.pid is None:
            raise Nothing
        self.struck_at = time.time()
        return member


@known
class Kill(_OfProcess):
    kind, title, weight = "kill", "kill -9 процесса со всеми дочерними", 3

    def apply(self, scene: Scene) -> str:
        self.member(scene).kill()
        return self.target


class _OfChild(_OfProcess):
    @classmethod
    def targets(cls, shape: Shape) -> tuple[str, ...]:
        return tuple(name for name in shape.members if name == "run")


@known
class KillChild(_OfChild):
    kind, title, weight = "kill-child", "kill -9 дочернего обработчика", 2

    def apply(self, scene: Scene) -> str:
        children = self.member(scene).children()
        if not children:
            raise Nothing
        for child in children:
            child.kill()
        return self.target


@known
class KillParent(_OfChild):
    kind, title = "kill-parent", "kill -9 родителя, дочерний остаётся сиротой"

    def apply(self, scene: Scene) -> str:
        self.member(scene).kill(group=False)
        return self.target


@known
class Restart(_OfProcess):
    kind, title, weight = "restart", "SIGTERM и новый запуск", 2

    def apply(self, scene: Scene) -> str:
        self.member(scene).signal(signal.SIGTERM)
        return self.target


@known
class Hang(_OfProcess):
    kind, title, weight, span_s = "hang", "процесс замирает (SIGSTOP)", 2, (1.5, 5.0)

    @classmethod
    def targets(cls, shape: Shape) -> tuple[str, ...]:
        return (*shape.members, *(("run/child",) if "run" in shape.members else ()))

    def apply(self, scene: Scene) -> str:
        member = self.member(scene)
        self._frozen = member.children() if self.target.endswith("/child") else [psutil.Process(member.pid)]
        for process in self._frozen:
            process.send_signal(signal.SIGSTOP)
        return self.target

    def undo(self, scene: Scene) -> None:  # noqa: ARG002
        for process in self._frozen:
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGCONT)


@known
class Crash(_OfProcess):
    """The process is started anew so that it kills itself at a named step (core.crashpoints)."""

    kind, title, weight, span_s = "crash", "гибель на шаге пути сообщения", 4, (6.0, 9.0)
    alone = True

    def apply(self, scene: Scene) -> str:
        member = self.member(scene)
        steps = _PASSED[self.target.partition("-")[0]]
        files = bool(scene.world.shape.files)
        points = [name for name in sorted(POINTS) if name.startswith(steps) and (files or not name.startswith("files"))]
        point = self.dice.choice(points)
        times = self.dice.randint(1, 2 if point.startswith("files") else 12)
        member.arm({VARIABLE: f"{point}#{times}"})
        return f"{self.target}: {point}, раз {times}"

    def undo(self, scene: Scene) -> None:
        scene.world.fleet.members[self.target].disarm()


@known
class FullDisk(Fault):
    """Every write of a large body fails as on a full disk: the kernel refuses it (RLIMIT_FSIZE)."""

    kind, title, weight, span_s = "disk", "нет места для вложений", 2, (2.0, 5.0)
    group, alone = "disk", True

    def apply(self, scene: Scene) -> str:
        return f"процессов: {_limit(scene, FULL_DISK_BYTES)}"

    def undo(self, scene: Scene) -> None:
        _limit(scene, resource.RLIM_INFINITY)


def _limit(scene: Scene, size_bytes: int) -> int:
    pids: set[int] = set()
    for member in scene.world.fleet.members.values():
        pids |= {child.pid for child in member.children()}
        if member.pid is not None:
            pids.add(member.pid)
    for pid in pids:
        with contextlib.suppress(OSError):
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes, hard))
    return len(pids)
