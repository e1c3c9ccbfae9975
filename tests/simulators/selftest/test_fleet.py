"""Members of the fleet come again however they end, armed for one life only, and none is left at the end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from simulators.selftest.fleet import Fleet, Member

_PROGRAM = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("armed" if "ARMED" in os.environ else "plain", child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def member(tmp_path: Path) -> Iterator[Member]:
    made = Member("one", [sys.executable, "-c", _PROGRAM], tmp_path / "one.log", dict(os.environ))
    with Fleet([made]):
        yield made


@pytest.fixture
def lives(member: Member, eventually: Any) -> Callable[[int], list[list[str]]]:
    """Waits until the program has begun so many times; what each life said."""

    def wait(times: int) -> list[list[str]]:
        def said() -> list[list[str]]:
            lines = member.log.read_text().splitlines(keepends=True) if member.log.exists() else []
            return [line.split() for line in lines if line.endswith("\n")]

        return eventually(lambda: said() if len(said()) >= times else None)

    return wait


def test_a_killed_member_and_its_children_are_gone_and_it_comes_again(member: Member, lives: Any) -> None:
    first = member.pid
    child = int(lives(1)[0][1])
    member.kill()
    assert len(lives(2)) == 2
    assert member.pid != first
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
    assert member.deaths == 1


def test_a_parent_killed_alone_leaves_its_child(member: Member, lives: Any) -> None:
    child = psutil.Process(int(lives(1)[0][1]))
    member.kill(group=False)
    lives(2)
    assert child.status() != psutil.STATUS_ZOMBIE
    child.kill()


def test_a_member_is_armed_for_one_life(member: Member, lives: Any) -> None:
    lives(1)
    member.arm({"ARMED": "1"})
    assert lives(2)[1][0] == "armed"
    member.disarm()
    assert lives(3)[2][0] == "plain"


def test_a_frozen_member_ends_with_the_fleet(tmp_path: Path, eventually: Any) -> None:
    member = Member("one", [sys.executable, "-c", _PROGRAM], tmp_path / "two.log", dict(os.environ))
    with Fleet([member]):
        eventually(lambda: member.log.exists() and "\n" in member.log.read_text())
        member.signal(signal.SIGSTOP)
        pid = member.pid
    assert member.pid is None
    assert not psutil.pid_exists(pid or 0)
