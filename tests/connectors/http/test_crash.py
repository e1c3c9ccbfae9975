"""`omsbus web` killed at the crash points of the intake: what was answered is kept, what was not can be sent again."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

WEB = [sys.executable, "-c", "from core.cli import main; main()", "web"]
CONFIG = """
route_modules = []
[connectors.in]
type = "http"
open_queues = ["w1"]
"""


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def web(
    database_url: str, folder: Path, port: int, eventually, crash_at: str = ""
) -> Iterator[subprocess.Popen[bytes]]:
    """A web process that is ready."""
    config = folder / "bus.toml"
    config.write_text(CONFIG)
    environment = os.environ | {"OMSBUS_DATABASE_URL": database_url, "OMSBUS_CRASH_AT": crash_at}
    arguments = [*WEB, "--port", str(port), "--data", str(folder / "data"), "--config", str(config)]
    with subprocess.Popen(arguments, env=environment) as process:
        try:
            eventually(lambda: is_ready(port))
            yield process
        finally:
            process.terminate()


def is_ready(port: int) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    return False


def post(port: int) -> httpx.Response:
    return httpx.post(f"http://127.0.0.1:{port}/in/w1", content=b"<a/>", headers={"Idempotency-Key": "k"})


def count(database_url: str) -> int:
    with psycopg.connect(database_url) as connection:
        return connection.execute("SELECT count(*) FROM bus.message").fetchone()[0]


@pytest.mark.slow
@pytest.mark.feature("BUS-02")
@pytest.mark.parametrize(("point", "kept"), [("http.read", 0), ("http.accepted", 1)])
def test_a_crash_before_the_answer_and_the_clients_repeat_make_one_message(
    database_url, tmp_path, port, eventually, point, kept
) -> None:
    with web(database_url, tmp_path, port, eventually, crash_at=point) as process:
        with pytest.raises(httpx.TransportError):
            post(port)
        assert process.wait(timeout=20) == -9
    assert count(database_url) == kept
    with web(database_url, tmp_path, port, eventually):
        answer = post(port)
    assert answer.status_code == 202
    assert answer.json()["repeated"] is bool(kept)
    assert count(database_url) == 1
