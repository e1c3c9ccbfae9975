"""Accounts of people: made, changed, blocked. Every change is audited, and ends the sessions that it concerns.

`giver` is the person of the console whose right is checked (core.access.giving); None is the command line of the bus,
which whoever rules the machine uses. Nobody changes his own roles or blocks himself, and there is always an
administrator who can sign in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import available_timezones

from core import audit
from core.access import passwords
from core.access.giving import not_his_to_give, refuse_what_is_not_his_to_give
from core.access.person import Person
from core.access.roles import ADMINISTRATOR, permissions_of, roles_of
from core.access.sessions import end_all_of
from core.access.settings import AccessSettings
from core.database import Database, Driver, driver, storable
from core.errors import ConfigError

THEMES: Final = ("auto", "light", "dark")
NAME_MOST: Final = 200
_LOGIN: Final = re.compile(r"[a-zа-яё0-9][a-zа-яё0-9._@-]{1,63}")


@dataclass(frozen=True, slots=True)
class Account:
    """What is known of an account; never its password. subject: who this is at the OIDC provider."""

    id: int
    login: str
    name: str
    roles: tuple[str, ...]
    timezone: str
    theme: str
    blocked: bool
    locked_until: datetime | None
    must_change: bool
    has_password: bool
    subject: str
    created_at: datetime
    created_by: str
    signed_in_at: datetime | None

    @property
    def locked(self) -> bool:
        """Closed for a while after wrong passwords."""
        return self.locked_until is not None and self.locked_until > datetime.now(UTC)


_COLUMNS = (
    "id, login, name, roles, timezone, theme, blocked, locked_until, must_change, password <> '', subject, "
    "created_at, created_by, signed_in_at"
)


def create(
    database: Database,
    login: str,
    name: str,
    password: str,
    roles: Sequence[str],
    *,
    actor: str,
    giver: Person | None = None,
    rules: AccessSettings | None = None,
    must_change: bool = False,
) -> int:
    """A new account; its id.

    password     "" for a person who signs in at the OIDC provider only
    rules        what the password must satisfy; None: it was made by a program
    must_change  somebody else knows the password: the person gives another one first

    Raises ConfigError when the login is taken, a role is unknown or not the giver's to give, the password is weak.
    """
    login, name = _bare(login), " ".join(storable(name).split())
    if not _LOGIN.fullmatch(login):
        raise ConfigError("Имя для входа: от 2 до 64 знаков, буквы, цифры, точка, дефис, подчёркивание, @")
    _refuse_name(name)
    if password and rules:
        passwords.refuse_weak(password, login, name, rules)
    kept = passwords.hashed(password) if password else ""
    with database.transaction() as connection:
        db = driver(connection)
        wanted = _known_roles(db, roles)
        refuse_what_is_not_his_to_give(giver, permissions_of(db, wanted))
        row = db.execute(
            "INSERT INTO bus.account (login, name, password, roles, created_by, must_change) "
            "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (login) DO NOTHING RETURNING id",
            (login, name, kept, wanted, actor, must_change and bool(password)),
        ).fetchone()
        if row is None:
            raise ConfigError(f"Пользователь {login} уже есть: выберите другое имя для входа")
        note = f"Создан пользователь {login}"
        audit.record(db, actor, "account.created", "account", login, note, {"roles": wanted})
        return int(row[0])


def rename(database: Database, login: str, name: str, *, actor: str) -> None:
    """Another name of the person. Raises ConfigError."""
    name = " ".join(storable(name).split())
    _refuse_name(name)
    with database.transaction() as connection:
        db = driver(connection)
        account = _lock(db, login)
        if account.name != name:
            db.execute("UPDATE bus.account SET name = %s WHERE id = %s", (name, account.id))
            audit.record(db, actor, "account.renamed", "account", account.login, "Изменено имя пользователя")


def set_roles(database: Database, login: str, roles: Sequence[str], *, actor: str, giver: Person | None = None) -> None:
    """Exactly these roles; the person's sessions end. Raises ConfigError."""
    with database.transaction() as connection:
        db = driver(connection)
        account = _lock(db, login)
        _refuse_himself(giver, account, "Свои роли не меняют: это делает другой администратор")
        wanted = _known_roles(db, roles)
        change_roles(db, account, wanted, actor=actor, giver=giver)


def change_roles(
    db: Driver, account: Account, wanted: Sequence[str], *, actor: str, giver: Person | None = None
) -> None:
    """The same inside a transaction, for roles that are known to exist. Raises ConfigError."""
    before = set(account.roles)
    if before == set(wanted):
        return
    refuse_what_is_not_his_to_give(giver, permissions_of(db, wanted) - permissions_of(db, before))
    if ADMINISTRATOR in before and ADMINISTRATOR not in wanted:
        _refuse_last_administrator(db, account)
    db.execute(
        "UPDATE bus.account SET roles = %s, changed_at = clock_timestamp() WHERE id = %s", (list(wanted), account.id)
    )
    end_all_of(db, account.id)
    detail = {"added": sorted(set(wanted) - before), "removed": sorted(before - set(wanted))}
    note = f"Изменены роли пользователя {account.login}"
    audit.record(db, actor, "account.roles", "account", account.login, note, detail)


