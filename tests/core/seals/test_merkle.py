"""The tree against RFC 6962's own figures and against its definition, and the ways between blocks."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import pytest

from core.errors import ConfigError
from core.seals import blocks, heads, merkle

pytestmark = pytest.mark.feature("BUS-11")

DATA = [bytes.fromhex(one) for one in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657",
                                       "606162636465666768696a6b6c6d6e6f")]  # fmt: skip
"""The leaves of the test vectors of Certificate Transparency."""
ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


@pytest.mark.parametrize("count", sorted(ROOTS))
def test_roots_are_those_of_certificate_transparency(count: int) -> None:
    assert merkle.root([merkle.leaf(one) for one in DATA[:count]]).hex() == ROOTS[count]


def by_definition(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1: split at the largest power of two that is smaller than the count."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + by_definition(leaves[:half]) + by_definition(leaves[half:])).digest()


def test_every_path_of_every_small_tree_leads_to_its_root() -> None:
    for count in range(1, 40):
        leaves = [merkle.leaf(bytes([number])) for number in range(count)]
        root = merkle.root(leaves)
        assert root == by_definition(leaves)
        for place in range(count):
            steps = merkle.path(leaves, place)
            assert merkle.root_by(leaves[place], place, count, steps) == root
            assert merkle.root_by(leaves[place - 1], place, count, steps) != root or count == 1
            assert merkle.root_by(leaves[place], place, count, [*steps, root]) is None
            assert merkle.root_by(leaves[place], place, count, steps[:-1]) is None or not steps


@pytest.mark.parametrize(("place", "count"), [(-1, 3), (3, 3), (0, 0)])
def test_a_place_outside_of_the_tree_has_no_path(place: int, count: int) -> None:
    assert merkle.root_by(bytes(32), place, count, []) is None


@pytest.mark.parametrize("head", [1, 2, 3, 64, 65, 1000, 1023, 1_000_000, 2**24 - 1])
def test_a_way_follows_links_and_is_short(head: int) -> None:
    for target in {1, head, max(1, head // 2), max(1, head - 1), max(1, head // 2 + 1), max(1, head // 3)}:
        way = blocks.way(head, target)
        assert (way[0], way[-1]) == (head, target)
        assert all(after in (before - 1, blocks.skip_of(before)) for before, after in itertools.pairwise(way))
        assert len(way) <= 400


@pytest.mark.parametrize("numbers", [[5], [1, 2, 3], [1, 3, 4, 9], [10, 12, 14]])
def test_numbers_are_written_and_read(numbers: list[int]) -> None:
    assert blocks.numbers_in(blocks.ranges(numbers), 100) == numbers


@pytest.mark.parametrize("text", ["", "x", "1-99999999999", "3 2", "5-4", "1 1", "1-3 3", "1--2"])
def test_what_is_no_list_of_numbers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        blocks.numbers_in(text, 1000)


def test_heads_are_read_from_a_word_and_from_a_file(tmp_path: Path) -> None:
    hashed = "ab" * 32
    assert heads.wanted(f" 7:{hashed} ") == [heads.Head(7, hashed)]
    file = tmp_path / "heads"
    file.write_text(f"2026-11-24T15:30:00.000000Z 12:{hashed}\n\nчепуха\n3:{hashed}\n")
    assert heads.wanted(str(file)) == [heads.Head(3, hashed), heads.Head(12, hashed)]
    file.write_text("ничего")
    for wrong in (str(file), "7:xyz", str(tmp_path), "\x00"):
        with pytest.raises(ConfigError):
            heads.wanted(wrong)
