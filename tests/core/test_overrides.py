"""Numbers that an operator sets hold everywhere within moments, and the settings file comes back whole."""

from __future__ import annotations

from typing import Any

import pytest

from core import overrides
from core.database import driver
from core.errors import ConfigError, Retryable, Unavailable
from core.overrides import Overrides
from core.route import Retry

pytestmark = pytest.mark.feature("BUS-06")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every question reads the table."""
    monkeypatch.setattr(overrides, "KEPT_S", -1.0)


def audited(bus: Any) -> list[tuple[str, str, str]]:
    with bus.database.transaction() as connection:
        return driver(connection).execute("SELECT actor, action, object_id FROM bus.audit ORDER BY seq").fetchall()


def test_numbers_win_over_the_file_which_wins_over_the_code_in_every_process(
    bus_of: Any, working: Any, at_once: None
) -> None:
    route = working(retry=Retry(attempts=3, first_s=2.0), concurrency=3)
    settings = {"routes": {"t.work": {"attempts": 4, "first_s": 5.0}}}
    bus, other = bus_of([route], **settings), bus_of([route], **settings)
    overrides.override(bus, "t.work", {"attempts": "6", "concurrency": 7}, actor="иванов")
    for one in (bus, other):
        assert one.retry_of(route) == Retry(attempts=6, first_s=5.0)
        assert one.concurrency_of("t.work") == 7
    found = {one.name: (one.in_force, one.base, one.override) for one in overrides.numbers(other, "t.work").items}
    assert found["attempts"] == (6, 4, 6)
    assert found["first_s"] == (5, 5, None)
    assert found["concurrency"] == (7, 3, 7)
    overrides.reset(other, "t.work", actor="петров")
    assert bus.retry_of(route).attempts == 4
    assert bus.concurrency_of("t.work") == 3
    assert audited(bus) == [("иванов", "queue.tuned", "t.work"), ("петров", "queue.untuned", "t.work")]


def test_a_message_goes_to_quarantine_after_the_attempts_that_were_set(
    bus_of: Any, working: Any, put: Any, run_dry: Any, make_due: Any, sweep: Any, look: Any, at_once: None
) -> None:
    def fail(_message: Any, _context: Any) -> None:
        raise Retryable("позже")

    bus = bus_of([working(fail)])
    overrides.override(bus, "t.work", {"attempts": 2}, actor="иванов")
    put(bus, "a")
    for _ in range(2):
        run_dry(bus)
        make_due()
        sweep(bus)
    assert look.states() == {"a": "quarantined"}


def test_a_number_that_makes_no_sense_is_refused_with_what_it_may_be(bus_of: Any, working: Any) -> None:
    bus = bus_of([working()])
    for given, said in (
        ({"attempts": "0"}, "Попыток до карантина: нужно целое от 1 до 100"),
        ({"attempts": "два"}, "нужно целое"),
        ({"concurrency": "65"}, "от 1 до 64"),
        ({"concurrency": "2.5"}, "от 1 до 64"),
        ({"first_s": "inf"}, "больше 0"),
        ({"first_s": "nan"}, "больше 0"),
        ({"factor": "0,5"}, "от 1 до 100"),
        ({"first_s": "1000", "most_s": "10"}, "больше самой длинной"),
        ({"sideways": "1"}, "нельзя задать"),
    ):
        with pytest.raises(ConfigError, match=said):
            overrides.override(bus, "t.work", given, actor="иванов")
    assert not overrides.numbers(bus, "t.work").changed
    assert audited(bus) == []


def test_a_sink_has_only_its_concurrency_and_a_source_has_no_numbers(bus_of: Any, far: Any, at_once: None) -> None:
    bus = bus_of([], [far])
    assert [one.name for one in overrides.override(bus, "far", {"concurrency": 5}, actor="и").items] == ["concurrency"]
    assert bus.concurrency_of("far") == 5
    with pytest.raises(ConfigError, match="нельзя задать"):
        overrides.override(bus, "far", {"attempts": 5}, actor="и")
    with pytest.raises(ConfigError, match="источник"):
        overrides.numbers(bus, "far.in")
    with pytest.raises(ConfigError, match="нет очереди"):
        overrides.numbers(bus, "t.nowhere")


def test_saving_the_same_numbers_again_changes_nothing_in_the_audit(bus_of: Any, working: Any) -> None:
    bus = bus_of([working()])
    for _ in range(2):
        overrides.override(bus, "t.work", {"attempts": 2}, actor="и")
    overrides.reset(bus, "t.work", actor="и")
    overrides.reset(bus, "t.work", actor="и")
    assert [action for _, action, _ in audited(bus)] == ["queue.tuned", "queue.untuned"]


def test_while_the_database_is_away_the_last_numbers_hold(bus_of: Any, working: Any, at_once: None) -> None:
    bus = bus_of([working()])
    overrides.override(bus, "t.work", {"attempts": 2}, actor="и")
    known = Overrides(bus.database)
    assert known.of("t.work")

    class Away:
        def transaction(self, **_: Any) -> Any:
            raise Unavailable("нет базы")

    known._database = Away()  # type: ignore[assignment]
    found = known.of("t.work")
    assert found
    assert found.attempts == 2
