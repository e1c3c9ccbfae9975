"""What two results of one document differ in, and the same difference of many documents as one group. Pure.

A place is a path of local names: `death/acts[2]/person/birth`, `…/@code`; of the model's fields likewise. A group is
one place without its numbers and one kind of change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from lxml import etree

EXAMPLES_MOST: Final = 5
GROUPS_MOST: Final = 500
PLACES_MOST: Final = 20_000
"""Of one document; what lies beyond is not compared."""
CHANGED: Final = "изменилось"
APPEARED: Final = "появилось"
GONE: Final = "исчезло"
OUTPUT: Final = "результат преобразования"
FIELDS: Final = "поля для обработчика"
_NUMBER: Final = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class Change:
    """part: OUTPUT or FIELDS. old, new: the texts; None where there is no such place."""

    part: str
    path: str
    old: str | None = field(repr=False)
    new: str | None = field(repr=False)

    @property
    def kind(self) -> str:
        return APPEARED if self.old is None else GONE if self.new is None else CHANGED


@dataclass(frozen=True, slots=True)
class Example:
    message_id: UUID
    change: Change


@dataclass(slots=True)
class Group:
    """messages: in how many the change is found; times: in how many places of them."""

    part: str
    path: str
    kind: str
    messages: int = 0
    times: int = 0
    examples: list[Example] = field(default_factory=list)


class Groups:
    """Gathers changes; remembers a few examples of each."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, str], Group] = {}
        self.left_out = 0
        """Messages whose changes found no place among GROUPS_MOST."""

    def add(self, message_id: UUID, changes: list[Change]) -> None:
        seen: set[tuple[str, str, str]] = set()
        lost = False
        for change in changes:
            key = (change.part, _NUMBER.sub("", change.path), change.kind)
            group = self._groups.get(key)
            if group is None:
                if len(self._groups) >= GROUPS_MOST:
                    lost = True
                    continue
                group = self._groups[key] = Group(*key)
            group.times += 1
            if key not in seen:
                seen.add(key)
                group.messages += 1
                if len(group.examples) < EXAMPLES_MOST:
                    group.examples.append(Example(message_id, change))
        self.left_out += lost

    def all(self) -> list[Group]:
        """The most frequent first."""
        return sorted(self._groups.values(), key=lambda one: (-one.messages, one.part, one.path, one.kind))


def between(part: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[Change]:
    """In the order of the old one, then what is new."""
    if old == new:
        return []
    changes = [Change(part, path, text, new.get(path)) for path, text in old.items() if new.get(path) != text]
    changes += [Change(part, path, None, text) for path, text in new.items() if path not in old]
    return changes


def places_of_xml(root: etree._Element) -> dict[str, str]:
    """Path → text of every element with text, every attribute, every change of namespace; of an empty leaf ""."""
    found: dict[str, str] = {}
    for path, text in _walk(root):
        if len(found) >= PLACES_MOST:
            break
        found[path] = text
    return found


def _walk(root: etree._Element) -> Iterator[tuple[str, str]]:
    # Not recursive: a stylesheet may nest as deep as the parser allows.
    waiting: list[tuple[etree._Element, str, str | None]] = [(root, etree.QName(root).localname, None)]
    while waiting:
        element, path, around = waiting.pop()
        name = etree.QName(element)
        if name.namespace != around:
            yield f"{path}/@xmlns", name.namespace or ""
        for attribute, value in sorted(element.attrib.items()):
            yield f"{path}/@{etree.QName(attribute).localname}", str(value)
        children = list(element.iterchildren("*"))
        text = (element.text or "") + "".join(child.tail or "" for child in element)
        if not children or text.strip():
            yield path, text if not children else text.strip()
        numbered = _numbered([etree.QName(child).localname for child in children])
        waiting += [(child, f"{path}/{step}", name.namespace) for child, step in zip(children, numbered, strict=True)][
            ::-1
        ]


def places_of_value(value: Any) -> dict[str, str]:
    """The same of what JSON can hold."""
    found: dict[str, str] = {}
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting and len(found) < PLACES_MOST:
        path, one = waiting.pop()
        if isinstance(one, dict) and one:
            waiting += [(f"{path}/{name}" if path else str(name), inner) for name, inner in reversed(one.items())]
        elif isinstance(one, list) and one:
            waiting += [(f"{path}[{n}]", inner) for n, inner in reversed(list(enumerate(one, start=1)))]
        elif one is not None:
            found[path] = {True: "да", False: "нет"}.get(one, str(one)) if isinstance(one, bool) else str(one)
    return found


def _numbered(names: list[str]) -> list[str]:
    """`acts`, or `acts[1]`, `acts[2]` where there are several."""
    total: dict[str, int] = {}
    for name in names:
        total[name] = total.get(name, 0) + 1
    at: dict[str, int] = {}
    steps = []
    for name in names:
        at[name] = at.get(name, 0) + 1
        steps.append(f"{name}[{at[name]}]" if total[name] > 1 else name)
    return steps
