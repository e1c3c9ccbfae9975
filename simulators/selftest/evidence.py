"""Gathers what the checker looks at: the journal and the effects from the database, the rest from the far sides."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from core.database import Database, driver
from core.journal import Journal
from core.payloads import PayloadStore
from simulators.partner.partner import Partner
from simulators.selftest.cargo import FILES, PARTNER, number_of
from simulators.selftest.checker import Effect, Evidence, Journaled, Promised
from simulators.selftest.load import Account

_NUMBER: Final = re.compile(r"/st-(\d+)$")
SETTLE_S = 300.0
"""Longer than a queue may rest (120 s) after the last fault."""
LOOK_S = 0.5
COMMITTED: Final = "extract(epoch FROM pg_xact_commit_timestamp(m.xmin))::float8"
_WAITING: Final = """
SELECT (SELECT count(*) FROM bus.entry WHERE state IN ('ready', 'retry', 'held')),
       (SELECT count(*) FROM bus.queue WHERE state <> 'running' OR rest_until > now()),
       (SELECT count(*) FROM selftest_effect), (SELECT max(seq) FROM bus.event)
"""


def wait_settled(database: Database, look: Callable[[int], None], timeout_s: float = SETTLE_S) -> bool:
    """Until nothing waits and no queue rests, three looks in a row; False when it takes too long.

    look: told how many messages wait.
    """
    ends = time.monotonic() + timeout_s
    before: object = None
    calm = 0
    while time.monotonic() < ends:
        with database.transaction() as connection:
            row = driver(connection).execute(_WAITING).fetchone()
        assert row is not None
        look(int(row[0]))
        calm = calm + 1 if row == before and row[:2] == (0, 0) else 0
        if calm >= 3:
            return True
        before = row
        time.sleep(LOOK_S)
    return False


def gather(database: Database, blobs: Path, account: Account, partner: Partner, outbox: Path | None) -> Evidence:
    """The evidence as it stands now."""
    evidence = Evidence(quarrels=list(account.quarrels))
    for n, sent in account.sent.items():
        evidence.promised[n] = Promised(
            sent.cargo,
            bool(sent.message_id) or sent.accepted > 0,
            sent.message_id,
            sent.began,
            sent.accepted or sent.began,
        )
    _read_database(database, blobs, evidence)
    _read_partner(partner, evidence)
    if outbox is not None:
        _read_outbox(outbox, evidence)
    return evidence


def _read_database(database: Database, blobs: Path, evidence: Evidence) -> None:
    journal = Journal(PayloadStore(str(blobs), inline_bytes=4096, blob_bytes=32768))
    with database.transaction() as connection:
        db = driver(connection)
        numbers: dict[str, int | None] = {}
        rows = db.execute(
            f"SELECT m.seq, m.id, m.cause, m.external_id, e.queue, e.key, e.state, e.reason, {COMMITTED} "
            "FROM bus.message m LEFT JOIN bus.entry e USING (seq) ORDER BY m.seq"
        ).fetchall()
        for seq, id_, cause, external_id, queue, key, state, reason, committed in rows:
            named = _NUMBER.search(external_id)
            if cause is not None and str(cause) in numbers:
                n = numbers[str(cause)]
            elif named:
                n = int(named[1])
            else:
                n = number_of(journal.load(db, [id_])[0].body)
            numbers[str(id_)] = n
            evidence.journal.append(
                Journaled(
                    seq,
                    str(id_),
                    n,
                    queue or "",
                    key or "",
                    state or "нет",
                    reason or "",
                    cause is None,
                    committed or 0,
                )
            )
        effects = db.execute("SELECT seq, n, step FROM selftest_effect ORDER BY seq")
        evidence.effects = [Effect(*row) for row in effects]
        evidence.standing = [
            f"Очередь {name}: {state}" + (f" ({why})" if why else "")
            for name, state, why in db.execute(
                "SELECT name, CASE WHEN state <> 'running' THEN state ELSE 'отдыхает' END, reason FROM bus.queue "
                "WHERE state <> 'running' OR rest_until > now()"
            )
        ]


def _read_partner(partner: Partner, evidence: Evidence) -> None:
    received = []
    for effect in partner.effects():
        n = _arrived(effect.body, PARTNER, evidence)
        if n is not None:
            received.append(n)
    evidence.received[PARTNER] = received
    evidence.quarrels += [f"Под ключом {key} партнёру пришло другое содержимое" for key in partner.changed]
    if partner.keyless:
        evidence.quarrels.append(f"Партнёру пришло запросов без Idempotency-Key: {partner.keyless}")


def _read_outbox(outbox: Path, evidence: Evidence) -> None:
    received = []
    for file in sorted(outbox.iterdir()):
        if not file.is_file():
            continue
        n = _arrived(file.read_bytes(), f"{FILES} ({file.name})", evidence)
        if n is not None:
            received.append(n)
    evidence.received[FILES] = received


def _arrived(body: bytes, where: str, evidence: Evidence) -> int | None:
    """The number of what arrived, when it is exactly what was sent."""
    n = number_of(body)
    promised = evidence.promised.get(n) if n is not None else None
    if promised is not None and promised.cargo.body == body:
        return n
    evidence.quarrels.append(f"В {where} пришло не то, что посылали: № {n}, {len(body)} байт")
    return None
