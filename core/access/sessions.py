"""Sessions of the console: a random cookie, of which the database knows only the hash."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from core import audit
from core.access.person import Person
from core.access.roles import permissions_of
from core.access.settings import AccessSettings
from core.database import Database, Driver, driver, storable
from core.errors import ConfigError

SEEN_EVERY_S: Final = 60
"""How exactly the last request of a session is known."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session as people see it. number: its hash in hex, which opens nothing."""

    number: str
    login: str
    name: str
    began_at: datetime
    seen_at: datetime
    address: str
    agent: str


def begin(database: Database, account_id: int, *, address: str, agent: str) -> str:
    """The cookie of a new session."""
    cookie = secrets.token_urlsafe(32)
    with database.transaction() as connection:
        driver(connection).execute(
            "INSERT INTO bus.session (hash, account_id, csrf, address, agent) VALUES (%s, %s, %s, %s, %s)",
            (_hash(cookie), account_id, secrets.token_urlsafe(24), address, storable(agent[:300])),
        )
    return cookie


def person_of(database: Database, cookie: str, settings: AccessSettings) -> Person | None:
    """Whose session it is; None when it is unknown or over, or the account is blocked."""
    with database.transaction() as connection:
        db = driver(connection)
        row = db.execute(
            "SELECT a.id, a.login, a.name, a.roles, a.timezone, a.theme, a.must_change, s.csrf, "
            "s.seen_at < clock_timestamp() - make_interval(secs => %(seen)s) "
            "FROM bus.session s JOIN bus.account a ON a.id = s.account_id WHERE s.hash = %(hash)s AND NOT a.blocked "
            "AND s.seen_at > clock_timestamp() - make_interval(secs => %(idle)s) "
            "AND s.began_at > clock_timestamp() - make_interval(secs => %(most)s)",
            {
                "hash": _hash(cookie),
                "seen": SEEN_EVERY_S,
                "idle": settings.session_idle_minutes * 60,
                "most": settings.session_most_hours * 3600,
            },
        ).fetchone()
        if row is None:
            return None
        if row[8]:
            db.execute("UPDATE bus.session SET seen_at = clock_timestamp() WHERE hash = %s", (_hash(cookie),))
        return Person(
            account_id=row[0],
            login=row[1],
            name=row[2],
            roles=tuple(row[3]),
            permissions=permissions_of(db, row[3]),
            timezone=row[4],
            theme=row[5],
            must_change=row[6],
            csrf=row[7],
        )


def end(database: Database, cookie: str) -> None:
    """Sign out. Idempotent."""
    with database.transaction() as connection:
        db = driver(connection)
        row = db.execute(
            "DELETE FROM bus.session s USING bus.account a WHERE s.hash = %s AND a.id = s.account_id RETURNING a.login",
            (_hash(cookie),),
        ).fetchone()
        if row is not None:
            audit.record(db, row[0], "session.ended", "account", row[0], "Выход")


def end_one(database: Database, number: str, *, actor: str, of: str = "") -> None:
    """End the session of this number. of: only when it is of this login. Raises ConfigError when there is none."""
    with database.transaction() as connection:
        db = driver(connection)
        row = db.execute(
            "DELETE FROM bus.session s USING bus.account a WHERE encode(s.hash, 'hex') = %(number)s "
            "AND a.id = s.account_id AND (%(of)s = '' OR a.login = %(of)s) RETURNING a.login",
            {"number": storable(number), "of": of},
        ).fetchone()
        if row is None:
            raise ConfigError("Этот сеанс уже закончился")
        audit.record(db, actor, "session.closed", "account", row[0], f"Завершён сеанс пользователя {row[0]}")


def end_all(database: Database, login: str, *, actor: str, but: str = "") -> int:
    """End every session of this login, except of the cookie `but`; how many."""
    with database.transaction() as connection:
        db = driver(connection)
        row = db.execute("SELECT id FROM bus.account WHERE login = %s", (storable(login),)).fetchone()
        if row is None:
            raise ConfigError(f"Нет пользователя {login}. Посмотрите список пользователей")
        ended = end_all_of(db, row[0], but=but)
        if ended:
            note = f"Завершены сеансы пользователя {login}: {ended}"
            audit.record(db, actor, "session.closed", "account", login, note)
        return ended


def end_all_of(db: Driver, account_id: int, *, but: str = "") -> int:
    """The same inside a transaction that says in the audit why."""
    return db.execute("DELETE FROM bus.session WHERE account_id = %s AND hash <> %s", (account_id, _hash(but))).rowcount


def sweep(db: Driver, settings: AccessSettings) -> None:
    """Forget sessions that are over."""
    db.execute(
        "DELETE FROM bus.session WHERE seen_at < clock_timestamp() - make_interval(secs => %s) "
        "OR began_at < clock_timestamp() - make_interval(secs => %s)",
        (settings.session_idle_minutes * 60, settings.session_most_hours * 3600),
    )


def listed(database: Database, settings: AccessSettings, *, login: str = "") -> list[Session]:
    """Sessions that are not over, of everybody or of this login; the last seen first."""
    with database.transaction() as connection:
        db = driver(connection)
        sweep(db, settings)
        rows = db.execute(
            "SELECT encode(s.hash, 'hex'), a.login, a.name, s.began_at, s.seen_at, s.address, s.agent "
            "FROM bus.session s JOIN bus.account a ON a.id = s.account_id WHERE %(login)s IN ('', a.login) "
            "ORDER BY s.seen_at DESC LIMIT 500",
            {"login": login},
        ).fetchall()
    return [Session(*row) for row in rows]


def number_of(cookie: str) -> str:
    """The number of this cookie's session."""
    return _hash(cookie).hex()


def _hash(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode("utf-8", "backslashreplace")).digest()
