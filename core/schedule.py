"""A schedule: when to put which message into which queue. Declared in code, in settings or by an operator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import CroniterError, croniter

from core.errors import ConfigError

MISSED = {
    "skip": "пропущенные запуски не выполняются",
    "once": "после простоя выполняется один запуск",
    "all": "после простоя выполняются все пропущенные запуски",
}
MISSED_MOST = 1000
"""A policy "all" never fires more than this many missed runs at once."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """cron has 5 fields, or 6 with seconds last. `queue` gets a message whose body is `body` (JSON).

    missed  what happens to runs that fell into a downtime: skip | once | all
    """

    name: str
    cron: str
    queue: str
    title: str = ""
    body: str = "{}"
    timezone: str = "Europe/Moscow"
    missed: str = "once"

    def __post_init__(self) -> None:
        if len(self.cron.split()) not in (5, 6) or not croniter.is_valid(self.cron):
            raise ConfigError(f"Расписание {self.name}: «{self.cron}» не похоже на cron из 5 или 6 полей")
        try:
            croniter(self.cron).get_next()
        except CroniterError:
            raise ConfigError(f"Расписание {self.name}: день по «{self.cron}» никогда не наступит") from None
        if self.missed not in MISSED:
            raise ConfigError(f"Расписание {self.name}: политика пропусков {self.missed}, а бывает {', '.join(MISSED)}")
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError):
            raise ConfigError(f"Расписание {self.name}: нет часового пояса {self.timezone}") from None

    def following(self, moment: datetime, count: int = 1) -> list[datetime]:
        """The next `count` run times after `moment` (aware), in the schedule's zone."""
        runs = croniter(self.cron, moment.astimezone(ZoneInfo(self.timezone)))
        return [runs.get_next(datetime) for _ in range(count)]

    def missed_runs(self, last: datetime, now: datetime) -> list[datetime]:
        """Run times in (last, now] that this schedule's policy still wants fired."""
        zone = ZoneInfo(self.timezone)
        if self.missed == "skip":
            return []
        if self.missed == "once":
            # get_prev looks strictly before its start, and `now` itself may be a run.
            starts = (now + timedelta(seconds=1), now)
            times = (croniter(self.cron, start.astimezone(zone)).get_prev(datetime) for start in starts)
            latest = next(run for run in times if run <= now)
            return [latest] if latest > last else []
        runs: list[datetime] = []
        following = croniter(self.cron, last.astimezone(zone))
        while len(runs) < MISSED_MOST and (run := following.get_next(datetime)) <= now:
            runs.append(run)
        return runs
