"""Roles: those that come with the bus (read-only) and the fund's own ones, made here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from core import audit
from core.access import permissions
from core.access.giving import refuse_what_is_not_his_to_give
from core.access.permissions import Role
from core.access.person import Person
from core.database import Database, Driver, driver, storable
from core.errors import ConfigError

ADMINISTRATOR: Final = "administrator"
TITLE_MOST: Final = 100
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{1,39}")


@dataclass(frozen=True, slots=True)
class RoleRow:
    """A role with what is known of it. own: made here, so it can be changed; people: how many hold it."""

    role: Role
    own: bool
    people: int
    changed_at: datetime | None = None
    changed_by: str = ""


def listed(database: Database) -> list[RoleRow]:
    """Every role: those of the bus first, in their order, then the own ones by name."""
    with database.transaction() as connection:
        db = driver(connection)
        rows = db.execute("SELECT one, count(*) FROM bus.account, unnest(roles) one GROUP BY one").fetchall()
        held: dict[str, int] = dict(rows)
        own_rows = db.execute(
            "SELECT name, title, permissions, changed_at, changed_by FROM bus.role ORDER BY name"
        ).fetchall()
    built = [RoleRow(role, own=False, people=held.get(name, 0)) for name, role in permissions.roles().items()]
    return built + [
        RoleRow(Role(name, title, frozenset(may)), True, held.get(name, 0), at, by)
        for name, title, may, at, by in own_rows
    ]


def save(
    database: Database,
    name: str,
    title: str,
    allowed: Iterable[str],
    *,
    actor: str,
    giver: Person | None = None,
    new: bool = False,
) -> None:
    """Make an own role (`new`) or change one; sessions of those who hold it end, so that it counts at once.

    giver: whose right to give is checked (core.access.giving); None: the command line. Raises ConfigError.
    """
    wanted = frozenset(allowed)
    title = storable(title.strip())
    if not _NAME.fullmatch(name):
        raise ConfigError("Имя роли: от 2 до 40 знаков, латинские строчные буквы, цифры, дефис, подчёркивание")
    if name in permissions.roles():
        raise ConfigError(f"Роль {name} поставляется с шиной и не меняется. Создайте свою под другим именем")
    if not title or len(title) > TITLE_MOST:
        raise ConfigError(f"Напишите название роли: до {TITLE_MOST} знаков")
    if unknown := sorted(wanted - set(permissions.permissions())):
        raise ConfigError(f"Нет права {unknown[0]}. Выберите права из списка")
    if not wanted:
        raise ConfigError("Выберите хотя бы одно право")
    if giver and name in giver.roles:
        raise ConfigError("Эта роль есть у вас самих: её меняет другой администратор")
    with database.transaction() as connection:
        db = driver(connection)
        row = db.execute("SELECT title, permissions FROM bus.role WHERE name = %s FOR UPDATE", (name,)).fetchone()
        if new and row is not None:
            raise ConfigError(f"Роль {name} уже есть: откройте её или выберите другое имя")
        if not new and row is None:
            raise ConfigError(f"Нет роли {name}. Посмотрите список ролей")
        before = frozenset(row[1]) if row else frozenset()
        refuse_what_is_not_his_to_give(giver, wanted - before)
        if row and (row[0], before) == (title, wanted):
            return
        made = db.execute(
            "INSERT INTO bus.role (name, title, permissions, changed_by) VALUES (%s, %s, %s, %s) ON CONFLICT (name) "
            "DO UPDATE SET title = excluded.title, permissions = excluded.permissions, "
            "changed_by = excluded.changed_by, changed_at = clock_timestamp() WHERE NOT %s RETURNING name",
            (name, title, sorted(wanted), actor, new),
        ).fetchone()
        if made is None:  # somebody made it since we looked
            raise ConfigError(f"Роль {name} уже есть: откройте её или выберите другое имя")
        action, words = ("role.created", "Создана") if row is None else ("role.changed", "Изменена")
        detail = {"added": sorted(wanted - before), "removed": sorted(before - wanted)}
        audit.record(db, actor, action, "role", name, f"{words} роль «{title}»", detail)
        if before != wanted:
            db.execute(
                "DELETE FROM bus.session s USING bus.account a WHERE a.id = s.account_id AND %s = ANY(a.roles)", (name,)
            )


def remove(database: Database, name: str, *, actor: str) -> None:
    """Take an own role away. Raises ConfigError when somebody still holds it, or it comes with the bus."""
    if name in permissions.roles():
        raise ConfigError(f"Роль {name} поставляется с шиной и не удаляется")
    with database.transaction() as connection:
        db = driver(connection)
        row = db.execute("SELECT title FROM bus.role WHERE name = %s FOR UPDATE", (storable(name),)).fetchone()
        if row is None:
            raise ConfigError(f"Нет роли {name}. Посмотрите список ролей")
        holders = [one for (one,) in db.execute("SELECT login FROM bus.account WHERE %s = ANY(roles) LIMIT 3", (name,))]
        if holders:
            raise ConfigError(f"Роль «{row[0]}» есть у пользователей ({', '.join(holders)}): сначала снимите её с них")
        db.execute("DELETE FROM bus.role WHERE name = %s", (name,))
        audit.record(db, actor, "role.removed", "role", name, f"Удалена роль «{row[0]}»")


def roles_of(db: Driver) -> dict[str, Role]:
    """Every role by name: those that come with the bus and the fund's own."""
    rows = db.execute("SELECT name, title, permissions FROM bus.role").fetchall()
    return {name: Role(name, title, frozenset(may)) for name, title, may in rows} | dict(permissions.roles())


def permissions_of(db: Driver, roles: Iterable[str]) -> frozenset[str]:
    """What these roles allow together."""
    known = roles_of(db)
    return frozenset().union(*(known[name].permissions for name in roles if name in known))
