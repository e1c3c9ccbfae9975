"""Intake stops before the disk is full, goes on by itself, and the bus comes up however full the disk is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from core import ballast, disk
from core.database import Database
from core.disk import Used, Volume
from core.errors import Unavailable
from core.pressure import Pressure
from core.settings import Settings

GIB = 1024**3


class Disk:
    """A disk whose free space the test sets."""

    holds = "база данных"

    def __init__(self, free: int) -> None:
        self.free = free

    def room(self) -> tuple[int, int]:
        return self.free, 100 * GIB


@pytest.fixture
def pressure_of(database: Any, database_url: str, tmp_path: Path) -> Any:
    def make(**values: Any) -> Pressure:
        settings = Settings(database_url=database_url, data_dir=tmp_path, **values)
        return Pressure(database, settings, look_s=0.05, measure_s=0.0)

    return make


@pytest.fixture
def only_disk(monkeypatch: Any) -> Disk:
    made = Disk(50 * GIB)
    monkeypatch.setattr(disk, "volumes", lambda settings, database: [made])
    return made


@pytest.mark.feature("BUS-09")
def test_intake_stops_at_the_mark_and_goes_on_when_there_is_clearly_more_room(
    pressure_of: Any, only_disk: Disk
) -> None:
    pressure = pressure_of(disk_free_least_bytes=GIB)
    readings = {2 * GIB: False, GIB: False, GIB - 1: True, GIB + 1: True, int(1.3 * GIB): False, GIB + 2: False}
    for free, stopped in readings.items():
        only_disk.free = free
        assert bool(pressure.look()) is stopped, free
    only_disk.free = GIB // 2
    assert "на диске, где база данных, свободно 512 МБ, а нужно не меньше 1 ГБ" in pressure.look()
    assert pressure.reason() == pressure.look()


@pytest.mark.feature("BUS-09")
def test_the_budget_counts_the_journal_without_its_inner_room_and_the_blobs(
    pressure_of: Any, only_disk: Disk, monkeypatch: Any
) -> None:
    pressure = pressure_of(disk_budget_bytes=1000)
    readings = [
        (Used(900, 0, 40), False),
        (Used(900, 0, 60), True),
        (Used(900, 0, 20), True),
        (Used(900, 20, 20), False),
        (Used(900, None, 60), True),
        (Used(5000, 4500, 60), False),
    ]
    for used, stopped in readings:
        monkeypatch.setattr(disk, "used", lambda database, used=used: used)
        assert bool(pressure.look()) is stopped, used
    assert pressure.reason() == ""


def test_what_deleted_rows_leave_is_room_for_new_ones(bus_of: Any, working: Any, put: Any, look: Any) -> None:
    bus = bus_of([working()])
    for _ in range(8):
        put(bus, *["x" * 900] * 500)
    full = disk.used(bus.database)
    assert full.reusable_bytes is not None
    look.do("SET LOCAL omsbus.retention = 'on'; DELETE FROM bus.message; DELETE FROM bus.entry")
    with bus.database.dedicated() as connection:
        connection.execute("VACUUM bus.message")
        connection.execute("VACUUM bus.entry")
    emptied = disk.used(bus.database)
    assert emptied.total_bytes < full.total_bytes


@pytest.mark.feature("BUS-09")
def test_a_sender_hears_why_and_when_to_come_again(bus_of: Any, working: Any, far: Any, only_disk: Disk) -> None:
    bus = bus_of([working()], [far])
    only_disk.free = 0
    bus.start(intake=False, work=False, schedule=False, push=True)

    async def take() -> Any:
        return await bus.intake.take(far.offer("1"))

    with pytest.raises(Unavailable, match="Приём остановлен: на диске") as refused:
        asyncio.run(take())
    assert refused.value.pause_s == 60
    only_disk.free = 50 * GIB
    bus.pressure.look()
    assert not asyncio.run(take()).repeated


@pytest.mark.feature("BUS-09")
def test_sources_are_not_polled_while_there_is_no_room_and_are_polled_again_by_themselves(
    bus_of: Any, working: Any, far: Any, look: Any, eventually: Any, only_disk: Disk
) -> None:
    bus = bus_of([working()], [far])
    only_disk.free = 0
    far.offer("1")
    bus.start(intake=True, work=False, schedule=False)
    result = "SELECT poll_result FROM bus.queue WHERE name = 'far.in'"
    eventually(lambda: look.one(result).startswith("Приём остановлен: на диске"))
    assert far.polls == 0
    only_disk.free = 50 * GIB
    bus.pressure.look()
    eventually(lambda: far.acked == ["1"])
    eventually(lambda: look.one(result) == "Пусто")


@pytest.mark.feature("BUS-09")
def test_what_is_in_the_journal_is_worked_on_and_sent_while_intake_stands_still(
    bus_of: Any, working: Any, far: Any, put: Any, effects: Any, eventually: Any, only_disk: Disk
) -> None:
    bus = bus_of([working(lambda message, context: [message.but(queue="far")])], [far])
    put(bus, "one")
    only_disk.free = 0
    bus.start(intake=True, work=True, schedule=False)
    assert bus.pressure.reason()
    eventually(lambda: [body for _, body, _ in far.sent] == [b"one"])


@pytest.mark.feature("BUS-09")
def test_the_bus_comes_up_on_a_database_that_takes_no_writes_and_works_when_it_takes_them_again(
    bus_of: Any, working: Any, far: Any, database_url: str, look: Any
) -> None:
    name = psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")  # type: ignore[arg-type]
    bus = bus_of([working()], [far])
    bus.start(intake=False, work=False, schedule=False, push=True)
    assert bus.healthy()
    assert "не принимает запись" in bus.pressure.look()
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("SET default_transaction_read_only = off")
        admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")  # type: ignore[arg-type]
    bus.database.engine.dispose()
    bus.pressure._measured_at = float("-inf")
    assert bus.pressure.look() == ""
    assert look.one("SELECT count(*) FROM bus.queue WHERE name = 't.work'") == 1


def test_a_database_that_is_away_is_no_reason_of_the_disk(database: Any, tmp_path: Path) -> None:
    settings = Settings(database_url="postgresql://nobody@127.0.0.1:1/none", data_dir=tmp_path)
    away = Database(settings.database_url or "")
    assert Pressure(away, settings).look() == ""
    away.close()


def test_a_disk_is_named_once_and_by_what_must_not_be_lost(database: Any, database_url: str, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    [volume] = disk.volumes(settings, database)
    assert volume == Volume("база данных", tmp_path)
    assert volume.room()[0] > 0
    assert {one.holds for one in disk.volumes(Settings(database_url=database_url, data_dir=tmp_path), database)} <= {
        "база данных",
        "вложения",
    }


def test_the_forecast_says_how_many_days_are_left(database: Any, look: Any) -> None:
    assert disk.forecast(database, 10 * GIB) is None
    look.do(
        "INSERT INTO bus.disk_sample (at, used_bytes) "
        "SELECT now() - make_interval(hours => h), (200 - h) * 1000000000::bigint / 24 FROM generate_series(0, 100) h"
    )
    found = disk.forecast(database, 5_000_000_000)
    assert found is not None
    assert found.bytes_a_day == pytest.approx(1e9, rel=0.01)
    assert found.days_left == pytest.approx(5, rel=0.01)
    look.do("UPDATE bus.disk_sample SET used_bytes = 7")
    assert disk.forecast(database, 10 * GIB) == disk.Forecast(0.0, None)


def test_ballast_takes_room_and_is_thrown_out_by_halves_when_there_is_none(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "ballast"
    ballast.keep(tmp_path, 3_000_000)
    assert path.stat().st_blocks * 512 >= 3_000_000
    assert not ballast.release_when_full(tmp_path)
    monkeypatch.setattr(ballast, "FULL_BYTES", 10**18)
    assert ballast.release_when_full(tmp_path)
    assert path.stat().st_blocks * 512 <= 1_600_000
    assert ballast.release_when_full(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert not ballast.release_when_full(tmp_path)
    ballast.keep(tmp_path, 0)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 200 MB of our own: only root may have one."""
    home = Path(tempfile.mkdtemp(prefix="omsbus-full-"))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", home], capture_output=True)
    if mounted.returncode:
        home.rmdir()
        pytest.skip("no disk of our own: mounting is not permitted here")
    home.chmod(0o755)
    yield home
    subprocess.run(["umount", "-l", home], check=True)
    home.rmdir()


