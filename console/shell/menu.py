"""The menu: every area of the console says in `MENU` what it adds to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.access.person import Person

GROUPS = ("Шина", "Обмен", "Реестры", "Управление")
"""In this order; another group comes after them."""


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the menu, seen by whoever has the permission.

    icon  a class of Font Awesome, `fa-inbox`        place  order within the group
    """

    title: str
    path: str
    icon: str
    group: str
    place: int
    permission: str


@dataclass(frozen=True, slots=True)
class Group:
    title: str
    items: tuple[Item, ...]


def menu_of(person: Person, items: Iterable[Item]) -> list[Group]:
    """What this person sees, grouped and ordered."""
    groups: dict[str, list[Item]] = {title: [] for title in GROUPS}
    for item in sorted(items, key=lambda one: (one.place, one.title)):
        if person.may(item.permission):
            groups.setdefault(item.group, []).append(item)
    return [Group(title, tuple(found)) for title, found in groups.items() if found]
