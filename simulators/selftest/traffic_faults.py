"""Faults of the senders: repeats, repeats out of order, the same twice at once; files half-written or put twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.selftest.fault import Fault, Nothing, known

if TYPE_CHECKING:
    from simulators.selftest.scene import Scene
    from simulators.selftest.world import Shape


@known
class Repeated(Fault):
    kind, title, weight = "repeat", "старые сообщения повторены не по порядку", 3

    def apply(self, scene: Scene) -> str:
        repeated = scene.load.again(self.dice.randint(10, 40), self.dice)
        if not repeated:
            raise Nothing
        return f"сообщений: {repeated}"


@known
class Raced(Fault):
    kind, title, weight = "race", "одно сообщение по двум соединениям сразу", 2

    def apply(self, scene: Scene) -> str:
        return f"сообщений: {scene.load.race(self.dice.randint(3, 8))}"


@known
class EverythingTwice(Fault):
    kind, title, weight, span_s = "twice", "каждое сообщение присылают дважды", 1, (2.0, 5.0)
    group, alone = "twice", True

    def apply(self, scene: Scene) -> str:
        self._before = scene.load.duplicate_share
        scene.load.duplicate_share = 1.0
        return ""

    def undo(self, scene: Scene) -> None:
        scene.load.duplicate_share = self._before


class _OfFiles(Fault):
    @classmethod
    def targets(cls, shape: Shape) -> tuple[str, ...]:
        return ("",) if shape.files else ()


@known
class HalfWritten(_OfFiles):
    kind, title, weight = "file-half", "файл пишут по частям, с остановками", 2

    def apply(self, scene: Scene) -> str:
        return scene.files.slowly(self.dice)


@known
class SameFileTwice(_OfFiles):
    kind, title, weight = "file-twice", "тот же файл положен ещё раз", 2

    def apply(self, scene: Scene) -> str:
        name = scene.files.again(self.dice)
        if not name:
            raise Nothing
        return name
