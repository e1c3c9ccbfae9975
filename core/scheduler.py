"""Fires the schedules that live in bus.schedule: APScheduler for the clock, one leader by advisory lock.

A fired schedule is a message in the journal under the external id "<name>@<run time>": two leaders for a moment
could not fire one run twice.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger

from core.calendars import THE_WEEK, known
from core.database import Database, driver
from core.engine import Engine
from core.errors import BusError, ConfigError
from core.locks import ClusterLocks
from core.message import Message
from core.schedule import Schedule

LOOK_S = 2.0
"""How often the table is looked at for changes, and the leadership tried for."""

CHANGEABLE: Final = ("cron", "timezone", "missed", "calendar", "rule")
"""What an operator may want otherwise than it is declared."""
_FIELDS: Final = ("name", "title", "queue", "body", *CHANGEABLE)
_STATE: Final = ("paused", "fired_for", "fired_at", "changed_at", "origin", "changed", "changed_by")
_DECLARE: Final = """
INSERT INTO bus.schedule (name, title, cron, timezone, queue, body, missed, calendar, rule)
VALUES (%(name)s, %(title)s, %(cron)s, %(timezone)s, %(queue)s, %(body)s, %(missed)s, %(calendar)s, %(rule)s)
ON CONFLICT (name) DO UPDATE SET title = EXCLUDED.title, cron = EXCLUDED.cron, timezone = EXCLUDED.timezone,
    queue = EXCLUDED.queue, body = EXCLUDED.body, missed = EXCLUDED.missed, calendar = EXCLUDED.calendar,
    rule = EXCLUDED.rule, changed_at = CASE
        WHEN schedule.changed ? 'cron' OR (schedule.cron, schedule.timezone, schedule.calendar, schedule.rule) =
             (EXCLUDED.cron, EXCLUDED.timezone, EXCLUDED.calendar, EXCLUDED.rule)
        THEN schedule.changed_at ELSE clock_timestamp() END
WHERE schedule.origin = 'code'
"""
_log = structlog.get_logger(__name__)


class Schedules:
    """Reads and writes of bus.schedule."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def declare(self, declared: Iterable[Schedule]) -> None:
        """Make the table know what code and settings declare. A pause, the history and what an operator changed of it
        stay; an operator's own schedules are not touched."""
        with self._database.transaction() as connection:
            db = driver(connection)
            names = []
            for one in declared:
                names.append(one.name)
                db.execute(_DECLARE, {field: getattr(one, field) for field in _FIELDS})
            db.execute("DELETE FROM bus.schedule WHERE origin = 'code' AND NOT name = ANY(%s)", (names,))

    def all(self) -> list[tuple[Schedule, dict[str, Any]]]:
        """Each as it is fired, with {paused, fired_for, fired_at, known_since, origin, changed, changed_by, declared}.

        known_since: since when its runs count, that is since it was declared, given another cron or resumed.
        changed: what an operator wants otherwise; declared: the same fields as they were declared.
        One that can't be kept any more is left out.
        """
        with self._database.transaction() as connection:
            db = driver(connection)
            calendars = known(db)
            rows = db.execute(f"SELECT {', '.join((*_FIELDS, *_STATE))} FROM bus.schedule ORDER BY name").fetchall()
        found = []
        for row in rows:
            values, state = dict(zip(_FIELDS, row, strict=False)), dict(zip(_STATE, row[len(_FIELDS) :], strict=True))
            state["known_since"] = state.pop("changed_at")
            state["declared"] = {field: values[field] for field in CHANGEABLE}
            values |= state["changed"]
            try:
                schedule = Schedule(**values, days=calendars.get(values["calendar"], THE_WEEK))
            except ConfigError as error:
                _log.error("schedule left out", schedule=row[0], reason=error.reason)
            else:
                found.append((schedule, state))
        return found

    def get(self, name: str) -> Schedule:
        """Raises ConfigError when there is none."""
        return self.find(name)[0]

    def find(self, name: str) -> tuple[Schedule, dict[str, Any]]:
        """One of `all`. Raises ConfigError when there is none."""
        for schedule, state in self.all():
            if schedule.name == name:
                return schedule, state
        raise ConfigError(f"Нет расписания {name}. Посмотрите список: omsbus schedule list")

    def fired(self, name: str, run: datetime) -> None:
        with self._database.transaction() as connection:
            driver(connection).execute(
                "UPDATE bus.schedule SET fired_for = greatest(fired_for, %s), fired_at = clock_timestamp() "
                "WHERE name = %s",
                (run, name),
            )


