"""A small demo played inside this process, to its end: both sides' tables in one database, as the demo has them."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from core import receivers
from core.bus import Bus
from core.database import Database
from core.settings import Settings
from core.signatures.demo_keys import DemoKeys
from simulators.demo.reconcile import Account, reckon, settled
from simulators.demo.scenario import Scenario, Sent
from simulators.smev3 import report
from simulators.smev3.control import SimulatorControl
from simulators.smev3.server import running
from simulators.smev3.settings import Settings as SimulatorSettings
from simulators.smev3.store import Store

SETTLE_S = 60.0
PASSWORD_ENV = "OMSBUS_DEMO_TEST_KEY_PASSWORD"


class Played:
    """What the far side and the bus have at the end; `copy` gives another one to spoil."""

    def __init__(self, url: str, sent: Sent, copies: Callable[[], str]) -> None:
        self.url = url
        self.sent = sent
        self._copies = copies

    def copy(self) -> Played:
        return Played(self._copies(), self.sent, self._copies)

    def do(self, sql: str) -> int:
        """Rows that were changed."""
        with psycopg.connect(self.url) as connection:
            connection.execute("SET LOCAL omsbus.retention = 'on'")  # nothing else may delete from the journal
            return connection.execute(sql).rowcount  # type: ignore[arg-type]

    def columns(self, table: str) -> list[str]:
        """All but the identity."""
        sql = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND attidentity = ''"
        with psycopg.connect(self.url) as connection:
            return [row[0] for row in connection.execute(sql, (table,))]

    def account(self) -> Account:
        store, database = Store(self.url), Database(self.url, pool_size=1)
        store.open()
        try:
            return reckon(_FarTables(store), database, self.sent)  # type: ignore[arg-type]
        finally:
            database.close()
            store.close()


class _FarTables:
    """What `SimulatorControl.messages` tells, without the simulator."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def messages(self, **filters: str) -> list[dict[str, Any]]:
        with self._store.transaction() as connection:
            return report.messages(connection, filters, 0, 10_000)


@pytest.fixture(scope="module")
def played(keys: DemoKeys, server_url: str, new_database: Callable[[], str]) -> Iterator[Played]:
    """Every step of the scenario but the kill of the bus."""
    url = new_database()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PASSWORD_ENV, keys.password)
        patch.setattr(receivers, "REST_MOST_S", 0.3)
        sent = _play(url, keys)
    name = urlsplit(url).path[1:]
    numbers = itertools.count()
    made = []

    def copies() -> str:
        made.append(f"{name}_copy{next(numbers)}")
        with psycopg.connect(server_url, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {made[-1]} TEMPLATE {name} STRATEGY file_copy")  # type: ignore[arg-type]
        return urlunsplit(urlsplit(url)._replace(path=f"/{made[-1]}"))

    yield Played(copies(), sent, copies)
    with psycopg.connect(server_url, autocommit=True) as admin:
        for one in made:
            admin.execute(f"DROP DATABASE {one} WITH (FORCE)")  # type: ignore[arg-type]


def _play(url: str, keys: DemoKeys) -> Sent:
    simulator = SimulatorSettings.load(
        database_url=url, keys_dir=keys.directory, keys_password=keys.password,
        behaviour={"validation_delay_s": 0.0, "redelivery_s": 2.0},
    )  # fmt: skip
    with running(simulator) as base, tempfile.TemporaryDirectory(prefix="omsbus-demo-") as folder:
        control = SimulatorControl(base)
        settings = Settings(
            database_url=url, data_dir=Path(folder), sweep_s=0.2, connectors={"smev": _connector(keys, base)}
        )
        with Bus.open(settings) as bus:
            scenario = Scenario(SimpleNamespace(smev=control), seed=1, scale=0.1)  # type: ignore[arg-type]
            scenario.fill_registry(bus.database)
            bus.start(intake=True, work=True, schedule=False)
            for _name, work in (*scenario.first_wave(), *scenario.second_wave()):
                work()
            ends = time.monotonic() + SETTLE_S
            while not settled(control, bus.database):
                assert time.monotonic() < ends, "the small demo never settles"
                time.sleep(0.05)
    return scenario.sent


def _connector(keys: DemoKeys, base: str) -> dict[str, Any]:
    return {
        "type": "smev3",
        "endpoints": {version: f"{base}/smev/v{version}/ws" for version in ("1.2", "1.3")},
        "versions": {"http://kvs.pfr.com/snils-by-additionalData/1.0.1": "1.2"},
        "key_file": str(keys.key("fund")),
        "certificate_file": str(keys.certificate("fund")),
        "password_env": PASSWORD_ENV,
        "trust_dir": str(keys.trust),
        "operator_subject": ["ОГРН=1020000000002"],
        "poll_floor_s": 0.05,
        "poll_interval_s": 0.1,
        "polls": [
            {"name": "requests-1-2", "operation": "requests", "version": "1.2"},
            {"name": "requests-1-3", "operation": "requests", "version": "1.3"},
            {"name": "responses-1-2", "operation": "responses", "version": "1.2"},
        ],
    }
