"""Numbers of a queue that an operator set: how many work at once, and how a failed message is repeated.

They live in the database, so every process obeys them within KEPT_S seconds and without a restart. Three layers, the
last wins: the route's code, the settings file (`[routes.…]`), and these. Setting them back leaves the file's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import structlog
from pydantic import ValidationError

from core import audit
from core.database import Database, Driver, driver, storable
from core.errors import BusError, ConfigError
from core.route import Retry
from core.settings import RouteSettings

if TYPE_CHECKING:
    from core.bus import Bus

KEPT_S = 2.0
"""How long a process goes on with what it read."""
NAMES: Final = ("concurrency", "attempts", "first_s", "factor", "most_s")
TITLES: Final[Mapping[str, str]] = {
    "concurrency": "Обработчиков одновременно",
    "attempts": "Попыток до карантина",
    "first_s": "Первая пауза, с",
    "factor": "Во сколько раз растёт пауза",
    "most_s": "Пауза не больше, с",
}
_BOUNDS: Final[Mapping[str, str]] = {
    "concurrency": "целое от 1 до 64",
    "attempts": "целое от 1 до 100",
    "first_s": "число больше 0 и не больше 604800 (неделя)",
    "factor": "число от 1 до 100",
    "most_s": "число больше 0 и не больше 604800 (неделя)",
}
_log = structlog.get_logger(__name__)


class Overrides:
    """What operators set, read with a short memory. Thread-safe; a database that is away changes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, RouteSettings] = {}
        self._read_at = float("-inf")
        self._reading = threading.Lock()

    def of(self, queue: str) -> RouteSettings | None:
        """None when nothing is set for the queue."""
        if time.monotonic() - self._read_at > KEPT_S and self._reading.acquire(blocking=False):
            try:
                self._known = self._read()
            except BusError as error:
                _log.warning("overrides not read", reason=error.reason)
            finally:
                self._read_at = time.monotonic()
                self._reading.release()
        return self._known.get(queue)

    def forget(self) -> None:
        """Read anew at the next question: this process has just changed them."""
        self._read_at = float("-inf")

    def _read(self) -> dict[str, RouteSettings]:
        with self._database.transaction(durable=False) as connection:
            rows = driver(connection).execute(f"SELECT queue, {', '.join(NAMES)} FROM bus.queue_override").fetchall()
        # Checked when they were written; a row from a newer program must not stop this one.
        return {row[0]: RouteSettings.model_construct(**dict(zip(NAMES, row[1:], strict=True))) for row in rows}


@dataclass(frozen=True, slots=True)
class Number:
    """One number of a queue: what holds now, what holds without the operators, what they set (None: nothing)."""

    name: str
    title: str
    bounds: str
    in_force: float
    base: float
    override: float | None


@dataclass(frozen=True, slots=True)
class Numbers:
    """All numbers of a queue, and who changed them last (None: nobody)."""

    items: tuple[Number, ...]
    changed_at: datetime | None
    changed_by: str

    @property
    def changed(self) -> bool:
        return any(one.override is not None for one in self.items)


def numbers(bus: Bus, queue: str) -> Numbers:
    """As they are in the database now. A sink has only `concurrency`: it repeats until the far side confirms.

    Raises ConfigError for a source, and for a queue that this process does not know.
    """
    base = _base(bus, queue)
    with bus.database.transaction() as connection:
        row = (
            driver(connection)
            .execute(f"SELECT changed_at, changed_by, {', '.join(NAMES)} FROM bus.queue_override WHERE queue = %s",
                     (storable(queue),))
            .fetchone()
        ) or (None, "", *(None for _ in NAMES))  # fmt: skip
    given = dict(zip(NAMES, row[2:], strict=True))
    items = tuple(
        Number(
            name, TITLES[name], _BOUNDS[name], float(value if given[name] is None else given[name]), value, given[name]
        )
        for name, value in base.items()
    )
    return Numbers(items, row[0], row[1])


