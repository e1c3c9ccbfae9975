"""What people see of schedules and do to them: make, change, set back, remove; what they did so far.

A schedule of code or settings keeps its name, queue and body; an operator may want another cron, zone, policy of
missed runs or calendar. That wish stays beside what was declared, outlives restarts, and can be set back.
Pause and "run now" are in core.operations. Every change is one row of the audit, in its own transaction.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import available_timezones

from core import audit, polling, stages
from core.calendars import known
from core.database import driver, storable
from core.errors import ConfigError
from core.message import Message, Outcome
from core.schedule import Schedule
from core.schedule_history import Run, last_runs
from core.scheduler import CHANGEABLE

if TYPE_CHECKING:
    from core.bus import Bus

BODY_MOST_CHARACTERS: Final = 100_000
TITLE_MOST_CHARACTERS: Final = 200
RUNS_SHOWN: Final = 10
ZONES: Final = {
    "Europe/Kaliningrad": "Калининград (МСК−1)",
    "Europe/Moscow": "Москва (МСК)",
    "Europe/Samara": "Самара (МСК+1)",
    "Asia/Yekaterinburg": "Екатеринбург (МСК+2)",
    "Asia/Omsk": "Омск (МСК+3)",
    "Asia/Krasnoyarsk": "Красноярск (МСК+4)",
    "Asia/Irkutsk": "Иркутск (МСК+5)",
    "Asia/Yakutsk": "Якутск (МСК+6)",
    "Asia/Vladivostok": "Владивосток (МСК+7)",
    "Asia/Magadan": "Магадан (МСК+8)",
    "Asia/Kamchatka": "Камчатка (МСК+9)",
    "UTC": "UTC",
}
"""Zones of Russia; any other one of the database of zones is taken as well."""
_NAME: Final = re.compile(r"[^\W_][\w. -]{0,59}")
RESERVED: Final = frozenset({"new", "part", "preview"})
"""Addresses of the console."""
_OPERATOR: Final = "operator"


@dataclass(frozen=True, slots=True)
class Line:
    """A schedule in the list. origin: operator | connector | settings | code."""

    schedule: Schedule
    origin: str
    paused: bool
    changed: Mapping[str, Any]
    declared: Mapping[str, Any]
    changed_by: str
    next: datetime | None
    last: Run | None


def lines(bus: Bus) -> list[Line]:
    """Every schedule by name, with its last run."""
    found = bus.schedules.all()
    last = last_runs(bus.database, [schedule.name for schedule, _ in found])
    return [_line(bus, schedule, state, last[schedule.name]) for schedule, state in found]


def line(bus: Bus, name: str) -> Line:
    """Raises ConfigError when there is none."""
    schedule, state = bus.schedules.find(name)
    return _line(bus, schedule, state, last_runs(bus.database, [name])[name])


def commands(bus: Bus) -> dict[str, str]:
    """Queue → title of those that take commands: JSON that their route's model checks."""
    return {
        route.name: route.title
        for route in sorted(bus.routes.by_name.values(), key=lambda one: one.name)
        if not route.formats and route.body is not None and Outcome.REQUEST in route.handlers
    }


def fields_of(bus: Bus, queue: str) -> dict[str, str]:
    """Field → what it is, of the command that a queue takes; {} for a queue that takes none."""
    route = bus.routes.by_name.get(queue)
    if route is None or route.body is None:
        return {}
    schema = route.body.model_json_schema(by_alias=True)
    required = set(schema.get("required", ()))
    return {
        name: str(one.get("description", "")) + ("" if name in required else " (не обязательно)")
        for name, one in schema.get("properties", {}).items()
    }


def drawn(bus: Bus, wanted: Schedule) -> Schedule:
    """The schedule with the days of its calendar. Raises ConfigError when there is no such calendar."""
    if not wanted.calendar:
        return wanted
    with bus.database.transaction() as connection:
        calendars = known(driver(connection))
    if wanted.calendar not in calendars:
        raise ConfigError(f"Нет календаря {wanted.calendar[:40]}: загрузите его на странице «Календари»")
    return replace(wanted, days=calendars[wanted.calendar])


