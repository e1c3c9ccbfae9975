"""Workers as processes on one database and one broker, and a bus in this process that takes in and drains nothing."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest

from core.bus import Bus
from core.message import Message
from core.settings import Settings
from simulators.rabbitmq import RabbitNode

HOUSE = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("member.py")
LONG_S = 3600.0
"""A sweep that never comes: what happens now was signalled."""


@pytest.fixture(scope="session")
def member_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cluster_member", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Cluster:
    """The members on one database, and what came of the messages."""

    def __init__(self, url: str, broker_url: str, folder: Path, module: ModuleType) -> None:
        self.url = url
        self.values = {
            "database_url": url,
            "broker_url": broker_url,
            "broker_queue": f"test-{uuid.uuid4()}",
            "data_dir": str(folder),
            "rolling": True,
        }
        self._module = module
        self._stack = contextlib.ExitStack()
        self.bus: Bus | None = None

    def front(self) -> Bus:
        """A process that takes in and drains nothing, such as `omsbus web`."""
        if self.bus is None:
            self.bus = self._stack.enter_context(Bus.open(Settings(**self.values), [self._module.route], []))
            self.bus.start(intake=False, work=False, schedule=False)
        return self.bus

    def worker(self, **settings: Any) -> subprocess.Popen[str]:
        """Start one and wait until it is at work."""
        return self.at_work(self.starting(**settings))

    def starting(self, **settings: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(SCRIPT), json.dumps(self.values | settings)],
            stdout=subprocess.PIPE, text=True, cwd=HOUSE,
        )  # fmt: skip
        self._stack.callback(_end, process)
        return process

    @staticmethod
    def at_work(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
        assert process.stdout
        assert process.stdout.readline() == "at work\n"
        return process

    def put(self, *bodies: str) -> None:
        self.front().engine.put([Message(kind="t.work", body=body.encode()) for body in bodies])

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(sql)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def effects(self) -> Counter[str]:
        return Counter(row[0] for row in self.rows("SELECT text FROM t.effect"))

    def by_pid(self) -> dict[int, int]:
        return dict(self.rows("SELECT pid, count(*) FROM t.effect GROUP BY pid"))  # type: ignore[arg-type]

    def begun(self) -> set[int]:
        """Processes that have begun a slow batch."""
        return {row[0] for row in self.rows("SELECT pid FROM t.begun")}

    def close(self) -> None:
        self._stack.close()


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@pytest.fixture
def cluster_at(database_url: str, tmp_path: Path, member_module: ModuleType) -> Iterator[Callable[[str], Cluster]]:
    """Makes a cluster on the broker with this URL."""
    made: list[Cluster] = []

    def make(broker_url: str) -> Cluster:
        cluster = Cluster(database_url, broker_url, tmp_path, member_module)
        if not made:
            cluster.rows(member_module.SCHEMA)
        made.append(cluster)
        return cluster

    yield make
    for one in made:
        one.close()


@pytest.fixture
def cluster(cluster_at: Callable[[str], Cluster], rabbit: RabbitNode) -> Cluster:
    """On the run's RabbitMQ."""
    return cluster_at(rabbit.url)
