"""Who gives messages to whom: the graph of sources, routes, subsystems and sinks, as it is seen and as it is declared.

Nothing declares where a route sends its messages, so the edges are observed: of each queue a few of its last messages
are looked at (by index, SAMPLE a queue, so that a rare flow shows beside a busy one), each with its source and with
the queue of its cause. Schedules and the queues that connectors name in their settings are declared edges: they are
shown even when nothing has come that way yet.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from core.database import Database, driver
from core.standing import Standing, standings

if TYPE_CHECKING:
    from core.bus import Bus

SAMPLE: Final = 200
KEPT_S: Final = 10.0
BY_HAND, BY_CLOCK, BY_TERM = "bus:hand", "bus:clock", "bus:term"
OWN: Final[Mapping[str, str]] = {BY_HAND: "Вручную и командами", BY_CLOCK: "Расписания", BY_TERM: "Срок ответа истёк"}
"""Where messages come from that no connector brought."""
_SOURCES: Final = {"bus": BY_HAND, "request": BY_HAND, "schedule": BY_CLOCK, "bus.timeout": BY_TERM}
_QUEUE_KEYS: Final = ("queue", "queues", "open_queues")


@dataclass(frozen=True, slots=True)
class Node:
    """side: source (a connector's intake, or one of OWN), route, sink. group: the route's subsystem, "" for others.

    standings: of the queue itself; of a source its polls, [] for one that is pushed.
    """

    key: str
    name: str
    title: str
    side: str
    group: str
    standings: Sequence[Standing]

    @property
    def standing(self) -> Standing | None:
        return self.standings[0] if self.side != "source" and self.standings else None


@dataclass(frozen=True, slots=True)
class Edge:
    """From a node to a node. seen: messages in the sample of `of` last ones of the target; 0: declared only."""

    origin: str
    target: str
    seen: int
    of: int
    last_at: datetime | None
    answers: bool = False


@dataclass(frozen=True, slots=True)
class Flows:
    """The whole graph."""

    nodes: Mapping[str, Node]
    edges: Sequence[Edge]

    def into(self, key: str) -> list[Edge]:
        return [edge for edge in self.edges if edge.target == key]

    def out_of(self, key: str) -> list[Edge]:
        return [edge for edge in self.edges if edge.origin == key]


@dataclass(frozen=True, slots=True)
class _Seen:
    source: str
    cause: str
    queue: str
    is_reply: bool
    count: int
    last_at: datetime


class Observer:
    """Looks at the last messages of every queue, not oftener than each KEPT_S. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._seen: list[_Seen] = []
        self._at = float("-inf")

    def look(self) -> list[_Seen]:
        """Raises Unavailable."""
        with self._lock:
            if time.monotonic() - self._at > KEPT_S:
                with self._database.transaction(durable=False) as connection:
                    rows = driver(connection).execute(_OBSERVED, {"sample": SAMPLE}).fetchall()
                self._seen = [_Seen(*row) for row in rows]
                self._at = time.monotonic()
            return self._seen


def flows(bus: Bus, observer: Observer) -> Flows:
    """The graph now. Raises Unavailable."""
    known = standings(bus)
    nodes = {node.key: node for node in _nodes(bus, known)}
    edges: dict[tuple[str, str], Edge] = {}
    seen = observer.look()
    totals: dict[str, int] = {}
    for one in seen:
        totals[one.queue] = totals.get(one.queue, 0) + one.count
    for one in seen:
        origin = _origin(one, nodes)
        if origin and origin != one.queue:
            _own(nodes, origin)
            before = edges.get((origin, one.queue))
            edges[origin, one.queue] = Edge(
                origin,
                one.queue,
                one.count + (before.seen if before else 0),
                totals[one.queue],
                max(one.last_at, before.last_at) if before and before.last_at else one.last_at,
                answers=one.is_reply or bool(before and before.answers),
            )
    for origin, target in _declared(bus, nodes):
        _own(nodes, origin)
        edges.setdefault((origin, target), Edge(origin, target, 0, totals.get(target, 0), None))
    return Flows(nodes, [edge for edge in edges.values() if edge.target in nodes and edge.origin in nodes])


def subsystem(bus: Bus, queue: str) -> str:
    """The package of a route: `zags` for routes/zags/…; "" for a route of the bus itself and for what is no route."""
    route = bus.routes.by_name.get(queue)
    named = queue.partition(".")[0]
    if route is None and f"routes.{named}" in sys.modules:  # of an orphan only the name is left
        return named
    for handler in route.handlers.values() if route else ():
        above, _, rest = handler.__module__.partition(".")
        if above == "routes" and rest:
            return rest.split(".")[0]
    return ""


def _nodes(bus: Bus, known: Mapping[str, Standing]) -> Iterator[Node]:
    for name, line in bus.lines.items():
        polls = [known[one] for one in line.connector.sources if one in known]
        if polls or getattr(line.connector, "applications", None):
            yield Node(_source(name), name, f"Приём: {name}", "source", "", polls)
    for name, one in known.items():
        if one.row.side != "source":
            yield Node(name, name, one.row.title or name, one.row.side, subsystem(bus, name), [one])


def _source(connector: str) -> str:
    return f"in:{connector}"


def _own(nodes: dict[str, Node], key: str) -> None:
    if key in OWN and key not in nodes:
        nodes[key] = Node(key, "", OWN[key], "source", "", [])


def _origin(one: _Seen, nodes: Mapping[str, Node]) -> str:
    """Where it came from; "" when that is not to be seen (a resend, a cause that is gone)."""
    if _source(one.source) in nodes:
        return _source(one.source)
    if one.source == "bus" and one.cause:
        return one.cause if one.cause in nodes else ""
    return _SOURCES.get(one.source, "")


def _declared(bus: Bus, nodes: Mapping[str, Node]) -> Iterator[tuple[str, str]]:
    for schedule, _ in bus.schedules.all():
        if schedule.queue in nodes:
            yield BY_CLOCK, schedule.queue
    for name in bus.lines:
        for queue in _named(bus.settings.connectors.get(name, {})):
            if queue in nodes and _source(name) in nodes:
                yield _source(name), queue


def _named(values: Any) -> Iterator[str]:
    """Queues that a connector's settings name, however deep."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            if key in _QUEUE_KEYS:
                yield from [value] if isinstance(value, str) else [str(one) for one in value]
            else:
                yield from _named(value)
    elif isinstance(values, list | tuple):
        for one in values:
            yield from _named(one)


_OBSERVED: Final = """
SELECT m.source, coalesce(c.queue, ''), last.queue, bool_or(m.in_reply_to <> ''), count(*), max(m.accepted_at)
FROM bus.queue q
CROSS JOIN LATERAL (SELECT e.seq, e.queue FROM bus.entry e WHERE e.queue = q.name ORDER BY e.seq DESC LIMIT %(sample)s)
    AS last
JOIN bus.message m ON m.seq = last.seq
LEFT JOIN bus.entry c ON c.message_id = m.cause
WHERE q.side <> 'source'
GROUP BY m.source, c.queue, last.queue
"""
