"""The checker sees every violation that is planted, and nothing where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from simulators.selftest.cargo import FILES, FIRST_QUEUE, PARTNER, SECOND_QUEUE
from simulators.selftest.checker import Effect, Evidence, Violation, around, check, tally

pytestmark = pytest.mark.feature("BUS-02")


def rules(violations: list[Violation], n: int) -> set[str]:
    return {one.rule for one in violations if n in one.numbers}


def test_a_kept_promise_has_no_violation(kept: Evidence) -> None:
    assert check(kept) == []
    assert set(tally([]).values()) == {0}


def test_an_acknowledged_message_that_is_not_in_the_journal_is_lost(kept: Evidence) -> None:
    kept.journal = [row for row in kept.journal if row.n != 1]
    kept.effects = [effect for effect in kept.effects if effect.n != 1]
    for numbers in kept.received.values():
        numbers.remove(1)
    found = check(kept)
    assert rules(found, 1) == {"accepted"}
    assert "№ 1" in found[0].text


def test_a_message_that_nobody_acknowledged_may_be_absent(kept: Evidence) -> None:
    kept.journal = [row for row in kept.journal if row.n != 1]
    kept.effects = [effect for effect in kept.effects if effect.n != 1]
    for numbers in kept.received.values():
        numbers.remove(1)
    kept.promised[1] = replace(kept.promised[1], acknowledged=False, message_id="")
    assert check(kept) == []


def test_an_effect_without_a_message_in_the_journal_is_told(kept: Evidence) -> None:
    kept.promised[1] = replace(kept.promised[1], acknowledged=False, message_id="")
    kept.journal = [row for row in kept.journal if row.n != 1]
    assert "handled" in rules(check(kept), 1)


def test_another_message_id_than_the_sender_was_told_is_a_loss(kept: Evidence) -> None:
    kept.promised[2] = replace(kept.promised[2], message_id="another")
    assert rules(check(kept), 2) == {"accepted"}


def test_a_missing_effect_is_told(kept: Evidence) -> None:
    kept.effects = [effect for effect in kept.effects if effect.n != 2]
    assert rules(check(kept), 2) == {"handled"}


def test_a_missing_second_step_is_told(kept: Evidence) -> None:
    kept.effects = [effect for effect in kept.effects if effect.step != "second"]
    assert rules(check(kept), 3) == {"handled"}


def test_a_doubled_effect_is_told(kept: Evidence) -> None:
    kept.effects.append(Effect(99, 3, "second"))
    found = check(kept)
    assert rules(found, 3) == {"doubled"}
    assert tally(found)["doubled"] == 1


def test_a_message_journaled_twice_is_told(kept: Evidence, row_of: Callable[..., Any]) -> None:
    row = kept.journal[row_of(kept, 1)]
    kept.journal.append(replace(row, seq=100, message_id="second"))
    assert "doubled" in rules(check(kept), 1)


def test_a_poisonous_message_that_took_effect_is_told(kept: Evidence) -> None:
    kept.effects.append(Effect(99, 4, "first"))
    assert rules(check(kept), 4) == {"handled"}


def test_a_poisonous_message_outside_quarantine_is_told(kept: Evidence, row_of: Callable[..., Any]) -> None:
    place = row_of(kept, 4)
    kept.journal[place] = replace(kept.journal[place], state="handled")
    assert rules(check(kept), 4) == {"handled"}


@pytest.mark.parametrize("queue", [FIRST_QUEUE, PARTNER])
def test_a_healthy_message_in_quarantine_is_told(kept: Evidence, row_of: Callable[..., Any], queue: str) -> None:
    place = row_of(kept, 1, queue)
    kept.journal[place] = replace(kept.journal[place], state="quarantined", reason="за что?")
    found = check(kept)
    assert rules(found, 1) == {"handled"}
    assert "за что?" in found[0].text


def test_a_quarantine_without_a_reason_is_told(kept: Evidence, row_of: Callable[..., Any]) -> None:
    place = row_of(kept, 4)
    kept.journal[place] = replace(kept.journal[place], reason="")
    assert rules(check(kept), 4) == {"handled"}


@pytest.mark.parametrize("sink", [PARTNER, FILES])
def test_what_did_not_arrive_is_told(kept: Evidence, sink: str) -> None:
    kept.received[sink].remove(2)
    assert rules(check(kept), 2) == {"sent"}


@pytest.mark.parametrize("sink", [PARTNER, FILES])
def test_what_took_effect_twice_at_the_far_side_is_told(kept: Evidence, sink: str) -> None:
    kept.received[sink].append(2)
    assert rules(check(kept), 2) == {"doubled"}


def test_what_arrived_without_being_sent_is_told(kept: Evidence) -> None:
    kept.received[PARTNER] += [4, 77]
    found = check(kept)
    assert rules(found, 4) == {"sent"}
    assert rules(found, 77) == {"sent"}


def test_effects_of_a_key_in_another_order_are_told(kept: Evidence) -> None:
    one, two, *rest = kept.effects
    kept.effects = [replace(one, seq=two.seq), replace(two, seq=one.seq), *rest]
    kept.received[PARTNER].sort(key=[2, 1, 3].index)
    found = check(kept)
    assert {one.rule for one in found} == {"order"}
    assert (2, 1) in [one.numbers for one in found]


def test_of_two_accepted_at_the_same_moment_neither_is_first(kept: Evidence, row_of: Callable[..., Any]) -> None:
    one, two, *rest = kept.effects
    kept.effects = [replace(one, seq=two.seq), replace(two, seq=one.seq), *rest]
    kept.received[PARTNER].sort(key=[2, 1, 3].index)
    kept.promised[2] = replace(kept.promised[2], began=kept.promised[1].began)
    place = row_of(kept, 1)
    kept.journal[place] = replace(kept.journal[place], committed=kept.journal[row_of(kept, 2)].committed + 0.1)
    assert check(kept) == []


def test_arrivals_of_a_key_in_another_order_than_the_effects_are_told(kept: Evidence) -> None:
    kept.received[PARTNER].sort(key=[2, 1, 3].index)
    found = check(kept)
    assert [(one.rule, one.numbers) for one in found] == [("order", (2, 1))]


@pytest.mark.parametrize("state", ["ready", "retry", "held"])
def test_what_waits_in_the_end_is_stuck(kept: Evidence, row_of: Callable[..., Any], state: str) -> None:
    place = row_of(kept, 3, SECOND_QUEUE)
    kept.journal[place] = replace(kept.journal[place], state=state)
    assert rules(check(kept), 3) == {"stuck"}


def test_a_queue_that_stands_and_a_contradiction_are_told(kept: Evidence) -> None:
    kept.standing = ["Очередь partner: отдыхает"]
    kept.quarrels = ["№ 1: ответ 404 на верный запрос"]
    assert {one.rule: one.text for one in check(kept)} == {
        "stuck": "Очередь partner: отдыхает",
        "answers": "№ 1: ответ 404 на верный запрос",
    }


def test_the_faults_around_a_moment_are_found() -> None:
    times = [(0.0, 1.0, "до"), (9.0, 12.0, "во время"), (30.0, 31.0, "после")]
    assert around(times, 11.0) == ["во время"]
    assert around(times, 17.0) == ["во время"]
    assert around(times, 20.0) == []