def unknown_years(schedule: Schedule, now: datetime, count: int = RUNS_SHOWN) -> list[int]:
    """Years into which the next runs fall and of which the schedule's calendar knows nothing: the week decides."""
    if not schedule.calendar:
        return []
    years = {now.year, *(run.year for run in schedule.following(now, count))}
    return sorted(year for year in years if not schedule.days.knows(year))


def add(bus: Bus, wanted: Schedule, *, actor: str) -> str:
    """Make an operator's schedule; its name. `name` "": made of the title. Raises ConfigError, SchemaViolation."""
    wanted = replace(wanted, name=wanted.name.strip() or name_of(wanted.title), title=wanted.title.strip())
    checked = _checked(bus, wanted)
    if not _NAME.fullmatch(wanted.name) or wanted.name in RESERVED:
        raise ConfigError("Имя расписания: буквы, цифры, точка, дефис, пробел, до 60 знаков, начинается с буквы")
    with bus.database.transaction() as connection:
        db = driver(connection)
        row = db.execute(_ADD, {**_values(checked), "actor": actor}).fetchone()
        if row is None:
            raise ConfigError(f"Расписание {checked.name} уже есть: выберите другое имя или измените то, что есть")
        note = f"Создано расписание {checked.name} для очереди {checked.queue}"
        audit.record(db, actor, "schedule.created", "schedule", checked.name, note, _audited(checked))
    return checked.name


def change(bus: Bus, name: str, wanted: Schedule, *, actor: str) -> None:
    """Make it as wanted. Of a declared one only cron, zone, policy, calendar and rule are taken; wishes that are as
    declared are none. The name does not change. Raises ConfigError, SchemaViolation."""
    old, state = bus.schedules.find(name)
    if state["origin"] == _OPERATOR:
        checked = _checked(bus, replace(wanted, name=name, title=wanted.title.strip()))
        values = _values(checked)
        differs = {field: value for field, value in values.items() if getattr(old, field) != value}
        wish: dict[str, Any] = {}
    else:
        checked = drawn(bus, replace(old, **{field: getattr(wanted, field) for field in CHANGEABLE}))
        _happens(checked)
        wish = {field: getattr(checked, field) for field in CHANGEABLE}
        differs = {field: value for field, value in wish.items() if getattr(old, field) != value}
        values = {"name": name, **{field: getattr(old, field) for field in ("title", "queue", "body")}}
        values |= state["declared"]
        wish = {field: value for field, value in wish.items() if value != state["declared"][field]}
    if not differs:
        return
    anew = bool(differs.keys() & {"cron", "timezone", "calendar", "rule"})
    with bus.database.transaction() as connection:
        db = driver(connection)
        db.execute(_CHANGE, {**values, "changed": json.dumps(wish), "actor": actor, "anew": anew})
        was = {field: getattr(old, field) for field in differs}
        note = f"Изменено расписание {name}"
        audit.record(db, actor, "schedule.changed", "schedule", name, note, {"was": was, "became": differs})


def set_back(bus: Bus, name: str, *, actor: str) -> None:
    """A declared schedule as it is declared again. Raises ConfigError when there is nothing to set back."""
    old, state = bus.schedules.find(name)
    if not state["changed"]:
        raise ConfigError(f"Расписание {name} и так работает как объявлено")
    with bus.database.transaction() as connection:
        db = driver(connection)
        db.execute(
            "UPDATE bus.schedule SET changed = '{}', changed_by = %s, changed_at = clock_timestamp() WHERE name = %s",
            (actor, name),
        )
        was = {field: getattr(old, field) for field in state["changed"]}
        note = f"Расписание {name} возвращено к объявленному"
        audit.record(db, actor, "schedule.reset", "schedule", name, note, {"was": was, "became": state["declared"]})


