"""The record of what tests prove: only passed ones, merged over partial runs, the vanished forgotten."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TESTS = """
import pytest
@pytest.mark.feature("BUS-01", "BUS-02")
def test_passes(): pass
@pytest.mark.feature("BUS-02")
def test_fails(): assert {fine}
@pytest.mark.feature("BUS-03")
@pytest.mark.parametrize("n", [1, 2])
def test_each(n): pass
@pytest.mark.feature("BUS-04")
def test_skipped(): pytest.skip("not here")
@pytest.fixture
def broken():
    yield
    assert False
@pytest.mark.feature("BUS-05")
def test_torn_down_badly(broken): pass
"""


@pytest.fixture
def run(tmp_path: Path) -> Any:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = feature(id): x\n")
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["core.testing.features"]\n')

    def pytest_run(text: str, *arguments: str) -> dict[str, list[str]]:
        (tmp_path / "test_it.py").write_text(text)
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments], cwd=tmp_path, check=False,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        found: dict[str, list[str]] = json.loads((tmp_path / "var" / "features.json").read_text())
        return {name: [test.removeprefix("test_it.py::") for test in tests] for name, tests in found.items()}

    return pytest_run


def test_only_what_passed_to_the_end_proves_anything(run: Any) -> None:
    assert run(TESTS.format(fine=False)) == {
        "BUS-01": ["test_passes"], "BUS-02": ["test_passes"], "BUS-03": ["test_each[1]", "test_each[2]"],
    }  # fmt: skip


@pytest.mark.slow
def test_a_partial_run_changes_only_what_it_ran(run: Any) -> None:
    run(TESTS.format(fine=True))
    found = run(TESTS.format(fine=False), "-k", "test_fails")
    assert found["BUS-02"] == ["test_passes"]
    assert found["BUS-03"] == ["test_each[1]", "test_each[2]"]


@pytest.mark.slow
def test_tests_that_are_gone_are_forgotten(run: Any) -> None:
    run(TESTS.format(fine=True))
    assert run("def test_other(): pass") == {}


def test_a_distributed_run_records_the_same(run: Any) -> None:
    pytest.importorskip("xdist")
    assert run(TESTS.format(fine=True), "-n", "2") == {
        "BUS-01": ["test_passes"], "BUS-02": ["test_fails", "test_passes"], "BUS-03": ["test_each[1]", "test_each[2]"],
    }  # fmt: skip
