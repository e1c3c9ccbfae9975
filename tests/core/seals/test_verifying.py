"""Real tampering by a superuser who disables the triggers, and what the check says of it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from typing import Any

import pytest

from core.database import driver
from core.message import Message
from core.removal import permit, take_bodies, take_records
from core.seals import blocks, merkle, rows
from core.seals.heads import Head, head_of
from core.seals.verifying import Report, verify

pytestmark = pytest.mark.feature("BUS-11", "SMEV-11")


def head(journal: Any) -> Head:
    with journal.bus.database.transaction() as connection:
        found = blocks.head(driver(connection))
    assert found
    return head_of(found)


def kinds(report: Report) -> list[tuple[str, str, int | None]]:
    return [(one.kind, one.stream, one.seq) for one in report.findings]


def test_an_untouched_journal_is_whole(sealed: Any) -> None:
    report = verify(sealed.bus.database, kept=[head(sealed)])
    assert report.whole, report.findings
    assert (report.blocks, report.rows, report.heads_checked) == (6, 26, 1)
    assert report.unsealed == {"message": 0, "event": 0, "audit": 0, "removal": 0}


def test_nothing_sealed_is_whole_too(journal: Any) -> None:
    report = verify(journal.bus.database)
    assert report.whole
    assert report.head is None


CHANGES = [
    ("UPDATE bus.message SET headers = '{}' WHERE seq = 1", "message", 1),
    ("UPDATE bus.message SET body = body || '\\x00'::bytea WHERE seq = 2", "message", 2),
    ("UPDATE bus.message SET body = overlay(body PLACING 'damage' FROM 12) WHERE seq = 3", "message", 3),
    ("UPDATE bus.message SET body = '<forged/>' WHERE seq = 4", "message", 4),
    ("UPDATE bus.message SET received = 'another' WHERE seq = 5", "message", 5),
    ("UPDATE bus.message SET attachments = '[{}]' WHERE seq = 6", "message", 6),
    ("UPDATE bus.message SET accepted_at = accepted_at + interval '1 microsecond' WHERE seq = 7", "message", 7),
    ("UPDATE bus.message SET reply_within_s = 0.2 WHERE seq = 8", "message", 8),
    ("UPDATE bus.message SET body = NULL, body_payload = repeat('a', 64) WHERE seq = 9", "message", 9),
    ("UPDATE bus.message SET cause = id WHERE seq = 10", "message", 10),
    ("UPDATE bus.event SET note = 'иначе' WHERE seq = 1", "event", 1),
    ("UPDATE bus.event SET detail = 'иначе' WHERE seq = 2", "event", 2),
    ("UPDATE bus.event SET output = NULL WHERE seq = 3", "event", 3),
    ("UPDATE bus.event SET actor = 'petrov' WHERE seq = 4", "event", 4),
    ("UPDATE bus.event SET duration_ms = 1 WHERE seq = 5", "event", 5),
    ("UPDATE bus.event SET message_id = gen_random_uuid() WHERE seq = 12", "event", 12),
    ("UPDATE bus.audit SET detail = '{}' WHERE seq = 1", "audit", 1),
    ("UPDATE bus.audit SET at = at + interval '1 microsecond' WHERE seq = 2", "audit", 2),
]


def test_each_changed_row_is_found(sealed: Any) -> None:
    found: set[tuple[str, str, int | None]] = set()
    for change, stream, seq in CHANGES:
        sealed.tamper(change)
        found.add(("changed", stream, seq))
        report = verify(sealed.bus.database)
        assert set(kinds(report)) == found, change
        assert report.found == len(found)
    assert not report.whole


def test_a_deleted_row_is_found(sealed: Any) -> None:
    sealed.tamper("DELETE FROM bus.event WHERE seq = 7")
    sealed.tamper("DELETE FROM bus.audit WHERE seq = 2")
    assert kinds(verify(sealed.bus.database)) == [("lost", "event", 7), ("lost", "audit", 2)]


def test_a_row_slipped_in_below_a_seal_is_found(journal: Any) -> None:
    journal.fill()
    journal.tamper("SELECT nextval(pg_get_serial_sequence('bus.event', 'seq'))")  # a number that a rollback left
    journal.fill(6)
    journal.seal()
    of = journal.one("SELECT id FROM bus.message WHERE seq = 1")
    for seq in (7, -5):
        journal.tamper(
            "INSERT INTO bus.event (seq, message_id, stage) OVERRIDING SYSTEM VALUE VALUES (%s, %s, 'handled')",
            (seq, of),
        )
    report = verify(journal.bus.database)
    assert kinds(report) == [("inserted", "event", -5), ("inserted", "event", 7)]
    assert report.findings[0].object == str(of)


def test_a_row_slipped_in_between_blocks_is_found(journal: Any) -> None:
    journal.fill()
    journal.seal()
    journal.tamper("SELECT nextval(pg_get_serial_sequence('bus.audit', 'seq'))")
    journal.fill(6)
    journal.seal()
    journal.tamper(
        "INSERT INTO bus.audit (seq, actor, via, action, object_kind, object_id) OVERRIDING SYSTEM VALUE "
        "VALUES (2, 'x', 'cli', 'x', 'x', 'x')"
    )
    assert kinds(verify(journal.bus.database)) == [("inserted", "audit", 2)]


def test_a_cut_off_end_is_found_by_a_head_that_was_kept(sealed: Any) -> None:
    kept = head(sealed)
    sealed.tamper("DELETE FROM bus.seal WHERE number >= 4")
    sealed.tamper("DELETE FROM bus.message WHERE seq > 6")
    sealed.tamper("DELETE FROM bus.event WHERE seq > 6")
    sealed.tamper("DELETE FROM bus.audit WHERE seq > 1")
    assert verify(sealed.bus.database).whole, "nothing in the database tells it"
    report = verify(sealed.bus.database, kept=[kept])
    assert [one.text for one in report.findings] == ["Цепочка обрезана: записана голова 6, а последний блок — 3"]


def test_a_rewritten_block_is_found(sealed: Any) -> None:
    """A row is changed and its block is made anew, with its root and its hash."""
    kept = head(sealed)
    sealed.tamper("UPDATE bus.event SET note = 'иначе' WHERE seq = 5")
    rewrite(sealed, 2)
    report = verify(sealed.bus.database)
    assert {(one.kind, one.block) for one in report.findings} == {("chain", 3)}
    for number in (3, 4, 5, 6):
        rewrite(sealed, number)
    assert verify(sealed.bus.database).whole, "the whole chain was made anew"
    report = verify(sealed.bus.database, kept=[kept])
    assert [one.text for one in report.findings] == ["Блок 6 не тот, что записан как голова: цепочка переписана"]


def rewrite(journal: Any, number: int) -> None:
    """As somebody would who knows how a block is made."""
    with journal.bus.database.transaction() as connection:
        db = driver(connection)
        block = blocks.one(db, number)
        before, skip = blocks.one(db, number - 1), blocks.one(db, blocks.skip_of(number))
    assert block
    [page] = rows.leaves(journal.bus.database, block.stream, block.after, block.last, 1000)
    leaves = [leaf for _, leaf in page]
    made = replace(
        block,
        root=merkle.root(leaves),
        previous=before.hash if before else blocks.NOTHING,
        skip=skip.hash if skip else blocks.NOTHING,
    )
    journal.tamper(
        "UPDATE bus.seal SET leaves = %s, root = %s, previous = %s, skip = %s, hash = %s WHERE number = %s",
        (b"".join(leaves), made.root, made.previous, made.skip, blocks.hash_of(made.header), number),
    )


DAMAGE = [
    ("UPDATE bus.seal SET sealed_at = sealed_at - interval '1 day' WHERE number = 2", "Блок 2 изменён"),
    ("UPDATE bus.seal SET leaves = leaves || leaves WHERE number = 2", "Блок 2 изменён"),
    ("UPDATE bus.seal SET numbers = '1-3 5-7' WHERE number = 2", "Блок 2 изменён"),
    ("UPDATE bus.seal SET numbers = 'всё' WHERE number = 2", "Блок 2 изменён"),
    ("UPDATE bus.seal SET numbers = '1-9223372036854775807' WHERE number = 2", "Блок 2 изменён"),
    ("UPDATE bus.seal SET previous = root WHERE number = 2", "Блок 2 не продолжает блок 1"),
    ("UPDATE bus.seal SET skip = root WHERE number = 4", "Блок 4 ссылается не на тот блок 0"),
    ("UPDATE bus.seal SET skip = root WHERE number = 6", "Блок 6 ссылается не на тот блок 4"),
    ("DELETE FROM bus.seal WHERE number = 2", "Нет блока 2: удалено из цепочки"),
    ("DELETE FROM bus.seal WHERE number IN (2, 3)", "Нет блоков с 2 по 3: удалено из цепочки"),
    ("DELETE FROM bus.seal WHERE number = 1", "Нет блока 1: удалено из цепочки"),
    ("UPDATE bus.seal SET last = last + 1 WHERE number = 4", "Блок 4 изменён"),
]


def test_each_damage_of_the_chain_is_found(sealed: Any) -> None:
    sealed.tamper("CREATE TABLE kept AS TABLE bus.seal")
    for change, said in DAMAGE:
        sealed.tamper(change)
        report = verify(sealed.bus.database)
        assert any(one.text.startswith(said) for one in report.findings), (change, report.findings)
        sealed.tamper("DELETE FROM bus.seal")
        sealed.tamper("INSERT INTO bus.seal TABLE kept")
        assert verify(sealed.bus.database).whole


def test_contents_that_gave_way_to_retention_change_no_leaf(sealed: Any) -> None:
    with sealed.bus.database.transaction() as connection:
        db = driver(connection)
        permit(db)
        taken = take_bodies(db, [row[0] for row in db.execute("SELECT id FROM bus.message").fetchall()])
    assert len(taken) == 12
    assert sealed.one("SELECT body IS NULL AND attachments::text LIKE '%%removed:%%' FROM bus.message WHERE seq = 1")
    assert verify(sealed.bus.database).whole


def test_records_deleted_by_retention_are_told_and_allowed(sealed: Any) -> None:
    with sealed.bus.database.transaction() as connection:
        db = driver(connection)
        permit(db)
        ids = [row[0] for row in db.execute("SELECT id FROM bus.message WHERE seq IN (2, 3, 5)").fetchall()]
        take_records(db, ids, "true")
    report = verify(sealed.bus.database)
    assert report.whole, report.findings
    assert report.removed == 6
    sealed.seal()
    sealed.tamper("UPDATE bus.removal SET numbers = '{[1,100)}'")
    assert {(one.kind, one.stream) for one in verify(sealed.bus.database).findings} == {("changed", "removal")}


def test_a_check_can_begin_at_a_block(sealed: Any) -> None:
    sealed.tamper("UPDATE bus.event SET note = 'иначе' WHERE seq = 5")
    report = verify(sealed.bus.database, first=4)
    assert report.whole, report.findings
    assert (report.blocks, report.rows) == (3, 13)
    assert verify(sealed.bus.database, first=99).findings[0].text == "Нет блока 98: начните проверку с другого"


def test_what_nobody_has_sealed_for_an_hour_is_told(journal: Any) -> None:
    journal.tamper(
        "INSERT INTO bus.audit (at, actor, via, action, object_kind, object_id) "
        "VALUES (now() - interval '2 hours', 'x', 'cli', 'x', 'x', 'x')"
    )
    report = verify(journal.bus.database)
    assert kinds(report) == [("stale", "audit", 1)]
    assert report.unsealed["audit"] == 1
    journal.fill()
    journal.seal()
    assert verify(journal.bus.database).whole


def test_large_contents_are_read_when_wanted(sealed: Any) -> None:
    bus = sealed.bus
    bus.engine.put([Message(kind="later", queue="sealed.queue", body=os.urandom(100_000)) for _ in range(3)])
    sealed.seal()
    report = verify(bus.database, payloads=bus.payloads)
    assert report.whole, report.findings
    assert report.contents == 4
    first, second, _ = bus_payloads(sealed)
    sealed.tamper("UPDATE bus.payload SET data = overlay(data PLACING 'damage' FROM 50) WHERE sha256 = %s", (first,))
    sealed.tamper("DELETE FROM bus.payload WHERE sha256 = %s", (second,))
    assert verify(bus.database).whole, "rows alone do not tell it"
    report = verify(bus.database, payloads=bus.payloads)
    assert sorted(one.kind for one in report.findings) == ["content", "content"]
    assert any("повреждено" in one.text for one in report.findings)
    assert any("потеряно" in one.text for one in report.findings)


def bus_payloads(journal: Any) -> list[str]:
    """Names of the large bodies."""
    names: list[str] = journal.one("SELECT array_agg(body_payload) FROM bus.message WHERE body_payload IS NOT NULL")
    return names


def test_many_findings_are_counted_and_the_first_are_told(journal: Any) -> None:
    journal.fill(0, 300)
    journal.seal()
    journal.tamper("UPDATE bus.event SET note = 'иначе'")
    report = verify(journal.bus.database)
    assert report.found == 300
    assert len(report.findings) == 200


def test_a_leaf_is_the_hash_of_a_text_that_anybody_can_make(sealed: Any) -> None:
    """Not by our code: the format of docs/evidence.md."""
    with sealed.bus.database.transaction() as connection:
        db = driver(connection)
        rows.steady(db)
        [(_, text)] = rows.texts(db, "message", "r.seq = %s", [1])
        body = b"<b>" + b"x" * 2000 + b"0</b>"
        assert hashlib.sha256(body).hexdigest() in text.decode()
        leaves = blocks.leaves_of(db, 1)
    assert leaves[0] == hashlib.sha256(b"\x00" + text).digest()
