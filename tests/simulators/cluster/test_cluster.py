"""`omsbus cluster --once` as a user calls it: everything breaks once, both sides agree, nothing is left running."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

HOUSE = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-c", "from core.cli import main; main()", "cluster"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("OMSBUS_")}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.feature("BUS-02", "BUS-07", "BUS-12")
def test_the_cluster_loses_a_worker_the_leader_and_the_broker_is_restarted_and_reconciles() -> None:
    # Not under pytest's own folder: the embedded server runs as another user, who may not enter it.
    with tempfile.TemporaryDirectory(prefix="omsbus-cluster-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        options = ["--once", "--scale", "0.3", "--json", str(folder / "account.json"), "--data", str(folder / "data")]
        done = subprocess.run(
            [*COMMAND, *options], cwd=HOUSE, env=ENVIRONMENT | {"COLUMNS": "160"}, capture_output=True, text=True,
            timeout=500,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        account = json.loads((folder / "account.json").read_text("utf-8"))
        assert [check for check in account["checks"] if not check["ok"]] == []
        for words in ("kill -9 worker-", "kill -9 scheduler-", "RabbitMQ", "перезапуск всех процессов"):
            assert words in " ".join(account["faults"])
        left = [one for one in psutil.process_iter() if str(folder / "data") in _words(one)]
        assert left == [], "everything was stopped"


def test_without_rabbitmq_it_says_what_to_install() -> None:
    program = (
        "import pathlib, simulators.rabbitmq as r; r._ROOT = pathlib.Path('/nowhere'); "
        "from core.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "cluster", "--once"], cwd=HOUSE, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "apt-get install --no-install-recommends rabbitmq-server" in done.stderr
    assert "Traceback" not in done.stderr


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
