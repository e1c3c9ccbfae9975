"""An attachment goes through the bus as a stream: the bus's memory does not know how long it is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HOUSE = Path(__file__).resolve().parents[2]
MIB = 1024**2


@pytest.fixture
def roomy() -> Iterator[Path]:
    """A folder on a disk with room for what the test stores, emptied at once."""
    home = Path(tempfile.mkdtemp(prefix="omsbus-large-", dir="/var/tmp"))
    yield home
    shutil.rmtree(home)


def _through(database_url: str, home: Path, size: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("large_file_at_work.py"), database_url, home, str(size)],
        env={"PYTHONPATH": str(HOUSE), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return made


@pytest.mark.slow
@pytest.mark.feature("BUS-02")
def test_an_attachment_of_64_mb_takes_hardly_any_memory(database_url: str, roomy: Path) -> None:
    made = _through(database_url, roomy, 64 * MIB + 12_345)
    assert made["same"]
    assert made["most_bytes"] - made["before_bytes"] < 40 * MIB


@pytest.mark.slow
@pytest.mark.feature("BUS-02")
def test_an_attachment_of_2_gb_goes_in_and_out_in_less_than_300_mb_of_memory(database_url: str, roomy: Path) -> None:
    size = 2 * 1024 * MIB + 12_345
    if shutil.disk_usage(roomy).free < 1.3 * size:
        pytest.skip("no room for 2 GB on the disk")
    made = _through(database_url, roomy, size)
    assert made["same"]
    assert made["most_bytes"] < 300 * MIB
