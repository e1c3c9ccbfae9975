"""The transform benchmark: its message is what the goal speaks of, and its report is whole. No timing is asserted."""

from __future__ import annotations

import json

import pytest

from benchmarks import transform as benchmark
from core import xml
from core.signatures.smev_transform import transform


def test_the_message_is_of_the_size_the_goal_speaks_of() -> None:
    assert 12 * 1024 <= len(benchmark.message()) <= 20 * 1024
    assert transform(benchmark.message()) == transform(benchmark.message(pretty=True))
    assert len(xml.parse(benchmark.message()).findall(".//{*}FATALZPRequest")) == 4


def test_one_run_gives_ratios_a_verdict_and_its_conditions() -> None:
    pytest.importorskip("smev_transform")
    report = benchmark.run(0.01)
    assert report["name"] == "transform"
    assert report["verdict"] in ("reached", "missed")
    assert all(ratio > 0 for ratio in report["ratios"].values())
    assert {"message_bytes", "microseconds", "python"} <= set(report["conditions"])
    json.dumps(report)
