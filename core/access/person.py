"""Who acts: a user of the console or the holder of a token, with everything that this one may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Person:
    """login: stands in the journal and in the audit; `token:<name>` for a token.

    csrf  secret of this session that every change must repeat; "" for a token
    """

    login: str
    name: str
    permissions: frozenset[str]
    account_id: int | None = None
    roles: tuple[str, ...] = ()
    timezone: str = "Europe/Moscow"
    theme: str = "auto"
    must_change: bool = False
    csrf: str = field(default="", repr=False)

    def may(self, permission: str) -> bool:
        return permission in self.permissions

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)
