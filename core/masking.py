"""The one place where personal data is hidden from whoever lacks the permission `personal.read` (DESIGN §6).

Deny by default: everything that a document says is hidden but for the names that its kind declares as not personal
(`Route.plain`) and its connector (`plain_of` in core.connector). The structure stays: names of elements, attributes
and fields. How long a text was is not told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from lxml import etree

from core import xml
from core.errors import MalformedXml

MASK: Final = "•••"
MASKED_MOST_BYTES: Final = 16 * 1024 * 1024
"""Of a longer document nothing is shown: it would have to be parsed whole."""
NOTHING_SHOWN: Final = (
    "Содержимое скрыто: в нём могут быть персональные данные, а разобрать его, чтобы скрыть только их, нельзя. "
    "Нужно право «Персональные данные без маски»."
)
_FIELD: Final = re.compile(r"[A-Za-z_][A-Za-z_]{0,63}")
"""A key of JSON that is a field's name and no datum; others (with digits, Cyrillic) are hidden unless plain."""
_DEPTH_MOST: Final = 200
_SHOWN_OF_SUBJECT: Final = frozenset({"C", "O", "OU", "L", "ST", "ОГРН", "ИНН ЮЛ"})
_OF_A_PERSON: Final = frozenset({"SN", "G", "СНИЛС", "ОГРНИП"})
_RDN: Final = re.compile(r"(?:^|, )([A-Za-zА-Я0-9. ]{1,40})=")


def mask(text: str) -> str:
    """A text without what it says. Empty and blank texts stay as they are."""
    return MASK if text.strip() else text


def masked_body(octets: bytes, plain: Collection[str]) -> bytes:
    """A document (XML, JSON) with every text and attribute value hidden, except of local names in `plain`.

    Namespaces stay; comments and processing instructions go. UTF-8. Anything that is neither XML nor JSON, malformed
    or longer than MASKED_MOST_BYTES, becomes one sentence.
    """
    if not octets.strip():
        return b""
    if len(octets) <= MASKED_MOST_BYTES:
        try:
            return _masked_xml(xml.parse(octets), frozenset(plain))
        except MalformedXml:
            pass
        try:
            made = _masked_json(json.loads(octets), frozenset(plain), 0)
        except (ValueError, RecursionError):
            pass
        else:
            return json.dumps(made, ensure_ascii=False, indent=2).encode()
    return NOTHING_SHOWN.encode()


def masked_values(values: Mapping[str, str], plain: Collection[str]) -> dict[str, str]:
    """Headers with every value hidden, except of the names in `plain`."""
    return {name: value if name in plain else mask(value) for name, value in values.items()}


def masked_subject(subject: str) -> str:
    """The owner of a certificate (`Certificate.subject`) without a person: organization and place stay; the common
    name stays where nothing beside it says that the owner is a person."""
    first, *parts = _RDN.split(subject)
    pairs = list(zip(parts[::2], parts[1::2], strict=True))
    shown = _SHOWN_OF_SUBJECT | (frozenset() if _OF_A_PERSON & {name for name, _ in pairs} else {"CN"})
    if first or not pairs:
        return mask(subject)
    return ", ".join(f"{name}={value if name in shown else mask(value)}" for name, value in pairs)


def _masked_xml(root: etree._Element, plain: frozenset[str]) -> bytes:
    etree.strip_tags(root, etree.Comment, etree.ProcessingInstruction)
    for element in root.iter("*"):
        if element.text and etree.QName(element).localname not in plain:
            element.text = mask(element.text)
        if element.tail:
            element.tail = mask(element.tail)
        for name, value in element.attrib.items():
            if etree.QName(name).localname not in plain:
                element.attrib[name] = mask(str(value))
    return etree.tostring(root, encoding="UTF-8", with_tail=False)


def _masked_json(value: Any, plain: frozenset[str], depth: int, *, known: bool = False) -> Any:
    """`known`: the value of a plain field. null stays: that something is missing is seen in XML as well."""
    if depth > _DEPTH_MOST:
        raise RecursionError
    if isinstance(value, dict):
        return {
            (name if name in plain or _FIELD.fullmatch(name) else MASK + str(place)): _masked_json(
                one, plain, depth + 1, known=name in plain
            )
            for place, (name, one) in enumerate(value.items(), start=1)
        }
    if isinstance(value, list):
        return [_masked_json(one, plain, depth + 1, known=known) for one in value]
    if value is None or known:
        return value
    return mask(value) if isinstance(value, str) else MASK
