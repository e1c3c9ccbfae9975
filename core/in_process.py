"""kombu's in-memory transport, made to wait: a signal is taken at once, and an idle bus costs nothing.

The original looks for messages every few milliseconds; this one sleeps until something is put.
"""

from __future__ import annotations

import threading
from queue import Empty
from typing import Any

from kombu.transport import memory
from kombu.transport.virtual import BrokerState

TRANSPORT = f"{__name__}:Transport"
"""For `Celery(broker_transport=…)`."""


class _News:
    """Counts what was put, and wakes who waits for it."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0

    @property
    def count(self) -> int:
        with self._condition:
            return self._count

    def arrived(self) -> None:
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    def wait(self, seen: int, timeout_s: float | None) -> None:
        """Until the count is no longer `seen`, `timeout_s` at most."""
        with self._condition:
            self._condition.wait_for(lambda: self._count != seen, timeout_s)


_news = _News()


class Channel(memory.Channel):
    """Queues that say when something is put."""

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
        super()._put(queue, message, **kwargs)
        _news.arrived()


class Transport(memory.Transport):
    """The transport of the embedded mode; all connections of the process share its queues."""

    Channel = Channel
    global_state = BrokerState()

    cycle: Any

    def drain_events(self, connection: Any, timeout: float | None = None, **options: Any) -> None:  # noqa: ARG002
        """Deliver one message. Raises TimeoutError after `timeout` seconds without one, or when woken for nothing."""
        seen = _news.count
        try:
            self.cycle.get(self._deliver, timeout=timeout)
        except Empty:
            _news.wait(seen, timeout)
            try:
                self.cycle.get(self._deliver, timeout=timeout)
            except Empty:
                raise TimeoutError from None


def wake() -> None:
    """Let every worker's loop look around: it may have been told to stop."""
    _news.arrived()
