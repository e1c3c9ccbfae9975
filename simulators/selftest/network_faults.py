"""Faults between the bus and others: the partner's answers and clock, TCP to the partner and to our intake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulators.partner.partner import Trouble
from simulators.selftest.fault import Fault, Nothing, known
from simulators.selftest.proxy import KINDS, Break

if TYPE_CHECKING:
    from simulators.ftp.server import FtpSimulator
    from simulators.selftest.scene import Scene
    from simulators.selftest.world import Shape


class _OfPartner(Fault):
    trouble: Trouble

    def apply(self, scene: Scene) -> str:
        scene.world.partner.begin(self.trouble)
        return ""

    def undo(self, scene: Scene) -> None:
        scene.world.partner.end(self.trouble)


@known
class BadAnswer(_OfPartner):
    kind, title, weight, span_s = "partner-status", "партнёр отвечает 500, 503 или 429", 4, (1.0, 4.0)

    def apply(self, scene: Scene) -> str:
        status = self.dice.choice((500, 500, 502, 503, 503, 429))
        after = self.dice.choice(("", "1", "date")) if status in (503, 429) else ""
        effect = self.dice.random() < 0.5
        share = self.dice.choice((0.5, 1.0))
        self.trouble = Trouble(status=status, retry_after=after, effect=effect, share=share)
        super().apply(scene)
        done = "действие выполнено" if effect else "действия не было"
        return f"{status}, {done}" + (f", Retry-After: {after}" if after else "")


@known
class SlowAnswer(_OfPartner):
    kind, title, weight, span_s = "partner-slow", "партнёр отвечает медленно", 2, (2.0, 5.0)

    def apply(self, scene: Scene) -> str:
        pause_s = self.dice.choice((0.3, 1.0, 6.0))  # 6 s: longer than the bus waits
        self.trouble = Trouble(pause_s=pause_s, share=0.4)
        super().apply(scene)
        return f"{pause_s} с"


@known
class WrongClock(_OfPartner):
    """With a date in Retry-After, which the partner computes by its wrong clock."""

    kind, title, weight, span_s = "partner-clock", "часы партнёра переведены", 2, (2.0, 5.0)

    def apply(self, scene: Scene) -> str:
        step_s = self.dice.choice((-86400.0, -3600.0, 600.0, 3600.0, 86400.0))
        self.trouble = Trouble(status=503, retry_after="date", clock_s=step_s, share=0.3)
        super().apply(scene)
        return f"на {step_s:+.0f} с, 503 с датой в Retry-After"


class _Broken(Fault):
    """One kind of Break before one target."""

    broken: str
    share: float = 1.0

    def apply(self, scene: Scene) -> str:
        self._break = Break(self.broken, share=self.dice.choice((0.3, self.share)))
        scene.world.proxies[self.target].begin(self._break)
        return self.target

    def undo(self, scene: Scene) -> None:
        scene.world.proxies[self.target].end(self._break)


def _declare(broken: str) -> None:
    """The classes for one kind of Break: before the partner, and before our intake."""

    @known
    class BeforePartner(_Broken):
        kind, title, span_s = f"partner-{broken}", f"сеть до партнёра: {KINDS[broken]}", (1.0, 4.0)

        @classmethod
        def targets(cls, shape: Shape) -> tuple[str, ...]:  # noqa: ARG003
            return ("partner",)

    @known
    class BeforeIntake(_Broken):
        kind, title, span_s = f"intake-{broken}", f"сеть до приёма: {KINDS[broken]}", (1.0, 3.0)
        share = 0.6

        @classmethod
        def targets(cls, shape: Shape) -> tuple[str, ...]:
            return shape.intakes

    @known
    class BeforeFiles(_Broken):
        kind, title, span_s = f"ftp-{broken}", f"сеть до FTP: {KINDS[broken]}", (1.0, 4.0)

        @classmethod
        def targets(cls, shape: Shape) -> tuple[str, ...]:
            return ("ftp",) if shape.files == "ftp" else ()

    BeforePartner.broken = BeforeIntake.broken = BeforeFiles.broken = broken


for _name in KINDS:
    _declare(_name)


class _OfFtp(Fault):
    @classmethod
    def targets(cls, shape: Shape) -> tuple[str, ...]:
        return ("",) if shape.files == "ftp" else ()

    def server(self, scene: Scene) -> FtpSimulator:
        assert scene.world.file_server is not None, "only with FTP"
        return scene.world.file_server


@known
class FtpAway(_OfFtp):
    kind, title, span_s = "ftp-away", "сервер FTP остановлен и запущен", (0.5, 3.0)
    group, alone = "ftp", True

    def apply(self, scene: Scene) -> str:
        self.server(scene).stop()
        return ""

    def undo(self, scene: Scene) -> None:
        self.server(scene).start()


@known
class FtpWrong(_OfFtp):
    """One command goes wrong: refused, its answer lost after it was done, or its transfer cut."""

    kind, title, weight = "ftp-wrong", "сервер FTP ошибается", 3

    def apply(self, scene: Scene) -> str:
        command = self.dice.choice(("STOR", "RETR", "RNTO", "RNFR", "MLSD", "PASV", "EPSV", "PASS", "DELE", "*"))
        times = self.dice.randint(1, 3)
        how: dict[str, Any] = self.dice.choice([{"done": True}, {"reply": "451 Try later"}, {}, {"delay_s": 6.0}])
        if command in ("STOR", "RETR") and self.dice.random() < 0.5:
            how = {"after": self.dice.randint(0, 200)}
        self.server(scene).mischief.arm(command, times=times, **how)
        words = {"done": "выполнено, ответ потерян", "reply": "отказ 451", "delay_s": "ответ через 6 с"}
        words["after"] = "передача оборвана"
        return f"{command} ×{times}: {words[next(iter(how))] if how else 'соединение закрыто'}"


@known
class ResetAll(Fault):
    kind, title = "reset-all", "обрыв (RST) всех открытых соединений"

    def apply(self, scene: Scene) -> str:
        if not (reset := scene.world.proxies[self.target].reset_all()):
            raise Nothing
        return f"{self.target}: {reset}"

    @classmethod
    def targets(cls, shape: Shape) -> tuple[str, ...]:
        return ("partner", *shape.intakes)
