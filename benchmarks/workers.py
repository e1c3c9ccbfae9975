"""Two workers on two cores, against one: the cluster mode, with RabbitMQ and a kind that costs processor time.

The messages wait in a paused queue until the workers run; then it is let go, and nothing else happens. A message costs
some 10 ms of pure Python (beside XSLT), so a worker, however many threads it has, uses one core.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg

from benchmarks.harness import Result, result
from benchmarks.sample import NAMESPACE, STYLE, Fields, document
from benchmarks.stacks import until
from core import operations, postgres
from core.bus import Bus
from core.message import Message
from core.route import Context, Format, Route
from core.settings import Settings
from simulators.rabbitmq import RabbitNode

NAME: Final = "workers"
MIN_RATIO: Final = 1.4
GOAL: Final = "два обработчика на двух ядрах (RabbitMQ, вид сведений с большим счётом): не менее 1,4× против одного"
MESSAGES: Final = 1000
ROUNDS: Final = 2
"""In turns, one worker and two; of each the better round counts."""
HASHES: Final = 20_000
START_S: Final = 60.0
DRAINED_S: Final = 180.0

route = Route(
    "bench.workers",
    title="Замер: вид сведений с большим счётом",
    formats=[Format("1", root=f"{{{NAMESPACE}}}RegisterDeath", transform=str(STYLE))],
    body=Fields,
    concurrency=2,
)


@route.handler
def count(body: Fields, _context: Context) -> None:
    """Checksums over checksums: each is so short that it is counted under Python's lock."""
    octets = body.act_no.encode()
    for _ in range(HASHES):
        octets = hashlib.sha256(octets).digest()


def run(messages: int = MESSAGES, rounds: int = ROUNDS) -> Result:
    """Rates in messages a second."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    with (
        tempfile.TemporaryDirectory(prefix="omsbus-bench-") as folder,
        postgres.embedded(Path(folder)) as url,
        RabbitNode(Path(folder) / "rabbitmq") as node,
    ):
        cluster = _Cluster(url, node.url, Path(folder))
        for _ in range(rounds):
            for workers, found in rates.items():
                found.append(cluster.rate(workers, messages))
    one, two = max(rates[1]), max(rates[2])
    return result(
        NAME,
        GOAL,
        {"two workers against one": two / one},
        two / one >= MIN_RATIO,
        messages=messages,
        one_worker_per_second=[round(rate) for rate in rates[1]],
        two_workers_per_second=[round(rate) for rate in rates[2]],
        load_average=round(os.getloadavg()[0], 1),
        broker="RabbitMQ, its own node",
        database="embedded, fsync on",
    )


class _Cluster:
    """`omsbus worker` processes on a database and a broker."""

    def __init__(self, database_url: str, broker_url: str, home: Path) -> None:
        self._home = home
        self._told = {"database_url": database_url, "broker_url": broker_url}
        self._database_url = database_url

    def rate(self, workers: int, messages: int) -> float:
        """Messages a second that so many workers handle."""
        self._fill(messages)
        with contextlib.ExitStack() as stack:
            db = stack.enter_context(psycopg.connect(self._database_url, autocommit=True))
            for number in range(workers):
                stack.enter_context(self._worker(number))
            until(lambda: _one(db, _RUNNING) == workers, START_S)
            db.execute("UPDATE bus.queue SET state = 'running' WHERE name = %s", (route.name,))
            until(lambda: _one(db, _HANDLED) > 0, START_S)  # how soon they look is not measured
            began, before = time.monotonic(), _one(db, _HANDLED)
            until(lambda: _one(db, _WAITING) == 0, DRAINED_S)
            return (_one(db, _HANDLED) - before) / (time.monotonic() - began)

    def _fill(self, messages: int) -> None:
        settings = Settings(data_dir=self._home, route_modules=[__name__]).model_copy(update=self._told)
        with Bus.open(settings) as bus:
            operations.set_state(bus, route.name, "paused", actor="bench")
            bus.engine.put([Message(kind=route.name, body=document(number)) for number in range(messages)])
            # Gone from the count, not from the journal: each round has its own.
            with bus.database.transaction() as connection:
                connection.exec_driver_sql("DELETE FROM bus.entry WHERE state = 'handled'")

    @contextlib.contextmanager
    def _worker(self, number: int) -> Iterator[None]:
        environment = os.environ | {f"OMSBUS_{name.upper()}": value for name, value in self._told.items()}
        environment |= {"OMSBUS_ROUTE_MODULES": f'["{__name__}"]', "OMSBUS_SWEEP_S": "0.1"}
        command = [sys.executable, "-c", "from core.cli import main; main()", "worker", "--data", str(self._home)]
        with (self._home / f"worker-{number}.log").open("ab") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


_RUNNING: Final = "SELECT count(*) FROM bus.live_process WHERE role = 'worker' AND state = 'running'"
_HANDLED: Final = "SELECT count(*) FROM bus.entry WHERE queue = 'bench.workers' AND state = 'handled'"
_WAITING: Final = "SELECT count(*) FROM bus.entry WHERE queue = 'bench.workers' AND state <> 'handled'"


def _one(db: psycopg.Connection[tuple[int]], sql: str) -> int:
    row = db.execute(sql.encode()).fetchone()
    assert row is not None
    return row[0]