def block(database: Database, login: str, *, actor: str, giver: Person | None = None, reason: str = "") -> None:
    """He cannot sign in any more, and his sessions end. Idempotent. Raises ConfigError."""
    with database.transaction() as connection:
        db = driver(connection)
        account = _lock(db, login)
        _refuse_himself(giver, account, "Себя не блокируют: это делает другой администратор")
        if account.blocked:
            return
        if ADMINISTRATOR in account.roles:
            _refuse_last_administrator(db, account)
        db.execute("UPDATE bus.account SET blocked = true, changed_at = clock_timestamp() WHERE id = %s", (account.id,))
        end_all_of(db, account.id)
        note = f"Пользователь {account.login} заблокирован" + (f". {reason}" if reason else "")
        audit.record(db, actor, "account.blocked", "account", account.login, note)


def unblock(database: Database, login: str, *, actor: str) -> None:
    """He can sign in again, also when wrong passwords had closed the entrance for a while. Idempotent."""
    with database.transaction() as connection:
        db = driver(connection)
        account = _lock(db, login)
        if not account.blocked and not account.locked:
            return
        db.execute(
            "UPDATE bus.account SET blocked = false, locked_until = NULL, failures = 0, "
            "changed_at = clock_timestamp() WHERE id = %s",
            (account.id,),
        )
        note = f"Пользователь {account.login} разблокирован"
        audit.record(db, actor, "account.unblocked", "account", account.login, note)


def give_password(
    database: Database,
    login: str,
    password: str,
    rules: AccessSettings,
    *,
    actor: str,
    giver: Person | None = None,
    must_change: bool = True,
) -> None:
    """A new password from somebody else: the person must change it at the next sign-in; his sessions end.

    Who may not give a permission may not give a password to its holder either: with it he would sign in as him.
    Raises ConfigError.
    """
    account = found(database, login)
    _refuse_himself(giver, account, "Свой пароль меняют на странице «Мой профиль»")
    passwords.refuse_weak(password, account.login, account.name, rules)
    kept = passwords.hashed(password)
    with database.transaction() as connection:
        db = driver(connection)
        account = _lock(db, login)
        _refuse_the_mightier(db, giver, account)
        _keep_password(db, account, kept, must_change=must_change)
        end_all_of(db, account.id)
        note = f"Пользователю {account.login} выдан новый пароль"
        audit.record(db, actor, "account.password", "account", account.login, note)


def change_password(
    database: Database, login: str, old: str, new: str, rules: AccessSettings, *, cookie: str = ""
) -> None:
    """His own password; all his sessions end but that of this cookie. Raises ConfigError."""
    account = found(database, login)
    with database.transaction() as connection:
        row = driver(connection).execute("SELECT password FROM bus.account WHERE id = %s", (account.id,)).fetchone()
    if not passwords.fits(old, row[0] if row else ""):
        with database.transaction() as connection:
            note = "Свой пароль не изменён: нынешний введён неверно"
            audit.record(driver(connection), account.login, "account.password_refused", "account", account.login, note)
        raise ConfigError("Нынешний пароль не подходит: проверьте раскладку")
    if old == new:
        raise ConfigError("Новый пароль совпадает с нынешним: придумайте другой")
    passwords.refuse_weak(new, account.login, account.name, rules)
    kept = passwords.hashed(new)
    with database.transaction() as connection:
        db = driver(connection)
        account = _lock(db, login)
        _keep_password(db, account, kept, must_change=False)
        end_all_of(db, account.id, but=cookie)
        audit.record(db, account.login, "account.password", "account", account.login, "Сменил свой пароль")


def set_subject(database: Database, login: str, subject: str, *, actor: str, giver: Person | None = None) -> None:
    """Who this is at the OIDC provider (`sub`); "" unties. Raises ConfigError."""
    subject = storable(subject.strip())
    with database.transaction() as connection:
        db = driver(connection)
        account = _lock(db, login)
        _refuse_himself(giver, account, "Свою привязку не меняют: это делает другой администратор")
        _refuse_the_mightier(db, giver, account)
        if subject == account.subject:
            return
        if subject and db.execute("SELECT 1 FROM bus.account WHERE subject = %s", (subject,)).fetchone():
            raise ConfigError("Эта учётная запись организации уже привязана к другому пользователю")
        db.execute("UPDATE bus.account SET subject = %s WHERE id = %s", (subject, account.id))
        end_all_of(db, account.id)
        note = "Привязана учётная запись организации" if subject else "Отвязана учётная запись организации"
        audit.record(db, actor, "account.subject", "account", account.login, note)


