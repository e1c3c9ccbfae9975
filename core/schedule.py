"""A schedule: when to put which message into which queue. Declared in code, in settings or by an operator."""

from __future__ import annotations

import heapq
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from croniter import CroniterError, croniter

from core.calendars import THE_WEEK, Calendar
from core.errors import ConfigError

MISSED = {
    "skip": "пропущенные запуски не выполняются",
    "once": "после простоя выполняется один запуск",
    "all": "после простоя выполняются все пропущенные запуски",
}
RULES: Final = {
    "skip": "только по рабочим дням, в нерабочий день запуска нет",
    "next": "из нерабочего дня переносится на следующий рабочий",
    "previous": "из нерабочего дня переносится на предыдущий рабочий",
}
MISSED_MOST = 1000
"""A policy "all" never fires more than this many missed runs at once."""
CRON_MOST_CHARACTERS: Final = 100
HORIZON: Final = timedelta(days=400)
"""A schedule whose calendar leaves no run within this time has none."""
_SECOND: Final = timedelta(seconds=1)
_RANDOM: Final = re.compile(r"(?<![A-Z])R", re.IGNORECASE)
"""croniter's R would be another moment at every look."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """cron has 5 fields, or 6 with seconds last. `queue` gets a message whose body is `body` (JSON).

    missed    what happens to runs that fell into a downtime: skip | once | all
    calendar  name of a business-day calendar; "": every day is like another
    rule      with a calendar: what becomes of runs on days off: skip | next | previous (moved, at the same hour)
    days      the days of that calendar, where they are known; without them the week

    The clock is the zone's: a run in the hour that the change to summer time leaves out is fired at its end, and one
    in the hour that comes twice in autumn is fired once, unless the hour is "*" (then the interval counts).
    """

    name: str
    cron: str
    queue: str
    title: str = ""
    body: str = "{}"
    timezone: str = "Europe/Moscow"
    missed: str = "once"
    calendar: str = ""
    rule: str = "skip"
    days: Calendar = field(default=THE_WEEK, repr=False)

    def __post_init__(self) -> None:
        fields = self.cron.split() if len(self.cron) <= CRON_MOST_CHARACTERS else []
        if len(fields) not in (5, 6) or _RANDOM.search(self.cron) or not croniter.is_valid(self.cron):
            raise ConfigError(f"Расписание {self.name}: «{self.cron[:40]}» не похоже на cron из 5 или 6 полей")
        try:
            croniter(self.cron).get_next()
        except CroniterError:
            raise ConfigError(f"Расписание {self.name}: день по «{self.cron}» никогда не наступит") from None
        if self.missed not in MISSED:
            raise ConfigError(f"Расписание {self.name}: политика пропусков {self.missed}, а бывает {', '.join(MISSED)}")
        if self.rule not in RULES:
            raise ConfigError(f"Расписание {self.name}: правило календаря {self.rule}, а бывает {', '.join(RULES)}")
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError):
            raise ConfigError(f"Расписание {self.name}: нет часового пояса {self.timezone[:40]}") from None

    def following(self, moment: datetime, count: int = 1) -> list[datetime]:
        """The next `count` run times after `moment` (aware), in the schedule's zone.

        Fewer, when its calendar leaves fewer within HORIZON: Saturdays of a schedule for working days, for example.
        """
        return list(itertools.islice(self._after(moment), count))

    def missed_runs(self, last: datetime, now: datetime) -> list[datetime]:
        """Run times in (last, now] that this schedule's policy still wants fired."""
        if self.missed == "skip":
            return []
        due = itertools.takewhile(lambda run: run <= now, self._after(last))
        if self.missed == "all":
            return list(itertools.islice(due, MISSED_MOST))
        if next(due, None) is None:
            return []
        return [self._latest(last, now)]

    def _latest(self, last: datetime, now: datetime) -> datetime:
        """The last run that is not after `now`, by halving (last, now]: there is one. Looks forward only, so that it
        is the very moment for which the clock would have fired."""
        early, late = last, now
        while late - early > _SECOND:
            middle = early + (late - early) / 2
            run = next(self._after(middle), None)
            if run is not None and run <= now:
                early = middle
            else:
                late = middle
        return next(self._after(early))

    def _after(self, moment: datetime) -> Iterator[datetime]:
        return self._on_working_days(moment) if self.calendar else self._by_cron(moment)

    def _by_cron(self, moment: datetime) -> Iterator[datetime]:
        """What cron says, without the calendar."""
        runs = croniter(self.cron, moment.astimezone(ZoneInfo(self.timezone)))
        by_interval = "*" in self.cron.split()[1]
        while True:
            try:
                run: datetime = runs.get_next(datetime)
            except CroniterError:  # no date in the next fifty years
                return
            if not run.fold or by_interval:
                yield run

    def _on_working_days(self, moment: datetime) -> Iterator[datetime]:
        """Working day after working day: the runs of its own, and those that days off around it hand to it."""
        local = moment.astimezone(ZoneInfo(self.timezone))
        ends = local.date() + HORIZON
        fired = moment
        day: date | None = self.days.at_or_after(local.date())
        while day is not None:
            first, last = self._gathered(day)
            spans = (first + timedelta(days=n) for n in range((last - first).days + 1))
            since = local if day == local.date() else None
            runs = heapq.merge(*(self._moved(one, day, since) for one in spans), key=lambda run: run.astimezone(UTC))
            for run in runs:
                if run.astimezone(UTC) > fired.astimezone(UTC):
                    fired = run
                    yield run
            day = self._next_day(last, ends)

    def _gathered(self, day: date) -> tuple[date, date]:
        """The first and the last of the days whose runs are fired on this working day."""
        one = timedelta(days=1)
        if self.rule == "next":
            return self.days.at_or_before(day - one) + one, day
        if self.rule == "previous":
            return day, self.days.at_or_after(day + one) - one
        return day, day

    def _next_day(self, last: date, ends: date) -> date | None:
        """The next working day that has a run; `last` and what lies before is done."""
        while True:
            run = next(self._by_cron(self._midnight(last + timedelta(days=1)) - _SECOND), None)
            if run is None or run.date() > ends:
                return None
            if self.rule == "next":
                return self.days.at_or_after(run.date())
            if self.rule == "previous":
                return self.days.at_or_before(run.date())
            if self.days.works(run.date()):
                return run.date()
            last = run.date()

    def _moved(self, day: date, to: date, since: datetime | None) -> Iterator[datetime]:
        """The runs of a day at the same hours of another; those before `since` (of `to`) need not come."""
        zone = ZoneInfo(self.timezone)
        start = self._midnight(day) - _SECOND
        if since and day == to:
            start = since
        elif since:  # an hour earlier: by so much the change to summer time moves a run on
            start = max(start, datetime.combine(day, since.time(), zone).astimezone(UTC) - timedelta(hours=1))
        for run in self._by_cron(start):
            if run.date() != day:
                return
            if day == to:
                yield run
            else:  # by way of UTC: an hour that is not there on that day becomes one that is
                yield datetime.combine(to, run.time(), zone).astimezone(UTC).astimezone(zone)

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), ZoneInfo(self.timezone)).astimezone(UTC)
