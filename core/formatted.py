"""Octets of a document as a person reads them, and what differs between two of them."""

from __future__ import annotations

import difflib
import itertools
import json
from dataclasses import dataclass
from typing import Final

from lxml import etree

from core import xml
from core.errors import MalformedXml
from core.printing import harmless

LINES_MOST: Final = 2000
"""Lines of each side that are compared; comparing costs the square of them."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A line of each side, beside each other. None: the other side alone has it; both None: lines were left out."""

    first: str | None
    second: str | None

    @property
    def is_same(self) -> bool:
        return self.first == self.second


def raw(octets: bytes) -> str:
    """The text as it is, without what a terminal or a browser would obey."""
    return harmless(octets.decode("utf-8", "backslashreplace").replace("\r\n", "\n"))


def formatted(octets: bytes) -> str:
    """XML and JSON with an indent for each level; anything else as it is."""
    try:
        root = xml.parse(octets)
    except MalformedXml:
        try:
            return harmless(json.dumps(json.loads(octets), ensure_ascii=False, indent=2))
        except (ValueError, RecursionError):
            return raw(octets)
    _drop_blanks(root)
    etree.indent(root, space="  ")
    return harmless(etree.tostring(root, encoding="unicode"))


def difference(first: bytes, second: bytes) -> tuple[list[Pair], bool]:
    """(what differs with two lines around it, is it all): both are formatted first, so that only what they say counts.
    Equal documents give []."""
    one, other = formatted(first).splitlines(), formatted(second).splitlines()
    whole = max(len(one), len(other)) <= LINES_MOST
    one, other = one[:LINES_MOST], other[:LINES_MOST]
    made: list[Pair] = []
    for number, group in enumerate(difflib.SequenceMatcher(None, one, other).get_grouped_opcodes(2)):
        if number:
            made.append(Pair(None, None))
        for _, from_one, to_one, from_other, to_other in group:
            made += itertools.starmap(
                Pair, itertools.zip_longest(one[from_one:to_one], other[from_other:to_other], fillvalue=None)
            )
    return made, whole


def _drop_blanks(root: etree._Element) -> None:
    """Blank texts between elements, so that indenting is free to write its own."""
    for element in root.iter():
        if len(element) and element.text is not None and not element.text.strip():
            element.text = None
        if element.tail is not None and not element.tail.strip():
            element.tail = None
