"""Workload W1: the bus and the plain Python stack that people build by hand, side by side in one run.

4 KB of SOAP by POST on 16 keep-alive connections, accepted durably, XSLT to eight fields, one row in PostgreSQL
(fsync on). Then both again, with kill -9 of all their processes at half way.
"""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks import load
from benchmarks.harness import Result, result
from benchmarks.stacks import crash, free_port, measure, until
from benchmarks.w1_route import QUEUE
from console.commands import serve as serve_bus
from core import postgres
from core.database import Database, driver
from core.settings import Settings

NAME: Final = "w1"
MESSAGES: Final = 3000
CRASH_MESSAGES: Final = 2000
ROUNDS: Final = 3
MIN_RATIO: Final = 4.0
MOST_P99_SHARE: Final = 0.5
GOAL: Final = (
    "W1 (SOAP 4 КБ по HTTP, журнал, XSLT, строка): принято и обработано в секунду не менее 4× против "
    "FastAPI + Celery + RabbitMQ, p99 ответа не более половины, после kill -9 потеряно 0 и удвоено 0"
)
START_S: Final = 60.0


def serve(settings: Settings, host: str, port: int) -> None:
    """Run the bus with this one route until SIGTERM: an ordinary bus with an ordinary HTTP connector."""
    told = {"connectors": {"in": {"type": "http", "open_queues": [QUEUE]}}, "route_modules": ["benchmarks.w1_route"]}
    settings = settings.model_copy(update=told)
    with contextlib.ExitStack() as stack:
        if settings.database_url is None:
            url = stack.enter_context(postgres.embedded(settings.data_dir))
            settings = settings.model_copy(update={"database_url": url})
        assert settings.database_url is not None
        with contextlib.closing(Database(settings.database_url)) as database, database.transaction() as connection:
            driver(connection).execute(load.REG.replace("CREATE TABLE reg", "CREATE TABLE IF NOT EXISTS reg"))
        serve_bus(settings, host, port)


class BusStack:
    """`omsbus bench serve w1` in processes of its own. Use as a context manager."""

    def __init__(self, database_url: str, home: Path) -> None:
        self._home = home
        self._port = free_port()
        self._environment = os.environ | {"OMSBUS_DATABASE_URL": database_url}
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}/in/{QUEUE}"

    def __enter__(self) -> BusStack:
        self.restart()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def restart(self) -> None:
        """Start it; returns when it is ready. Raises TimeoutError."""
        command = [sys.executable, "-c", "from core.cli import main; main()", "bench", "serve", "w1"]
        command += ["--port", str(self._port), "--data", str(self._home)]
        self._home.mkdir(parents=True, exist_ok=True)
        with (self._home / "bus.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        until(self._healthy, START_S)

    def kill(self) -> None:
        """kill -9 of the bus and its children."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def processes(self) -> list[psutil.Process]:
        """The bus and its children; PostgreSQL is not among them."""
        assert self._process is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self._process.pid)
            return [process, *process.children(recursive=True)]
        return []

    def _healthy(self) -> bool:
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{self._port}/healthz", timeout=2).close()
            return True
        return False


def run(messages: int = MESSAGES) -> Result:
    """Rates in messages a second, times of the POST in milliseconds."""
    from benchmarks.plain.run import PlainStack, conditions

    stacks: dict[str, type[BusStack | PlainStack]] = {"bus": BusStack, "plain": PlainStack}
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in stacks}
    crashed: dict[str, dict[str, Any]] = {}
    for number in range(ROUNDS):  # in turn, for the machine is not equally fast all the time
        for name, stack_of in stacks.items():
            with tempfile.TemporaryDirectory(prefix="omsbus-bench-") as folder:
                home = Path(folder)
                with postgres.embedded(home) as url, stack_of(url, home) as stack:
                    rounds[name].append(measure(stack, url, messages=messages))
                    if number == ROUNDS - 1:
                        crashed[name] = crash(stack, url, messages=CRASH_MESSAGES)
    ours, peer = (_median(rounds[name]) for name in stacks)
    ratios = {
        "accepted against the plain stack": ours["accepted_per_s"] / peer["accepted_per_s"],
        "end to end against the plain stack": ours["end_to_end_per_s"] / peer["end_to_end_per_s"],
        "p99 of the POST against the plain stack": ours["p99_ms"] / peer["p99_ms"],
        "lost": ours["lost"] + crashed["bus"]["lost"],
        "doubled": ours["doubled"] + crashed["bus"]["doubled"],
    }
    accepted, end_to_end, p99, lost, doubled = ratios.values()
    reached = min(accepted, end_to_end) >= MIN_RATIO and p99 <= MOST_P99_SHARE and lost == doubled == 0
    said = {f"{name}: {what}": value for name, one in (("bus", ours), ("plain", peer)) for what, value in one.items()}
    said |= {f"{name} after kill -9: {what}": value for name in crashed for what, value in crashed[name].items()}
    conditions_of_run = {"messages": messages, "rounds": ROUNDS, "database": "embedded, fsync on", **conditions()}
    return result(NAME, GOAL, ratios, reached, **conditions_of_run, **said)


def _median(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Median of each figure; of what was lost, doubled and refused, the sum."""
    found: dict[str, Any] = {}
    for what in rounds[0]:
        values = [one[what] for one in rounds]
        if what in ("lost", "doubled"):
            found[what] = sum(values)
        elif what == "refused":
            found[what] = sum(sum(one.values()) for one in values)
        else:
            found[what] = statistics.median(values)
    return found
