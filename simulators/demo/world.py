"""The processes of a show: embedded PostgreSQL, the СМЭВ simulator and the bus, all on loopback.

`Surroundings` is everything but the bus; `World` is the bus as one command in it. simulators.cluster has another bus.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from core import postgres
from core.errors import ConfigError, Unavailable
from core.signatures.demo_keys import make_demo_keys
from simulators.smev3.control import SimulatorControl

SNILS_TERM_S = 20
"""How long the demo waits for СФР before it calls a question unanswered (in life: days)."""
REDELIVERY_S = 4
START_S = 60.0
STOP_S = 40.0

EVERY_SECOND = "interval_s = 1.0"
BY_CLOCK = 'cron = "* * * * * *"'
"""How statuses are asked for: by whoever polls, or by a schedule."""

_CONFIG = """\
# Настройки шины для показа. Записаны самим показом.
workers = 2
log_level = "INFO"

[connectors.smev]
type = "smev3"
key_file = "{keys}/fund.key"
certificate_file = "{keys}/fund.pem"
password_file = "{keys}/password"
trust_dir = "{keys}/trust"
operator_subject = ["ОГРН=1020000000002"]
poll_floor_s = 0.05
polls = [
    {{ name = "requests-1-2", operation = "requests", version = "1.2", interval_s = 0.4 }},
    {{ name = "requests-1-3", operation = "requests", version = "1.3", interval_s = 0.4 }},
    {{ name = "responses-1-2", operation = "responses", version = "1.2", interval_s = 0.4 }},
    {{ name = "status-1-2", operation = "status", version = "1.2", {statuses} }},
    {{ name = "status-1-3", operation = "status", version = "1.3", {statuses} }},
]

[schedules.night-poll]
title = "Ночной опрос очереди СМЭВ 1.3"
cron = "15 3 * * 1-5"
queue = "bus.poll"
body = '{{"source": "smev.requests-1-3"}}'

[connectors.smev.endpoints]
"1.1" = "{smev}/smev/v1.1/ws"
"1.2" = "{smev}/smev/v1.2/ws"
"1.3" = "{smev}/smev/v1.3/ws"

[connectors.smev.versions]
"http://kvs.pfr.com/snils-by-additionalData/1.0.1" = "1.2"
"""


class Surroundings:
    """Use as a context manager: everything that was started is stopped at the end, whatever happened."""

    statuses = EVERY_SECOND
    snils_term_s = SNILS_TERM_S

    def __init__(self, home: Path) -> None:
        self.home = home.resolve()
        self.keys = self.home / "keys"
        self.config = self.home / "omsbus.toml"
        self.smev_port = free_port()
        self.smev = SimulatorControl(f"http://127.0.0.1:{self.smev_port}")
        self.database_url = ""
        self.environment = dict(os.environ)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Raises ConfigError when a part does not start; its log is named."""
        if postgres.running_url(self.home):
            raise ConfigError(f"Показ в {self.home} уже идёт: остановите его (Ctrl+C) или укажите другую папку --data")
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        make_demo_keys(self.keys, secrets.token_urlsafe(18))
        with self._stack:
            self.database_url = self._stack.enter_context(postgres.embedded(self.home))
            settings = _CONFIG.format(keys=self.keys, smev=self.smev.base_url, statuses=self.statuses)
            self.config.write_text(settings, encoding="utf-8")
            self.environment |= {
                "OMSBUS_DATABASE_URL": self.database_url,
                "OMSBUS_SFR_REPLY_WITHIN_S": str(self.snils_term_s),
            }
            self._stack.enter_context(self._simulator())
            self.begin(self._stack)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def begin(self, stack: contextlib.ExitStack) -> None:
        """Start the bus, and leave in `stack` how it is stopped."""

    @property
    def command(self) -> list[str]:
        """How to call this very omsbus."""
        return [sys.executable, "-c", "from core.cli import main; main()"]

    @property
    def where(self) -> list[str]:
        """The options by which a command finds this bus."""
        return ["--data", str(self.home), "--config", str(self.config)]

    def spawn(self, name: str, arguments: list[str], **environment: str) -> subprocess.Popen[bytes]:
        """Start a process in a group of its own; its output goes to `name`.log."""
        with (self.home / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [*self.command, *arguments],
                stdout=log,
                stderr=log,
                env=self.environment | environment,
                start_new_session=True,
            )

    def wait_for(self, name: str, process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
        """Until it is ready. Raises Unavailable when it ends before, or takes longer than START_S."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if ready():
                return
            if process.poll() is not None:
                break
            time.sleep(0.05)
        raise Unavailable(f"Часть «{name}» не запустилась: посмотрите {self.home / name}.log")

    @contextlib.contextmanager
    def _simulator(self) -> Iterator[None]:
        arguments = ["simulator", "smev", "--port", str(self.smev_port), "--keys", str(self.keys)]
        arguments += ["--data", str(self.home), "--redelivery", str(REDELIVERY_S)]
        process = self.spawn("simulator", arguments)
        try:
            self.wait_for("simulator", process, lambda: answers(f"{self.smev.base_url}/control/summary"))
            yield
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            process.kill()


class World(Surroundings):
    """The bus as `omsbus run`."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.bus_port = free_port()
        self._bus: subprocess.Popen[bytes] | None = None

    def begin(self, stack: contextlib.ExitStack) -> None:
        """Start the bus."""
        stack.callback(self.stop_bus)
        self.start_bus()

    def start_bus(self) -> None:
        """Start the bus and wait until /healthz says 200."""
        bus = self._bus = self.spawn("bus", ["run", "--port", str(self.bus_port), *self.where])
        self.wait_for("bus", bus, lambda: answers(f"http://127.0.0.1:{self.bus_port}/healthz"))

    def kill_bus(self) -> None:
        """kill -9 of all its processes: no goodbye, no commit."""
        assert self._bus is not None
        os.killpg(self._bus.pid, signal.SIGKILL)
        self._bus.wait()
        self._bus = None

    def stop_bus(self) -> None:
        """SIGTERM; kill -9 when that is not enough."""
        if self._bus is not None:
            end(self._bus)
            self._bus = None


def end(process: subprocess.Popen[bytes]) -> int:
    """SIGTERM, and kill -9 when that is not enough; the exit code."""
    process.terminate()
    try:
        return process.wait(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def answers(url: str) -> bool:
    """Is it there, and well (200)?"""
    with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=2):
        return True
    return False


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
