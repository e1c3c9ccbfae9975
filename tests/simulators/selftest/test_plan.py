"""The plan follows from the seed and nothing else, and leaves no kind of fault out."""

from __future__ import annotations

import pytest

from simulators.selftest.faults import FAULTS
from simulators.selftest.plan import make_plan
from simulators.selftest.world import Shape

EMBEDDED = Shape(files="folder")
CLUSTER = Shape(cluster=True, files="ftp")


@pytest.mark.parametrize("shape", [EMBEDDED, CLUSTER])
def test_the_same_seed_gives_the_same_plan(shape: Shape) -> None:
    assert make_plan(17, 60, shape) == make_plan(17, 60, shape)
    assert make_plan(17, 60, shape) != make_plan(18, 60, shape)


@pytest.mark.feature("BUS-02", "BUS-12")
@pytest.mark.parametrize("shape", [EMBEDDED, CLUSTER])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ten_minutes_hold_far_more_than_two_hundred_faults_of_every_kind(shape: Shape, seed: int) -> None:
    plan = make_plan(seed, 600, shape)
    assert len(plan) > 300
    assert {one.kind for one in plan} == {kind for kind, fault in FAULTS.items() if fault.targets(shape)}


def test_every_target_exists_and_is_struck() -> None:
    plan = make_plan(3, 600, CLUSTER)
    struck = {one.target for one in plan if one.kind == "kill"}
    assert struck == set(CLUSTER.members)
    assert all(one.target in FAULTS[one.kind].targets(CLUSTER) for one in plan)


def test_faults_that_must_be_alone_never_overlap() -> None:
    for shape in (EMBEDDED, CLUSTER):
        busy_until: dict[str, float] = {}
        for one in make_plan(5, 600, shape):
            fault = FAULTS[one.kind]
            if fault.alone:
                assert one.at_s >= busy_until.get(fault.group, 0.0), one
                busy_until[fault.group] = one.at_s + one.for_s


def test_faults_are_in_time_and_leave_calm_at_both_ends() -> None:
    plan = make_plan(9, 30, EMBEDDED)
    times = [one.at_s for one in plan]
    assert times == sorted(times)
    assert times[0] >= 1
    assert times[-1] <= 28
    assert len(plan) >= 15


def test_a_world_without_files_and_broker_is_not_struck_there() -> None:
    kinds = {one.kind for one in make_plan(1, 600, Shape())}
    assert not {kind for kind in kinds if kind.startswith(("file", "ftp", "broker"))}
