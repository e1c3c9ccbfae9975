"""How permissions and roles are called on pages: grouped by the part of the bus, registries by their own names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from core import discovery
from core.access import permissions
from core.access.giving import PERSONAL, not_his_to_give
from core.access.person import Person
from core.screen import Shelf

_GROUPS: Final = {
    "Шина": ("desk", "queues", "schedules", "connectors", "webhooks"),
    "Сообщения": ("messages", "personal", "search", "trial", "evidence"),
    "Управление": ("audit", "people"),
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A permission on a form. his: the person who looks may give it."""

    name: str
    title: str
    personal: bool
    his: bool


def title_of(permission: str) -> str:
    """In Russian; the permission itself when the program has it no more."""
    part, _, deed = permission.rpartition(".")
    known = permissions.permissions().get(permission, permission)
    return f"{_shelf(part)}: {known.rpartition(': ')[2]}" if part in permissions.subsystems() and deed else known


def titles_of(allowed: Iterable[str]) -> list[str]:
    """Titles of permissions, in the order of the catalogue."""
    wanted = set(allowed)
    return [title_of(one) for one in permissions.permissions() if one in wanted]


def registry_of(role: str) -> str:
    """The registry that a built-in role is about; "" for a role of the bus."""
    part, _, deed = role.partition(".")
    return _shelf(part) if deed and part in permissions.subsystems() else ""


def role_title(name: str, title: str) -> str:
    """The title of a role, with the name of the registry as the menu has it."""
    part, _, deed = name.partition(".")
    return f"{_shelf(part)}: {title.rpartition(': ')[2]}" if deed and part in permissions.subsystems() else title


def choices(giver: Person) -> dict[str, list[Choice]]:
    """Every permission below the title of its group; registries come last, a group each."""
    known = permissions.permissions()
    refused = set(not_his_to_give(giver, known))
    group_of = {part: title for title, parts in _GROUPS.items() for part in parts}
    found: dict[str, list[Choice]] = {title: [] for title in _GROUPS}
    for name in known:
        part = name.partition(".")[0]
        group = group_of.get(part) or f"Реестр «{_shelf(part)}»"
        title = title_of(name) if part in group_of else known[name].rpartition(": ")[2].capitalize()
        found.setdefault(group, []).append(Choice(name, title, name in PERSONAL, name not in refused))
    return {title: listed for title, listed in found.items() if listed}


def grouped(names: Iterable[str], giver: Person) -> dict[str, list[Choice]]:
    """The same for some permissions only."""
    wanted = set(names)
    found = {title: [one for one in listed if one.name in wanted] for title, listed in choices(giver).items()}
    return {title: listed for title, listed in found.items() if listed}


def _shelf(subsystem: str) -> str:
    shelf = _shelves().get(subsystem)
    return shelf.title if shelf else subsystem


@cache
def _shelves() -> Mapping[str, Shelf]:
    return discovery.shelves()
