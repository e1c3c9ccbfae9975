"""The processes of `omsbus cluster`, each started, killed and stopped by its name."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from pathlib import Path

import psycopg

from core.errors import Unavailable
from core.locks import holder
from simulators.demo.world import BY_CLOCK, START_S, Surroundings, answers, end, free_port
from simulators.rabbitmq import RabbitNode

SCHEDULERS = WEBS = 2
SWEEP_MOST_S = 20.0
"""How long a worker may be waited for that is in the middle of a batch; then any will do."""
LOOK_S = 0.05


class Cluster(Surroundings):
    """PostgreSQL, RabbitMQ, the СМЭВ simulator; and `workers` workers, two schedulers, two web processes.

    Statuses of СМЭВ are polled by a schedule that fires every second, so that the scheduler has something to lead.
    """

    statuses = BY_CLOCK
    snils_term_s = 75
    """СФР is switched off while processes are killed and started: its questions must outlive that."""

    def __init__(self, home: Path, workers: int = 2) -> None:
        """Raises ConfigError when RabbitMQ is not installed."""
        super().__init__(home)
        self.rabbit = RabbitNode(self.home / "rabbitmq")
        self.web_ports = {f"web-{n}": free_port() for n in range(1, WEBS + 1)}
        self.names = [
            *(f"scheduler-{n}" for n in range(1, SCHEDULERS + 1)),
            *(f"worker-{n}" for n in range(1, workers + 1)),
            *self.web_ports,
        ]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def begin(self, stack: contextlib.ExitStack) -> None:
        """Start the broker, then one process, which migrates the database, then all the others at once."""
        stack.enter_context(self.rabbit)
        self.environment["OMSBUS_BROKER_URL"] = self.rabbit.url
        stack.callback(self.stop)
        first, *others = self.names
        self.start(first)
        for name in others:
            self._spawn(name)
        for name in others:
            self._await(name)

    @property
    def health(self) -> list[str]:
        """Addresses that say whether a web process is well."""
        return [f"http://127.0.0.1:{port}/healthz" for port in self.web_ports.values()]

    def start(self, name: str) -> None:
        """Start a process and wait until it works."""
        self._spawn(name)
        self._await(name)

    def kill(self, name: str) -> None:
        """kill -9: no goodbye, no commit."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def restart(self, name: str) -> int:
        """SIGTERM, wait, start anew as an update would; the exit code of the old one."""
        code = end(self._processes.pop(name))
        self.start(name)
        return code

    def stop(self) -> None:
        """SIGTERM to all at once."""
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            end(process)
        self._processes.clear()

    def worker_in_a_batch(self) -> str:
        """The name of a worker that has claimed messages and not committed yet."""
        deadline = time.monotonic() + SWEEP_MOST_S
        with psycopg.connect(self.database_url, autocommit=True) as db:
            while time.monotonic() < deadline:
                if row := db.execute(_IN_A_BATCH).fetchone():
                    return str(row[0])
        return next(name for name in self.names if name.startswith("worker-"))

    def leader(self) -> str:
        """The name of the scheduler that leads; "" while none does."""
        with psycopg.connect(self.database_url, autocommit=True) as db:
            return holder(db, "scheduler")

    def wait_for_leader_but(self, name: str) -> str:
        """Until another scheduler than this one leads; its name. Raises Unavailable when none does in START_S."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if (found := self.leader()) and found != name:
                return found
            time.sleep(LOOK_S)
        raise Unavailable("Ни один планировщик не стал ведущим: посмотрите scheduler-*.log в папке показа")

    def _spawn(self, name: str) -> None:
        role = name.partition("-")[0]
        port = ["--port", str(self.web_ports[name])] if role == "web" else []
        # libpq tells the server this name: that is how the show finds out who works and who leads.
        self._processes[name] = self.spawn(name, [role, *port, *self.where], PGAPPNAME=name)

    def _await(self, name: str) -> None:
        process = self._processes[name]
        if name in self.web_ports:
            url = f"http://127.0.0.1:{self.web_ports[name]}/healthz"
            self.wait_for(name, process, lambda: answers(url))
        else:
            self.wait_for(name, process, lambda: self._runs(process.pid))

    def _runs(self, pid: int) -> bool:
        with contextlib.suppress(psycopg.Error), psycopg.connect(self.database_url) as db:
            sql = "SELECT 1 FROM bus.live_process WHERE pid = %s AND state = 'running'"
            return db.execute(sql, (pid,)).fetchone() is not None
        return False


class Prober:
    """Asks the web processes all the time, as a load balancer does. `silent`: looks at which none was well."""

    def __init__(self, urls: list[str]) -> None:
        self._urls = urls
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prober")
        self.looks = self.silent = 0

    def __enter__(self) -> Prober:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            self.looks += 1
            self.silent += not any(answers(url) for url in self._urls)


_IN_A_BATCH = """
SELECT a.application_name FROM pg_stat_activity a JOIN pg_locks l USING (pid)
WHERE a.application_name LIKE 'worker-%' AND a.backend_xid IS NOT NULL AND a.datname = current_database()
  AND l.relation = 'bus.entry'::regclass AND l.mode = 'RowShareLock'
LIMIT 1
"""
