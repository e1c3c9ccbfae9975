"""The scratch PostgreSQL of the self-test, which can be stopped, killed and started."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from pathlib import Path
from types import TracebackType

import psutil
import psycopg

from core import postgres
from core.errors import BusError, ConfigError

GONE_S = 40.0
START_S = 60.0


class Server:
    """A server of its own in `home`/postgres, fsync on. `direct_url` goes past every proxy."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._data = home / "postgres" / "data"
        self.lock = threading.Lock()
        """Held by whoever stops or starts it."""
        self.direct_url = ""

    def __enter__(self) -> Server:
        self.direct_url = postgres.start(self._home)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.start()
        postgres.stop(self._home)

    @property
    def socket(self) -> str:
        """Path of the Unix socket on which it listens."""
        lines = (self._data / "postmaster.pid").read_text().splitlines()
        return f"{lines[4].strip()}/.s.PGSQL.{lines[3].strip()}"

    def start(self) -> None:
        """Raises ConfigError when it does not come up in START_S."""
        ends = time.monotonic() + START_S
        while True:
            try:
                postgres.start(self._home)
                return
            except BusError:  # the children of a killed server may still be ending
                if time.monotonic() > ends:
                    raise
                time.sleep(0.5)

    def end(self, number: signal.Signals) -> None:
        """SIGINT: fast; SIGQUIT: at once; SIGKILL: as a power cut would. Returns when all its processes are gone."""
        server = self._postmaster()
        if server is None:
            return
        family = [server, *server.children()]
        server.send_signal(number)
        ends = time.monotonic() + GONE_S
        while any(_alive(one) for one in family) and time.monotonic() < ends:
            time.sleep(0.02)
        for one in family:
            with contextlib.suppress(psutil.Error):
                if _alive(one):
                    one.kill()

    def cut_connections(self, share: float, dice: random.Random) -> int:
        """pg_terminate_backend for a part of the connections; how many."""
        with self.connect() as connection:
            pids = [
                row[0]
                for row in connection.execute(
                    "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> "
                    "pg_backend_pid() AND datname = current_database() ORDER BY backend_start"
                )
            ]
            chosen = [pid for pid in pids if dice.random() < share]
            connection.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", (chosen,))
        return len(chosen)

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """A connection of the harness, past the proxy, in autocommit mode."""
        return psycopg.connect(self.direct_url, autocommit=True, connect_timeout=10)

    def _postmaster(self) -> psutil.Process | None:
        try:
            process = psutil.Process(int((self._data / "postmaster.pid").read_text().splitlines()[0]))
            return process if str(self._data) in process.cmdline() else None
        except (OSError, ValueError, IndexError, psutil.Error):
            return None


def refuse_without_room(home: Path, *, bytes_needed: int, memory_bytes: int) -> None:
    """Raises ConfigError when the self-test would disturb the machine."""
    free = psutil.disk_usage(str(home)).free
    if free < bytes_needed:
        raise ConfigError(
            f"В {home} свободно {free // 1024**2} МБ, самопроверке нужно {bytes_needed // 1024**2}: освободите место "
            "или укажите другую папку --data"
        )
    if psutil.virtual_memory().available < memory_bytes:
        raise ConfigError(
            f"Свободной памяти меньше {memory_bytes // 1024**2} МБ: закройте лишние программы и повторите самопроверку"
        )


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