def remove(bus: Bus, name: str, *, actor: str) -> None:
    """An operator's schedule is no more; its history stays in the journal. Raises ConfigError for any other."""
    old, state = bus.schedules.find(name)
    if state["origin"] != _OPERATOR:
        raise ConfigError(
            f"Расписание {name} объявлено в коде или настройках и удаляется только там. Здесь его ставят на паузу"
        )
    with bus.database.transaction() as connection:
        db = driver(connection)
        db.execute("DELETE FROM bus.schedule WHERE name = %s AND origin = 'operator'", (name,))
        audit.record(db, actor, "schedule.removed", "schedule", name, f"Удалено расписание {name}", _audited(old))


def name_of(title: str) -> str:
    """A name out of a title: «Ночная сверка (ЗАГС)» → ночная-сверка-загс."""
    return re.sub(r"[\W_]+", "-", title.lower()).strip("-")[:60].strip("-")


def _checked(bus: Bus, wanted: Schedule) -> Schedule:
    """Fit to be kept. Raises ConfigError, SchemaViolation."""
    if not wanted.title or len(wanted.title) > TITLE_MOST_CHARACTERS:
        raise ConfigError(f"Дайте расписанию название, до {TITLE_MOST_CHARACTERS} знаков")
    if wanted.queue not in commands(bus):
        raise ConfigError(f"Очередь {wanted.queue[:60] or 'не выбрана и'} не принимает команд: выберите из списка")
    if len(wanted.body) > BODY_MOST_CHARACTERS or storable(wanted.body) != wanted.body:
        raise ConfigError("Команда слишком длинная или содержит недопустимые знаки")
    if wanted.timezone not in available_timezones():
        raise ConfigError(f"Нет часового пояса {wanted.timezone[:40]}")
    message = Message(kind=wanted.queue, queue=wanted.queue, body=wanted.body.encode())
    stages.apply(bus.routes.by_name[wanted.queue], message)
    checked = drawn(bus, wanted)
    _happens(checked)
    return checked


def _happens(schedule: Schedule) -> None:
    if not schedule.following(datetime.now(UTC)):
        raise ConfigError(f"Расписание {schedule.name}: по календарю {schedule.calendar} такой день не наступит за год")


def _values(schedule: Schedule) -> dict[str, Any]:
    return {field: getattr(schedule, field) for field in ("name", "title", "queue", "body", *CHANGEABLE)}


def _audited(schedule: Schedule) -> dict[str, Any]:
    """Without the body, which may name a person."""
    return {name: value for name, value in _values(schedule).items() if name != "body"}


def _line(bus: Bus, schedule: Schedule, state: Mapping[str, Any], last: Run | None) -> Line:
    coming = None if state["paused"] else next(iter(schedule.following(datetime.now(UTC))), None)
    return Line(
        schedule,
        _origin(bus, schedule, state["origin"]),
        state["paused"],
        state["changed"],
        state["declared"],
        state["changed_by"],
        coming,
        last,
    )


def _origin(bus: Bus, schedule: Schedule, origin: str) -> str:
    if origin == _OPERATOR:
        return origin
    if schedule.name in bus.settings.schedules:
        return "settings"
    return "connector" if schedule.queue == polling.route.name else "code"


_ADD: Final = """
INSERT INTO bus.schedule (name, title, queue, body, cron, timezone, missed, calendar, rule, origin, changed_by)
VALUES (%(name)s, %(title)s, %(queue)s, %(body)s, %(cron)s, %(timezone)s, %(missed)s, %(calendar)s, %(rule)s,
        'operator', %(actor)s)
ON CONFLICT (name) DO NOTHING RETURNING name
"""
_CHANGE: Final = """
UPDATE bus.schedule SET title = %(title)s, queue = %(queue)s, body = %(body)s, cron = %(cron)s,
    timezone = %(timezone)s, missed = %(missed)s, calendar = %(calendar)s, rule = %(rule)s, changed = %(changed)s,
    changed_by = %(actor)s, changed_at = CASE WHEN %(anew)s THEN clock_timestamp() ELSE changed_at END
WHERE name = %(name)s
"""
