"""Who drains which queue, and when: Celery signals (work is here) and a sweep (what a lost signal left).

The truth is in PostgreSQL. A task says only "queue X has work" and drains it; one signal may stand for thousands of
messages, and a lost one costs at most a sweep. With a broker the signals come over AMQP (core.broker); embedded, the
same Celery worker runs on an in-memory transport (core.in_process). Either way it is a thread of this process, and
the drains go on by the sweep alone while there is no broker to be reached.
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
from celery.exceptions import WorkerShutdown
from celery.worker import WorkController
from kombu.asynchronous import set_event_loop

from core import in_process
from core.broker import TASK, Publisher, broker_app
from core.database import Database, driver
from core.engine import Engine
from core.errors import BusError, Unavailable
from core.locks import ClusterLocks
from core.queues import Queues

DRAIN_S = 2.0
"""A drain gives its worker back after this long, so that other queues get their turn."""
SPREAD_S = 0.25
"""How often a drain with a full batch calls another worker to help."""
READY_S, READY_BROKER_S = 5.0, 1.0
"""How long a start waits for signals; a broker that is away keeps nobody from starting."""
GATHER_S = 0.003
"""Pause of a drain after a batch that was not full: under load batches get larger, and each costs about the same."""
STOP_S = 30.0
GOODBYE_S = 3.0
"""How long the broker is waited for once the last drain has committed."""
AGAIN_S = 1.0
"""Pause before a Celery worker that has ended by itself is made anew."""
FAST_S, SLOW_S = 0.25, 1.0
"""A batch faster than FAST_S doubles the next one, slower than SLOW_S halves it."""

_log = structlog.get_logger(__name__)


def celery_app(broker_url: str | None, queue: str = "omsbus") -> Celery:
    """The Celery application; without a broker on the in-memory transport."""
    if broker_url:
        return broker_app(broker_url, queue)
    # In memory the queues are the process's own: two buses in one process (tests) must not share a name.
    app = Celery("omsbus", broker="memory://", set_as_current=False)
    app.conf.update(
        task_default_queue=f"{queue}.{uuid.uuid4()}",
        task_ignore_result=True,
        task_acks_late=False,
        # One signal must not wait for another's acknowledgement: the worker's loop sends those when something comes
        # or 2 s have passed.
        worker_prefetch_multiplier=0,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        task_publish_retry=False,
    )
    app.conf.broker_transport = in_process.TRANSPORT
    return app


def signals_of(app: Celery, broker_url: str | None) -> Signals | Publisher:
    """How this process tells of work: at once in memory, by a thread of its own over a broker."""
    return Publisher(app) if broker_url else Signals(app)


class Signals:
    """Wakes the workers of this process, coalesced: while a signal is under way, another one says nothing new.

    A signal that got lost with its worker counts as under way for `window_s` at most.
    """

    def __init__(self, app: Celery, window_s: float = 5.0) -> None:
        self._app = app
        self._window_s = window_s
        self._under_way: dict[str, float] = {}
        self._lock = threading.Lock()

    def wake(self, queue: str) -> None:
        """Never raises: a lost signal costs a sweep, not a message."""
        with self._lock:
            now = time.monotonic()
            if now - self._under_way.get(queue, -math.inf) < self._window_s:
                return
            self._under_way[queue] = now
        try:
            self._app.send_task(TASK, args=(queue,))
        except Exception as error:  # kombu lets the errors of every transport out
            self.arrived(queue)
            _log.warning("signal not sent", queue=queue, error=type(error).__name__)

    def arrived(self, queue: str) -> None:
        """The signal has reached a worker: the next one is news again."""
        with self._lock:
            self._under_way.pop(queue, None)

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""


class Drains:
    """Runs drains with an adaptive batch, at most `concurrency` of a queue at once in this process.

    spread  a drain that finds a full batch signals for another one, so that a backlog that came with one signal
            engages every worker of the cluster
    """

    def __init__(
        self,
        engine: Engine,
        signals: Signals | Publisher,
        concurrency: Callable[[str], int],
        batch_most: int,
        *,
        spread: bool = False,
    ) -> None:
        self._engine = engine
        self._signals = signals
        self._concurrency = concurrency
        self._batch_most = batch_most
        self._spread = spread
        self._running: Counter[str] = Counter()
        self._sizes: dict[str, int] = {}
        self._again: set[str] = set()
        self._spread_at: dict[str, float] = {}
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self.stopping = threading.Event()
        self.go_on: Callable[[str], None] = signals.wake
        """Called with a queue whose drain gave its worker back before the queue was empty."""

    def drain(self, queue: str) -> None:
        """Drain until the queue is empty or DRAIN_S is over; then see that the rest comes to its turn."""
        self._signals.arrived(queue)
        most = self._concurrency(queue)  # may ask the database: not under the lock
        with self._lock:
            if self._running[queue] >= most:
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
                self._idle.notify_all()
        if more:  # whoever must stop leaves the rest to the others
            (self._signals.wake if self.stopping.is_set() else self.go_on)(queue)

    def has_room(self, queue: str) -> bool:
        """May this process run one more drain of the queue? If not, one that runs looks again before it ends."""
        most = self._concurrency(queue)
        with self._lock:
            if self._running[queue] < most:
                return True
            self._again.add(queue)
            return False

    def finished(self, timeout_s: float) -> bool:
        """Wait until no drain is under way; False when one still is."""
        with self._idle:
            return self._idle.wait_for(lambda: not any(self._running.values()), timeout_s)

    def _batches(self, queue: str) -> bool:
        ends = time.monotonic() + DRAIN_S
        while not self.stopping.is_set():
            size = self._sizes.get(queue, 8)
            began = time.monotonic()
            claimed = self._engine.drain(queue, size)
            if not claimed:
                return False
            ended = time.monotonic()
            self._sizes[queue] = self._next_size(size, claimed, ended - began)
            if self._spread and claimed == size and ended - self._spread_at.get(queue, -math.inf) > SPREAD_S:
                self._spread_at[queue] = ended
                self._signals.wake(queue)
            if ended > ends:
                return True
            if claimed < size:  # what comes within a moment costs less together
                self.stopping.wait(GATHER_S)
        return True

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
    """A Celery worker of this process, in a thread: `workers` threads drain the queues.

    One that ends by itself (the broker has refused something) is made anew.
    """

    _making = threading.Lock()

    def __init__(self, app: Celery, drains: Drains, workers: int) -> None:
        self._app = app
        self._drains = drains
        self._workers = workers
        self._ready = threading.Event()
        self._queued: set[str] = set()
        app.tasks.pop(TASK, None)  # of an earlier worker of this process
        app.task(name=TASK, shared=False)(drains.drain)
        drains.go_on = self.here
        self._controller = self._make()
        self._thread = threading.Thread(target=self._run, name="celery worker", daemon=True)

    def start(self) -> None:
        """Returns when signals are listened to; with a broker that is away, while it is still being tried."""
        self._thread.start()
        self._ready.wait(timeout=READY_S if self._controller.hub is None else READY_BROKER_S)

    def here(self, queue: str) -> None:
        """Drain in this process, without a signal; nothing when this process has enough drains of that queue."""
        if queue in self._queued or not self._drains.has_room(queue):
            return
        self._queued.add(queue)
        try:
            done = self._controller.pool.executor.submit(self._drain, queue)
        except (AttributeError, RuntimeError):  # a Celery worker that is not yet, or no longer, up: the next sweep
            self._queued.discard(queue)
        else:
            done.add_done_callback(lambda _: self._queued.discard(queue))

    def stop(self) -> None:
        """Let the drains under way commit, take no new ones."""
        self._drains.stopping.set()
        if (hub := self._controller.hub) is None:
            with contextlib.suppress(SystemExit):
                self._controller.stop()
            in_process.wake()
            self._thread.join(timeout=STOP_S if self._ready.is_set() else 1.0)
            return
        if self._ready.is_set():
            hub.call_soon(_shut_down)  # the loop's thread owns the connection
        self._drains.finished(STOP_S)
        self._thread.join(timeout=GOODBYE_S if self._ready.is_set() else 1.0)

    def _drain(self, queue: str) -> None:
        self._queued.discard(queue)
        self._drains.drain(queue)

    def _run(self) -> None:
        while True:
            with contextlib.suppress(SystemExit):
                self._controller.start()
            if self._drains.stopping.wait(AGAIN_S):
                return
            _log.error("celery worker ended, making another one")
            self._controller = self._make()

    def _make(self) -> Any:
        with self._making, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            set_event_loop(None)  # kombu keeps one a process, and would give a second worker the first one's
            return WorkController(
                app=self._app,
                pool_cls=_Threads,
                concurrency=self._workers,
                without_mingle=True,
                without_gossip=True,
                without_heartbeat=True,
                quiet=True,
                ready_callback=lambda _consumer: self._ready.set(),
            )


def _shut_down() -> None:
    raise WorkerShutdown(0)


class Sweep:
    """Every `every_s`: what has work and may run is drained; and one process of the cluster looks after the rest:
    due retries, messages behind a failed one, questions without an answer. Another takes over when it is gone."""

    def __init__(
        self, database: Database, queues: Queues, engine: Engine, wake: Callable[[str], None], every_s: float
    ) -> None:
        self._database = database
        self._queues = queues
        self._engine = engine
        self._wake = wake
        self._every_s = every_s
        self._locks = ClusterLocks(database)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweep", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._locks.close()

    def once(self) -> None:
        leads = self._locks.hold("sweep")
        with self._database.transaction(durable=False) as connection:
            if leads:
                self._queues.sweep(driver(connection))
            waiting = self._queues.waiting(driver(connection))
        if leads:
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
