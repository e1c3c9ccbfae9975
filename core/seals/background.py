"""A verification that somebody has asked for and does not wait for: a thread of this process."""

from __future__ import annotations

import threading

import structlog

from core.database import Database
from core.errors import BusError, ConfigError
from core.payloads import PayloadStore
from core.seals.recording import Recorded

_log = structlog.get_logger(__name__)


class Verifier:
    """At most one at a time. `stop` ends the one that runs after its block."""

    def __init__(self, database: Database, payloads: PayloadStore) -> None:
        self._database = database
        self._payloads = payloads
        self._guard = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, *, actor: str, first: int = 1, contents: bool = False) -> int:
        """Start a verification, of the large contents too when wanted; its number.

        Raises ConfigError when one runs, here or in another process.
        """
        with self._guard:
            if self._thread is not None and self._thread.is_alive():
                raise ConfigError("Проверка цепочки уже идёт: дождитесь её конца")
            recorded = Recorded(self._database)
            number = recorded.begin(actor=actor, first=first)
            self._stopping = threading.Event()
            payloads = self._payloads if contents else None
            self._thread = threading.Thread(
                target=self._run, args=(recorded, number, first, payloads, self._stopping), name="verifier", daemon=True
            )
            self._thread.start()
        return number

    def interrupt(self) -> None:
        """End the verification that runs here. Raises ConfigError when none does."""
        if self._thread is None or not self._thread.is_alive():
            raise ConfigError("В этом процессе проверка не идёт: если её запустили командой, прервите там (Ctrl+C)")
        self._stopping.set()

    def stop(self) -> None:
        """The same, and wait for it."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(
        self, recorded: Recorded, number: int, first: int, payloads: PayloadStore | None, stopping: threading.Event
    ) -> None:
        try:
            recorded.go(number, first=first, payloads=payloads, stopping=stopping)
        except BusError as error:
            _log.warning("verification", reason=error.reason)
        except Exception:
            _log.exception("verification")
