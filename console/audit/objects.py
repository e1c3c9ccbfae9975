"""What a row of the audit is about: how it is called, and where its page is."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final
from urllib.parse import quote

from core import deeds, discovery
from core.access.person import Person
from core.screen import Screen
from core.trail import Row

_ADDRESSES: Final[Mapping[str, str]] = {
    "message": "/messages/{}",
    "queue": "/queues/{}",
    "schedule": "/schedules/{}",
    "calendar": "/calendars/{}",
    "connector": "/connectors/{}",
    "kind": "/kinds/{}",
    "bulk": "/quarantine/jobs/{}",
    "webhook": "/webhooks/{}",
    "account": "/people/{}",
    "role": "/roles/{}",
}
"""Kind of object → its page."""
_ONLY_FOR: Final[Mapping[str, str]] = {
    **dict.fromkeys(("account", "role", "token"), "people.write"),
    "webhook": "webhooks.write",
}
"""Kind of object → the permission without which its page is closed, where the audit's reader may lack it."""
_LISTS: Final[Mapping[str, str]] = {"token": "/tokens"}


def titles() -> dict[str, str]:
    """Every kind of object with its title, rows of registries by their screens."""
    return dict(deeds.OBJECTS) | {kind: screen.one for kind, screen in _screens().items()}


def title(kind: str) -> str:
    """In Russian; the kind itself when nobody has given it a title."""
    return titles().get(kind, kind)


def address(row: Row, reader: Person) -> str:
    """The page of the object; "" when it has none, or is closed to this reader."""
    if (needed := _ONLY_FOR.get(row.object_kind)) and not reader.may(needed):
        return ""
    if row.object_kind in _LISTS:
        return _LISTS[row.object_kind]
    if not row.object_id:
        return ""
    name = quote(row.object_id, safe="")
    if screen := _screens().get(row.object_kind):
        if not reader.may(f"{screen.subsystem}.read"):
            return ""
        return f"/registry/{screen.subsystem}/{screen.name}/detail?pk={name}"
    return _ADDRESSES[row.object_kind].format(name) if row.object_kind in _ADDRESSES else ""


@cache
def _screens() -> Mapping[str, Screen]:
    return {screen.object_kind: screen for screen in discovery.screens()}
