"""Sessions of the console: a random cookie, of which the database knows only the hash."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from core.access.accounts import permissions_of
from core.access.person import Person
from core.access.settings import AccessSettings
from core.database import Database, driver

SEEN_EVERY_S: Final = 60
"""How exactly the last request of a session is known."""


def begin(database: Database, account_id: int, *, address: str, agent: str) -> str:
    """The cookie of a new session."""
    cookie = secrets.token_urlsafe(32)
    with database.transaction() as connection:
        driver(connection).execute(
            "INSERT INTO bus.session (hash, account_id, csrf, address, agent) VALUES (%s, %s, %s, %s, %s)",
            (_hash(cookie), account_id, secrets.token_urlsafe(24), address, agent[:300]),
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
        driver(connection).execute("DELETE FROM bus.session WHERE hash = %s", (_hash(cookie),))


def _hash(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode()).digest()
