"""Sign-in with a password: locks an account after wrong passwords in a row, slows an address that tries many.

A refusal says one sentence, after the same work, whatever is wrong: no such login, another password, a blocked account,
an account that is locked for a while, one without a password. Failures are audited, but never the login of an account
that does not exist: people type passwords there.
"""

from __future__ import annotations

import ipaddress
import math
from datetime import UTC, datetime
from typing import Final

from core import audit
from core.access import passwords, sessions
from core.access.settings import AccessSettings
from core.database import Database, Driver, driver, storable
from core.errors import Permanent

PAUSE_MOST_S: Final = 60
"""How long an address waits between two attempts, at most: behind one may sit a whole office."""
REFUSAL: Final = (
    "Имя или пароль не подходят, либо вход на время закрыт после нескольких неудач. "
    "Проверьте раскладку и попробуйте ещё раз; если пароль забыт, новый выдаст администратор"
)


class TooManyAttempts(Permanent):
    """Слишком много неудачных попыток с этого адреса. `pause_s` is how long to wait."""

    def __init__(self, pause_s: int) -> None:
        super().__init__(f"Слишком много неудачных попыток с этого адреса: подождите {pause_s} с и попробуйте ещё раз")
        self.pause_s = pause_s


def sign_in(database: Database, login: str, password: str, settings: AccessSettings, *, address: str = "") -> int:
    """The account's id. Raises Permanent with REFUSAL, TooManyAttempts before anything is looked at."""
    login = storable(login.strip().lower())
    place = _place(address)
    with database.transaction() as connection:
        db = driver(connection)
        _refuse_hasty(db, place, settings)
        row = db.execute(
            "SELECT password, blocked OR locked_until > clock_timestamp() IS TRUE FROM bus.account WHERE login = %s",
            (login,),
        ).fetchone()
    kept, closed = row or ("", False)
    fits = passwords.fits(password[: passwords.MOST + 1], kept)
    anew = passwords.hashed(password) if fits and not closed and passwords.is_outdated(kept) else kept
    with database.transaction() as connection:
        db = driver(connection)
        account_id = _enter(db, login, kept, anew) if fits and not closed else None
        if account_id is None:
            _failed(db, login, place, settings, counts=not closed)
        else:
            sessions.sweep(db, settings)
            audit.record(db, login, "session.began", "account", login, "Вход по паролю")
    if account_id is None:
        raise Permanent(REFUSAL)
    return account_id


def _enter(db: Driver, login: str, kept: str, anew: str) -> int | None:
    """None when the account was closed or got another password while we computed."""
    row = db.execute(
        "UPDATE bus.account SET password = %s, failures = 0, locked_until = NULL, signed_in_at = clock_timestamp() "
        "WHERE login = %s AND password = %s AND NOT blocked AND (locked_until > clock_timestamp()) IS NOT TRUE "
        "RETURNING id",
        (anew, login, kept),
    ).fetchone()
    return int(row[0]) if row else None


def _failed(db: Driver, login: str, place: str, settings: AccessSettings, *, counts: bool) -> None:
    """Count it, lock what is to be locked. counts: a closed account is not closed for longer by trying on."""
    row = db.execute(
        "UPDATE bus.account SET failures = CASE WHEN %(counts)s THEN failures + 1 ELSE failures END "
        "WHERE login = %(login)s RETURNING id, failures",
        {"counts": counts, "login": login},
    ).fetchone()
    db.execute(
        "DELETE FROM bus.sign_in_failure WHERE address IN (SELECT address FROM bus.sign_in_failure "
        "WHERE last_at < clock_timestamp() - make_interval(secs => %s) FOR UPDATE SKIP LOCKED)",
        (settings.lock_minutes * 60,),
    )
    db.execute(
        "INSERT INTO bus.sign_in_failure (address, failures) VALUES (%s, 1) ON CONFLICT (address) "
        "DO UPDATE SET failures = sign_in_failure.failures + 1, last_at = clock_timestamp()",
        (place,),
    )
    audit.record(db, "", "session.refused", "account", login if row else "", "Вход не удался")
    if row and counts and row[1] >= settings.failures_most:
        db.execute(
            "UPDATE bus.account SET failures = 0, locked_until = clock_timestamp() + make_interval(secs => %s) "
            "WHERE id = %s",
            (settings.lock_minutes * 60, row[0]),
        )
        note = f"Вход закрыт на {settings.lock_minutes:g} мин после неверных паролей: {row[1]}"
        audit.record(db, "", "account.locked", "account", login, note)


def _refuse_hasty(db: Driver, place: str, settings: AccessSettings) -> None:
    row = db.execute(
        "SELECT failures, last_at FROM bus.sign_in_failure WHERE address = %s "
        "AND last_at > clock_timestamp() - make_interval(secs => %s)",
        (place, settings.lock_minutes * 60),
    ).fetchone()
    if row is None or row[0] < settings.address_failures_most:
        return
    pause_s = min(PAUSE_MOST_S, 2 ** min(row[0] - settings.address_failures_most, 10))
    left_s = pause_s - (datetime.now(UTC) - row[1]).total_seconds()
    if left_s > 0:
        raise TooManyAttempts(math.ceil(left_s))


def _place(address: str) -> str:
    """Whom an address stands for: a network /64 for IPv6, of which one machine has as many as it likes."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return storable(address)
    if found.version == 6:
        return str(ipaddress.ip_network((int(found), 64), strict=False))
    return str(found)
