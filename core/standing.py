"""How every queue stands now: depths of a look that is some seconds old, states as they are at this moment.

The depths come from core.gauges, whose look many readers share; the states are read anew, so that whoever pauses a
queue sees the pause at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from core import pace
from core.alerting.rules import CLOCKS, WORKING
from core.database import Row, driver
from core.errors import ConfigError
from core.gauges import Gauges
from core.pace import Pace
from core.reading import DEPTH_MOST, QueueRow

if TYPE_CHECKING:
    from core.bus import Bus

MODES: Final[Mapping[str, str]] = {
    "running": "работает",
    "resting": "отдыхает",
    "failing": "опрос не удаётся",
    "paused": "на паузе",
    "stopped": "остановлена",
    "orphan": "никто не обслуживает",
}
"""What a queue is doing → words."""
_NONE: Final = Pace()


@dataclass(frozen=True, slots=True)
class Standing:
    """One queue. `row`: see QueueRow; its depths are some seconds old.

    mode        a key of MODES
    age_s       seconds since the oldest waiting message was accepted; None: nothing waits
    poll_asked  somebody wants a poll that has not been done yet
    processes   live processes that drain it, or poll it
    """

    row: QueueRow
    mode: str
    pace: Pace
    age_s: float | None
    poll_asked: bool
    processes: int

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def waiting(self) -> int:
        """Messages that are to be handled or sent without a person's doing."""
        return self.row.ready + self.row.held + self.row.retry

    @property
    def unfinished(self) -> int:
        return self.waiting + self.row.quarantined

    @property
    def counted(self) -> bool:
        """False: the depth is an estimate."""
        return max(self.row.ready, self.row.held, self.row.retry, self.row.quarantined) < DEPTH_MOST

    @property
    def words(self) -> str:
        """Its mode in Russian."""
        return MODES[self.mode]

    @property
    def why(self) -> str:
        """The reason of its mode, a Russian sentence; "" when there is none."""
        return self.row.poll_result if self.mode == "failing" else self.row.reason


def standings(bus: Bus, gauges: Gauges | None = None) -> dict[str, Standing]:
    """Every queue by its name, routes first, sources last. Raises Unavailable."""
    gauges = gauges or bus.watched.recent()
    depths = {row.name: row for row in gauges.queues}
    with bus.database.transaction(durable=False) as connection:
        db = driver(connection)
        rows = db.execute(_STATES).fetchall()
        paces = pace.now(db)
        serving = db.execute(_SERVING).fetchall()
    drained: Counter[str] = Counter()
    polled: Counter[str] = Counter()
    for role, names in serving:
        drained.update(names if role in WORKING else ())
        polled.update(names if role in CLOCKS else ())
    found = {}
    for fresh in rows:
        is_served, poll_asked, now = fresh[-3:]
        row = _row(fresh[:-3], depths.get(fresh[0]), paces.get(fresh[0], _NONE))
        age_s = max(0.0, (now - row.oldest_at).total_seconds()) if row.oldest_at else None
        serves = polled if row.side == "source" else drained
        mode = _mode(row, is_served, now)
        found[row.name] = Standing(row, mode, paces.get(row.name, _NONE), age_s, poll_asked, serves[row.name])
    return found


def standing(bus: Bus, name: str) -> Standing:
    """One queue. Raises ConfigError when there is none."""
    found = standings(bus).get(name)
    if found is None:
        raise ConfigError(f"Нет очереди {name}: её переименовали или убрали из настроек")
    return found


def _row(fresh: Row, known: QueueRow | None, now: Pace) -> QueueRow:
    empty = QueueRow(*(*fresh, 0, 0, 0, 0, None, now.done))
    if known is None:
        return empty
    return replace(
        empty,
        ready=known.ready,
        held=known.held,
        retry=known.retry,
        quarantined=known.quarantined,
        oldest_at=known.oldest_at,
    )


def _mode(row: QueueRow, is_served: bool, now: datetime) -> str:
    if not is_served:
        return "orphan"
    if row.state != "running":
        return row.state
    if row.side == "source":
        return "failing" if row.failures else "running"
    return "resting" if row.rest_until is not None and row.rest_until > now else "running"


_STATES: Final = """
SELECT name, side, title, state, reason, rest_until, failures, polled_at, poll_result, changed_at, changed_by,
       settings <> '', poll_asked_at IS NOT NULL AND poll_asked_at > coalesce(polled_at, '-infinity'),
       clock_timestamp()
FROM bus.queue ORDER BY side = 'source', side, name
"""
_SERVING: Final = """
SELECT role, ARRAY(SELECT jsonb_array_elements_text(serves -> 'queues')) FROM bus.live_process WHERE state = 'running'
"""
