"""What is looked for and what is indexed, brought to one form: hashes of values and of words.

The index holds hashes: nothing personal can be read out of it, and a link to a search carries none either.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any, Final

from lxml import etree

from core import xml
from core.errors import MalformedXml

PARTICIPANT_HEADERS: Final = ("smev.sender", "http.sender")
"""Headers that name who sent a message: rows of the journal outlive the connectors that wrote them."""
WORDS_MOST: Final = 5000
"""Different words of one body that are indexed."""
VALUES_MOST: Final = 100
"""Values that one key has in one document."""
_WORD: Final = re.compile(r"[0-9a-zа-я]{2,64}")
_TOKEN: Final = re.compile(r"#([0-9a-f]{16})")
_DIGITS_APART: Final = re.compile(r"(?<=\d)[\s-]+(?=\d)")


def hashed(text: str) -> int:
    """64 bits that stand for a text: the same as the function bus.search_value."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8], "big", signed=True)


def normal(text: str) -> str:
    """Letter case, ё/е, spaces, and dashes and spaces between digits (a СНИЛС) make no difference."""
    plain = " ".join(text.lower().replace("ё", "е").split())
    return _DIGITS_APART.sub("", plain)


def of_value(text: str) -> int:
    """The hash of a key's value, from the value or from its token."""
    found = _TOKEN.fullmatch(text.strip())
    return _signed(found[1]) if found else hashed(normal(text))


def of_words(text: str) -> list[int]:
    """The hashes of all words of a text, or of its tokens; no word twice."""
    if tokens := _TOKEN.findall(text):
        return sorted({_signed(one) for one in tokens})
    return sorted({hashed(word) for word in words(text)})


def token(value: int) -> str:
    """A hash as a link carries it: `#` and 16 hex digits."""
    return f"#{value & 0xFFFF_FFFF_FFFF_FFFF:016x}"


def words(text: str) -> set[str]:
    """Words of two letters or more, lower-case, ё as е."""
    return set(_WORD.findall(text.lower().replace("ё", "е")))


def words_of_body(octets: bytes) -> set[str]:
    """Words of what a document says: texts and attributes of XML, values of JSON, text in UTF-8. At most WORDS_MOST."""
    found: set[str] = set()
    for text in _texts(octets):
        found |= words(text)
        if len(found) > WORDS_MOST:
            return set(sorted(found)[:WORDS_MOST])
    return found


def values_of_body(octets: bytes, path: etree.XPath) -> set[str]:
    """What an XPath finds in a document, each in `normal` form; nothing in what is no XML."""
    try:
        found = path(xml.parse(octets))
    except (MalformedXml, etree.XPathError):
        return set()
    texts = {normal(_text(one)) for one in (found if isinstance(found, list) else [found])}
    return set(sorted(texts - {""})[:VALUES_MOST])


def _text(found: Any) -> str:
    if isinstance(found, etree._Element):
        return "".join(map(str, found.itertext()))
    return f"{found:g}" if isinstance(found, float) else str(found)


def _texts(octets: bytes) -> Iterator[str]:
    try:
        root = xml.parse(octets)
    except MalformedXml:
        yield from _other_texts(octets)
        return
    for element in root.iter("*"):
        yield element.text or ""
        yield element.tail or ""
        yield from map(str, element.attrib.values())


def _other_texts(octets: bytes) -> Iterator[str]:
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        return
    if "\x00" in text:
        return
    try:
        yield from _leaves(json.loads(text))
    except (ValueError, RecursionError):
        yield text


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from _leaves(one)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _signed(digits: str) -> int:
    return int.from_bytes(bytes.fromhex(digits), "big", signed=True)
