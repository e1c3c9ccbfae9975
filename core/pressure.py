"""Back-pressure: intake stops before the disk is full, and goes on by itself when there is room again.

`reason()` is asked for every message and costs nothing: a thread looks at the disks every few seconds and at the
database less often. Two marks a limit, so that intake does not flutter. What is in the journal is still worked on and
sent: that frees nothing, but it must go on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from core import ballast, disk
from core.database import Database, driver
from core.disk import Used, Volume
from core.errors import BusError
from core.settings import Settings

LOOK_S: Final = 2.0
"""How often the file systems are asked for their free space."""
MEASURE_S: Final = 30.0
"""How often the database is asked for its size."""
BUDGET_HIGH: Final = 0.95
BUDGET_LOW: Final = 0.90
"""Shares of the budget at which intake stops, and goes on."""
FREE_AGAIN: Final = 1.2
"""Intake goes on when so many times the least free space is free."""
_log = structlog.get_logger(__name__)


class Pressure:
    """Says whether the bus may take more in. One per process; `reason` is right after `start` or `look`."""

    def __init__(
        self, database: Database, settings: Settings, *, look_s: float = LOOK_S, measure_s: float = MEASURE_S
    ) -> None:
        self._database = database
        self._settings = settings
        self._look_s = look_s
        self._measure_s = measure_s
        self._volumes: list[Volume] = []
        self._used: Used | None = None
        self._measured_at = float("-inf")
        self._read_only = False
        self._reasons: dict[str, str] = {}
        """Limit → why it is passed, as it was when it was passed."""
        self._reason = ""
        self._postponed: list[Callable[[], None]] = []
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def reason(self) -> str:
        """Why nothing may be taken in now, in Russian; "" when it may."""
        return self._reason

    def postpone(self, action: Callable[[], None], reason: str) -> None:
        """Do it when the database takes writes again; until then nothing is taken in, for this reason."""
        self._postponed.append(action)
        self._reasons["postponed"] = f"Приём остановлен: {reason}"
        self._tell()

    def start(self) -> None:
        """Look once, so that the first message is judged rightly, then every few seconds."""
        self.look()
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="pressure", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._look_s):
            self.look()

    def look(self) -> str:
        """Measure what is due and judge anew; the reason."""
        try:
            if time.monotonic() - self._measured_at >= self._measure_s:
                self._measure()
            self._judge_volumes()
            self._judge_budget()
            self._mark("read-only", self._read_only, _READ_ONLY)
            self._catch_up()
        except BusError as error:  # the database is away: intake hears that from the database itself
            _log.warning("disk not measured", reason=error.reason)
        except Exception:  # a disk that went away under the look: the next look will tell
            _log.exception("disk not measured")
        self._tell()
        return self._reason

    def _measure(self) -> None:
        with self._database.transaction(durable=False) as connection:
            row = driver(connection).execute("SELECT current_setting('transaction_read_only') = 'on'").fetchone()
        self._read_only = bool(row and row[0])
        self._volumes = disk.volumes(self._settings, self._database)
        self._used = disk.used(self._database) if self._settings.disk_budget_bytes is not None else None
        self._measured_at = time.monotonic()

    def _judge_volumes(self) -> None:
        least = self._settings.disk_free_least_bytes
        rooms = {volume: volume.room()[0] for volume in self._volumes}
        for volume, free in rooms.items():
            name = f"volume {volume.holds}"
            enough = least * FREE_AGAIN if name in self._reasons else least
            self._mark(name, free < enough, _NO_ROOM.format(volume.holds, disk.size(free), disk.size(least)))
        for name in self._reasons.keys() - {f"volume {volume.holds}" for volume in rooms}:
            if name.startswith("volume "):
                del self._reasons[name]
        if self._settings.database_url is None and min(rooms.values(), default=0) > 2 * least:
            ballast.keep(self._settings.data_dir, self._settings.ballast_bytes)

    def _judge_budget(self) -> None:
        budget = self._settings.disk_budget_bytes
        if budget is None or self._used is None:
            return
        most = budget * (BUDGET_LOW if "budget" in self._reasons else BUDGET_HIGH)
        taken = self._used.total_bytes
        self._mark("budget", taken > most, _OVER_BUDGET.format(disk.size(taken), disk.size(budget)))

    def _catch_up(self) -> None:
        if self._reasons.keys() - {"postponed"}:
            return
        while self._postponed:
            self._postponed[0]()
            del self._postponed[0]
        self._reasons.pop("postponed", None)

    def _mark(self, name: str, passed: bool, reason: str) -> None:
        if passed:
            self._reasons.setdefault(name, reason)
        else:
            self._reasons.pop(name, None)

    def _tell(self) -> None:
        reason = next(iter(self._reasons.values()), "")
        if reason and not self._reason:
            _log.error("intake stopped", reason=reason)
        elif self._reason and not reason:
            _log.warning("intake goes on")
        self._reason = reason


_NO_ROOM: Final = (
    "Приём остановлен: на диске, где {0}, свободно {1}, а нужно не меньше {2}. Освободите место; приём пойдёт сам "
    "(сколько чего занято: omsbus retention status)"
)
_OVER_BUDGET: Final = (
    "Приём остановлен: журнал и вложения занимают {0} из отведённых {1} (disk_budget_bytes). Сократите сроки хранения "
    "(omsbus retention run) или отведите больше; приём пойдёт сам"
)
_READ_ONLY: Final = (
    "Приём остановлен: база данных не принимает запись (только чтение). Проверьте, та ли это база и есть ли место "
    "на её диске; приём пойдёт сам"
)