def set_profile(database: Database, login: str, *, timezone: str, theme: str) -> None:
    """What a person sets for himself. Raises ConfigError."""
    if timezone not in available_timezones():
        raise ConfigError(f"Нет часового пояса {timezone}. Выберите из списка")
    if theme not in THEMES:
        raise ConfigError("Выберите оформление из списка")
    with database.transaction() as connection:
        db = driver(connection)
        account = _lock(db, login)
        if (account.timezone, account.theme) == (timezone, theme):
            return
        db.execute("UPDATE bus.account SET timezone = %s, theme = %s WHERE id = %s", (timezone, theme, account.id))
        detail = {"timezone": timezone, "theme": theme}
        audit.record(db, account.login, "account.profile", "account", account.login, "Изменил свой профиль", detail)


def listed(database: Database) -> list[Account]:
    """Every account, those that can sign in first, then by login."""
    with database.transaction() as connection:
        rows = driver(connection).execute(f"SELECT {_COLUMNS} FROM bus.account ORDER BY blocked, login").fetchall()
    return [_account(row) for row in rows]


def any_at_all(database: Database) -> bool:
    """Whether anybody has ever been given an account."""
    with database.transaction() as connection:
        return driver(connection).execute("SELECT 1 FROM bus.account LIMIT 1").fetchone() is not None


def found(database: Database, login: str) -> Account:
    """Raises ConfigError when there is none."""
    with database.transaction() as connection:
        return one_of(driver(connection), "login", _bare(login)) or _none(login)


def one_of(db: Driver, column: str, value: str, *, lock: bool = False) -> Account | None:
    """The account with this in its column `login` or `subject`."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM bus.account WHERE {column} = %s" + (" FOR UPDATE" if lock else ""), (value,)
    ).fetchone()
    return _account(row) if row else None


def what_he_may(database: Database, account: Account) -> frozenset[str]:
    """Every permission of an account."""
    with database.transaction() as connection:
        return permissions_of(driver(connection), account.roles)


def _account(row: tuple[Any, ...]) -> Account:
    return Account(row[0], row[1], row[2], tuple(row[3]), *row[4:])


def _lock(db: Driver, login: str) -> Account:
    return one_of(db, "login", _bare(login), lock=True) or _none(login)


def _bare(login: str) -> str:
    return storable(login.strip().lower())


def _none(login: str) -> Account:
    raise ConfigError(f"Нет пользователя {login}. Посмотрите список пользователей")


def _refuse_name(name: str) -> None:
    if not name or len(name) > NAME_MOST:
        raise ConfigError(f"Напишите фамилию и имя: до {NAME_MOST} знаков")


def _known_roles(db: Driver, roles: Sequence[str]) -> list[str]:
    """In order and once each; the own ones cannot be removed until this transaction ends. Raises ConfigError."""
    wanted = list(dict.fromkeys(storable(one) for one in roles))
    db.execute("SELECT 1 FROM bus.role WHERE name = ANY(%s) FOR SHARE", (wanted,))
    known = roles_of(db)
    if unknown := [one for one in wanted if one not in known]:
        raise ConfigError(f"Нет роли {unknown[0]}. Есть: {', '.join(sorted(known))}")
    return wanted


def _keep_password(db: Driver, account: Account, kept: str, *, must_change: bool) -> None:
    db.execute(
        "UPDATE bus.account SET password = %s, must_change = %s, failures = 0, locked_until = NULL, "
        "changed_at = clock_timestamp() WHERE id = %s",
        (kept, must_change, account.id),
    )


def _refuse_himself(giver: Person | None, account: Account, sentence: str) -> None:
    if giver and giver.account_id == account.id:
        raise ConfigError(sentence)


def _refuse_the_mightier(db: Driver, giver: Person | None, account: Account) -> None:
    if not_his_to_give(giver, permissions_of(db, account.roles)):
        raise ConfigError(
            f"У пользователя {account.login} есть доступ к персональным данным, а у вас его нет: "
            "вход в такую запись меняет тот, у кого доступ есть, или администратор сервера (omsbus user password)"
        )


def _refuse_last_administrator(db: Driver, account: Account) -> None:
    """Of two who do this to each other at once, the second waits for the first and is refused."""
    rows = db.execute(
        "SELECT id FROM bus.account WHERE %s = ANY(roles) AND NOT blocked ORDER BY id FOR UPDATE", (ADMINISTRATOR,)
    ).fetchall()
    if not {row[0] for row in rows} - {account.id}:
        raise ConfigError(f"{account.login} — последний действующий администратор: сначала назначьте ещё одного")
