"""What the tests of the self-test share: evidence of a bus that has kept its promise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from simulators.selftest.cargo import FILES, FIRST_QUEUE, PARTNER, SECOND_QUEUE, Cargo
from simulators.selftest.checker import Effect, Evidence, Journaled, Promised


def _cargo(n: int, what: str = "ok", key: str = "k", follow: bool = False) -> Cargo:
    return Cargo(n, what, key, 0, (PARTNER, FILES), follow, b"%d" % n)


@pytest.fixture
def database_url(new_database: Callable[[], str]) -> str:
    """A fresh migrated database of this test, not the simulators' shared one."""
    return new_database()


@pytest.fixture
def kept() -> Evidence:
    """Messages 1 and 2 under one key, 3 with a second step, 4 poisonous; all well."""
    evidence = Evidence()
    cargoes = [_cargo(1), _cargo(2), _cargo(3, follow=True), _cargo(4, "refuse", key="")]
    seq = 0
    for cargo in cargoes:
        n = cargo.n
        evidence.promised[n] = Promised(cargo, True, f"id-{n}", began=n * 10.0, at=n * 10.0 + 1)
        seq += 1
        state = "quarantined" if cargo.poison else "handled"
        reason = "так и задумано" if cargo.poison else ""
        row = Journaled(seq, f"id-{n}", n, FIRST_QUEUE, cargo.key, state, reason, committed=n * 10.0 + 0.5)
        evidence.journal.append(row)
        if cargo.poison:
            continue
        queues = [SECOND_QUEUE] if cargo.follow else []
        for queue in [*queues, *cargo.to]:
            seq += 1
            done = "handled" if queue == SECOND_QUEUE else "sent"
            evidence.journal.append(Journaled(seq, f"id-{n}-{queue}", n, queue, cargo.key, done, root=False))
        for step in cargo.steps:
            evidence.effects.append(Effect(len(evidence.effects) + 1, n, step))
        for sink in cargo.to:
            evidence.received.setdefault(sink, []).append(n)
    return evidence


@pytest.fixture
def row_of() -> Callable[..., Any]:
    """(evidence, n, queue) → place of that row in the journal."""

    def find(evidence: Evidence, n: int, queue: str = FIRST_QUEUE) -> int:
        return next(i for i, row in enumerate(evidence.journal) if row.n == n and row.queue == queue)

    return find
