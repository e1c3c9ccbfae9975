"""Is everything still as it was sealed? Blocks against each other, rows against their leaves, heads against those kept.

What is found is said in sentences. Honest limits: a check proves that the database agrees with its own chain; who can
rewrite the whole of both is found out only by a head that is kept elsewhere. A record that retention deleted is
allowed when its deletion was noted (bus.removal, sealed as well); a note tells that and when, not that it was right.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from core.database import Database, Driver, driver
from core.payloads import PayloadStore
from core.seals import blocks, contents, merkle, rows
from core.seals.blocks import Block
from core.seals.heads import Head, head_of
from core.seals.sealing import BLOCK_ROWS
from core.seals.standing import Standing, standing

FINDINGS_MOST: Final = 200
"""Findings that are told one by one; the rest is only counted."""
STALE: Final = timedelta(hours=1)
"""Nothing was sealed for so long, and rows as old wait: nobody seals."""
_TOLD_S: Final = 0.5
_ROWS = {
    "message": ("сообщение", "сообщения"),
    "event": ("событие", "события сообщений"),
    "audit": ("запись аудита", "записи аудита"),
    "removal": ("запись об удалении", "записи об удалении"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong.

    kind  chain, changed, inserted, lost, content, head, stale      seq  of the row      object  a message's id
    """

    kind: str
    text: str
    stream: str = ""
    seq: int | None = None
    block: int | None = None
    object: str = ""


@dataclass(slots=True)
class Report:
    """A verification.

    contents  large ones that were read         removed   rows deleted by retention, as noted
    unsealed  rows that no block has yet        found     of the findings, also of those that are not told
    """

    first: int = 1
    last: int = 0
    head: Head | None = None
    blocks: int = 0
    rows: int = 0
    contents: int = 0
    removed: int = 0
    unsealed: dict[str, int] = field(default_factory=dict)
    heads_checked: int = 0
    findings: list[Finding] = field(default_factory=list)
    found: int = 0
    stopped: bool = False

    @property
    def whole(self) -> bool:
        return not self.found and not self.stopped

    def find(self, finding: Finding) -> None:
        self.found += 1
        if len(self.findings) < FINDINGS_MOST:
            self.findings.append(finding)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "head": str(self.head) if self.head else "", "whole": self.whole}


def verify(
    database: Database,
    *,
    first: int = 1,
    kept: Sequence[Head] = (),
    payloads: PayloadStore | None = None,
    progress: Callable[[Report], None] = lambda _: None,
    stopping: threading.Event | None = None,
) -> Report:
    """Check the chain from block `first` on, with every row below it. Memory: a block and a page of rows.

    kept      heads that were written down earlier         progress  is told twice a second
    payloads  read the large contents too
    """
    report = Report(first=max(1, first))
    stopping = stopping or threading.Event()
    with database.transaction(durable=False) as connection:
        db = driver(connection)
        end = blocks.head(db)
        report.last, report.head = (end.number, head_of(end)) if end else (0, None)
        before = blocks.one(db, report.first - 1)
        sealed = {stream: _sealed_before(db, stream, report.first) for stream in rows.STREAMS}
    links = _Links(database)
    if report.first > 1 and before is None:
        report.find(
            Finding("chain", f"Нет блока {report.first - 1}: начните проверку с другого", block=report.first - 1)
        )
    told = time.monotonic()
    for block, leaves in blocks.walk(database, report.first, report.last):
        if stopping.is_set():
            report.stopped = True
            return report
        _follows(report, block, before, sealed[block.stream])
        links.check(report, block)
        _block(database, report, block, leaves, sealed[block.stream])
        sealed[block.stream] = max(block.last, sealed[block.stream])
        before = block
        report.blocks += 1
        if time.monotonic() - told >= _TOLD_S:
            told = time.monotonic()
            progress(report)
    if before and before.number < report.last:
        report.find(Finding("chain", f"Нет блоков с {before.number + 1} по {report.last}: они удалены"))
    if payloads is not None:
        for wrong in contents.read_all(database, payloads, stopping):
            report.contents += 1
            if wrong:
                report.find(Finding("content", wrong))
            if time.monotonic() - told >= _TOLD_S:
                told = time.monotonic()
                progress(report)
        report.stopped = stopping.is_set()
    _ends(database, report, kept)
    return report


def _sealed_before(db: Driver, stream: str, number: int) -> int:
    row = db.execute("SELECT max(last) FROM bus.seal WHERE stream = %s AND number < %s", (stream, number)).fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def _follows(report: Report, block: Block, before: Block | None, sealed: int) -> None:
    """The block after the one before it: of the chain, and of its stream."""
    expected = before.number + 1 if before else report.first
    if block.number != expected:
        gap = f"блока {expected}" if block.number == expected + 1 else f"блоков с {expected} по {block.number - 1}"
        report.find(Finding("chain", f"Нет {gap}: удалено из цепочки", block=expected))
    elif block.previous != (before.hash if before else blocks.NOTHING):
        text = f"Блок {block.number} не продолжает блок {block.number - 1}: один из них переписан"
        report.find(Finding("chain", text, block.stream, block=block.number))
    if block.after != sealed:
        text = f"Блок {block.number} начат с номера {block.after}, а опечатано было до {sealed}: цепочка переписана"
        report.find(Finding("chain", text, block.stream, block=block.number))


