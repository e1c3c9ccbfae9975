"""Trial runs of the console: one at a time in a process, in a thread, kept in memory for an hour.

A second click while one runs leads to that one. A restart forgets them: nothing of them is in the database.
"""

from __future__ import annotations

import secrets
import threading
import weakref
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import structlog

from core.errors import BusError, ConfigError
from core.route import Format, Route
from core.trial import run
from core.trial.candidate import Candidate

if TYPE_CHECKING:
    from core.bus import Bus

KEPT: Final = timedelta(hours=1)
KEPT_MOST: Final = 10
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Job:
    """id: for its address. problem: why it ended before its time, a sentence."""

    id: str
    route: Route
    form: Format
    candidate: Candidate
    actor: str
    account: run.Account
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    over: bool = False
    problem: str = ""
    stopping: threading.Event = field(default_factory=threading.Event, repr=False)


class Jobs:
    """The trial runs of one bus in this process. Thread-safe."""

    def __init__(self, bus: Bus) -> None:
        self._bus = weakref.ref(bus)
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}

    def start(self, route: Route, form: Format, candidate: Candidate, last: int, *, actor: str) -> tuple[Job, bool]:
        """(the job, is it new): while one runs it is that one. Raises ConfigError."""
        if not 1 <= last <= run.LAST_MOST:
            raise ConfigError(f"Сообщений для прогона: от 1 до {run.LAST_MOST}")
        bus = self._bus()
        assert bus is not None
        with self._lock:
            self._forget()
            for job in self._jobs.values():
                if not job.over:
                    return job, False
            run.note(bus, route.name, form, candidate, last, actor=actor)
            job = Job(secrets.token_hex(6), route, form, candidate, actor, run.Account(last))
            self._jobs[job.id] = job
        threading.Thread(target=self._work, args=(bus, job), name="trial", daemon=True).start()
        return job, True

    def get(self, job_id: str) -> Job:
        """Raises ConfigError when there is none (any more)."""
        with self._lock:
            self._forget()
            try:
                return self._jobs[job_id]
            except KeyError:
                raise ConfigError(
                    "Такого пробного прогона нет: итоги хранятся час и пропадают при перезапуске. Запустите снова"
                ) from None

    def all(self) -> list[Job]:
        """The newest first."""
        with self._lock:
            self._forget()
            return sorted(self._jobs.values(), key=lambda job: job.began_at, reverse=True)

    def stop(self, job_id: str) -> None:
        """Ask it to end after the document under way. Raises ConfigError."""
        self.get(job_id).stopping.set()

    def _work(self, bus: Bus, job: Job) -> None:
        try:
            run.run(bus, job.route, job.form, job.candidate, job.account, job.stopping)
        except BusError as error:
            job.problem = error.reason
        except Exception:
            _log.exception("trial run", job=job.id)
            job.problem = "Прогон прерван ошибкой программы: она записана в журнал программы, передайте разработчику"
        finally:
            job.over = True

    def _forget(self) -> None:
        since = datetime.now(UTC) - KEPT
        over = sorted((job for job in self._jobs.values() if job.over), key=lambda job: job.began_at)
        for place, job in enumerate(over):
            if job.began_at < since or place < len(over) - KEPT_MOST:
                del self._jobs[job.id]


_of_buses: weakref.WeakKeyDictionary[Bus, Jobs] = weakref.WeakKeyDictionary()
_guard = threading.Lock()


def jobs_of(bus: Bus) -> Jobs:
    """The trial runs of this bus in this process."""
    with _guard:
        if bus not in _of_buses:
            _of_buses[bus] = Jobs(bus)
        return _of_buses[bus]
