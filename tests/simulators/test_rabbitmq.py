"""The node of our own keeps to itself, does what the faults need, and says what to install when it can't."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kombu
import psutil
import pytest

from core.errors import ConfigError
from simulators import rabbitmq
from simulators.rabbitmq import RabbitNode

pytestmark = pytest.mark.feature("BUS-12")


@contextlib.contextmanager
def _queue(node: RabbitNode) -> Iterator[Any]:
    with (
        kombu.Connection(node.url, connect_timeout=2, transport_options={"read_timeout": 2}) as connection,
        contextlib.closing(connection.SimpleQueue("a")) as queue,
    ):
        yield queue


def test_it_listens_on_one_loopback_port_and_starts_no_name_server(rabbit: RabbitNode) -> None:
    process = psutil.Process(rabbit._process.pid)  # type: ignore[union-attr]
    listening = [one.laddr for one in process.net_connections() if one.status == psutil.CONN_LISTEN]
    assert listening == [("127.0.0.1", rabbit.port)]
    assert {child.name() for child in process.children(recursive=True)} <= {"erl_child_setup", "inet_gethost", "sh"}
    assert rabbit.home / "mnesia" in rabbit.home.iterdir()


@pytest.mark.slow
def test_what_is_durable_outlives_a_stop_and_nothing_outlives_a_wipe(rabbit: RabbitNode) -> None:
    with _queue(rabbit) as queue:
        queue.put("kept", delivery_mode=2)
    rabbit.stop()
    assert not rabbit.alive
    rabbit.start()
    with _queue(rabbit) as queue:
        assert queue.qsize() == 1
    rabbit.wipe()
    with _queue(rabbit) as queue:
        assert queue.qsize() == 0


@pytest.mark.slow
def test_a_node_that_a_killed_process_has_left_behind_is_ended_by_the_next_start(rabbit: RabbitNode) -> None:
    heir = RabbitNode(rabbit.home)
    with heir, _queue(heir) as queue:
        assert not rabbit.alive
        queue.put("works")
    rabbit.start()


def test_behind_a_partition_it_is_silent_and_afterwards_as_before(rabbit: RabbitNode, eventually: Any) -> None:
    rabbit.partition()
    try:
        with pytest.raises((kombu.exceptions.OperationalError, OSError)), _queue(rabbit):
            pass
        assert rabbit.alive
    finally:
        rabbit.heal()

    def answers() -> bool:
        with contextlib.suppress(kombu.exceptions.OperationalError, OSError), _queue(rabbit) as queue:
            queue.put("again")
            return True
        return False

    eventually(answers)


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rabbitmq, "_ROOT", tmp_path)
    with pytest.raises(ConfigError, match="apt-get install --no-install-recommends rabbitmq-server"):
        RabbitNode(tmp_path)