class _Links:
    """The hash of each block, and its link far back. Keeps one hash for each number of trailing zero bits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._last: dict[int, tuple[int, bytes]] = {}

    def check(self, report: Report, block: Block) -> None:
        if blocks.hash_of(block.header) != block.hash:
            text = f"Блок {block.number} изменён: его хеш не сходится"
            report.find(Finding("chain", text, block.stream, block=block.number))
        skip = blocks.skip_of(block.number)
        known = self._hash(skip)
        if known is not None and block.skip != known:
            text = f"Блок {block.number} ссылается не на тот блок {skip}, что в базе: один из них переписан"
            report.find(Finding("chain", text, block.stream, block=block.number))
        self._last[_zeros(block.number)] = block.number, block.hash

    def _hash(self, number: int) -> bytes | None:
        if not number:
            return blocks.NOTHING
        kept = self._last.get(_zeros(number))
        if kept and kept[0] == number:
            return kept[1]
        with self._database.transaction(durable=False) as connection:
            found = blocks.one(driver(connection), number)
        return found.hash if found else None


def _zeros(number: int) -> int:
    return (number & -number).bit_length()


def _block(database: Database, report: Report, block: Block, octets: bytes, sealed: int) -> None:
    """The rows of a block against its leaves."""
    sealed_rows = _sealed_rows(report, block, octets)
    if sealed_rows is None:
        return
    after = max(block.after, sealed) or rows.LOWEST
    names = _ROWS[block.stream]
    for page in rows.leaves(database, block.stream, after, block.last, 2**62):
        report.rows += len(page)
        for seq, leaf in page:
            known = sealed_rows.pop(seq, None)
            if known is None:
                text = f"Появилось {names[0]} № {seq}: его не было, когда блок {block.number} опечатали"
                report.find(_of_row(database, report, "inserted", text, block, seq))
            elif known != leaf:
                text = f"Изменено {names[0]} № {seq}: не таково, каким его опечатал блок {block.number}"
                report.find(_of_row(database, report, "changed", text, block, seq))
    if sealed_rows:
        _missing(database, report, block, sorted(sealed_rows))


def _sealed_rows(report: Report, block: Block, octets: bytes) -> dict[int, bytes] | None:
    """seq → leaf as the block has them; None when the block itself is damaged."""
    leaves = merkle.split(octets)
    try:
        numbers = blocks.numbers_in(block.numbers, BLOCK_ROWS * 16)
    except ValueError:
        numbers = []
    fits = len(octets) == merkle.SIZE * block.count and len(numbers) == block.count and block.count > 0
    if not fits or numbers[-1] != block.last or numbers[0] <= block.after or merkle.root(leaves) != block.root:
        text = f"Блок {block.number} изменён: его содержимое не сходится с его корнем"
        report.find(Finding("chain", text, block.stream, block=block.number))
        return None
    return dict(zip(numbers, leaves, strict=True))


def _missing(database: Database, report: Report, block: Block, missing: list[int]) -> None:
    """Rows that a block has and the table has not: taken away by retention, or by somebody."""
    with database.transaction(durable=False) as connection:
        noted = driver(connection).execute(
            "SELECT lower(span), upper(span) FROM bus.removal r, unnest(r.numbers) AS span "
            "WHERE r.stream = %s AND r.numbers && int8range(%s, %s, '[]')",
            (block.stream, missing[0], missing[-1]),
        )
        spans = [range(low, high) for low, high in noted]
    lost = [seq for seq in missing if not any(seq in span for span in spans)]
    report.removed += len(missing) - len(lost)
    for seq in lost:
        text = (
            f"Исчезло {_ROWS[block.stream][0]} № {seq} из блока {block.number}: удаление по сроку хранения не отмечено"
        )
        report.find(Finding("lost", text, block.stream, seq, block.number))


def _of_row(database: Database, report: Report, kind: str, text: str, block: Block, seq: int) -> Finding:
    """With the message that the row belongs to."""
    column = {"message": "id", "event": "message_id"}.get(block.stream)
    found = ""
    if column and report.found < FINDINGS_MOST:
        with database.transaction(durable=False) as connection:
            row = driver(connection).execute(f"SELECT {column} FROM bus.{block.stream} WHERE seq = %s", (seq,))
            found = str((row.fetchone() or ("",))[0])
    return Finding(kind, text, block.stream, seq, block.number, found)


def _ends(database: Database, report: Report, kept: Sequence[Head]) -> None:
    """Heads that were written down, and rows that wait for a block."""
    with database.transaction(durable=False) as connection:
        db = driver(connection)
        for head in kept:
            _kept(db, report, head)
    _waiting(report, standing(database))


def _waiting(report: Report, now: Standing) -> None:
    """What no block has yet, and whether it waits though nobody seals."""
    long_ago = datetime.now(UTC) - STALE
    idle = now.sealed_at is None or now.sealed_at < long_ago
    for one in now.streams:
        report.unsealed[one.name] = one.waiting
        if idle and one.oldest_at is not None and one.oldest_at < long_ago:
            text = f"Не опечатаны {_ROWS[one.name][1]} старше часа: проверьте, работает ли omsbus run и есть ли место"
            report.find(Finding("stale", text, one.name, one.last + 1))


def _kept(db: Driver, report: Report, head: Head) -> None:
    report.heads_checked += 1
    block = blocks.one(db, head.number)
    if block is None and head.number > report.last:
        text = f"Цепочка обрезана: записана голова {head.number}, а последний блок — {report.last}"
    elif block is None:
        text = f"Блока {head.number}, который записан как голова, нет: он удалён"
    elif block.hash.hex() != head.hash:
        text = f"Блок {head.number} не тот, что записан как голова: цепочка переписана"
    else:
        return
    report.find(Finding("head", text, block=head.number))
