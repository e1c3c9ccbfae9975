"""The proof that rows stand in the hash chain: made from the database, checked without one (docs/evidence.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from core.database import Driver
from core.seals import blocks, merkle
from core.seals.heads import Head, head_of

HEADER: Final = ("number", "stream", "after", "last", "count", "numbers", "root", "previous", "skip", "sealed_at")
"""Keys of a header, in the order in which its hash is taken."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row in the package. text: canonical, the file `name`."""

    name: str
    stream: str
    seq: int
    text: bytes = field(repr=False)


def make(db: Driver, rows: Sequence[Row], up_to: int | None = None) -> dict[str, Any]:
    """What proof.json holds: the head, the blocks that lead from it to those of the rows, and a path a row.

    up_to  the number of the head to prove against; default: the last block.
    Rows that no block up to the head has are named in `unsealed`.
    """
    head = blocks.head(db) if up_to is None else blocks.one(db, up_to)
    made: dict[str, Any] = {"head": str(head_of(head)) if head else "", "blocks": [], "rows": [], "unsealed": []}
    placed: dict[int, list[Row]] = {}
    near: dict[str, blocks.Block] = {}
    for row in rows:
        block = near.get(row.stream)
        if block is None or not block.after < row.seq <= block.last:
            block = blocks.holding(db, row.stream, row.seq)
        if block is not None:
            near[row.stream] = block
        if head is None or block is None or block.number > head.number:
            made["unsealed"].append(row.name)
        else:
            placed.setdefault(block.number, []).append(row)
    if head is None:
        return made
    wanted, at = [head.number], head.number
    for number in sorted(placed, reverse=True):
        wanted += blocks.way(at, number)[1:]
        at = number
    found = {one.number: one for one in blocks.several(db, wanted)}
    made["blocks"] = [
        {**found[number].header, "hash": found[number].hash.hex()} for number in wanted if number in found
    ]
    for number in sorted(placed):
        leaves = blocks.leaves_of(db, number)
        seqs = blocks.numbers_in(found[number].numbers, found[number].count)
        for row in placed[number]:
            place = seqs.index(row.seq) if row.seq in seqs else len(leaves)
            path = merkle.path(leaves, place) if place < len(leaves) else []
            made["rows"].append(
                {"name": row.name, "block": number, "place": place, "path": [step.hex() for step in path]}
            )
    return made


@dataclass(slots=True)
class Checked:
    """What a proof shows. sealed: row file → number of its block; problems: sentences."""

    head: Head | None = None
    sealed: dict[str, int] = field(default_factory=dict)
    unsealed: list[str] = field(default_factory=list)
    heads: dict[int, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def check(proof: Mapping[str, Any], texts: Mapping[str, bytes], rows: Mapping[str, tuple[str, int]]) -> Checked:
    """Check a proof. texts: row file → octets; rows: row file → (stream, seq) as its text says.

    Raises KeyError, TypeError, ValueError for a proof of another shape.
    """
    checked = Checked()
    headers = {}
    for one in proof["blocks"]:
        header = {key: one[key] for key in HEADER}
        if any(type(header[key]) is not int for key in ("number", "after", "last", "count")):
            raise TypeError("block")
        if blocks.hash_of(header).hex() != one["hash"]:
            checked.problems.append(f"Блок {header['number']} изменён: его хеш не сходится")
        headers[header["number"]] = header
        checked.heads[header["number"]] = one["hash"]
    _chain(proof, checked, headers)
    for one in proof["rows"]:
        name = one["name"]
        stream, seq = rows[name]
        header = headers[one["block"]]
        path = [bytes.fromhex(step) for step in one["path"]]
        root = merkle.root_by(merkle.leaf(texts[name]), one["place"], header["count"], path)
        if root is None or root.hex() != header["root"]:
            checked.problems.append(f"Строка {name} не та, что опечатана в блоке {header['number']}")
        elif header["stream"] != stream or not header["after"] < seq <= header["last"]:
            checked.problems.append(f"Строка {name} — не из блока {header['number']}")
        else:
            checked.sealed[name] = header["number"]
    checked.unsealed = sorted(set(texts) - set(checked.sealed))
    if undisclosed := sorted(set(checked.unsealed) - set(proof["unsealed"]) - {one["name"] for one in proof["rows"]}):
        checked.problems.append(f"О строке {undisclosed[0]} не сказано, опечатана ли она")
    return checked


def _chain(proof: Mapping[str, Any], checked: Checked, headers: Mapping[int, dict[str, Any]]) -> None:
    """From the head down, each block names the next by its hash."""
    order = [one["number"] for one in proof["blocks"]]
    if proof["head"]:
        number, _, hashed = proof["head"].partition(":")
        checked.head = Head(int(number), hashed)
        if not order or order[0] != checked.head.number or checked.heads[order[0]] != hashed:
            checked.problems.append("Конец цепочки в пакете — не тот блок, на который он ссылается")
    elif order:
        checked.problems.append("В пакете есть блоки, но нет конца цепочки")
    for number, following in pairwise(order):
        hashed, header = checked.heads[following], headers[number]
        by_one = following == number - 1 and header["previous"] == hashed
        if not by_one and not (following == blocks.skip_of(number) and header["skip"] == hashed):
            checked.problems.append(f"Блок {number} не ссылается на блок {following}: цепочка разорвана")
