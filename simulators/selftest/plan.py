"""The plan of faults: what breaks, when, where and for how long. It follows from the seed, the time and the shape of
the world alone; what the threads make of it is never the same twice.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from simulators.selftest.faults import FAULTS, Fault
from simulators.selftest.world import Shape

FIRST_S, LAST_S = 1.5, 2.0
"""Calm at the beginning and at the end."""
STEP_S = (0.9, 2.2)


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault to come.

    at_s    seconds from the beginning      for_s  how long it lasts
    target  a process, or "" where there is only one
    number  seed of the fault's own choices
    """

    at_s: float
    kind: str
    target: str
    for_s: float
    number: int


def make_plan(seed: int, seconds: float, shape: Shape) -> list[Planned]:
    """Faults in order of time. Kinds come from a shuffled deck, so that all of them have their turn."""
    dice = random.Random(f"plan/{seed}")
    cards = [fault for fault in FAULTS.values() for _ in range(fault.weight) if fault.targets(shape)]
    deck: list[type[Fault]] = []
    free_at: dict[str, float] = {}
    planned: list[Planned] = []
    at = FIRST_S
    while at < seconds - LAST_S:
        if len(deck) < len(cards):
            more = list(cards)
            dice.shuffle(more)
            deck = more + deck
        fault = _draw(deck, free_at, at)
        for_s = round(dice.uniform(*fault.span_s), 2)
        target = dice.choice(fault.targets(shape))
        planned.append(Planned(round(at, 2), fault.kind, target, for_s, dice.randrange(10**6)))
        free_at[fault.group] = at + max(fault.gap_s, for_s if fault.alone else 0.0)
        at += dice.uniform(*STEP_S)
    return planned


def _draw(deck: list[type[Fault]], free_at: dict[str, float], at: float) -> type[Fault]:
    """The uppermost card whose group has rested since its last fault."""
    for place in range(len(deck) - 1, -1, -1):
        if free_at.get(deck[place].group, 0.0) <= at:
            return deck.pop(place)
    return deck.pop()


def describe(plan: Sequence[Planned]) -> str:
    """How many faults of how many kinds, in Russian."""
    return f"{len(plan)} сбоев {len({one.kind for one in plan})} видов"
