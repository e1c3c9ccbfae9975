"""A document as fields with labels: what each element and attribute is called, from the annotations of its schema.

Where a schema says nothing, the model's field title stands, else the element's own name.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lxml import etree

from core import xml
from core.errors import MalformedXml
from core.route import Route
from core.settings import HOUSE

FIELDS_MOST: Final = 2000
_XS: Final = "{http://www.w3.org/2001/XMLSchema}"
_LABEL_MOST: Final = 200


@dataclass(frozen=True, slots=True)
class Field:
    """One line. depth: how deep it stands; name: as the document has it; label: "" when nobody gave one."""

    depth: int
    name: str
    label: str
    value: str


def fields(octets: bytes, labels: Mapping[str, str]) -> list[Field]:
    """The fields of XML or JSON, at most FIELDS_MOST; [] for anything else."""
    try:
        found = _of_element(xml.parse(octets), labels, 0)
    except MalformedXml:
        try:
            found = _of_value("", json.loads(octets), labels, 0)
        except (ValueError, RecursionError):
            return []
    return [one for one, _ in zip(found, range(FIELDS_MOST), strict=False)]


def labels_of(route: Route | None) -> dict[str, str]:
    """Local name → label, of all documents of a route."""
    found: dict[str, str] = {}
    if route is None:
        return found
    if route.body is not None:
        found |= {name: field.title for name, field in route.body.model_fields.items() if field.title}
    for form in route.formats:
        if form.schema:
            found |= labels_of_schema(form.schema)
    return found


@functools.cache
def labels_of_schema(schema: str) -> Mapping[str, str]:
    """The annotations of a schema below schemas/ and of everything that it includes. Of a name with two labels none."""
    types: dict[str, str] = {}
    given: dict[str, str] = {}
    typed: dict[str, str] = {}
    for root in _roots((HOUSE / "schemas" / schema).resolve(), set()):
        for one in root.iter(f"{_XS}element", f"{_XS}attribute", f"{_XS}complexType", f"{_XS}simpleType"):
            name, said = one.get("name"), _said(one)
            if not name:
                continue
            if one.tag in (f"{_XS}complexType", f"{_XS}simpleType"):
                types[name] = said
            elif said:
                given[name] = said if given.get(name, said) == said else ""
            elif one.get("type"):
                typed[name] = str(one.get("type")).rpartition(":")[2]
    from_types = {name: types[kind] for name, kind in typed.items() if types.get(kind)}
    return {name: label for name, label in (from_types | given).items() if label}


def _roots(file: Path, seen: set[Path]) -> Iterable[etree._Element]:
    if file in seen or not file.is_file():
        return
    seen.add(file)
    root = etree.parse(file).getroot()  # our own file
    yield root
    for one in root.iterchildren(f"{_XS}include", f"{_XS}import", f"{_XS}redefine"):
        if location := one.get("schemaLocation"):
            yield from _roots((file.parent / location).resolve(), seen)


def _said(element: etree._Element) -> str:
    said = element.find(f"{_XS}annotation/{_XS}documentation")
    text = "" if said is None else " ".join("".join(map(str, said.itertext())).split())
    return text[:_LABEL_MOST]


def _of_element(element: etree._Element, labels: Mapping[str, str], depth: int) -> Iterable[Field]:
    name = etree.QName(element).localname
    children = list(element.iterchildren("*"))
    text = (element.text or "").strip() if children else "".join(map(str, element.itertext())).strip()
    yield Field(depth, name, labels.get(name, ""), text)
    for attribute, value in element.attrib.items():
        own = etree.QName(attribute).localname
        yield Field(depth + 1, own, labels.get(own, ""), str(value))
    for child in children:
        yield from _of_element(child, labels, depth + 1)


def _of_value(name: str, value: Any, labels: Mapping[str, str], depth: int) -> Iterable[Field]:
    if isinstance(value, dict):
        if name:
            yield Field(depth, name, labels.get(name, ""), "")
        for own, one in value.items():
            yield from _of_value(str(own), one, labels, depth + bool(name))
    elif isinstance(value, list):
        for number, one in enumerate(value, start=1):
            yield from _of_value(f"{name} {number}".strip(), one, labels, depth)
    else:
        text = "" if value is None else ("да" if value else "нет") if isinstance(value, bool) else str(value)
        yield Field(depth, name, labels.get(name, ""), text)
