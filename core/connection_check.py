""" "Test connection": asked for by a person, done in the background, its outcome kept for everybody.

A far side may be silent for a minute; nobody waits for it with a page open. The outcome of the last test of each
connector is a row of bus.connection_check. A test that is not over after MOST_S counts as failed, and may be asked
for again.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

import structlog

from core import audit
from core.database import driver, storable
from core.errors import BusError, ConfigError, Retryable

if TYPE_CHECKING:
    from core.bus import Bus

MOST_S: Final = 90.0
_LOOK_S: Final = 0.05
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """One test. under_way: the outcome is still to come. said: a Russian sentence."""

    connector: str
    asked_at: datetime
    asked_by: str
    finished_at: datetime | None
    ok: bool
    said: str
    under_way: bool


def begin(bus: Bus, connector: str, *, actor: str) -> None:
    """Start a test and return at once; nothing when one is under way. Raises ConfigError for an unknown connector."""
    if connector not in bus.lines:
        raise ConfigError(f"Нет коннектора {connector}, или он выключен в настройках")
    with bus.database.transaction() as connection:
        db = driver(connection)
        begun = db.execute(_BEGIN, {"connector": storable(connector), "actor": storable(actor), "most_s": MOST_S})
        row = begun.fetchone()
        if row is None:
            return
        audit.record(db, actor, "connector.checked", "connector", connector, f"Проверка связи коннектора {connector}")
    bus.errands.run(f"check {connector}", lambda: _run(bus, connector, row[0]))


def last(bus: Bus, connector: str) -> Check | None:
    """None when it was never tested."""
    return checks(bus).get(connector)


def checks(bus: Bus) -> dict[str, Check]:
    """The last test of every connector that was tested."""
    with bus.database.transaction(durable=False) as connection:
        rows = driver(connection).execute(_LAST, (MOST_S,)).fetchall()
    found = {}
    for name, asked_at, asked_by, finished_at, ok, said, is_late in rows:
        late = is_late and finished_at is None
        words = f"Проверка не закончилась за {MOST_S:.0f} с: другая сторона молчит, или процесс шины остановлен"
        under_way = finished_at is None and not late
        found[name] = Check(name, asked_at, asked_by, finished_at, ok, words if late else said, under_way)
    return found


def check(bus: Bus, connector: str, *, actor: str, within_s: float = 30.0) -> Check:
    """Test and wait for the outcome: for the API and the command line. Raises Retryable when it takes longer."""
    begin(bus, connector, actor=actor)
    ends = time.monotonic() + within_s
    while (found := last(bus, connector)) is None or found.under_way:
        if time.monotonic() > ends:
            raise Retryable(f"Коннектор {connector}: проверка ещё идёт, спросите о её результате позже")
        time.sleep(_LOOK_S)
    return found


def _run(bus: Bus, connector: str, asked_at: datetime) -> None:
    line = bus.lines[connector]
    try:
        ok, said = True, line.use(line.connector.check)
    except BusError as error:
        ok, said = False, error.reason
    except Exception as error:  # a defect of a connector; the person wants to hear of it
        _log.exception("connection check failed", connector=connector)
        ok, said = False, f"Ошибка в программе коннектора ({type(error).__name__}): передайте журнал разработчику"
    with contextlib.suppress(BusError), bus.database.transaction() as connection:
        driver(connection).execute(
            "UPDATE bus.connection_check SET finished_at = clock_timestamp(), ok = %s, said = %s "
            "WHERE connector = %s AND asked_at = %s",  # another one may have been begun since
            (ok, storable(said), storable(connector), asked_at),
        )


_BEGIN: Final = """
INSERT INTO bus.connection_check AS c (connector, asked_by) VALUES (%(connector)s, %(actor)s)
ON CONFLICT (connector) DO UPDATE SET asked_at = clock_timestamp(), asked_by = EXCLUDED.asked_by, finished_at = NULL,
    ok = false, said = ''
WHERE c.finished_at IS NOT NULL OR c.asked_at < clock_timestamp() - make_interval(secs => %(most_s)s)
RETURNING asked_at
"""
_LAST: Final = """
SELECT connector, asked_at, asked_by, finished_at, ok, said,
       asked_at < clock_timestamp() - make_interval(secs => %s)
FROM bus.connection_check ORDER BY connector
"""
