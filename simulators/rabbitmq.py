"""A RabbitMQ node of our own: for `omsbus cluster`, `omsbus selftest --chaos` and the tests.

It listens on one free loopback port and on nothing else (no epmd, no distribution, no plugins), keeps everything
below its own folder, and runs as whoever starts it, so a RabbitMQ that the machine already has is not disturbed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

import psutil

from core.errors import ConfigError, Unavailable

INSTALL = "apt-get install --no-install-recommends rabbitmq-server"
START_S = 60.0
STOP_S = 20.0
_ROOT = Path("/usr/lib/rabbitmq/lib")
"""Where the packages of Debian, Ubuntu and of RabbitMQ's own makers put the server."""

_CONFIG = """\
[{{rabbit, [
    {{tcp_listeners, [{{"127.0.0.1", {port}}}]}},
    {{loopback_users, [<<"guest">>]}},
    {{disk_free_limit, 10000000}},
    {{log, [{{console, [{{enabled, false}}]}}, {{file, [{{level, warning}}]}}]}}
]}}].
"""
_GREETING = b"AMQP\x00\x00\x09\x01"


class RabbitNode:
    """One node below `home`. Use as a context manager; `url` stays the same over restarts.

    Raises ConfigError when rabbitmq-server is not installed, Unavailable when it does not start.
    """

    def __init__(self, home: Path) -> None:
        self.home = home.resolve()
        self.port = _free_port()
        self._server = _installed()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For OMSBUS_BROKER_URL. The user is RabbitMQ's own "guest", which may come from loopback only."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    @property
    def alive(self) -> bool:
        """The process runs (it may be frozen)."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> RabbitNode:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it greets. A node left running here by a killed process is ended first."""
        if self.alive:
            return
        self.home.mkdir(parents=True, exist_ok=True)
        self._end_left_over()
        (self.home / "log").mkdir(exist_ok=True)
        (self.home / "advanced.config").write_text(_CONFIG.format(port=self.port))
        (self.home / "enabled_plugins").write_text("[].\n")
        (self.home / "rabbitmq-env.conf").touch()
        cookie = self.home / ".erlang.cookie"
        if not cookie.exists():
            cookie.touch(mode=0o600)
            cookie.write_text(secrets.token_hex(20))
            cookie.chmod(0o400)  # Erlang refuses any other mode
        with (self.home / "log" / "console.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(), env=self._environment(), stdout=log, stderr=log, start_new_session=True
            )
        self._note.write_text(f"{self._process.pid} {psutil.Process(self._process.pid).create_time()}")
        self._wait()

    def stop(self) -> None:
        """End it in an orderly way: what is durable stays."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def wipe(self) -> None:
        """The node is lost and comes back empty under the same address: no queues, no messages."""
        self.kill()
        shutil.rmtree(self.home / "mnesia", ignore_errors=True)
        self.start()

    def partition(self) -> None:
        """Nobody answers any more, and nobody is told: connections hang, new ones get no greeting (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def heal(self) -> None:
        """End of the partition: what was sent meanwhile arrives now."""
        self._signal(signal.SIGCONT)

    @property
    def _note(self) -> Path:
        return self.home / "process"

    def _command(self) -> list[str]:
        code = next((self._server / "plugins").glob("rabbit-[0-9]*/ebin"))
        erlang = ["erl", "-pa", str(code), "-noinput", "-s", "rabbit", "boot", "-boot", "start_sasl"]
        # A node that already has its name makes RabbitMQ look for no epmd; the port is never asked.
        alone = ["-sname", "omsbus@localhost", "-dist_listen", "false", "-start_epmd", "false", "-erl_epmd_port", "1"]
        small = ["+W", "w", "+S", "2:2", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"]
        quiet = ["-syslog", "logger", "[]", "-syslog", "syslog_error_logger", "false"]
        return [*erlang, *alone, *small, *quiet, "-kernel", "prevent_overlapping_partitions", "false"]

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            "HOME": str(self.home),
            "SYS_PREFIX": str(self.home),
            "ERL_LIBS": str(self._server / "plugins"),
            "ERL_CRASH_DUMP_SECONDS": "0",
            "RABBITMQ_HOME": str(self._server),
            "RABBITMQ_NODENAME": "omsbus@localhost",
            "RABBITMQ_CONF_ENV_FILE": str(self.home / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(self.home / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.home / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.home / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.home / "log"),
        }

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.alive:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=2) as probe:
                probe.sendall(_GREETING)
                if probe.recv(1) == b"\x01":  # a method frame: Connection.Start
                    return
            time.sleep(0.05)
        self.kill()
        raise Unavailable(f"RabbitMQ не запустился: посмотрите журналы в {self.home / 'log'}")

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._signal(signal.SIGCONT)  # a frozen one would never hear SIGTERM
        self._signal(number)
        try:
            self._process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()
        self._process = None
        self._note.unlink(missing_ok=True)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _end_left_over(self) -> None:
        if self._note.exists():
            pid, began = self._note.read_text().split()
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(int(pid))
                if str(process.create_time()) == began:
                    process.kill()
                    process.wait(STOP_S)


def _installed() -> Path:
    servers = sorted(_ROOT.glob("rabbitmq_server-*"))
    if not servers or shutil.which("erl") is None:
        raise ConfigError(f"Не установлен RabbitMQ: выполните {INSTALL} (от имени root) и запустите снова")
    return servers[-1]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
