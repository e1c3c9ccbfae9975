"""Starts the plain stack: RabbitMQ (a node of its own), one uvicorn process, one Celery worker of two processes.

    python -m benchmarks.plain.run [--messages 3000] [--crash]

measures it alone, on an embedded PostgreSQL in a scratch folder; benchmarks.w1 measures it beside the bus.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Annotated, Final
from urllib.error import URLError

import psutil
import typer

from benchmarks.stacks import crash, free_port, measure, until
from core import postgres
from simulators.rabbitmq import RabbitNode

PROCESSES: Final = 2
"""Of the Celery worker: one a core."""
READY_S: Final = 60.0
_PACKAGES: Final = ("fastapi", "uvicorn", "uvloop", "httptools", "celery", "kombu", "lxml", "psycopg")


class PlainStack:
    """RabbitMQ, the application and its worker. Use as a context manager; `url` stays the same over restarts.

    Raises ConfigError when RabbitMQ is not installed, TimeoutError when something does not start.
    """

    def __init__(self, database_url: str, home: Path) -> None:
        self._node = RabbitNode(home / "rabbitmq")
        self._log = home / "plain.log"
        self._database_url = database_url
        self._port = free_port()
        self._children: list[subprocess.Popen[bytes]] = []
        self.url = f"http://127.0.0.1:{self._port}/in/w1"

    def __enter__(self) -> PlainStack:
        try:
            self.restart()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill_children()
        self._node.stop()

    def restart(self) -> None:
        """Start broker, worker and application; returns when they work. Raises TimeoutError."""
        self._node.start()
        variables = {"PLAIN_BROKER_URL": self._node.url, "PLAIN_DATABASE_URL": self._database_url}
        worker = ["celery", "-A", "benchmarks.plain.tasks", "worker", "--concurrency", str(PROCESSES), "-l", "INFO"]
        worker += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        web = ["uvicorn", "benchmarks.plain.app:app", "--port", str(self._port), "--no-access-log"]
        web += ["--log-level", "warning", "--loop", "auto", "--http", "auto"]
        begin = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            for command in (worker, web):
                child = subprocess.Popen(
                    [sys.executable, "-m", *command], env=os.environ | variables, stdout=log, stderr=log
                )
                self._children.append(child)
        until(lambda: b" ready." in self._log.read_bytes()[begin:], READY_S)
        until(self._answers, READY_S)

    def kill(self) -> None:
        """kill -9 of application, worker and broker."""
        self._kill_children()
        self._node.kill()

    def processes(self) -> list[psutil.Process]:
        """Application and worker with their children; the broker is not among them."""
        found = []
        for child in self._children:
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(child.pid)
                found += [process, *process.children(recursive=True)]
        return found

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self._port}/openapi.json", timeout=5).close()
        except (URLError, OSError):
            return False
        return True

    def _kill_children(self) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for child in self._children:
            child.wait()
        self._children.clear()


def conditions() -> dict[str, str]:
    """Versions of what the plain stack is made of."""
    found = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"plain stack": ", ".join(f"{name} {version}" for name, version in found.items())}


def main(messages: int = 3000, only_crash: Annotated[bool, typer.Option("--crash")] = False) -> None:
    """Замер простого стека на встроенной PostgreSQL."""
    with (
        tempfile.TemporaryDirectory(prefix="omsbus-plain-") as folder,
        postgres.embedded(Path(folder)) as url,
        PlainStack(url, Path(folder)) as stack,
    ):
        made = crash(stack, url) if only_crash else measure(stack, url, messages=messages)
    print(json.dumps(made | conditions(), indent=2))


if __name__ == "__main__":
    typer.run(main)
