"""Verifications are recorded, one at a time, and those that died are told from those that run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from core.errors import ConfigError
from core.seals import recording, verifying
from core.seals.background import Verifier
from core.seals.recording import Recorded
from core.seals.standing import standing

pytestmark = pytest.mark.feature("BUS-11", "SMEV-11")


def test_a_verification_is_recorded_with_what_it_found(sealed: Any) -> None:
    sealed.tamper("UPDATE bus.event SET note = 'иначе' WHERE seq = 5")
    recorded = Recorded(sealed.bus.database)
    number = recorded.begin(actor="ivanova")
    recorded.go(number)
    found = recording.run(sealed.bus.database, number)
    assert (found.outcome, found.started_by, found.blocks, found.rows, found.share) == ("broken", "ivanova", 6, 26, 100)
    assert found.report["findings"][0]["seq"] == 5
    assert found.head.startswith("6:")
    assert sealed.one("SELECT actor FROM bus.audit WHERE action = 'chain.verified'") == "ivanova"


def test_only_one_runs_at_a_time(sealed: Any) -> None:
    first = Recorded(sealed.bus.database)
    number = first.begin(actor="ivanova")
    with pytest.raises(ConfigError, match="уже идёт"):
        Recorded(sealed.bus.database).begin(actor="petrov")
    first.go(number)
    again = Recorded(sealed.bus.database)
    again.go(again.begin(actor="petrov"))
    assert [one.outcome for one in recording.runs(sealed.bus.database)] == ["whole", "whole"]


def test_one_that_died_is_told(sealed: Any) -> None:
    recorded = Recorded(sealed.bus.database)
    number = recorded.begin(actor="ivanova")
    recorded._locks.close()  # as kill -9 does
    assert recording.run(sealed.bus.database, number).outcome == "running"
    sealed.tamper("UPDATE bus.verification SET seen_at = seen_at - %s", (timedelta(minutes=2),))
    assert recording.run(sealed.bus.database, number).outcome == "stopped"
    with pytest.raises(ConfigError, match="Нет проверки"):
        recording.run(sealed.bus.database, 99)


def test_one_that_failed_says_why_and_frees_the_way(sealed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: Any, **__: Any) -> Any:
        raise ConfigError("не вышло")

    monkeypatch.setattr(recording, "verify", break_down)
    recorded = Recorded(sealed.bus.database)
    number = recorded.begin(actor="ivanova")
    with pytest.raises(ConfigError):
        recorded.go(number)
    found = recording.run(sealed.bus.database, number)
    assert (found.outcome, found.note) == ("failed", "не вышло")
    monkeypatch.setattr(recording, "verify", verifying.verify)
    again = Recorded(sealed.bus.database)
    assert again.go(again.begin(actor="ivanova")).whole


def test_in_the_background_it_runs_and_can_be_interrupted(sealed: Any, eventually: Any) -> None:
    verifier = Verifier(sealed.bus.database, sealed.bus.payloads)
    with pytest.raises(ConfigError, match="не идёт"):
        verifier.interrupt()
    number = verifier.begin(actor="ivanova")
    eventually(lambda: recording.run(sealed.bus.database, number).outcome == "whole")
    verifier.stop()
    verifier._stopping.set()
    recorded = Recorded(sealed.bus.database)
    verifier._run(recorded, recorded.begin(actor="ivanova"), 1, None, verifier._stopping)
    assert recording.runs(sealed.bus.database)[0].outcome == "stopped"


def test_the_standing_of_the_chain(sealed: Any) -> None:
    sealed.fill(12, 2)
    now = standing(sealed.bus.database)
    assert now.head
    assert now.head.number == 6
    assert {one.name: (one.last, one.waiting) for one in now.streams} == {
        "message": (12, 2), "event": (12, 2), "audit": (2, 1), "removal": (0, 0),
    }  # fmt: skip


def test_a_bus_that_stops_ends_the_verification(sealed: Any) -> None:
    sealed.bus.verifier.begin(actor="ivanova")
    sealed.bus.stop()
    assert recording.runs(sealed.bus.database)[0].outcome in ("whole", "stopped")
