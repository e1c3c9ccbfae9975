"""The evidence of a real bus: gathered from its database, and a planted row in it is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core.bus import Bus
from core.database import Database
from core.errors import Permanent
from core.message import Message
from simulators.partner.partner import Partner
from simulators.selftest import cargo, routes
from simulators.selftest.cargo import FIRST_QUEUE
from simulators.selftest.checker import Evidence, check
from simulators.selftest.evidence import gather, wait_settled
from simulators.selftest.load import Account, Sent

SEED, MESSAGES = 11, 60


class Run:
    """Messages of the self-test, handled by a bus without far sides."""

    def __init__(self, bus: Bus, partner: Partner, tmp_path: Path) -> None:
        self.database = bus.database
        self.account = Account()
        self._bus = bus
        self._partner = partner
        self._blobs = tmp_path / "data" / "blobs"

    def send(self, n: int, key: str = "", *, tell: bool = True) -> None:
        made = cargo.make(SEED, n, key=key, sinks=())
        message = Message(
            kind=FIRST_QUEUE, queue=FIRST_QUEUE, body=made.body, source="in", external_id=f"{FIRST_QUEUE}/st-{n}"
        )
        sent = Sent(made, began=float(n))
        self.account.sent[n] = sent
        [accepted] = self._bus.engine.put([message])
        assert accepted.problem is None or isinstance(accepted.problem, Permanent)
        if tell:
            sent.message_id, sent.accepted = str(accepted.message_id), n + 0.5

    def evidence(self) -> Evidence:
        return gather(self.database, self._blobs, self.account, self._partner, None)

    def sql(self, statement: str) -> None:
        with psycopg.connect(self.database.url, autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[arg-type]


@pytest.fixture
def run(bus_of: Callable[..., Bus], database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    # A server of tests keeps no commit times: the order by number is all there is.
    monkeypatch.setattr("simulators.selftest.evidence.COMMITTED", "0::float8")
    monkeypatch.setattr("simulators.selftest.evidence.LOOK_S", 0.1)
    with Partner() as partner:
        bus = bus_of([routes.register, routes.follow], [], inline_payload_bytes=4096, blob_payload_bytes=32768)
        made = Run(bus, partner, tmp_path)
        made.sql(routes.TABLES)
        for n in range(1, MESSAGES):
            made.send(n, key="ordered" if n % 3 == 0 else "")
        bus.start(intake=False, work=True, schedule=False)
        assert wait_settled(database, lambda waiting: None, timeout_s=30)
        bus.stop()
        yield made


@pytest.mark.feature("BUS-02", "BUS-03")
def test_a_bus_that_keeps_its_promise_is_acquitted_and_every_planted_defect_is_found(run: Run) -> None:
    evidence = run.evidence()
    assert check(evidence) == []
    assert {row.n for row in evidence.journal} == set(range(1, MESSAGES))
    assert any(row.state == "quarantined" for row in evidence.journal)

    healthy = next(n for n, sent in run.account.sent.items() if sent.cargo.what == "ok")
    run.sql(f"INSERT INTO selftest_effect (n, step, key, message_id) SELECT n, step, key, message_id "
            f"FROM selftest_effect WHERE n = {healthy} AND step = 'first'")  # fmt: skip
    assert {(one.rule, one.numbers) for one in check(run.evidence())} == {("doubled", (healthy,))}

    run.sql(f"DELETE FROM selftest_effect WHERE n = {healthy} AND step = 'first'")
    assert {(one.rule, one.numbers) for one in check(run.evidence())} == {("handled", (healthy,))}
    run.sql(f"INSERT INTO selftest_effect (n, step, key, message_id) SELECT {healthy}, 'first', key, id "
            f"FROM bus.message WHERE external_id = '{FIRST_QUEUE}/st-{healthy}'")  # fmt: skip
    run.sql("UPDATE bus.queue SET state = 'stopped', reason = 'потому что' WHERE name = 'selftest.follow'")
    assert [one.text for one in check(run.evidence())] == ["Очередь selftest.follow: stopped (потому что)"]
    assert not wait_settled(run.database, lambda waiting: None, timeout_s=0.5)


def test_a_row_that_was_lost_or_stands_is_found(run: Run) -> None:
    run.sql("UPDATE bus.entry SET state = 'retry' WHERE state = 'handled' AND seq = "
            "(SELECT min(seq) FROM bus.entry WHERE state = 'handled')")  # fmt: skip
    assert {one.rule for one in check(run.evidence())} == {"stuck"}
    run.sql(
        "SET session_replication_role = replica; "  # past the triggers that forbid it
        "DELETE FROM bus.message WHERE seq = (SELECT min(seq) FROM bus.entry WHERE state = 'retry')"
    )
    assert "accepted" in {one.rule for one in check(run.evidence())}


def test_what_reached_the_partner_changed_is_told(run: Run) -> None:
    evidence = run.evidence()
    assert evidence.quarrels == []
    run._partner.take("key", b'{"n": 1, "other": 2}')
    assert "пришло не то, что посылали" in run.evidence().quarrels[0]
