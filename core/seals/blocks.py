"""Blocks of the chain: what each says, its hash, and how one is bound to those before it.

The hash of a block is the sha256 of its header, a JSON text (docs/evidence.md). The header names the hash of the block
before it and of block `skip_of(number)`: by these a late block leads to any earlier one in some two hundred steps, so
a proof stays short however long the chain is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from core.database import Database, Driver, driver
from core.seals import merkle

NOTHING: Final = bytes(merkle.SIZE)
"""Stands for the hash of block 0, which does not exist."""
LOCK: Final = 0x6F6D7302
"""Advisory lock of whoever adds a block, for that transaction."""
_PAGE: Final = 16
_COLUMNS: Final = "number, stream, after, last, count, numbers, root, previous, skip, sealed_at, hash"


@dataclass(frozen=True, slots=True)
class Block:
    """A block as it is stored, without its leaves.

    after, last  the block seals the rows of its stream with `after` < seq ≤ `last`
    numbers      which there were: "1-500 503"        skip  hash of block skip_of(number)
    """

    number: int
    stream: str
    after: int
    last: int
    count: int
    numbers: str = field(repr=False)
    root: bytes = field(repr=False)
    previous: bytes = field(repr=False)
    skip: bytes = field(repr=False)
    sealed_at: datetime
    hash: bytes = field(repr=False)

    @property
    def header(self) -> dict[str, Any]:
        """What the hash covers."""
        return {
            "number": self.number,
            "stream": self.stream,
            "after": self.after,
            "last": self.last,
            "count": self.count,
            "numbers": hashlib.sha256(self.numbers.encode()).hexdigest(),
            "root": self.root.hex(),
            "previous": self.previous.hex(),
            "skip": self.skip.hex(),
            "sealed_at": f"{self.sealed_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
        }


def hash_of(header: dict[str, Any]) -> bytes:
    """The hash of a block with this header."""
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


def skip_of(number: int) -> int:
    """The earlier block that a block names besides the one before it: its number without its lowest bit; 0: none."""
    return number & (number - 1)


def way(head: int, down_to: int) -> list[int]:
    """The numbers from a head to an earlier block, by the links that the headers have."""
    steps = [head]
    while steps[-1] > down_to:
        skip = skip_of(steps[-1])
        steps.append(skip if skip >= down_to else steps[-1] - 1)
    return steps


def ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers as text: "1-500 503"."""
    parts: list[list[int]] = []
    for one in numbers:
        if parts and one == parts[-1][1] + 1:
            parts[-1][1] = one
        else:
            parts.append([one, one])
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def numbers_in(text: str, most: int) -> list[int]:
    """The numbers of such a text. Raises ValueError when it is none or names more than `most`."""
    found: list[int] = []
    for part in text.split(" "):
        first, _, last = part.partition("-")
        span = range(int(first), int(last or first) + 1)
        if len(span) + len(found) > most or not span or (found and span[0] <= found[-1]):
            raise ValueError(text)
        found.extend(span)
    return found


def add(db: Driver, stream: str, after: int, leaves: Sequence[tuple[int, bytes]]) -> Block | None:
    """Append a block over these rows, in the caller's transaction; None when the stream is not at `after` any more."""
    db.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
    if last_of(db, stream) != after:
        return None
    before = head(db)
    number = before.number + 1 if before else 1
    skip = one(db, skip_of(number))
    row = db.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    numbers = [seq for seq, _ in leaves]
    hashes = [leaf for _, leaf in leaves]
    made = Block(
        number,
        stream,
        after,
        numbers[-1],
        len(leaves),
        ranges(numbers),
        merkle.root(hashes),
        before.hash if before else NOTHING,
        skip.hash if skip else NOTHING,
        row[0],
        b"",
    )
    hashed = hash_of(made.header)
    db.execute(
        f"INSERT INTO bus.seal ({_COLUMNS}, leaves) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (*(getattr(made, name) for name in _COLUMNS.split(", ")[:-1]), hashed, b"".join(hashes)),
    )
    return replace(made, hash=hashed)


def last_of(db: Driver, stream: str) -> int:
    """Up to which seq a stream is sealed; 0 at first."""
    row = db.execute("SELECT last FROM bus.seal WHERE stream = %s ORDER BY last DESC LIMIT 1", (stream,)).fetchone()
    return int(row[0]) if row else 0


def head(db: Driver) -> Block | None:
    """The last block; None when nothing is sealed yet."""
    row = db.execute(f"SELECT {_COLUMNS} FROM bus.seal ORDER BY number DESC LIMIT 1").fetchone()
    return _block(row) if row else None


def one(db: Driver, number: int) -> Block | None:
    """A block by its number."""
    row = db.execute(f"SELECT {_COLUMNS} FROM bus.seal WHERE number = %s", (number,)).fetchone()
    return _block(row) if row else None


def several(db: Driver, numbers: Sequence[int]) -> list[Block]:
    """Blocks by number, in the order of their numbers; those that there are."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM bus.seal WHERE number = ANY(%s) ORDER BY number", (list(numbers),))
    return [_block(row) for row in rows]


def leaves_of(db: Driver, number: int) -> list[bytes]:
    """The leaves of a block."""
    row = db.execute("SELECT leaves FROM bus.seal WHERE number = %s", (number,), binary=True).fetchone()
    return merkle.split(bytes(row[0])) if row else []


def holding(db: Driver, stream: str, seq: int) -> Block | None:
    """The block that seals this row, if one does."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM bus.seal WHERE stream = %s AND last >= %s ORDER BY last LIMIT 1", (stream, seq)
    ).fetchone()
    found = _block(row) if row else None
    return found if found and found.after < seq else None


def walk(database: Database, first: int, last: int) -> Iterator[tuple[Block, bytes]]:
    """(block, its leaves) by number; a number that is missing is left out."""
    while first <= last:
        with database.transaction(durable=False) as connection:
            rows = driver(connection).execute(
                f"SELECT {_COLUMNS}, leaves FROM bus.seal WHERE number BETWEEN %s AND %s ORDER BY number LIMIT %s",
                (first, last, _PAGE),
                binary=True,
            )
            found = [(_block(row[:-1]), bytes(row[-1])) for row in rows]
        yield from found
        if len(found) < _PAGE:
            return
        first = found[-1][0].number + 1


def _block(row: Iterable[Any]) -> Block:
    values: list[Any] = [bytes(value) if isinstance(value, memoryview) else value for value in row]
    return Block(*values)