def _fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        for piece in (1 << 20, 1 << 12):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * piece)


@pytest.mark.slow
@pytest.mark.feature("BUS-09")
def test_commands_and_web_start_on_a_disk_that_is_really_full(small_disk: Path, eventually: Any) -> None:
    data = small_disk / "data"
    settings = {"DISK_FREE_LEAST_BYTES": "50000000", "BALLAST_BYTES": "64000000", "ROUTE_MODULES": "[]"}
    environment = os.environ | {f"OMSBUS_{name}": value for name, value in settings.items()}
    environment.pop("OMSBUS_CONFIG", None)
    run = [sys.executable, "-c", "from core.cli import main; main()"]

    def say(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [*run, *words, "--data", data], env=environment, capture_output=True, text=True, timeout=60
        )
        return done.returncode, done.stdout + done.stderr

    def serve(stack: contextlib.ExitStack, part: str) -> str:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = subprocess.Popen([*run, part, "--data", data, "--port", str(port)], env=environment)
        stack.callback(process.wait, 60)
        stack.callback(process.terminate)
        return f"http://127.0.0.1:{port}/healthz"

    def healthy(url: str) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(url, timeout=5).status_code == 200
        return False

    with contextlib.ExitStack() as stack:
        bus = serve(stack, "run")
        eventually(lambda: healthy(bus), 60)
        eventually((data / "ballast").exists, 10)
        _fill(small_disk / "fill")
        code, text = say("queue", "list")
        assert code == 0, text
        assert "bus.poll" in text
        code, text = say("retention", "status")
        assert code == 0, text
        assert "Приём остановлен: на диске, где база данных, свободно" in text
        web = serve(stack, "web")
        eventually(lambda: healthy(web), 60)
        assert healthy(bus)
        (small_disk / "fill").unlink()
        code, text = say("retention", "status")
        assert code == 0, text
        assert "Приём остановлен" not in text
