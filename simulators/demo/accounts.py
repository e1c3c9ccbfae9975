"""The people of a show: accounts of the console with passwords made at the start, told once."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from core.access import accounts
from core.database import Database


@dataclass(frozen=True, slots=True)
class Player:
    """One account of the show."""

    login: str
    name: str
    what: str
    roles: tuple[str, ...]


PLAYERS: Final = (
    Player("admin", "Администратова Ольга", "администратор, без персональных данных", ("administrator",)),
    Player(
        "operator",
        "Операторов Пётр",
        "оператор с персональными данными и реестрами",
        ("operator", "personal", "erz.reader", "zags.reader", "sfr.reader", "fns.reader", "pump.reader"),
    ),
    Player("approver", "Утвердилова Вера", "второе лицо: утверждает правки", ("approver", "personal")),
    Player("auditor", "Аудиторов Глеб", "аудитор: только смотрит, данные скрыты", ("auditor", "erz.reader")),
)
_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"


def introduce(database: Database) -> list[tuple[Player, str]]:
    """Make the accounts; each with its password, which nobody else is told."""
    told = []
    for player in PLAYERS:
        password = "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))
        accounts.create(database, player.login, player.name, password, player.roles, actor="demo")
        told.append((player, password))
    return told


def lines(told: Sequence[tuple[Player, str]]) -> list[str]:
    """For the screen: login, password, who it is."""
    wide = max(len(player.login) for player, _ in told)
    return [f"{player.login.ljust(wide)}  {password}  {player.what}" for player, password in told]
