"""Tokens of the REST API: shown once, kept as a sha256, with permissions (scopes), a term, and a way to end them."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from core import audit
from core.access import permissions
from core.access.giving import refuse_what_is_not_his_to_give
from core.access.person import Person
from core.database import Database, driver, storable
from core.errors import ConfigError

PREFIX: Final = "omsbus_"
"""Begins every token, so that a scanner of leaked secrets knows one."""
USED_EVERY_S: Final = 60
"""How exactly the last use of a token is known."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token: everything but the token."""

    id: int
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    used_at: datetime | None
    revoked_at: datetime | None

    @property
    def works(self) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > datetime.now(UTC))


def issue(
    database: Database,
    name: str,
    scopes: Iterable[str],
    expires_at: datetime | None,
    actor: str,
    *,
    giver: Person | None = None,
) -> tuple[int, str]:
    """A new token: its id, and the secret, which nobody can show again.

    name    a-z, 0-9, dot, dash, underscore; never used twice, not even after a revocation: it stands in the audit
    scopes  permissions; at least one
    giver   the person whose right to give them is checked (core.access.giving); None: the command line

    Raises ConfigError.
    """
    asked = sorted(set(scopes))
    if not _NAME.fullmatch(name):
        raise ConfigError("Имя токена: до 64 знаков, латинские строчные буквы, цифры, точка, дефис, подчёркивание")
    if not asked:
        raise ConfigError("Выберите хотя бы одно право токена")
    if unknown := [one for one in asked if one not in permissions.permissions()]:
        raise ConfigError(f"Нет права {unknown[0]}. Права перечислены на странице ролей")
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise ConfigError("Срок действия токена уже прошёл: укажите день в будущем")
    refuse_what_is_not_his_to_give(giver, asked)
    secret = PREFIX + secrets.token_urlsafe(32)
    with database.transaction() as connection:
        db = driver(connection)
        row = db.execute(
            "INSERT INTO bus.token (name, hash, scopes, created_by, expires_at) VALUES (%s, %s, %s, %s, %s) "
            "ON CONFLICT (name) DO NOTHING RETURNING id",
            (name, _hash(secret), asked, actor, expires_at),
        ).fetchone()
        if row is None:
            raise ConfigError(f"Токен {name} уже был: выберите другое имя")
        until = expires_at.isoformat() if expires_at else ""
        audit.record(
            db, actor, "token.issued", "token", name, f"Выпущен токен {name}", {"scopes": asked, "expires_at": until}
        )
        return int(row[0]), secret


def revoke(database: Database, name: str, *, actor: str) -> None:
    """From now on it opens nothing. Idempotent. Raises ConfigError when there is none of this name."""
    with database.transaction() as connection:
        db = driver(connection)
        row = db.execute("SELECT revoked_at FROM bus.token WHERE name = %s FOR UPDATE", (storable(name),)).fetchone()
        if row is None:
            raise ConfigError(f"Нет токена {name}. Посмотрите список токенов")
        if row[0] is None:
            db.execute("UPDATE bus.token SET revoked_at = clock_timestamp() WHERE name = %s", (name,))
            audit.record(db, actor, "token.revoked", "token", name, f"Отозван токен {name}")


def person_of(database: Database, secret: str) -> Person | None:
    """Who calls with this secret, login `token:<name>`; None when it is unknown, revoked or over."""
    if not secret.startswith(PREFIX):
        return None
    with database.transaction() as connection:
        db = driver(connection)
        row = db.execute(
            "SELECT id, name, scopes, used_at IS NULL OR used_at < clock_timestamp() - make_interval(secs => %s) "
            "FROM bus.token WHERE hash = %s AND revoked_at IS NULL "
            "AND (expires_at IS NULL OR expires_at > clock_timestamp())",
            (USED_EVERY_S, _hash(secret)),
        ).fetchone()
        if row is None:
            return None
        if row[3]:
            db.execute("UPDATE bus.token SET used_at = clock_timestamp() WHERE id = %s", (row[0],))
    allowed = frozenset(row[2]) & frozenset(permissions.permissions())
    return Person(login=f"token:{row[1]}", name=f"Токен {row[1]}", permissions=allowed)


def listed(database: Database) -> list[Token]:
    """Every token, those that work first, then by name."""
    with database.transaction() as connection:
        rows = driver(connection).execute(
            "SELECT id, name, scopes, created_at, created_by, expires_at, used_at, revoked_at "
            "FROM bus.token ORDER BY name"
        )
        found = [Token(row[0], row[1], tuple(row[2]), *row[3:]) for row in rows]
    return sorted(found, key=lambda one: not one.works)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "backslashreplace")).digest()
