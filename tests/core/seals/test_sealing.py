"""What is sealed when: nothing that an earlier number may still come before, everything in the end."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core.database import driver
from core.seals import blocks, heads
from core.seals.sealing import Horizon, Sealer, seal_all, seal_next
from core.seals.settings import SealSettings
from core.seals.verifying import verify

pytestmark = pytest.mark.feature("BUS-11")

AUDIT = "INSERT INTO bus.audit (actor, via, action, object_kind, object_id) VALUES ('x', 'cli', 'x', 'x', 'x')"


def test_a_number_that_is_taken_but_not_committed_holds_the_horizon(journal: Any, database_url: str) -> None:
    horizon = Horizon(settle_s=0.0)
    with psycopg.connect(database_url) as slow:
        slow.execute(AUDIT)  # number 1, not committed
        journal.tamper(AUDIT)  # number 2, committed
        for _ in range(3):
            horizon.look(journal.bus.database)
        assert horizon.settled["audit"] == 0
        slow.commit()
    horizon.look(journal.bus.database)
    assert horizon.settled["audit"] == 2
    block = seal_next(journal.bus.database, "audit", 2)
    assert block
    assert (block.numbers, block.count) == ("1-2", 2)


def test_a_statement_that_may_have_a_number_holds_the_horizon_for_a_while(journal: Any, database_url: str) -> None:
    horizon = Horizon(settle_s=0.0)
    with psycopg.connect(database_url) as slow:
        slow.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        slow.execute("SELECT 1 FROM bus.audit")  # a view, no transaction number
        journal.tamper(AUDIT)
        horizon.look(journal.bus.database)
        horizon.look(journal.bus.database)
        assert horizon.settled["audit"] == 0
        assert horizon.pending
        horizon.pending = type(horizon.pending)(
            horizon.pending.at - 61.0, horizon.pending.highest, horizon.pending.transaction
        )
        horizon.look(journal.bus.database)
        assert horizon.settled["audit"] == 1, "a long reader does not hold it for ever"


def test_a_look_is_not_used_at_once(journal: Any) -> None:
    journal.tamper(AUDIT)
    horizon = Horizon(settle_s=60.0)
    for _ in range(3):
        horizon.look(journal.bus.database)
    assert horizon.settled["audit"] == 0


def test_a_number_that_was_rolled_back_leaves_a_gap(journal: Any) -> None:
    journal.tamper(AUDIT)
    journal.tamper("SELECT nextval(pg_get_serial_sequence('bus.audit', 'seq'))")
    journal.tamper(AUDIT)
    assert seal_all(journal.bus.database) == 2
    assert journal.one("SELECT numbers FROM bus.seal") == "1 3"
    assert verify(journal.bus.database).whole


def test_two_that_seal_at_once_make_one_chain(journal: Any) -> None:
    journal.fill(0, 300)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(4):
                for stream in ("message", "event"):
                    seal_next(journal.bus.database, stream, 300, most=50)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    seal_all(journal.bus.database)
    report = verify(journal.bus.database)
    assert report.whole, report.findings
    assert report.rows == 601


def test_the_chain_cannot_be_changed_by_who_is_no_superuser(sealed: Any) -> None:
    for change in ("UPDATE bus.seal SET last = last", "DELETE FROM bus.seal", "TRUNCATE bus.seal"):
        with (
            pytest.raises(psycopg.errors.RaiseException, match="append-only"),
            sealed.bus.database.transaction() as connection,
        ):
            driver(connection).execute(change)


def test_the_sealer_seals_what_waits_and_notes_the_head(journal: Any, eventually: Any, tmp_path: Path) -> None:
    journal.fill()
    file = tmp_path / "heads.txt"
    sealer = Sealer(journal.bus.database, SealSettings(every_s=0.01, heads_file=file), look_s=0.02, settle_s=0.02)
    sealer.start()
    try:
        eventually(lambda: file.exists() and journal.one("SELECT count(*) FROM bus.seal") >= 3)
    finally:
        sealer.stop()
    kept = heads.wanted(str(file))
    assert kept
    assert verify(journal.bus.database, kept=kept).whole


def test_a_file_of_heads_that_cannot_be_written_stops_nothing(journal: Any, eventually: Any, tmp_path: Path) -> None:
    journal.fill()
    settings = SealSettings(every_s=0.01, heads_file=tmp_path / "none" / "heads.txt")
    sealer = Sealer(journal.bus.database, settings, look_s=0.02, settle_s=0.02)
    sealer.start()
    try:
        eventually(lambda: journal.one("SELECT count(*) FROM bus.seal") >= 3)
    finally:
        sealer.stop()


def test_only_one_process_seals(journal: Any, eventually: Any) -> None:
    journal.fill()
    settings = SealSettings(every_s=0.01)
    sealers = [Sealer(journal.bus.database, settings, look_s=0.02, settle_s=0.02) for _ in range(2)]
    for one in sealers:
        one.start()
    try:
        eventually(lambda: journal.one("SELECT count(*) FROM bus.seal") >= 3)
    finally:
        for one in sealers:
            one.stop()
    assert verify(journal.bus.database).blocks == 3


def test_what_waits_less_than_its_time_is_left_for_a_fuller_block(journal: Any, eventually: Any) -> None:
    journal.fill()
    sealer = Sealer(journal.bus.database, SealSettings(every_s=3600.0), look_s=0.02, settle_s=0.0)
    sealer.start()
    try:
        eventually(lambda: sealer._horizon.settled["audit"] == 1)
    finally:
        sealer.stop()
    assert journal.one("SELECT count(*) FROM bus.seal") == 0


def test_a_block_tells_where_a_row_is(sealed: Any) -> None:
    with sealed.bus.database.transaction() as connection:
        db = driver(connection)
        found = blocks.holding(db, "event", 8)
        assert found
        assert (found.stream, found.number) == ("event", 5)
        assert blocks.holding(db, "event", 13) is None
