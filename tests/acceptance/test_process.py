"""`omsbus run` as a process of its own: 200 MB in one text node cost it neither its memory nor its life."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from simulators.payloads import fns

TEXT_BYTES = 200 * 1024 * 1024
GROWTH_MOST_BYTES = 100 * 1024 * 1024
"""answer_most_bytes is read into memory (48 MB) before the rest goes to the disk."""

_ID_OF = "SELECT id FROM bus.message WHERE external_id = %s"


@dataclass
class Process:
    """The bus, its port and its database."""

    popen: subprocess.Popen[bytes]
    port: int
    database_url: str

    def health(self) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5) as answer:
            return int(answer.status)

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(sql, values).fetchall()  # type: ignore[arg-type]

    def peak_bytes(self) -> int:
        """The most memory that its hungriest process has ever had."""
        own = psutil.Process(self.popen.pid)
        return max(_peak(one.pid) for one in [own, *own.children(recursive=True)])


@pytest.fixture
def omsbus(connector: dict[str, Any], new_database: Callable[[], str]) -> Iterator[Process]:
    with tempfile.TemporaryDirectory(prefix="omsbus-acceptance-") as name, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port, url, folder = probe.getsockname()[1], new_database(), Path(name)
        config = folder / "omsbus.toml"
        config.write_text(f"database_url = {_toml(url)}\nconnectors = {{ smev = {_toml(connector)} }}\n", "utf-8")
        probe.close()
        command = [sys.executable, "-c", "from core.cli import main; main()", "run", "--port", str(port)]
        with (folder / "log").open("wb") as log:
            popen = subprocess.Popen(
                [*command, "--config", str(config), "--data", str(folder / "data")], stdout=log, stderr=log
            )
        made = Process(popen, port, url)
        try:
            yield made
        finally:
            popen.kill()
            popen.wait()


@pytest.mark.feature("BUS-12", "BUS-02")
def test_200_mb_in_one_text_node_are_kept_through_the_disk_and_the_process_lives(
    omsbus: Process, far_side: Any, eventually: Any
) -> None:
    eventually(lambda: _up(omsbus), 40)
    first = far_side.control.send("FNS001", fns.news(1, 1), version="1.2")
    eventually(lambda: far_side.control.message(first)["entries"][0]["closed_at"])
    before = omsbus.peak_bytes()

    bend = far_side.bend("GetRequest", lambda envelope: envelope.replace(b"</ns2:Request>", b"x" * TEXT_BYTES, 1))
    message_id = far_side.control.send("FNS001", fns.news(2, 1), version="1.2")
    eventually(lambda: omsbus.rows("SELECT 1 FROM bus.entry WHERE state = 'quarantined'"), 60)

    [(kind, error, reason, payload, size)] = omsbus.rows(
        "SELECT m.kind, e.error, e.reason, m.received_payload, p.size_bytes FROM bus.message m "
        "JOIN bus.entry e USING (seq) JOIN bus.payload p ON p.sha256 = m.received_payload WHERE e.state = 'quarantined'"
    )
    assert (kind, error) == ("smev.unreadable", "MalformedXml")
    assert "вложением" in reason
    assert size == len(bend.sent) > TEXT_BYTES
    assert payload == hashlib.sha256(bend.sent).hexdigest(), "every octet"
    acks = eventually(lambda: far_side.control.message(message_id)["acknowledgements"])
    assert acks[0]["accepted"] is False
    assert omsbus.peak_bytes() - before < GROWTH_MOST_BYTES

    healthy = far_side.control.send("FNS001", fns.news(3, 1), version="1.2")
    eventually(lambda: far_side.control.message(healthy)["entries"][0]["accepted"])
    eventually(lambda: omsbus.rows(f"SELECT 1 FROM fns.organization WHERE source_message_id = ({_ID_OF})", healthy))
    assert omsbus.health() == 200
    omsbus.popen.terminate()
    assert omsbus.popen.wait(timeout=30) == 0


def _up(process: Process) -> bool:
    assert process.popen.poll() is None, "it did not start"
    try:
        return process.health() == 200
    except OSError:
        time.sleep(0.1)
        return False


def _peak(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _toml(value: Any) -> str:
    """A value of TOML; tables inline."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml(str(name))} = {_toml(one)}" for name, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
