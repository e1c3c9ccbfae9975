"""`omsbus run` as a process: ready only when it is, ends cleanly, refuses what it cannot do."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

RUN = [sys.executable, "-c", "from core.cli import main; main()", "run"]


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def status(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


@pytest.mark.feature("BUS-12")
def test_run_says_200_when_it_is_ready_and_ends_cleanly_on_sigterm(database_url, tmp_path, port, eventually) -> None:
    environment = os.environ | {"OMSBUS_DATABASE_URL": database_url}
    arguments = [*RUN, "--port", str(port), "--data", str(tmp_path)]
    with subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True) as process:
        eventually(lambda: status(port) == 200)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in log


def test_run_refuses_a_port_that_is_taken_with_a_sentence(database_url, tmp_path) -> None:
    environment = os.environ | {"OMSBUS_DATABASE_URL": database_url}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        arguments = [*RUN, "--port", str(taken.getsockname()[1]), "--data", str(tmp_path)]
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "занят" in done.stderr
    assert "Traceback" not in done.stderr


def test_health_is_503_until_the_bus_is_open() -> None:
    from console.app import Console

    assert Console().healthz().status_code == 503
