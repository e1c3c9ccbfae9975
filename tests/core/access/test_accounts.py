"""Accounts: who may change whom, what ends sessions, the last administrator."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.access import accounts, roles, sessions
from core.access.person import Person
from core.access.settings import AccessSettings
from core.database import Database
from core.errors import ConfigError

PASSWORD = "берёзы у старой мельницы"
OTHER = "липы у новой мельницы"
PersonOf = Callable[..., Person]


def cookie_of(database: Database, login: str) -> str:
    return sessions.begin(database, accounts.found(database, login).id, address="10.0.0.1", agent="Firefox")


def works(database: Database, cookie: str) -> bool:
    return sessions.person_of(database, cookie, AccessSettings()) is not None


@pytest.mark.parametrize("login", ["", "a", "два слова", "token:x", "ivanova/../x", "x" * 65, "<b>"])
def test_a_login_that_would_confuse_the_audit_is_refused(database, login: str) -> None:
    with pytest.raises(ConfigError, match="Имя для входа"):
        accounts.create(database, login, "Иванова", PASSWORD, [], actor="test")


def test_a_login_is_given_once(database, person_of: PersonOf) -> None:
    person_of("ivanova")
    with pytest.raises(ConfigError, match="уже есть"):
        accounts.create(database, "Ivanova", "Другая", PASSWORD, [], actor="test")


def test_an_unknown_role_is_refused(database) -> None:
    with pytest.raises(ConfigError, match="Нет роли king"):
        accounts.create(database, "ivanova", "Иванова", PASSWORD, ["king"], actor="test")


def test_a_weak_password_makes_no_account(database, rules) -> None:
    with pytest.raises(ConfigError, match="короче"):
        accounts.create(database, "ivanova", "Иванова", "короткий", [], actor="test", rules=rules)
    assert not accounts.any_at_all(database)


@pytest.mark.parametrize(
    "change",
    [
        lambda db, rules: accounts.block(db, "ivanova", actor="test"),
        lambda db, rules: accounts.set_roles(db, "ivanova", ["auditor"], actor="test"),
        lambda db, rules: accounts.give_password(db, "ivanova", OTHER, rules, actor="test"),
        lambda db, rules: accounts.change_password(db, "ivanova", PASSWORD, OTHER, rules),
        lambda db, rules: accounts.set_subject(db, "ivanova", "someone", actor="test"),
    ],
    ids=["block", "roles", "given password", "own password", "subject"],
)
@pytest.mark.feature("SMEV-11")
def test_sessions_end_with_what_concerns_them(database, person_of: PersonOf, rules, change) -> None:
    person_of("ivanova", "operator")
    person_of("petrov", "operator")
    hers, his = cookie_of(database, "ivanova"), cookie_of(database, "petrov")
    change(database, rules)
    assert not works(database, hers)
    assert works(database, his)


@pytest.mark.parametrize(
    "change",
    [
        lambda db: accounts.set_roles(db, "ivanova", ["operator"], actor="test"),
        lambda db: accounts.rename(db, "ivanova", "Иванова-Петрова Вера", actor="test"),
        lambda db: accounts.set_profile(db, "ivanova", timezone="Asia/Omsk", theme="dark"),
        lambda db: accounts.unblock(db, "ivanova", actor="test"),
    ],
    ids=["same roles", "name", "profile", "unblock"],
)
def test_sessions_go_on_otherwise(database, person_of: PersonOf, change) -> None:
    person_of("ivanova", "operator")
    hers = cookie_of(database, "ivanova")
    change(database)
    assert works(database, hers)


def test_the_own_password_keeps_the_session_in_which_it_was_changed(database, person_of: PersonOf, rules) -> None:
    person_of("ivanova", "operator")
    here, elsewhere = cookie_of(database, "ivanova"), cookie_of(database, "ivanova")
    accounts.change_password(database, "ivanova", PASSWORD, OTHER, rules, cookie=here)
    assert works(database, here)
    assert not works(database, elsewhere)


def test_the_own_password_wants_the_old_one(database, person_of: PersonOf, rules, audited) -> None:
    person_of("ivanova", "operator")
    with pytest.raises(ConfigError, match="не подходит"):
        accounts.change_password(database, "ivanova", "не тот", OTHER, rules)
    with pytest.raises(ConfigError, match="совпадает"):
        accounts.change_password(database, "ivanova", PASSWORD, PASSWORD, rules)
    assert audited() == [("ivanova", "account.password_refused", "ivanova")]


def test_a_given_password_must_be_changed_and_an_own_one_not(database, person_of: PersonOf, rules) -> None:
    person_of("ivanova", "operator")
    accounts.give_password(database, "ivanova", OTHER, rules, actor="test")
    assert accounts.found(database, "ivanova").must_change
    accounts.change_password(database, "ivanova", OTHER, PASSWORD, rules)
    assert not accounts.found(database, "ivanova").must_change


@pytest.mark.feature("SMEV-11")
def test_nobody_changes_his_own_rights(database, person_of: PersonOf, rules) -> None:
    admin = person_of("admin", "administrator")
    person_of("second", "administrator")
    for refused in (
        lambda: accounts.set_roles(database, "admin", ["administrator", "operator"], actor="admin", giver=admin),
        lambda: accounts.block(database, "admin", actor="admin", giver=admin),
        lambda: accounts.give_password(database, "admin", OTHER, rules, actor="admin", giver=admin),
        lambda: accounts.set_subject(database, "admin", "x", actor="admin", giver=admin),
    ):
        with pytest.raises(ConfigError, match=r"другой администратор|Мой профиль"):
            refused()


@pytest.mark.feature("SMEV-11")
def test_the_last_administrator_stays(database, person_of: PersonOf) -> None:
    person_of("admin", "administrator")
    person_of("blocked", "administrator")
    accounts.block(database, "blocked", actor="test")
    with pytest.raises(ConfigError, match="последний действующий"):
        accounts.block(database, "admin", actor="test")
    with pytest.raises(ConfigError, match="последний действующий"):
        accounts.set_roles(database, "admin", ["operator"], actor="test")
    accounts.unblock(database, "blocked", actor="test")
    accounts.block(database, "admin", actor="test")


def test_two_administrators_cannot_block_each_other_at_once(database, person_of: PersonOf) -> None:
    people = {login: person_of(login, "administrator") for login in ("one", "two")}

    def attempt(pair: tuple[str, str]) -> bool:
        try:
            accounts.block(database, pair[1], actor=pair[0], giver=people[pair[0]])
        except ConfigError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(attempt, [("one", "two"), ("two", "one")]))
    assert sorted(done) == [False, True]


@pytest.mark.feature("BUS-14")
def test_an_administrator_cannot_let_himself_into_personal_data(database, person_of: PersonOf, rules) -> None:
    admin = person_of("admin", "administrator")
    person_of("doctor", "personal")
    person_of("friend", "operator")
    for refused in (
        lambda: accounts.create(database, "new1", "Новая", PASSWORD, ["personal"], actor="admin", giver=admin),
        lambda: accounts.set_roles(database, "friend", ["personal"], actor="admin", giver=admin),
        lambda: accounts.give_password(database, "doctor", OTHER, rules, actor="admin", giver=admin),
        lambda: accounts.set_subject(database, "doctor", "my-own-sub", actor="admin", giver=admin),
    ):
        with pytest.raises(ConfigError, match=r"[Пп]ерсональн"):
            refused()
    accounts.set_roles(database, "doctor", [], actor="admin", giver=admin)


def test_an_administrator_gives_what_he_lacks_when_it_is_not_personal(database, person_of: PersonOf) -> None:
    admin = person_of("admin", "administrator")
    assert not admin.may("erz.approve")
    accounts.create(database, "registrar", "Регистратор", PASSWORD, ["erz.approver"], actor="admin", giver=admin)


def test_who_has_personal_data_passes_it_on(database, person_of: PersonOf) -> None:
    admin = person_of("admin", "administrator", "personal")
    person_of("friend", "operator")
    accounts.set_roles(database, "friend", ["operator", "personal"], actor="admin", giver=admin)
    assert "personal.read" in accounts.what_he_may(database, accounts.found(database, "friend"))


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../../etc/passwd"])
def test_a_zone_that_is_none_is_refused(database, person_of: PersonOf, zone: str) -> None:
    person_of("ivanova")
    with pytest.raises(ConfigError, match="часового пояса"):
        accounts.set_profile(database, "ivanova", timezone=zone, theme="auto")


def test_a_role_in_use_stays_and_an_unused_one_goes(database, person_of: PersonOf) -> None:
    roles.save(database, "night", "Ночная смена", ["queues.read"], actor="test", new=True)
    person_of("ivanova", "night")
    with pytest.raises(ConfigError, match="ivanova"):
        roles.remove(database, "night", actor="test")
    accounts.set_roles(database, "ivanova", [], actor="test")
    roles.remove(database, "night", actor="test")
    with pytest.raises(ConfigError, match="Нет роли"):
        accounts.set_roles(database, "ivanova", ["night"], actor="test")


def test_every_change_is_one_row_of_the_audit(database, person_of: PersonOf, rules, audited) -> None:
    person_of("ivanova", "operator")
    accounts.rename(database, "ivanova", "Иванова-Петрова Вера", actor="admin")
    accounts.set_roles(database, "ivanova", ["auditor"], actor="admin")
    accounts.block(database, "ivanova", actor="admin", reason="уволена")
    accounts.block(database, "ivanova", actor="admin")
    accounts.unblock(database, "ivanova", actor="admin")
    accounts.give_password(database, "ivanova", OTHER, rules, actor="admin")
    accounts.set_profile(database, "ivanova", timezone="Asia/Omsk", theme="dark")
    accounts.set_subject(database, "ivanova", "someone", actor="admin")
    deeds = ["renamed", "roles", "blocked", "unblocked", "password", "profile", "subject"]
    assert [action for _, action, _ in audited()] == [f"account.{deed}" for deed in deeds]
