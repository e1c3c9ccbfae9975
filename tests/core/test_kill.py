"""kill -9 of the bus and of its database at any moment: afterwards everything has been handled exactly once."""

from __future__ import annotations

import importlib.util
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core import postgres
from core.bus import Bus
from core.database import Database, migrate
from core.discovery import migrations
from core.settings import Settings

SCRIPT = Path(__file__).with_name("bus_at_work.py")
KEYS = 7


def _script() -> Any:
    spec = importlib.util.spec_from_file_location("bus_at_work", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["bus_at_work"] = module
    spec.loader.exec_module(module)
    return module


class World:
    """The far side's tables, and the verdict."""

    def __init__(self, url: str, offers: int) -> None:
        self.url = url
        self.bodies = [f"k{n % KEYS}/{n}" for n in range(offers)]
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_script().SCHEMA)
            connection.cursor().executemany("INSERT INTO t.offer (body) VALUES (%s)", [(b,) for b in self.bodies])

    def rows(self, sql: str) -> list[Any]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(sql).fetchall()  # type: ignore[arg-type]

    def effects(self) -> int:
        return int(self.rows("SELECT count(*) FROM t.effect")[0][0])

    def done(self) -> bool:
        return self.rows("SELECT count(*) FROM bus.entry WHERE state IN ('handled', 'sent')") == [
            (2 * len(self.bodies),)
        ] and self.rows("SELECT count(*) FROM t.offer WHERE NOT acked") == [(0,)]

    def verify(self) -> None:
        texts = [row[0] for row in self.rows("SELECT text FROM t.effect ORDER BY n")]
        assert Counter(texts) == Counter(self.bodies), "every message has its effect once"
        order = defaultdict(list)
        for text in texts:
            key, _, number = text.partition("/")
            order[key].append(int(number))
        assert all(numbers == sorted(numbers) for numbers in order.values()), "in order within its key"
        arrived = self.rows("SELECT external_id, body, repeated FROM t.arrived ORDER BY n")
        ids = defaultdict(set)
        marks = defaultdict(list)
        for external_id, body, repeated in arrived:
            ids[body].add(external_id)
            marks[external_id].append(repeated)
        assert ids.keys() == set(self.bodies), "everything has been sent"
        assert all(len(one) == 1 for one in ids.values()), "under one id"
        assert all(all(one[1:]) for one in marks.values()), "and every repeat was marked as one"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    started: list[subprocess.Popen[str]] = []

    def begin(url: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(SCRIPT), url, str(tmp_path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == "at work\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.feature("BUS-02", "BUS-12")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_a_bus_killed_at_random_moments_handles_everything_exactly_once(
    database_url: str, start: Any, eventually: Any, kills: int
) -> None:
    chance = random.Random(7)
    world = World(database_url, offers=120 * kills)
    for _ in range(kills):
        before = world.effects()
        process = start(database_url)
        eventually(lambda before=before: world.effects() > before, 60)
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        process.wait()
    assert not world.done(), "killed while there was work"
    start(database_url)
    eventually(world.done, 120)
    world.verify()


@pytest.mark.feature("BUS-02", "BUS-12")
@pytest.mark.timeout(300)
def test_two_processes_share_the_work_and_one_is_killed(database_url: str, start: Any, eventually: Any) -> None:
    world = World(database_url, offers=300)
    first, _second = start(database_url), start(database_url)
    eventually(lambda: world.effects() > 50, 60)
    first.kill()
    eventually(world.done, 60)
    world.verify()


@pytest.mark.feature("BUS-02")
@pytest.mark.timeout(300)
def test_a_database_that_is_killed_and_restarted_in_the_middle_loses_nothing(eventually: Any) -> None:
    script = _script()
    # Not below pytest's own folder: as root the server runs as another user, who may not enter it.
    with tempfile.TemporaryDirectory(prefix="omsbus-") as folder, postgres.embedded(home := Path(folder)) as url:
        database = Database(url)
        migrate(database, [one for one in migrations() if one[0] == "bus"])
        database.close()
        world = World(url, offers=250)
        settings = Settings(database_url=url, data_dir=home / "data", sweep_s=0.2)
        with Bus.open(settings, [script.route], [script.Far(url)]) as bus:
            bus.start(intake=True, work=True, schedule=False)
            eventually(lambda: world.effects() > 50)
            server = postgres._postmaster(home.resolve() / "postgres")
            assert server
            server.send_signal(signal.SIGQUIT)  # as if it had crashed: no checkpoint
            eventually(lambda: postgres.running_url(home) is None)
            time.sleep(0.3)
            assert not bus.healthy()
            assert postgres.start(home) == url
            assert not world.done(), "it was killed while there was work"
            eventually(world.done, 60)
            assert bus.healthy()
        world.verify()
