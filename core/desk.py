"""Everything that the desk shows at a glance: what wants attention, how fast it goes, what comes next.

One look costs what core.gauges costs (kept for seconds, shared) and a handful of short reads of small tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from core import connections, standing
from core.alerting import book
from core.alerting.rules import Finding, judge
from core.alerting.settings import Severity
from core.connections import Connection
from core.database import Database, driver
from core.gauges import DiskGauge
from core.pace import Pace
from core.standing import Standing

if TYPE_CHECKING:
    from core.bus import Bus

UPCOMING_MOST: Final = 6


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that wants attention. since: None for what was only just seen and is not told of yet."""

    rule: str
    subject: str
    severity: Severity
    text: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A schedule and its next run. lag_s: how long a due run has not been fired."""

    name: str
    title: str
    next: datetime
    lag_s: float


@dataclass(frozen=True, slots=True)
class Process:
    """A live process of the bus. clock_off_s: its clock minus the database's."""

    role: str
    host: str
    pid: int
    version: str
    started_at: datetime
    clock_off_s: float


@dataclass(frozen=True, slots=True)
class Certificate:
    """days: whole days left, negative after the end."""

    connector: str
    name: str
    days: int


@dataclass(frozen=True, slots=True)
class Desk:
    """One look. oldest: the queue whose waiting message is the oldest; None: nothing waits.

    paused  queues that people have paused       empty  nothing has ever come
    """

    at: datetime
    pace: Pace
    oldest: Standing | None
    quarantined: int
    waiting: int
    awaiting: int
    paused: Sequence[Standing]
    troubles: Sequence[Trouble]
    unheard: Sequence[tuple[str, int, str]]
    upcoming: Sequence[Upcoming]
    certificates: Sequence[Certificate]
    disk: DiskGauge | None
    refusal: str
    connections: Sequence[Connection]
    processes: Sequence[Process]
    empty: bool

    @property
    def well(self) -> bool:
        """Nothing wants attention."""
        return not self.troubles and not self.unheard

    @property
    def states(self) -> Mapping[str, int]:
        """State of a connector → how many are in it."""
        found: dict[str, int] = {}
        for one in self.connections:
            found[one.state] = found.get(one.state, 0) + 1
        return found


def look(bus: Bus) -> Desk:
    """Raises Unavailable."""
    gauges = bus.watched.recent()
    known = standing.standings(bus, gauges)
    rows = list(known.values())
    titles = {schedule.name: schedule.title for schedule, _ in bus.schedules.all()}
    waiting = [one for one in rows if one.age_s is not None]
    return Desk(
        at=gauges.at,
        pace=Pace(
            round(sum(one.pace.accepted for one in rows), 1),
            round(sum(one.pace.done for one in rows), 1),
            round(sum(one.pace.quarantined for one in rows), 1),
        ),
        oldest=max(waiting, key=lambda one: one.age_s or 0.0, default=None),
        quarantined=sum(one.row.quarantined for one in rows),
        waiting=sum(one.waiting for one in rows),
        awaiting=sum(gauges.awaiting.values()),
        paused=[one for one in rows if one.mode == "paused"],
        troubles=_troubles(bus, judge(gauges, bus.settings.alerts.limits).findings),
        unheard=book.troubles(bus.database),
        upcoming=sorted(
            (
                Upcoming(one.name, titles.get(one.name, ""), one.next, one.lag_s)
                for one in gauges.schedules
                if one.next is not None
            ),
            key=lambda one: one.next,
        )[:UPCOMING_MOST],
        certificates=sorted(
            (Certificate(connector, name, days) for (connector, name), days in gauges.certificates.items()),
            key=lambda one: one.days,
        ),
        disk=gauges.disk,
        refusal=gauges.refusal,
        connections=connections.connections(bus, gauges, known),
        processes=processes(bus.database),
        empty=not any(counts.accepted for counts in gauges.totals.values()),
    )


def processes(database: Database) -> list[Process]:
    """The live processes, the oldest first."""
    with database.transaction(durable=False) as connection:
        rows = driver(connection).execute(
            "SELECT role, host, pid, version, started_at, clock_off_s FROM bus.live_process ORDER BY started_at"
        )
        return [Process(*row) for row in rows]


def _troubles(bus: Bus, findings: Sequence[Finding]) -> list[Trouble]:
    """What the book of alerts says, and what is seen right now and not in it yet."""
    lasting = [
        Trouble(one.rule, one.subject, one.severity, one.text, one.since)
        for one in book.alerts(bus.database, over_most=0)
    ]
    told = {(one.rule, one.subject) for one in lasting}
    fresh = [
        Trouble(one.rule, one.subject, one.severity, one.text, None)
        for one in findings
        if (one.rule, one.subject) not in told
    ]
    return sorted([*lasting, *fresh], key=lambda one: -book.RANKS[one.severity])
