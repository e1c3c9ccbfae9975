"""What people did and what they looked at: one append-only table, written in the transaction of the deed itself.

Who comes from where is known at the edge (a page, the API, a command): it says so by `acting_from`, and every deed
below it is recorded with that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from core.database import Driver, storable, storable_json


@dataclass(frozen=True, slots=True)
class Origin:
    """via: console, api, cli or bus. address: of the client, "" where there is none."""

    via: str
    address: str = ""


_COMMAND = Origin("cli")
_origin: ContextVar[Origin] = ContextVar("origin")


@contextlib.contextmanager
def acting_from(via: str, address: str = "") -> Iterator[None]:
    """Deeds inside are recorded as coming from there."""
    token = _origin.set(Origin(via, address))
    try:
        yield
    finally:
        _origin.reset(token)


def comes_from(via: str, address: str = "") -> None:
    """The same for the rest of this context (a request has its own)."""
    _origin.set(Origin(via, address))


def record(
    db: Driver,
    actor: str,
    action: str,
    object_kind: str,
    object_id: str,
    note: str = "",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """One deed. action: `queue.paused`; object: `queue`, `smev`. No secret in note or detail, of people only ids."""
    origin = _origin.get(_COMMAND)
    db.execute(
        "INSERT INTO bus.audit (actor, via, address, action, object_kind, object_id, note, detail) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        (
            storable(actor),
            origin.via,
            origin.address,
            action,
            object_kind,
            storable(object_id),
            storable(note),
            storable_json(detail or {}),
        ),
    )
