"""The claims benchmark in small: its report is whole, and its plan is the claim's. No timing is asserted."""

from __future__ import annotations

import json

import pytest

from benchmarks import claims


@pytest.mark.slow
def test_one_run_gives_a_ratio_a_case_and_the_plan_of_the_claim() -> None:
    report = claims.run(many=3_000, claims=10)
    assert set(report["ratios"]) == {case.name for case in claims.CASES}
    assert all(ratio > 0 for ratio in report["ratios"].values())
    assert "Index Only Scan using entry_ready on entry" in report["conditions"]["plan"]
    json.dumps(report)
