"""Signals over AMQP: the Celery application for a broker, and the thread that publishes "queue X has work".

A broker holds no truth. It may be away, frozen or restart empty: nobody on a message's way ever waits for it, and
what a lost signal left is found by the sweep of every worker (core.distribution.Sweep). So signals are transient,
live TTL_S seconds, and a queue of them never grows beyond LENGTH_MOST, however long no worker comes.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import structlog
from celery import Celery
from kombu import Connection, Exchange, Queue

TASK = "omsbus.drain"
TTL_S = 5.0
"""Older than this a signal says nothing that a sweep has not found."""
LENGTH_MOST = 1000
HEARTBEAT_S = 10
"""A connection on which nothing came for twice as long is given up: the other side is gone without a word."""
CONNECT_S = 3.0
ANSWER_S = 3.0
"""How long the broker may take to confirm or to answer; then it counts as away."""
AGAIN_MOST_S = 3.0
"""Longest pause between two attempts to reach a broker that is away."""
REST_S, REST_MOST_S = 0.02, 0.25
"""Wake-ups of one process that come within this time go out together; the first after a silence goes at once."""
SHARE = 10
"""The publisher rests this many times longer than it has published: signals cost a tenth of one thread at most."""
STOP_S = 2.0

_log = structlog.get_logger(__name__)


class _Connection(Connection):
    """kombu waits longer and longer (up to 30 s) for a broker that is away; ours is looked for again soon."""

    def ensure_connection(  # type: ignore[override]
        self, errback: Any = None, max_retries: Any = None, **options: Any
    ) -> Any:
        options |= {"interval_start": 0.5, "interval_step": 0.5, "interval_max": AGAIN_MOST_S}
        return super().ensure_connection(errback, max_retries, **options)


def broker_app(url: str, queue: str) -> Celery:
    """The Celery application; `queue` is the name of the one queue that a cluster has on the broker."""
    app = Celery("omsbus", broker=url, set_as_current=False)
    app.conf.update(
        task_default_queue=queue,
        task_queues=[
            # Durable, for RabbitMQ 4 has no other shared queues; what is in it is not.
            Queue(queue, Exchange(""), routing_key=queue, durable=True, message_ttl=TTL_S, max_length=LENGTH_MOST)
        ],
        task_default_delivery_mode=1,
        task_ignore_result=True,
        task_publish_retry=False,
        # Taken is enough: a worker that dies with a signal in its hands leaves work for the sweep.
        task_acks_late=False,
        # As many signals as threads: the next one goes to a process that has a thread free.
        worker_prefetch_multiplier=1,
        worker_enable_prefetch_count_reduction=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_heartbeat=HEARTBEAT_S,
        broker_connection_timeout=CONNECT_S,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={"read_timeout": ANSWER_S, "write_timeout": ANSWER_S},
    )
    app.amqp.Connection = _Connection
    return app


class Publisher:
    """Sends signals from a thread of its own. `wake` costs a set insertion, never blocks and never raises.

    The thread starts with the first signal. What could not be published is tried again, once for each queue.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._waiting: set[str] = set()
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._connection: Connection | None = None
        self._producer: Any = None
        self._away = False

    def wake(self, queue: str) -> None:
        """Tell one worker of the cluster that this queue has work."""
        if queue in self._waiting:
            return
        with self._lock:
            self._waiting.add(queue)
            if self._thread is None and not self._stopping.is_set():
                self._thread = threading.Thread(target=self._run, name="signals", daemon=True)
                self._thread.start()
        self._news.set()

    def arrived(self, queue: str) -> None:
        """A worker of this process has the signal: nothing to do, another one is news at any time."""

    def start(self) -> None:
        """Signals may be sent (again)."""
        self._stopping.clear()

    def stop(self) -> None:
        """Send what waits, if the broker takes it at once."""
        self._stopping.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join(timeout=STOP_S)
        self._thread = None

    def _run(self) -> None:
        while not (self._stopping.is_set() and not self._waiting):
            told = self._news.wait(HEARTBEAT_S / 4 if self._producer else None)
            self._news.clear()
            with self._lock:
                queues, self._waiting = self._waiting, set()
            began = time.monotonic()
            try:
                if queues:
                    self._publish(queues)
                elif not told:
                    self._look_alive()
                rest_s = min(max(REST_S, SHARE * (time.monotonic() - began)), REST_MOST_S)
            except Exception as error:  # kombu lets the errors of every transport out
                self._lost(error)
                if self._stopping.is_set():
                    return
                with self._lock:
                    self._waiting |= queues
                self._news.set()
                rest_s = AGAIN_MOST_S / 3
            self._stopping.wait(rest_s)
        self._disconnect()

    def _publish(self, queues: set[str]) -> None:
        if self._producer is None:
            options = {"confirm_publish": True, "read_timeout": ANSWER_S, "write_timeout": ANSWER_S}
            self._connection = self._app.connection_for_write(transport_options=options, heartbeat=HEARTBEAT_S)
            once_each = max(len(self._connection.alt) - 1, 0)  # a URL may name several brokers, with ";" between them
            self._connection.ensure_connection(max_retries=once_each)
            self._producer = self._connection.Producer()
            if self._away:
                _log.info("broker is back")
            self._away = False
        for queue in queues:
            self._app.send_task(
                TASK, args=(queue,), producer=self._producer, timeout=ANSWER_S, confirm_timeout=ANSWER_S
            )

    def _look_alive(self) -> None:
        """Take in the broker's heartbeats, send ours, and find out that it is gone."""
        assert self._connection is not None
        with contextlib.suppress(TimeoutError):
            while True:
                self._connection.drain_events(timeout=0.001)
        self._connection.heartbeat_check()

    def _lost(self, error: Exception) -> None:
        if not self._away:
            _log.warning("broker is away, the sweep goes on without it", error=type(error).__name__)
        self._away = True
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.collect()  # no goodbye: nobody would answer it

    def _disconnect(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.release()
