"""Who may give which permission to whom.

Who holds `people.write` gives every permission, also one that he lacks himself, except of those that open personal
data: these gives only who has them. The first holder of such a one comes from the command line of the bus, that is
from whoever rules the machine, so no administrator of the console can let himself in alone: neither by a role, nor by a
token, nor by a new password for somebody who has it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from core.access.permissions import permissions
from core.access.person import Person
from core.errors import ConfigError

PERSONAL: Final = frozenset({"personal.read"})
"""Permissions that open personal data."""


def not_his_to_give(giver: Person | None, wanted: Iterable[str]) -> list[str]:
    """Which of these he may not give; none for the command line (None)."""
    if giver is None:
        return []
    may_all = giver.may("people.write")
    return sorted(one for one in set(wanted) if not giver.may(one) and (one in PERSONAL or not may_all))


def refuse_what_is_not_his_to_give(giver: Person | None, wanted: Iterable[str]) -> None:
    """Raises ConfigError that names the permission and says who can give it."""
    if refused := not_his_to_give(giver, wanted):
        title = permissions().get(refused[0], refused[0])
        raise ConfigError(
            f"Право «{title}» даёт только тот, у кого оно есть сам. Первому его даёт администратор сервера: "
            "omsbus user roles"
        )
