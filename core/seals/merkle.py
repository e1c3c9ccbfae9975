"""A Merkle tree of sha256 as RFC 6962 builds it: leaf = H(0x00 ‖ data), node = H(0x01 ‖ left ‖ right)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

SIZE: Final = 32
"""Octets of a hash."""


def leaf(data: bytes) -> bytes:
    """The leaf of what is sealed."""
    return hashlib.sha256(b"\x00" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over one leaf or more. A last one without a neighbour rises as it is: that is RFC 6962's tree."""
    level = list(leaves)
    while len(level) > 1:
        level = _above(level)
    return level[0]


def path(leaves: Sequence[bytes], place: int) -> list[bytes]:
    """What is needed beside a leaf to compute the root, from the leaf upwards (RFC 6962 §2.1.1)."""
    found = []
    level = list(leaves)
    while len(level) > 1:
        other = place ^ 1
        if other < len(level):
            found.append(level[other])
        level, place = _above(level), place // 2
    return found


def root_by(leaf_hash: bytes, place: int, count: int, steps: Sequence[bytes]) -> bytes | None:
    """The root that this path leads to from the leaf at `place` of `count`; None for a path of another length."""
    if not 0 <= place < count:
        return None
    made, left = leaf_hash, list(reversed(steps))
    while count > 1:
        other = place ^ 1
        if other < count:
            if not left:
                return None
            step = left.pop()
            made = node(step, made) if place & 1 else node(made, step)
        place, count = place // 2, (count + 1) // 2
    return None if left else made


def split(leaves: bytes) -> list[bytes]:
    """One hash after another → hashes."""
    return [leaves[begin : begin + SIZE] for begin in range(0, len(leaves), SIZE)]


def _above(level: list[bytes]) -> list[bytes]:
    pairs = len(level) & ~1
    made = [node(level[place], level[place + 1]) for place in range(0, pairs, 2)]
    return made + level[pairs:]
