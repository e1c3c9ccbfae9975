"""The nemesis itself: ten minutes in all, half of it in one process and half in a cluster."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.cli import build
from simulators.selftest.cargo import make
from simulators.selftest.chaos import _not_taken, shape_of
from simulators.selftest.fleet import OMSBUS
from simulators.selftest.load import Load, Sent

HALF_S = 300


def test_the_seed_decides_what_is_not_said() -> None:
    shapes = {shape_of(seed, cluster=None) for seed in range(40)}
    assert {shape.files for shape in shapes} == {"folder", "ftp"}
    assert shape_of(7, cluster=None) == shape_of(7, cluster=None)
    assert shape_of(7, cluster=True).cluster
    assert not shape_of(7, cluster=False).cluster


def test_without_a_word_what_to_check_it_says_what_there_is() -> None:
    answer = CliRunner().invoke(build(), ["selftest"])
    assert answer.exit_code != 0
    assert "--chaos" in f"{answer.output}{answer.exception}"


def test_what_a_healed_bus_did_not_take_is_told() -> None:
    load = Load([1], seed=1, per_second=1, sinks=())
    for n, channel, accepted in ((1, "http", 5.0), (2, "http", 0.0), (3, "file", 0.0)):
        load.account.sent[n] = Sent(make(1, n), 1.0, channel=channel, accepted=accepted)
    told = _not_taken(load)
    assert [("№ 2" in one, "№ 3" in one) for one in told] == [(True, False), (False, True)]


@pytest.mark.slow
@pytest.mark.timeout(1000)
@pytest.mark.feature("BUS-02", "BUS-03", "BUS-12")
@pytest.mark.parametrize(("mode", "seed"), [("--embedded", 17), ("--cluster", 18)])
def test_nothing_is_lost_doubled_stuck_or_out_of_order_while_everything_breaks(
    mode: str, seed: int, tmp_path: Path
) -> None:
    if mode == "--cluster" and shutil.which("erl") is None:
        pytest.skip("RabbitMQ не установлен")
    file = tmp_path / "report.json"
    command = [*OMSBUS, "selftest", "--chaos", mode, "--seed", str(seed), "--seconds", str(HALF_S), "--json", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=950)
    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-2000:]
    report = json.loads(file.read_text(encoding="utf-8"))
    assert report["ok"]
    assert set(report["violated"].values()) == {0}
    assert report["faults"] >= 150
    assert len(report["faults_by_kind"]) >= 25
    assert report["messages"]["подтверждено"] > 2000
