"""Faults of PostgreSQL: stopped, killed, its connections ended or broken on the way."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from simulators.selftest.fault import Fault, Nothing, known
from simulators.selftest.proxy import Break

if TYPE_CHECKING:
    from simulators.selftest.scene import Scene


class _Ended(Fault):
    """The server ends by a signal and comes up again after a while."""

    group, alone, gap_s, span_s = "server", True, 6.0, (0.2, 2.5)
    number: signal.Signals

    def apply(self, scene: Scene) -> str:
        server = scene.world.server
        if not server.lock.acquire(blocking=False):
            raise Nothing
        try:
            server.end(self.number)
        except BaseException:
            server.lock.release()
            raise
        return ""

    def undo(self, scene: Scene) -> None:
        try:
            scene.world.server.start()
        finally:
            scene.world.server.lock.release()


@known
class Stopped(_Ended):
    kind, title, number = "pg-stop", "PostgreSQL остановлена и запущена", signal.SIGINT


@known
class Killed(_Ended):
    kind, title, number = "pg-kill", "kill -9 PostgreSQL, запуск с восстановлением", signal.SIGKILL


@known
class AtOnce(_Ended):
    kind, title, number = "pg-quit", "PostgreSQL остановлена немедленно (SIGQUIT)", signal.SIGQUIT


@known
class Terminated(Fault):
    kind, title, weight, group = "pg-cut", "pg_terminate_backend соединений шины", 2, "server"

    def apply(self, scene: Scene) -> str:
        server = scene.world.server
        if not server.lock.acquire(blocking=False):
            raise Nothing
        try:
            if not (cut := server.cut_connections(self.dice.choice((0.3, 0.7, 1.0)), self.dice)):
                raise Nothing
            return f"соединений: {cut}"
        finally:
            server.lock.release()


@known
class Reset(Fault):
    kind, title, weight, group = "pg-reset", "обрыв (RST) всех соединений с PostgreSQL", 2, "server"

    def apply(self, scene: Scene) -> str:
        if not (reset := scene.world.proxies["postgres"].reset_all()):
            raise Nothing
        return f"соединений: {reset}"


class _Network(Fault):
    group = "server"
    broken: Break

    def apply(self, scene: Scene) -> str:
        scene.world.proxies["postgres"].begin(self.broken)
        return ""

    def undo(self, scene: Scene) -> None:
        scene.world.proxies["postgres"].end(self.broken)


@known
class Silent(_Network):
    kind, title, span_s, gap_s = "pg-silent", "PostgreSQL: полуоткрытые соединения", (1.0, 5.0), 3.0
    broken = Break("silent")


@known
class LostAnswers(_Network):
    """Also of COMMIT: the client does not know whether it was done."""

    kind, title, weight, span_s = "pg-lost", "PostgreSQL: обрыв после запроса, до ответа", 2, (0.5, 2.0)
    broken = Break("reset_after", share=0.2)


@known
class Refused(_Network):
    kind, title, span_s = "pg-refuse", "PostgreSQL не принимает соединений", (1.0, 3.0)
    broken = Break("refuse")
