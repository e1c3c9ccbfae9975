"""Worker processes: who drains, what becomes of a child without its parent and of a parent without its child."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
import sqlalchemy as sa

from core.message import Message
from core.processes import WorkerProcess
from core.wakeups import Announcer, Listener

MODULE = "tests.core.worked_routes"


@pytest.fixture
def served(bus_of, monkeypatch):
    """A bus whose queue is drained by one child process."""
    from core import discovery

    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    bus = bus_of(discovery.routes_of([MODULE]), route_modules=[MODULE])
    with bus.database.transaction() as connection:
        connection.execute(sa.text("CREATE TABLE public.effect (message_id uuid, pid int)"))
    bus.start(intake=False, work=True, schedule=False, processes=1)
    return bus


def effects(bus) -> list[tuple[object, int]]:
    with bus.database.transaction() as connection:
        return [tuple(row) for row in connection.execute(sa.text("SELECT message_id, pid FROM public.effect"))]


@pytest.mark.feature("BUS-12")
def test_a_child_process_handles_what_this_one_took_in(served, eventually) -> None:
    [accepted] = served.engine.put([Message(kind="t.worked", body=b"{}")])
    eventually(lambda: effects(served))

    [(message_id, pid)] = effects(served)
    assert (message_id, pid != os.getpid()) == (accepted.message_id, True)
    assert served.healthy()


@pytest.mark.feature("BUS-02")
def test_a_killed_child_is_started_again_and_nothing_is_handled_twice(served, eventually) -> None:
    served.engine.put([Message(kind="t.worked", body=b"{}")])
    eventually(lambda: effects(served))
    [(_, pid)] = effects(served)

    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not served.healthy())
    served.engine.put([Message(kind="t.worked", body=b"{}") for _ in range(20)])
    eventually(lambda: len(effects(served)) == 21, timeout_s=40)

    assert len({message_id for message_id, _ in effects(served)}) == 21
    eventually(served.healthy)


def test_a_child_ends_when_its_parent_is_killed(database_url, tmp_path, eventually) -> None:
    code = (
        "import sys, time; from core.processes import WorkerProcess; from core.settings import Settings;"
        f"w = WorkerProcess(Settings(data_dir={str(tmp_path)!r}), {database_url!r}); w.start();"
        "print(w._process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())

    parent.kill()
    parent.wait()
    parent.stdout.close()

    eventually(lambda: not psutil.pid_exists(child), timeout_s=20)


def test_a_child_that_cannot_start_is_an_error_and_not_a_silence(tmp_path, monkeypatch) -> None:
    from core import processes
    from core.errors import Unavailable
    from core.settings import Settings

    monkeypatch.setattr(processes, "READY_S", 0.5)
    worker = WorkerProcess(Settings(data_dir=tmp_path), "postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(Unavailable, match="не запустился"):
        worker.start()


def test_wake_ups_reach_a_listener_and_are_gathered(database, eventually) -> None:
    heard: list[str] = []
    listener, announcer = Listener(database, heard.append), Announcer(database)
    listener.start()
    announcer.start()
    try:

        def told() -> bool:
            announcer.wake("first")
            time.sleep(0.02)
            return "first" in heard

        eventually(told)
        before = len(heard)
        threads = [threading.Thread(target=announcer.wake, args=("second",)) for _ in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        eventually(lambda: "second" in heard)
        assert len(heard) - before < 100
    finally:
        announcer.stop()
        listener.stop()
