"""The systemd units that we ship: accepted by systemd, they call commands that exist and leave a batch its time."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from core import settings
from core.cli import build
from core.distribution import GOODBYE_S, STOP_S

HOUSE = Path(__file__).resolve().parents[2]
FOLDER = HOUSE / "deploy" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
PROGRAM = "/opt/omsbus/.venv/bin/omsbus"

pytestmark = pytest.mark.feature("BUS-12")


def _values(unit: Path) -> dict[str, str]:
    """Of a setting that is given twice the last."""
    return dict(re.findall(r"^(\w+)=(.*)$", unit.read_text("utf-8"), re.M))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="нет systemd-analyze: apt-get install systemd")
def test_systemd_accepts_every_unit(tmp_path: Path) -> None:
    program = tmp_path / "omsbus"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for unit in [*UNITS, FOLDER / "omsbus.target"]:
        (tmp_path / unit.name).write_text(unit.read_text("utf-8").replace(PROGRAM, str(program)), "utf-8")
    units = [str(tmp_path / name) for name in ("omsbus.target", *(unit.name for unit in UNITS))]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (0, "")
    (tmp_path / UNITS[0].name).write_text("[Service]\nExecStart=nowhere\nRestart=perhaps\n")
    assert subprocess.run(["systemd-analyze", "verify", "--man=no", units[1]], capture_output=True).returncode != 0


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_unit_calls_a_command_that_exists(unit: Path) -> None:
    program, command, *options = _values(unit)["ExecStart"].split()
    assert program == PROGRAM
    shown = CliRunner().invoke(build(), [command, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert [option for option in options if option.startswith("--") and option not in shown.output] == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_unit_lets_a_batch_end_and_keeps_secrets_apart(unit: Path) -> None:
    values = _values(unit)
    assert float(values["TimeoutStopSec"]) > STOP_S + GOODBYE_S
    assert values["EnvironmentFile"] == "/etc/omsbus/omsbus.env"
    assert values["Restart"] == "on-failure"
    assert values["NoNewPrivileges"] == values["PrivateTmp"] == "yes"
    assert values["ProtectSystem"] == "strict"


def test_the_sample_settings_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown key or variable would keep the bus from starting."""
    lines = (FOLDER / "omsbus.env").read_text("utf-8").splitlines()
    pairs: Any = [line.removeprefix("#").split("=", 1) for line in lines if re.match(r"#?[A-Z_]+=", line)]
    assert {"OMSBUS_DATABASE_URL", "OMSBUS_BROKER_URL", "WEB_HOST"} <= {name for name, _ in pairs}
    for name, value in pairs:
        monkeypatch.setenv(name, value)
    loaded = settings.load(FOLDER / "omsbus.toml")
    assert loaded.broker_url == dict(pairs)["OMSBUS_BROKER_URL"]
    assert loaded.data_dir == Path("/var/lib/omsbus")
