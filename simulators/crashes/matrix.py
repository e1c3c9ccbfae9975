"""The matrix: every crash point beside every kind of connector. kill -9 there, a restart, and a count on both sides.

One cell: an empty database, a bus armed with the point, some messages offered. When the bus dies, all its processes
are killed, and it is started again without the point. At the end every message must stand in the registry once and
must have reached the far side once.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil
import psycopg

from core import discovery, postgres
from core.crashpoints import POINTS, VARIABLE
from core.database import Database, migrate
from core.errors import Unavailable
from simulators.crashes import routes, sides
from simulators.crashes.sides import Side
from simulators.ftp.server import FtpSimulator
from simulators.smev3.control import SimulatorControl
from simulators.smev3.server import running
from simulators.smev3.settings import Settings as SmevSettings

START_S: Final = 60.0
REACHED_S: Final = 40.0
SETTLE_S: Final = 60.0
QUIET_S: Final = 0.7
"""Nothing more happened for so long: what would be doubled has been."""
LOOK_S: Final = 0.02

ACCEPT: Final = ("accept.received", "accept.journaled", "accept.committed", "accept.acknowledged")
HANDLE: Final = ("handle.claimed", "handle.transformed", "handle.handled", "handle.settled", "handle.committed")
SEND: Final = ("send.prepared", "send.kept", "send.counted", "send.sent", "send.confirmed", "send.committed")

_TEMPLATE: Final = "crashes_template"
_UNFINISHED: Final = """
SELECT EXISTS (SELECT 1 FROM bus.entry WHERE state NOT IN ('handled', 'sent', 'dropped'))
       OR EXISTS (SELECT 1 FROM bus.outgoing WHERE confirmed_at IS NULL)
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """What became of the messages of one cell. reached: the bus did die at the point."""

    point: str
    column: str
    messages: int
    reached: bool
    lost: int
    doubled: int

    @property
    def ok(self) -> bool:
        return self.reached and not self.lost and not self.doubled


@dataclass(frozen=True, slots=True)
class Column:
    """A kind of connector. `side` makes its far side for one cell in an empty folder."""

    name: str
    title: str
    points: tuple[str, ...]
    side: Callable[[Path], contextlib.AbstractContextManager[Side]]


@dataclass(slots=True)
class World:
    """One PostgreSQL for all cells, and far sides that are slow to start."""

    server_url: str
    home: Path
    stack: contextlib.ExitStack
    _numbers: Iterator[int] = field(default_factory=itertools.count, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _smev: SimulatorControl | None = field(default=None, repr=False)

    def cell(self) -> tuple[str, Path]:
        """(URL of an empty migrated database, an empty folder). Thread-safe."""
        name = f"cell_{next(self._numbers)}"
        with self._lock, psycopg.connect(self.server_url, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} STRATEGY file_copy")
        folder = self.home / name
        (folder / "far").mkdir(parents=True)
        return _url_of(self.server_url, name), folder

    def smev(self) -> tuple[SimulatorControl, Path]:
        """The СМЭВ simulator, started once, and the folder of keys."""
        if self._smev is None:
            keys = sides.smev_keys(self.home)
            behaviour = {"redelivery_s": sides.REDELIVERY_S, "record_envelopes": False}
            settings = SmevSettings.load(
                None, database_url=self.server_url, data_dir=self.home, keys_dir=keys, behaviour=behaviour
            )
            self._smev = SimulatorControl(self.stack.enter_context(running(settings)))
        return self._smev, self.home / "keys"


@contextlib.contextmanager
def world() -> Iterator[World]:
    """A scratch world, deleted afterwards. Raises BusError when a part does not start."""
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="omsbus-crashes-")))
        url = stack.enter_context(postgres.embedded(home))
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {_TEMPLATE}")
        database = Database(_url_of(url, _TEMPLATE), pool_size=1)
        migrate(database, discovery.migrations())
        with database.transaction() as connection:
            connection.exec_driver_sql(routes.TABLE)
        database.close()
        yield World(url, home, stack)


def columns(world: World) -> list[Column]:
    """Every kind of connector with the points that its messages pass."""

    @contextlib.contextmanager
    def smev(_folder: Path) -> Iterator[Side]:
        yield sides.Smev(*world.smev())

    @contextlib.contextmanager
    def soap(_folder: Path) -> Iterator[Side]:
        with sides.partner() as partner:
            yield sides.Soap(partner)

    @contextlib.contextmanager
    def folder(folder: Path) -> Iterator[Side]:
        yield sides.Files(folder, folder.as_uri(), {})

    @contextlib.contextmanager
    def ftp(folder: Path) -> Iterator[Side]:
        secret = folder.parent / "ftp-password"
        secret.write_text(secrets.token_urlsafe(12))
        with FtpSimulator(folder, user="bus", password=secret.read_text()) as server:
            login = {"user": "bus", "password_file": str(secret)}
            yield sides.Files(folder, f"ftp://127.0.0.1:{server.port}", login)

    # Kept by one statement, which is its own commit; the answer is the acknowledgement.
    pushed = ("accept.received", "accept.committed")
    return [
        Column("smev", "СМЭВ 3", (*ACCEPT, *HANDLE, *SEND), smev),
        Column("soap", "HTTP/SOAP", (*pushed, *HANDLE, *SEND, *sides.SOAP_POINTS), soap),
        Column("folder", "Папка", (*ACCEPT, *HANDLE, *SEND, *sides.FILES_POINTS), folder),
        Column("ftp", "FTP", (*ACCEPT, *HANDLE, *SEND, *sides.FILES_POINTS), ftp),
    ]


