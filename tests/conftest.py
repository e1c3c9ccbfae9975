"""What tests with a database share: one PostgreSQL a run, a fresh migrated database a test, a bus on it.

    def test_…(bus_of, eventually):
        bus = bus_of([route], [connector])          # open, nothing running
        bus.start(intake=True, work=True, schedule=False)
        eventually(lambda: …)

With OMSBUS_TEST_DATABASE_URL (a superuser of a server we may create databases in) that server is used.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
import pytest

from core import discovery, postgres
from core.bus import Bus
from core.connector import Connector
from core.database import Database, migrate
from core.errors import ConfigError
from core.route import Route
from core.settings import Settings
from simulators.rabbitmq import RabbitNode

pytest_plugins = ["core.testing.features"]

_HOME = "omsbus-tests-"
_ROOM_BYTES = 2 * 1024**3


class BusOf(Protocol):
    def __call__(
        self,
        routes: Sequence[Route] = (),
        connectors: Sequence[Connector] = (),
        /,
        **settings: Any,
    ) -> Bus: ...


class Eventually(Protocol):
    def __call__(self, condition: Callable[[], Any], timeout_s: float = 20.0) -> Any: ...


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """URL of the run's server; its superuser may do anything."""
    if given := os.environ.get("OMSBUS_TEST_DATABASE_URL"):
        yield given
        return
    _forget_killed_runs()
    home = _folder() / f"{_HOME}{os.getpid()}"
    shutil.rmtree(home, ignore_errors=True)
    try:
        with postgres.embedded(home) as url:
            with psycopg.connect(url, autocommit=True) as connection:
                # The tests kill processes, never the machine: the disk need not be waited for.
                connection.execute("ALTER SYSTEM SET fsync = off")
                connection.execute("SELECT pg_reload_conf()")
            yield url
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def new_database(server_url: str) -> Iterator[Callable[[], str]]:
    """Makes a fresh migrated database and returns its URL; dropped at the end of the run."""
    numbers = itertools.count()
    prefix = f"omsbus_test_{os.getpid()}_"
    template = f"{prefix}template"
    made = [template]
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {template}")  # type: ignore[arg-type]
        database = Database(_url_of(server_url, template), pool_size=1)
        migrate(database, discovery.migrations())
        database.close()

        def make() -> str:
            name = f"{prefix}{next(numbers)}"
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")  # type: ignore[arg-type]
            made.append(name)
            return _url_of(server_url, name)

        yield make
        for name in reversed(made):
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")  # type: ignore[arg-type]


@pytest.fixture
def database_url(new_database: Callable[[], str], server_url: str) -> Iterator[str]:
    """URL of a fresh migrated database of this test."""
    url = new_database()
    yield url
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {urlsplit(url).path[1:]} WITH (FORCE)")  # type: ignore[arg-type]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The pool on this test's database."""
    made = Database(database_url)
    yield made
    made.close()


@pytest.fixture
def bus_of(database_url: str, tmp_path: Path) -> Iterator[BusOf]:
    """Opens a bus with these routes and connectors and no others, on this test's database; nothing runs yet.

    Every call opens another one on the same database: another process of the cluster, as it were.
    """
    with contextlib.ExitStack() as stack:

        def make(
            routes: Sequence[Route] = (),
            connectors: Sequence[Connector] = (),
            /,
            **settings: Any,
        ) -> Bus:
            values = {"database_url": database_url, "data_dir": tmp_path / "data", "sweep_s": 0.2, "rolling": True}
            values |= settings
            return stack.enter_context(Bus.open(Settings(**values), list(routes), list(connectors)))

        yield make


@pytest.fixture(scope="session")
def rabbit() -> Iterator[RabbitNode]:
    """The run's RabbitMQ. Who stops or freezes it sets it right again; `OMSBUS_BROKER_URL` is `rabbit.url`."""
    home = Path(tempfile.mkdtemp(prefix="omsbus-rabbit-"))
    try:
        with RabbitNode(home) as node:
            yield node
    except ConfigError as error:
        pytest.skip(error.reason)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def eventually() -> Eventually:
    """Waits until `condition` is true and returns what it returned."""

    def wait(condition: Callable[[], Any], timeout_s: float = 20.0) -> Any:
        ends = time.monotonic() + timeout_s
        while not (found := condition()):
            assert time.monotonic() < ends, "it never came true"
            time.sleep(0.01)
        return found

    return wait


def _url_of(server_url: str, name: str) -> str:
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))


def _folder() -> Path:
    """In memory where there is room: making a database for a test is copying files."""
    shared = Path("/dev/shm")
    roomy = shared.is_dir() and os.access(shared, os.W_OK) and psutil.disk_usage(str(shared)).free > _ROOM_BYTES
    return shared if roomy else Path(tempfile.gettempdir())


def _forget_killed_runs() -> None:
    """Stop the servers of runs that were killed, and remove their data."""
    for home in _folder().glob(f"{_HOME}*"):
        if not psutil.pid_exists(int(home.name.removeprefix(_HOME))):
            with contextlib.suppress(OSError):
                postgres.stop(home)
            shutil.rmtree(home, ignore_errors=True)
