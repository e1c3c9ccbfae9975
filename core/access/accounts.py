"""Accounts of people: made, signed in, what they may do. Passwords are argon2 hashes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from core import audit
from core.access import permissions
from core.database import Database, Driver, driver
from core.errors import ConfigError, Permanent

_hasher = PasswordHasher()


def create(database: Database, login: str, name: str, password: str, roles: Sequence[str], *, actor: str) -> int:
    """A new account; its id. Raises ConfigError when the login is taken or a role is unknown."""
    with database.transaction() as connection:
        db = driver(connection)
        known = roles_of(db)
        if unknown := [one for one in roles if one not in known]:
            raise ConfigError(f"Нет роли {unknown[0]}. Есть: {', '.join(sorted(known))}")
        row = db.execute(
            "INSERT INTO bus.account (login, name, password, roles, created_by) VALUES (%s, %s, %s, %s, %s) "
            "ON CONFLICT (login) DO NOTHING RETURNING id",
            (login.strip().lower(), name, _hasher.hash(password), list(roles), actor),
        ).fetchone()
        if row is None:
            raise ConfigError(f"Пользователь {login} уже есть: выберите другое имя для входа")
        audit.record(db, actor, "account.created", "account", login, f"Создан пользователь {login}")
        return int(row[0])


def sign_in(database: Database, login: str, password: str) -> int:
    """The account's id. Raises Permanent, with one sentence for every reason."""
    with database.transaction() as connection:
        row = (
            driver(connection)
            .execute("SELECT id, password FROM bus.account WHERE login = %s AND NOT blocked", (login.strip().lower(),))
            .fetchone()
        )
    try:
        if row is not None and _hasher.verify(row[1], password):
            return int(row[0])
    except (VerificationError, InvalidHashError):
        pass
    raise Permanent("Имя или пароль не подходят. Проверьте раскладку и попробуйте ещё раз")


def roles_of(db: Driver) -> dict[str, permissions.Role]:
    """Every role: those that come with the bus and the fund's own."""
    rows = db.execute("SELECT name, title, permissions FROM bus.role").fetchall()
    return permissions.roles() | {name: permissions.Role(name, title, frozenset(may)) for name, title, may in rows}


def permissions_of(db: Driver, roles: Iterable[str]) -> frozenset[str]:
    """What these roles allow together."""
    known = roles_of(db)
    return frozenset().union(*(known[name].permissions for name in roles if name in known))
