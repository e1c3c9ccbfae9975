"""Things done once in the background because a person asked, such as a test of a connection."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

STOP_S: Final = 1.0
"""How long a stop waits for errands under way; what takes longer is left to end with the process."""


class Errands:
    """Thread-safe. `work` must catch its own errors."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def run(self, name: str, work: Callable[[], None]) -> None:
        """Begin, and return at once."""
        thread = threading.Thread(target=work, name=name, daemon=True)
        with self._lock:
            self._threads = [one for one in self._threads if one.is_alive()]
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Give what is under way a moment. Idempotent."""
        ends = time.monotonic() + STOP_S
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(0.0, ends - time.monotonic()))
