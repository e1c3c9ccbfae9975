"""Signals over a real broker: cheap, never in the way, never more than the broker may hold."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import kombu
import pytest
from celery import Celery

from core import broker
from core.broker import LENGTH_MOST, Publisher, broker_app
from core.distribution import Drains, Worker

pytestmark = pytest.mark.feature("BUS-12")


@pytest.fixture
def name() -> str:
    return f"test-{uuid.uuid4()}"


@pytest.fixture
def app(rabbit: Any, name: str) -> Celery:
    return broker_app(rabbit.url, name)


@pytest.fixture
def publisher(app: Celery) -> Iterator[Publisher]:
    made = Publisher(app)
    yield made
    made.stop()


def _depth(rabbit: Any, name: str) -> int:
    with kombu.Connection(rabbit.url) as connection:
        try:
            return int(connection.default_channel.queue_declare(name, passive=True).message_count)
        except kombu.Connection(rabbit.url).channel_errors:
            return 0


def test_a_thousand_wakes_of_a_moment_are_few_signals(
    publisher: Publisher, rabbit: Any, name: str, eventually: Any
) -> None:
    for _ in range(1000):
        publisher.wake("t.work")
    eventually(lambda: _depth(rabbit, name) >= 1)
    publisher.stop()
    assert _depth(rabbit, name) < 20


def test_signals_that_nobody_takes_do_not_fill_the_broker(publisher: Publisher, rabbit: Any, name: str) -> None:
    for n in range(LENGTH_MOST + 200):
        publisher._waiting.add(f"q{n}")
    publisher._publish(set(publisher._waiting))
    publisher._waiting.clear()
    publisher._disconnect()
    assert _depth(rabbit, name) == LENGTH_MOST


def test_old_signals_vanish(rabbit: Any, name: str, eventually: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "TTL_S", 0.1)
    publisher = Publisher(broker_app(rabbit.url, name))
    publisher.wake("t.work")
    eventually(lambda: publisher._producer)
    publisher.stop()
    eventually(lambda: _depth(rabbit, name) == 0)


@pytest.mark.feature("BUS-02")
def test_a_wake_returns_at_once_while_the_broker_hangs_and_is_sent_when_it_is_back(
    publisher: Publisher, rabbit: Any, name: str, eventually: Any
) -> None:
    publisher.wake("t.first")
    eventually(lambda: _depth(rabbit, name) == 1)
    rabbit.partition()
    try:
        woken = threading.Thread(target=lambda: [publisher.wake(f"q{n % 7}") for n in range(10_000)])
        woken.start()
        woken.join(2.0)
        assert not woken.is_alive(), "each would wait for the broker's answer"
    finally:
        rabbit.heal()
    eventually(lambda: _depth(rabbit, name) >= 8)


@pytest.mark.feature("BUS-02")
def test_a_broker_that_is_away_is_found_when_it_comes(rabbit: Any, name: str, eventually: Any) -> None:
    """Its address leads nowhere at first: a relay begins later."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    publisher = Publisher(broker_app(f"amqp://guest:guest@127.0.0.1:{port}//", name))
    publisher.wake("t.work")
    eventually(lambda: publisher._away)
    with socket.create_server(("127.0.0.1", port)) as relay:
        threading.Thread(target=_relay, args=(relay, rabbit.port), daemon=True).start()
        eventually(lambda: _depth(rabbit, name) == 1)
        publisher.stop()


def test_a_silent_connection_is_given_up(
    publisher: Publisher, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "HEARTBEAT_S", 1)
    publisher.wake("t.work")
    eventually(lambda: publisher._producer)
    connection = publisher._connection
    assert connection is not None
    monkeypatch.setattr(connection, "drain_events", lambda timeout: (_ for _ in ()).throw(TimeoutError))
    eventually(lambda: publisher._connection is not connection)


@pytest.mark.feature("BUS-02")
def test_a_worker_that_the_broker_refuses_drains_all_the_same_and_comes_back(
    rabbit: Any, name: str, app: Celery, eventually: Any
) -> None:
    with kombu.Connection(rabbit.url) as connection:  # of an older version: declared otherwise
        connection.default_channel.queue_declare(name, durable=True, auto_delete=False)
    drained: list[str] = []

    class Engine:
        def drain(self, queue: str, limit: int) -> int:
            drained.append(queue)
            return 0

    publisher = Publisher(app)
    drains = Drains(Engine(), publisher, lambda queue: 1, 8)  # type: ignore[arg-type]
    worker = Worker(app, drains, 1)
    worker.start()
    try:
        eventually(lambda: worker.here("t.swept") or "t.swept" in drained)
        with kombu.Connection(rabbit.url) as connection:
            connection.default_channel.queue_delete(name)
        eventually(lambda: publisher.wake("t.signalled") or "t.signalled" in drained)
    finally:
        worker.stop()
        publisher.stop()


def _relay(server: socket.socket, port: int) -> None:
    """The first connection, both ways, until either side ends."""
    ours, _ = server.accept()
    theirs = socket.create_connection(("127.0.0.1", port))
    for one, other in ((ours, theirs), (theirs, ours)):
        threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(one: socket.socket, other: socket.socket) -> None:
    with one, other:
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass
