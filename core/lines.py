"""A line to a far side: opens its connector before the first use, and again after it was lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from core.connector import Connector, Delivery, Prepared, Receipt, Sink, Source, cron_of
from core.errors import ConfigError, Unavailable
from core.message import Message

Result = TypeVar("Result")


class Line:
    """Wraps one connector; thread-safe. `open` is called once until something raises Unavailable or ConfigError."""

    def __init__(self, connector: Connector) -> None:
        self.connector = connector
        self._open = False
        self._lock = threading.Lock()

    def use(self, work: Callable[[], Result]) -> Result:
        """Run `work` on an open connector."""
        with self._lock:
            if not self._open:
                self.connector.open()
                self._open = True
        try:
            return work()
        except (Unavailable, ConfigError):  # keys may have been replaced by then
            self._open = False
            raise

    def close(self) -> None:
        with self._lock:
            self.connector.close()
            self._open = False

    def sources(self) -> dict[str, Source]:
        return {name: _LineSource(self, source) for name, source in self.connector.sources.items()}

    def sinks(self) -> dict[str, Sink]:
        return {name: _LineSink(self, sink) for name, sink in self.connector.sinks.items()}


class _LineSource:
    def __init__(self, line: Line, source: Source) -> None:
        self._line = line
        self._source = source

    @property
    def interval_s(self) -> float:
        return self._source.interval_s

    @property
    def cron(self) -> str:
        return cron_of(self._source)

    def receive(self) -> Sequence[Delivery]:
        return self._line.use(self._source.receive)


class _LineSink:
    def __init__(self, line: Line, sink: Sink) -> None:
        self._line = line
        self._sink = sink

    def prepare(self, message: Message) -> Prepared:
        return self._line.use(lambda: self._sink.prepare(message))

    def send(self, message: Message, prepared: Prepared, *, repeated: bool) -> Receipt:
        return self._line.use(lambda: self._sink.send(message, prepared, repeated=repeated))