def fire(engine: Engine, schedule: Schedule, run: str) -> UUID:
    """Put the schedule's message into the journal under this run's id; the id of the message."""
    message = Message(
        kind=schedule.queue,
        queue=schedule.queue,
        body=schedule.body.encode(),
        source="schedule",
        external_id=f"{schedule.name}@{run}",
        headers={"schedule": schedule.name},
    )
    return engine.put([message])[0].message_id


def run_now(engine: Engine, schedule: Schedule) -> UUID:
    """An operator's "run now"; the id of the message."""
    return fire(engine, schedule, f"now-{uuid.uuid4()}")


class Scheduler:
    """The clock. Runs in every process that may lead; only the leader fires."""

    def __init__(self, database: Database, engine: Engine) -> None:
        self._schedules = Schedules(database)
        self._engine = engine
        self._locks = ClusterLocks(database)
        self._clock = BackgroundScheduler(timezone=UTC)
        self._planned: dict[str, Schedule] = {}
        self._leading = False
        self._look_again = threading.Event()
        """A run could not be fired: look for missed ones, as after a downtime."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)

    def start(self) -> None:
        self._clock.start()
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        if self._clock.running:
            self._clock.shutdown(wait=True)
        self._locks.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            fresh = not self._leading or self._look_again.is_set()
            self._look_again.clear()
            try:
                leads = self._locks.hold("scheduler")
                if leads:
                    self._look(fresh=fresh)
                elif self._leading:
                    self._plan([], datetime.now(UTC))
                self._leading = leads
            except BusError as error:
                _log.warning("scheduler", reason=error.reason)
                self._look_again.set()
            except Exception:
                _log.exception("scheduler")
                self._look_again.set()
            self._stopping.wait(LOOK_S)

    def _look(self, *, fresh: bool) -> None:
        active = []
        now = datetime.now(UTC)  # one moment for both: what was missed before it, what is planned after it
        for schedule, state in self._schedules.all():
            if state["paused"]:
                continue
            active.append(schedule)
            if fresh or schedule.name not in self._planned:
                last = max(state["fired_for"] or state["known_since"], state["known_since"])
                for run in schedule.missed_runs(last, now):
                    self._fire(schedule, run)
        self._plan(active, now)

    def _plan(self, active: Sequence[Schedule], now: datetime) -> None:
        """Make the clock know exactly these."""
        wanted = {schedule.name: schedule for schedule in active}
        for name in [name for name, old in self._planned.items() if wanted.get(name) != old]:
            del self._planned[name]
            if self._clock.get_job(name):
                self._clock.remove_job(name)
        for name, schedule in wanted.items():
            if name not in self._planned:
                self._planned[name] = schedule
                self._plan_next(schedule, now)

    def _plan_next(self, schedule: Schedule, after: datetime) -> None:
        run = next(iter(schedule.following(after)), None)
        if run is None:  # its calendar leaves it no day
            return
        self._clock.add_job(
            self._ring,
            DateTrigger(run_date=run),
            args=(schedule, run),
            id=schedule.name,
            replace_existing=True,
            misfire_grace_time=None,
        )

    def _ring(self, schedule: Schedule, run: datetime) -> None:
        if self._planned.get(schedule.name) is not schedule:
            return
        try:
            # Fired now, it would hide an earlier run that is still to be made up for.
            waits = self._look_again.is_set() and schedule.missed == "all"
            if not waits and self._locks.hold("scheduler"):
                self._fire(schedule, run)
        except BusError as error:
            # fired_for was not moved, so this run is a missed one when the leader looks again.
            _log.warning("schedule not fired", schedule=schedule.name, reason=error.reason)
            self._look_again.set()
        except Exception:  # the clock must go on
            _log.exception("schedule not fired", schedule=schedule.name)
        if not self._stopping.is_set():
            self._plan_next(schedule, run)

    def _fire(self, schedule: Schedule, run: datetime) -> None:
        fire(self._engine, schedule, run.astimezone(UTC).isoformat())
        self._schedules.fired(schedule.name, run)
