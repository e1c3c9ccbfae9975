"""Where the nodes of the map stand: sources on the left, routes in the lanes of their subsystems, sinks on the right.

A route stands as many columns to the right as there are routes before it on the longest way to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from core.discovery import subsystem_title
from core.flows import Flows, Node

WIDTH: Final = 196
HEIGHT: Final = 72
GAP: Final = 46
ROW: Final = 84
LANE_HEAD: Final = 22
LANE_GAP: Final = 10
EDGE: Final = 8
BUS: Final = "Шина"


@dataclass(frozen=True, slots=True)
class Place:
    """The left upper corner of a node."""

    x: float
    y: float

    @property
    def middle(self) -> float:
        return self.y + HEIGHT / 2


@dataclass(frozen=True, slots=True)
class Lane:
    """A subsystem: its name and its rectangle."""

    title: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes are in units of the drawing."""

    places: Mapping[str, Place]
    lanes: Sequence[Lane]
    width: float
    height: float


def layout(flows: Flows) -> Layout:
    """A place for every node."""
    routes = [node for node in flows.nodes.values() if node.side == "route"]
    columns = _columns(flows, routes)
    deepest = max(columns.values(), default=1)
    places: dict[str, Place] = {}
    lanes = []
    y = float(EDGE)
    for group in sorted({node.group for node in routes}, key=lambda name: (name == "", name)):
        members = [node for node in routes if node.group == group]
        rows = _rows(flows, members, columns)
        high = LANE_HEAD + (max(rows.values()) + 1) * ROW
        lanes.append(
            Lane(subsystem_title(group) if group else BUS, _x(1) - GAP / 4, y, deepest * (WIDTH + GAP) - GAP / 2, high)
        )
        for node in members:
            places[node.key] = Place(_x(columns[node.key]), y + LANE_HEAD + rows[node.key] * ROW + (ROW - HEIGHT) / 4)
        y += high + LANE_GAP
    height = max(y, 2 * ROW)
    for side, column in (("source", 0), ("sink", deepest + 1)):
        found = [node for node in flows.nodes.values() if node.side == side]
        height = max(height, len(found) * ROW + 2 * EDGE)
        for nth, node in enumerate(found):
            places[node.key] = Place(_x(column), height * (nth + 0.5) / len(found) - HEIGHT / 2)
    return Layout(places, lanes, _x(deepest + 1) + WIDTH + EDGE, height)


def _x(column: int) -> float:
    return EDGE + column * (WIDTH + GAP)


def _columns(flows: Flows, routes: Sequence[Node]) -> dict[str, int]:
    """Key of a route → its column, from 1. A circle of routes ends somewhere."""
    columns = {node.key: 1 for node in routes}
    for _ in routes:
        changed = False
        for edge in flows.edges:
            if edge.origin in columns and edge.target in columns and edge.origin != edge.target:
                wanted = columns[edge.origin] + 1
                if columns[edge.target] < wanted <= len(routes):
                    columns[edge.target], changed = wanted, True
        if not changed:
            break
    used = sorted(set(columns.values()))
    return {key: used.index(column) + 1 for key, column in columns.items()}


def _rows(flows: Flows, members: Iterable[Node], columns: Mapping[str, int]) -> dict[str, int]:
    """Rows of the routes of one lane: beside the route that gives to it, where that one's row is free."""
    rows: dict[str, int] = {}
    taken: set[tuple[int, int]] = set()
    for node in sorted(members, key=lambda one: (columns[one.key], one.key)):
        wanted = min((rows[edge.origin] for edge in flows.into(node.key) if edge.origin in rows), default=0)
        while (columns[node.key], wanted) in taken:
            wanted += 1
        rows[node.key] = wanted
        taken.add((columns[node.key], wanted))
    return rows
