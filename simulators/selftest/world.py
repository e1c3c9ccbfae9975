"""The world of the self-test: scratch database, real processes of the bus, partner, proxies, folders. All of it
loopback, all of it stopped and deleted at the end.

    with World(Shape(cluster=False)) as world:
        world.intake_ports      where to POST (through the proxies)
        world.fleet.members     the processes, by name
        world.server            PostgreSQL, which can be stopped and killed
        world.partner           the account of the far side

A run that was killed leaves its folder and processes; the next run ends and removes them.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol

import psutil

from core import postgres
from core.discovery import connector_types
from core.errors import ConfigError, Unavailable
from simulators.partner.partner import Partner
from simulators.selftest import routes
from simulators.selftest.cargo import FILES, PARTNER
from simulators.selftest.configured import settings_text
from simulators.selftest.fleet import OMSBUS, Fleet, Member
from simulators.selftest.proxy import ProxyLoop, TcpProxy
from simulators.selftest.server import Server, refuse_without_room

if TYPE_CHECKING:
    from simulators.ftp.server import FtpSimulator

_PREFIX: Final = "omsbus-selftest-"
READY_S = 90.0
DISK_BYTES, MEMORY_BYTES = 3 * 1024**3, 1024**3


class Broker(Protocol):
    """A message broker that can be broken: simulators.rabbitmq.RabbitNode."""

    @property
    def url(self) -> str: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def wipe(self) -> None: ...
    def partition(self) -> None: ...
    def heal(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Shape:
    """What the world consists of.

    cluster  web ×2, worker ×2, scheduler ×2 on RabbitMQ; else one `omsbus run` with its child
    files    with the file connector: "" none, "folder" or "ftp"
    """

    cluster: bool = False
    files: str = ""

    @property
    def members(self) -> tuple[str, ...]:
        if not self.cluster:
            return ("run",)
        return tuple(f"{part}-{place}" for part in ("web", "worker", "scheduler") for place in (1, 2))

    @property
    def intakes(self) -> tuple[str, ...]:
        """Members that take POSTs."""
        return tuple(name for name in self.members if name == "run" or name.startswith("web"))

    @property
    def sinks(self) -> tuple[str, ...]:
        return (PARTNER, FILES) if self.files else (PARTNER,)


class World:
    """Use as a context manager: everything it started is stopped at the end, whatever happened."""

    def __init__(self, shape: Shape, *, seed: int = 0, parent: Path | None = None) -> None:
        self.shape = shape
        self.home = (parent or Path(tempfile.gettempdir())).resolve() / f"{_PREFIX}{os.getpid()}"
        self.server = Server(self.home)
        self.partner = Partner(seed)
        self.proxies: dict[str, TcpProxy] = {}
        self.fleet = Fleet([])
        self.inbox = self.home / "exchange" / "inbox"
        self.outbox = self.home / "exchange" / "outbox"
        self.done = self.home / "exchange" / "done"
        self.file_server: FtpSimulator | None = None
        self.broker: Broker | None = None
        self.broker_lock = threading.Lock()
        self._ports = {name: free_port() for name in shape.intakes}
        self._seed = seed
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> World:
        """Raises ConfigError when there is no room or a part does not start."""
        if missing := {"http", *(["files"] if self.shape.files else [])} - set(connector_types()):
            raise ConfigError(f"Самопроверке нужен коннектор {', '.join(sorted(missing))}: поставьте шину целиком")
        _forget_killed_runs(self.home.parent)
        refuse_without_room(self.home.parent, bytes_needed=DISK_BYTES, memory_bytes=MEMORY_BYTES)
        self.home.mkdir(parents=True)
        with self._stack:
            self._stack.callback(shutil.rmtree, self.home, ignore_errors=True)
            self._stack.enter_context(self.server)
            with self.server.connect() as connection:
                connection.execute(routes.TABLES)
                # The checker asks when a message was committed; the server learns that only by starting anew.
                connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
            self.server.end(signal.SIGINT)
            self.server.start()
            self._stack.enter_context(self.partner)
            loop = self._stack.enter_context(ProxyLoop())
            self._proxy(loop, "postgres", self.server.socket)
            self._proxy(loop, "partner", ("127.0.0.1", self.partner.port))
            for name, port in self._ports.items():
                self._proxy(loop, name, ("127.0.0.1", port))
            for folder in (self.inbox, self.outbox, self.done):
                folder.mkdir(parents=True)
            if self.shape.files == "ftp":
                self._start_ftp(loop)
            if self.shape.cluster:
                self._start_broker()
            self.fleet = Fleet([self._member(name) for name in self.shape.members])
            self._write_config()
            self._stack.enter_context(self.fleet)
            self.wait_ready()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def intake_ports(self) -> tuple[int, ...]:
        """Where clients POST: the proxies before the web processes."""
        return tuple(self.proxies[name].port for name in self._ports)

    @property
    def database_url(self) -> str:
        """What the bus is given: PostgreSQL behind the proxy."""
        return (
            f"postgresql://postgres@127.0.0.1:{self.proxies['postgres'].port}/postgres?sslmode=disable"
            "&gssencmode=disable"
        )

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Until every web process says so. Raises Unavailable that names the log."""
        ends = time.monotonic() + timeout_s
        for name, port in self._ports.items():
            while not _ready(port):
                if time.monotonic() > ends:
                    tail = self.tail(name)
                    raise Unavailable(f"Процесс {name} не готов за {timeout_s:.0f} с. Конец его журнала:\n{tail}")
                time.sleep(0.1)

    def wait_ready_one(self, name: str, timeout_s: float) -> bool:
        """Until this process says that it is ready; one that has no /healthz is taken at its word."""
        ends = time.monotonic() + timeout_s
        while name in self._ports and not _ready(self._ports[name]):
            if time.monotonic() > ends:
                return False
            time.sleep(0.2)
        return True

    def tail(self, name: str, lines: int = 8) -> str:
        """The end of a member's log."""
        log = self.fleet.members[name].log
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""

    def heal(self) -> None:
        """Whatever a fault may have left undone: all processes go on, without limits, and the server runs."""
        with self.server.lock:
            self.server.start()
        if self.file_server is not None:
            self.file_server.mischief.disarm()
        if self.broker is not None:
            with self.broker_lock:
                self.broker.heal()
                self.broker.start()
        for member in self.fleet.members.values():
            for child in member.children():
                with contextlib.suppress(psutil.Error):
                    child.send_signal(signal.SIGCONT)
            member.signal(signal.SIGCONT)
            member.disarm()

    def _proxy(self, loop: ProxyLoop, name: str, target: tuple[str, int] | str) -> None:
        self.proxies[name] = self._stack.enter_context(TcpProxy(loop, name, target, seed=self._seed))

    def _start_ftp(self, loop: ProxyLoop) -> None:
        from simulators.ftp.server import FtpSimulator  # only where it is wanted: it brings libraries along

        password = secrets.token_urlsafe(9)
        self._password_file.write_text(password)
        self.file_server = self._stack.enter_context(FtpSimulator(self.inbox.parent, password=password))
        self._proxy(loop, "ftp", ("127.0.0.1", self.file_server.port))

    @property
    def _password_file(self) -> Path:
        return self.home / "password"

    def _start_broker(self) -> None:
        from simulators.rabbitmq import RabbitNode  # only where RabbitMQ is installed

        self.broker = RabbitNode(self.home / "rabbitmq")
        self._stack.callback(self.broker.stop)
        self.broker.start()

    def _write_config(self) -> None:
        url = login = ""
        if self.file_server is not None:
            url = f"ftp://127.0.0.1:{self.proxies['ftp'].port}/"
            login = f'user = "exchange"\npassword_file = "{self._password_file}"\n'
        elif self.shape.files:
            url = self.inbox.parent.as_uri()
        text = settings_text(self.proxies["partner"].port, files_url=url, files_login=login)
        (self.home / "omsbus.toml").write_text(text, encoding="utf-8")

    def _member(self, name: str) -> Member:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("OMSBUS_")}
        environment |= {
            "OMSBUS_DATABASE_URL": self.database_url,
            "OMSBUS_ROUTE_MODULES": f'["{routes.__name__}"]',
        }
        if self.broker is not None:
            environment["OMSBUS_BROKER_URL"] = self.broker.url
        arguments = [*OMSBUS, name.partition("-")[0], "--config", str(self.home / "omsbus.toml")]
        arguments += ["--data", str(self.home / "data")]
        if name in self._ports:
            arguments += ["--port", str(self._ports[name])]
        return Member(name, arguments, self.home / f"{name}.log", environment)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _forget_killed_runs(parent: Path) -> None:
    """End the processes of runs that were killed, and remove their folders."""
    for home in parent.glob(f"{_PREFIX}*"):
        number = home.name.removeprefix(_PREFIX)
        if not number.isdigit() or psutil.pid_exists(int(number)):
            continue
        for process in psutil.process_iter(["cmdline"]):
            if any(str(home) in argument for argument in process.info["cmdline"] or []):
                with contextlib.suppress(psutil.Error):
                    process.kill()
        with contextlib.suppress(Exception):
            postgres.stop(home)
        shutil.rmtree(home, ignore_errors=True)
