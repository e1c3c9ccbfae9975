"""The nemesis strikes, mends, and tells what it could not do."""

from __future__ import annotations

from typing import Any

import pytest

from simulators.selftest.faults import FAULTS, Fault, Nothing
from simulators.selftest.nemesis import Nemesis, Struck
from simulators.selftest.plan import Planned


@pytest.fixture
def happened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the three faults of these tests did."""
    log: list[str] = []

    class Good(Fault):
        kind, title = "good", "Ломается"

        def apply(self, scene: Any) -> str:
            log.append(f"broken {self.target} {self.dice.random():.3f}")
            return "где-то"

        def undo(self, scene: Any) -> None:
            log.append(f"mended {self.target}")

    class Absent(Good):
        kind, title = "absent", "Нечего ломать"

        def apply(self, scene: Any) -> str:
            raise Nothing

    class Bad(Good):
        kind, title = "bad", "Не получается"

        def apply(self, scene: Any) -> str:
            raise OSError("нет прав")

    for fault in (Good, Absent, Bad):
        monkeypatch.setitem(FAULTS, fault.kind, fault)
    return log


def strike(*kinds: str, say: Any = lambda struck: None) -> Nemesis:
    plan = [Planned(0.01 * place, kind, "там", 0.01, 5) for place, kind in enumerate(kinds)]
    nemesis = Nemesis(None, plan, say)  # type: ignore[arg-type]
    nemesis.run()
    return nemesis


def test_every_fault_is_mended(happened: list[str]) -> None:
    said: list[Struck] = []
    nemesis = strike("good", "good", say=said.append)
    assert sorted(happened) == sorted([happened[0], happened[0], "mended там", "mended там"])
    assert [one.line for one in said] == ["Ломается — где-то"] * 2
    assert all(one.done and one.began <= one.ended for one in nemesis.struck)


def test_what_was_not_there_to_break_does_not_count(happened: list[str]) -> None:
    nemesis = strike("absent", "bad", "good")
    assert [one.outcome for one in nemesis.struck] == ["nothing", "OSError: нет прав", "done"]
    assert [one.done for one in nemesis.struck] == [False, False, True]


def test_the_choices_of_a_fault_follow_from_the_plan(happened: list[str]) -> None:
    strike("good")
    strike("good")
    assert happened[0] == happened[2]


def test_a_stopped_nemesis_mends_what_it_broke(happened: list[str]) -> None:
    nemesis = Nemesis(None, [Planned(0.0, "good", "там", 60.0, 1), Planned(60.0, "good", "там", 0.0, 2)], _silent)  # type: ignore[arg-type]
    nemesis._say = lambda struck: nemesis.stop()
    nemesis.run()
    assert [line.split()[0] for line in happened] == ["broken", "mended"]


def _silent(struck: Struck) -> None:
    pass
