"""Who drains which queue, and when: Celery signals (work is here) and a sweep (what a lost signal left).

The truth is in PostgreSQL. A task says only "queue X has work" and drains it; one signal may stand for thousands of
messages, and a lost one costs at most a sweep. Embedded, the same Celery application runs on an in-memory
transport (core.in_process) with its worker in a thread of this process.
"""

from __future__ import annotations

import contextlib
import functools
import math
import threading
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import structlog
from celery import Celery
from celery.concurrency.thread import TaskPool
from celery.worker import WorkController

from core import in_process
from core.database import Database, driver
from core.engine import Engine
from core.errors import BusError, Unavailable
from core.queues import Queues

DRAIN_S = 2.0
"""A drain gives its worker back after this long, so that other queues get their turn."""
READY_S = 5.0
STOP_S = 30.0
FAST_S, SLOW_S = 0.25, 1.0
"""A batch faster than FAST_S doubles the next one, slower than SLOW_S halves it."""

_log = structlog.get_logger(__name__)


def celery_app(broker_url: str | None) -> Celery:
    """The Celery application; without a broker on the in-memory transport."""
    # In memory the queues are the process's own: two buses in one process (tests) must not share a name.
    queue = "omsbus" if broker_url else f"omsbus.{uuid.uuid4()}"
    app = Celery("omsbus", broker=broker_url or "memory://", set_as_current=False)
    app.conf.update(
        task_default_queue=queue,
        task_ignore_result=True,
        task_acks_late=False,
        # In memory one signal must not wait for another's acknowledgement: the worker's loop sends those when
        # something comes or 2 s have passed.
        worker_prefetch_multiplier=1 if broker_url else 0,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        task_publish_retry=False,
    )
    if not broker_url:
        app.conf.broker_transport = in_process.TRANSPORT
    return app


class Signals:
    """Wakes workers, coalesced: while a signal for a queue is under way, another one says nothing new.

    A signal that another process has taken never arrives here, so it counts as under way for `window_s` at most.
    """

    def __init__(self, app: Celery, window_s: float = 5.0) -> None:
        self._app = app
        self._window_s = window_s
        self._under_way: dict[str, float] = {}
        self._lock = threading.Lock()

    def wake(self, queue: str) -> None:
        """Never raises: a broker that is away costs a sweep, not a message."""
        with self._lock:
            now = time.monotonic()
            if now - self._under_way.get(queue, -math.inf) < self._window_s:
                return
            self._under_way[queue] = now
        try:
            self._app.send_task("omsbus.drain", args=(queue,))
        except Exception as error:  # kombu lets the errors of every transport out
            self.arrived(queue)
            _log.warning("signal not sent", queue=queue, error=type(error).__name__)

    def arrived(self, queue: str) -> None:
        """The signal has reached a worker: the next one is news again."""
        with self._lock:
            self._under_way.pop(queue, None)


class Drains:
    """Runs drains with an adaptive batch, at most `concurrency` of a queue at once in this process."""

    def __init__(self, engine: Engine, signals: Signals, concurrency: Callable[[str], int], batch_most: int) -> None:
        self._engine = engine
        self._signals = signals
        self._concurrency = concurrency
        self._batch_most = batch_most
        self._running: Counter[str] = Counter()
        self._sizes: dict[str, int] = {}
        self._again: set[str] = set()
        self._lock = threading.Lock()
        self.stopping = threading.Event()

    def drain(self, queue: str) -> None:
        """Drain until the queue is empty or DRAIN_S is over; then signal for the rest."""
        self._signals.arrived(queue)
        with self._lock:
            if self._running[queue] >= self._concurrency(queue):
                self._again.add(queue)
                return
            self._running[queue] += 1
        more = False
        try:
            more = self._batches(queue)
        except Unavailable as error:
            _log.warning("drain interrupted", queue=queue, reason=error.reason)
        except BusError as error:
            _log.error("drain failed", queue=queue, reason=error.reason)
        except Exception:
            _log.exception("drain failed", queue=queue)
        finally:
            with self._lock:
                self._running[queue] -= 1
                more = more or queue in self._again
                self._again.discard(queue)
        if more and not self.stopping.is_set():
            self._signals.wake(queue)

    def _batches(self, queue: str) -> bool:
        ends = time.monotonic() + DRAIN_S
        while not self.stopping.is_set():
            size = self._sizes.get(queue, 8)
            began = time.monotonic()
            claimed = self._engine.drain(queue, size)
            if not claimed:
                return False
            self._sizes[queue] = self._next_size(size, claimed, time.monotonic() - began)
            if time.monotonic() > ends:
                return True
        return False

    def _next_size(self, size: int, claimed: int, taken_s: float) -> int:
        if taken_s > SLOW_S:
            return max(1, size // 2)
        if claimed == size and taken_s < FAST_S:
            return min(self._batch_most, size * 2)
        return size


class _Threads(TaskPool):
    """Celery's threads, told whose task they run: left alone they ask the application made first in the process."""

    def on_apply(self, target: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return super().on_apply(functools.partial(target, app=self.app), *args, **options)


class Worker:
    """A Celery worker of this process, in a thread: `workers` threads drain the queues."""

    def __init__(self, app: Celery, drains: Drains, workers: int) -> None:
        self._drains = drains
        self._ready = threading.Event()
        app.tasks.pop("omsbus.drain", None)  # of an earlier worker of this process
        app.task(name="omsbus.drain", shared=False)(drains.drain)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._controller: Any = WorkController(
                app=app,
                pool_cls=_Threads,
                concurrency=workers,
                without_mingle=True,
                without_gossip=True,
                without_heartbeat=True,
                quiet=True,
                ready_callback=lambda _consumer: self._ready.set(),
            )
        self._thread = threading.Thread(target=self._controller.start, name="celery worker", daemon=True)

    def start(self) -> None:
        """Returns when signals are listened to; with a broker that is away, while it is still being tried."""
        self._thread.start()
        self._ready.wait(timeout=READY_S)

    def stop(self) -> None:
        """Let the drains under way commit, take no new ones."""
        self._drains.stopping.set()
        with contextlib.suppress(SystemExit):
            self._controller.stop()
        in_process.wake()
        self._thread.join(timeout=STOP_S if self._ready.is_set() else 1.0)


class Sweep:
    """Every `every_s`: due retries, messages without a signal, questions without an answer."""

    def __init__(
        self, database: Database, queues: Queues, engine: Engine, wake: Callable[[str], None], every_s: float
    ) -> None:
        self._database = database
        self._queues = queues
        self._engine = engine
        self._wake = wake
        self._every_s = every_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweep", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def once(self) -> None:
        with self._database.transaction(durable=False) as connection:
            waiting = self._queues.sweep(driver(connection))
        self._engine.expire()
        for queue in waiting:
            self._wake(queue)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.once()
            except BusError as error:
                _log.warning("sweep failed", reason=error.reason)
            except Exception:
                _log.exception("sweep failed")
            self._stopping.wait(self._every_s)