def override(bus: Bus, queue: str, values: Mapping[str, Any], *, actor: str) -> Numbers:
    """Set these numbers (name → number or text; None or "": the file's). Obeyed everywhere within KEPT_S seconds.

    Raises ConfigError that says which number is wrong and what it may be.
    """
    base = _base(bus, queue)
    if unknown := [name for name in values if name not in base]:
        raise ConfigError(f"У очереди {queue} нельзя задать «{TITLES.get(unknown[0], unknown[0])}»")
    wanted = _checked(values)
    merged = {name: value if wanted.get(name) is None else wanted[name] for name, value in base.items()}
    if "most_s" in merged and merged["first_s"] > merged["most_s"]:
        raise ConfigError(
            f"Первая пауза ({merged['first_s']:g} с) больше самой длинной ({merged['most_s']:g} с): исправьте"
        )
    given = {name: value for name in NAMES if (value := wanted.get(name)) is not None}
    with bus.database.transaction() as connection:
        db = driver(connection)
        before = _row(db, queue)
        if given:
            db.execute(
                f"INSERT INTO bus.queue_override (queue, {', '.join(NAMES)}, changed_by) "
                f"VALUES (%s, {', '.join(['%s'] * len(NAMES))}, %s) ON CONFLICT (queue) DO UPDATE SET "
                f"{', '.join(f'{name} = EXCLUDED.{name}' for name in NAMES)}, "
                "changed_at = clock_timestamp(), changed_by = EXCLUDED.changed_by",
                (storable(queue), *(given.get(name) for name in NAMES), storable(actor)),
            )
        else:
            db.execute("DELETE FROM bus.queue_override WHERE queue = %s", (storable(queue),))
        if given != before:
            action = "queue.tuned" if given else "queue.untuned"
            audit.record(db, actor, action, "queue", queue, _told(queue, given), {"before": before, "after": given})
    bus.overrides.forget()
    return numbers(bus, queue)


def reset(bus: Bus, queue: str, *, actor: str) -> Numbers:
    """Back to the numbers of the settings file and the code."""
    return override(bus, queue, {}, actor=actor)


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    cleaned = {
        name: value.strip().replace(",", ".") if isinstance(value, str) else value for name, value in values.items()
    }
    given = {name: value for name, value in cleaned.items() if value not in (None, "")}
    try:
        return RouteSettings.model_validate(given).model_dump(exclude_none=True)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        raise ConfigError(f"{TITLES.get(name, name)}: нужно {_BOUNDS.get(name, 'другое значение')}") from None


def _base(bus: Bus, queue: str) -> dict[str, float]:
    """The numbers without the operators', those that this queue has."""
    if queue in bus.routes.by_name:
        retry: Retry = bus.base_retry_of(bus.routes.by_name[queue])
        return {
            "concurrency": bus.base_concurrency_of(queue),
            "attempts": retry.attempts,
            "first_s": retry.first_s,
            "factor": retry.factor,
            "most_s": retry.most_s,
        }
    if queue in bus.engine.sinks:
        return {"concurrency": bus.base_concurrency_of(queue)}
    if queue in bus.sources:
        raise ConfigError(f"{queue} — источник: у него нет обработчиков и повторов, есть только опрос")
    raise ConfigError(f"В настройках этого процесса нет очереди {queue}: её числа не изменить")


def _row(db: Driver, queue: str) -> dict[str, Any]:
    row = db.execute(
        f"SELECT {', '.join(NAMES)} FROM bus.queue_override WHERE queue = %s FOR UPDATE", (storable(queue),)
    ).fetchone()
    return {name: value for name, value in zip(NAMES, row, strict=True) if value is not None} if row else {}


def _told(queue: str, given: Mapping[str, Any]) -> str:
    if not given:
        return f"Очередь {queue}: числа возвращены к настройкам"
    return f"Очередь {queue}: " + ", ".join(f"{TITLES[name].lower()} {value:g}" for name, value in given.items())