def meanings() -> Mapping[str, str]:
    """Point → what has happened by then; of all points that there are."""
    for module in ("core.engine", "connectors.http.connector", "connectors.files.connector"):
        importlib.import_module(module)
    return POINTS


def run(world: World, column: Column, point: str) -> Cell:
    """Play one cell. Raises Unavailable when the bus does not come up again or does not come to rest."""
    url, folder = world.cell()
    with column.side(folder / "far") as side, _Bus(url, folder, side) as bus:
        bus.start(point)
        labels = side.offer(bus.url)
        reached = bus.wait_for_death()
        bus.start()
        registry, effects = _until_rest(url, side)
    lost = [label for label in labels if not registry[label] or not effects[label]]
    doubled = [label for label in {*registry, *effects} if registry[label] > 1 or effects[label] > 1]
    return Cell(point, column.name, len(labels), reached, len(lost), len(doubled))


class _Bus:
    """`omsbus run` with its child, in a process group of its own."""

    def __init__(self, database_url: str, folder: Path, side: Side) -> None:
        self._folder = folder
        self._port = _free_port()
        self._environment = os.environ | {"OMSBUS_DATABASE_URL": database_url} | sides.as_settings(side.connectors())
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> _Bus:
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()

    def start(self, point: str = "") -> None:
        """Without a point: returns when it is ready."""
        command = [sys.executable, "-c", "from core.cli import main; main()", "run", "--port", str(self._port)]
        command += ["--data", str(self._folder)]
        armed = {VARIABLE: point} if point else {}
        with (self._folder / "bus.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=self._environment | armed, stdout=log, stderr=log, start_new_session=True
            )
        if point:
            return
        ends = time.monotonic() + START_S
        while time.monotonic() < ends and self._process.poll() is None:
            with contextlib.suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(f"{self.url}/healthz", timeout=2).close()
                return
            time.sleep(LOOK_S)
        words = (self._folder / "bus.log").read_text()[-600:]
        raise Unavailable(f"Шина не запустилась после сбоя:\n{words}")

    def wait_for_death(self) -> bool:
        """Until the parent or a child has died; then all of them are killed. False: none did in time."""
        assert self._process is not None
        parent = psutil.Process(self._process.pid)
        seen: set[psutil.Process] = set()
        ends = time.monotonic() + REACHED_S
        died = False
        while not died and time.monotonic() < ends:
            with contextlib.suppress(psutil.NoSuchProcess):
                seen.update(parent.children(recursive=True))
            died = self._process.poll() is not None or any(not _lives(child) for child in seen)
            time.sleep(LOOK_S)
        self._kill()
        return died

    def _kill(self) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None


def _until_rest(url: str, side: Side) -> tuple[Counter[str], Counter[str]]:
    """(registry, far side): label → times, when both sides have come to rest."""
    ends = time.monotonic() + SETTLE_S
    quiet_since = None
    with psycopg.connect(url, autocommit=True) as connection:
        while quiet_since is None or time.monotonic() - quiet_since < QUIET_S:
            row = connection.execute(_UNFINISHED).fetchone()
            rests = row is not None and not row[0] and side.settled()
            quiet_since = (quiet_since or time.monotonic()) if rests else None
            if time.monotonic() > ends:
                break
            time.sleep(LOOK_S * 5)
        registry = Counter(row[0] for row in connection.execute("SELECT label FROM crash_effect"))
    return registry, side.effects()


def table(cells: Sequence[Cell], shown: Sequence[Column]) -> str:
    """The matrix in Markdown."""
    found = {(cell.point, cell.column): cell for cell in cells}
    points = list(dict.fromkeys(point for column in shown for point in column.points))
    words = meanings()
    lines = [
        f"| Точка | Что к этому мигу случилось | {' | '.join(column.title for column in shown)} |",
        f"|---|---|{'---|' * len(shown)}",
    ]
    for point in points:
        marks = " | ".join(_mark(found.get((point, column.name))) for column in shown)
        lines.append(f"| `{point}` | {words[point]} | {marks} |")
    return "\n".join(lines)


def _mark(cell: Cell | None) -> str:
    if cell is None:
        return "—"
    if not cell.reached:
        return "не достигнута"
    return f"{cell.lost} / {cell.doubled}"


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _url_of(server_url: str, name: str) -> str:
    from urllib.parse import urlsplit, urlunsplit

    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
