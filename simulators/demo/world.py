"""The processes of the demo: embedded PostgreSQL, the СМЭВ simulator and the bus, all on loopback."""

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
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from core import postgres
from core.errors import ConfigError, Unavailable
from core.signatures.demo_keys import make_demo_keys
from simulators.smev3.control import SimulatorControl

SNILS_TERM_S = 20
"""How long the demo waits for СФР before it calls a question unanswered (in life: days)."""
REDELIVERY_S = 4
START_S = 60.0

_CONFIG = """\
# Настройки шины для показа. Записаны командой omsbus demo.
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
    {{ name = "status-1-2", operation = "status", version = "1.2", interval_s = 1.0 }},
    {{ name = "status-1-3", operation = "status", version = "1.3", interval_s = 1.0 }},
]

[connectors.smev.endpoints]
"1.1" = "{smev}/smev/v1.1/ws"
"1.2" = "{smev}/smev/v1.2/ws"
"1.3" = "{smev}/smev/v1.3/ws"

[connectors.smev.versions]
"http://kvs.pfr.com/snils-by-additionalData/1.0.1" = "1.2"
"""


class World:
    """Use as a context manager: everything it started is stopped at the end, whatever happened."""

    def __init__(self, home: Path) -> None:
        self.home = home.resolve()
        self.keys = self.home / "keys"
        self.config = self.home / "omsbus.toml"
        self.bus_port = _free_port()
        self.smev_port = _free_port()
        self.smev = SimulatorControl(f"http://127.0.0.1:{self.smev_port}")
        self.database_url = ""
        self._stack = contextlib.ExitStack()
        self._bus: subprocess.Popen[bytes] | None = None
        self._environment = dict(os.environ)

    def __enter__(self) -> World:
        """Raises ConfigError when a part does not start; its log is named."""
        if postgres.running_url(self.home):
            raise ConfigError(f"Показ в {self.home} уже идёт: остановите его (Ctrl+C) или укажите другую папку --data")
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        make_demo_keys(self.keys, secrets.token_urlsafe(18))
        with self._stack:
            self.database_url = self._stack.enter_context(postgres.embedded(self.home))
            self.config.write_text(_CONFIG.format(keys=self.keys, smev=self.smev.base_url), encoding="utf-8")
            self._environment |= {
                "OMSBUS_DATABASE_URL": self.database_url,
                "OMSBUS_SFR_REPLY_WITHIN_S": str(SNILS_TERM_S),
            }
            self._stack.enter_context(self._simulator())
            self._stack.callback(self.stop_bus)
            self.start_bus()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def command(self) -> list[str]:
        """How to call this very omsbus."""
        return [sys.executable, "-c", "from core.cli import main; main()"]

    def start_bus(self) -> None:
        """Start the bus and wait until /healthz says 200."""
        arguments = ["run", "--port", str(self.bus_port), "--data", str(self.home), "--config", str(self.config)]
        self._bus = self._spawn("bus", arguments)
        self._wait_http("bus", self._bus, f"http://127.0.0.1:{self.bus_port}/healthz")

    def kill_bus(self) -> None:
        """kill -9 of all its processes: no goodbye, no commit."""
        assert self._bus is not None
        os.killpg(self._bus.pid, signal.SIGKILL)
        self._bus.wait()
        self._bus = None

    def stop_bus(self) -> None:
        if self._bus is not None:
            self._bus.terminate()
            try:
                self._bus.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self._bus.kill()
            self._bus = None

    @contextlib.contextmanager
    def _simulator(self) -> Iterator[None]:
        arguments = ["simulator", "smev", "--port", str(self.smev_port), "--keys", str(self.keys)]
        arguments += ["--data", str(self.home), "--redelivery", str(REDELIVERY_S)]
        process = self._spawn("simulator", arguments)
        try:
            self._wait_http("simulator", process, f"{self.smev.base_url}/control/summary")
            yield
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            process.kill()

    def _spawn(self, name: str, arguments: list[str]) -> subprocess.Popen[bytes]:
        with (self.home / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [*self.command, *arguments], stdout=log, stderr=log, env=self._environment, start_new_session=True
            )

    def _wait_http(self, name: str, process: subprocess.Popen[bytes], url: str) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=2):
                return
            if process.poll() is not None:
                break
            time.sleep(0.05)
        raise Unavailable(f"Часть «{name}» не запустилась: посмотрите {self.home / name}.log")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
