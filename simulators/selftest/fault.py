"""What a fault is; `known` puts its class into `FAULTS`.

A fault is made for one strike: `apply` breaks and says in Russian what it did, `undo` mends. Both may block for
seconds; both raise nothing but what the nemesis reports as "не удалось".
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Final, TypeVar

if TYPE_CHECKING:
    from simulators.selftest.scene import Scene
    from simulators.selftest.world import Shape


class Fault(ABC):
    """One strike at `target`; `dice` are its own.

    weight  cards in the deck       span_s  how long it lasts
    group   faults of one group leave `gap_s` between each other; `alone`: they never overlap
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    group: ClassVar[str] = ""
    weight: ClassVar[int] = 1
    span_s: ClassVar[tuple[float, float]] = (0.0, 0.0)
    gap_s: ClassVar[float] = 0.0
    alone: ClassVar[bool] = False

    def __init__(self, target: str, number: int) -> None:
        self.target = target
        self.struck_at = 0.0
        """When it really struck, seconds since the epoch, where that is later than the beginning of `apply`."""
        self.dice = random.Random(number)

    @abstractmethod
    def apply(self, scene: Scene) -> str:
        """Break it; what was done, in Russian ("" when the title says it all)."""

    def undo(self, scene: Scene) -> None:  # noqa: B027  most faults are over when they are done
        """Mend it."""

    @classmethod
    def targets(cls, shape: Shape) -> tuple[str, ...]:  # noqa: ARG003
        """Where it may strike in such a world; () where it can't."""
        return ("",)


class Nothing(Exception):
    """There was nothing to break: the process is not running at the moment."""


FAULTS: Final[dict[str, type[Fault]]] = {}
_Kind = TypeVar("_Kind", bound=type[Fault])


def known(fault: _Kind) -> _Kind:
    """Class decorator: put it into FAULTS."""
    FAULTS[fault.kind] = fault
    return fault
