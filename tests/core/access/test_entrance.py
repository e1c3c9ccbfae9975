"""Sign-in with a password: one refusal for everything, locks, slow-down, what the audit keeps."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher

from core.access import accounts, entrance, passwords
from core.access.entrance import REFUSAL, TooManyAttempts
from core.access.settings import AccessSettings
from core.database import Database, driver
from core.errors import Permanent

PASSWORD = "берёзы у старой мельницы"
Audited = Callable[[], list[tuple[str, str, str]]]


@pytest.fixture
def ivanova(database: Database) -> int:
    return accounts.create(database, "ivanova", "Иванова Вера", PASSWORD, ["operator"], actor="test")


def refused(database: Database, login: str, password: str, rules: AccessSettings, address: str = "10.0.0.1") -> str:
    with pytest.raises(Permanent) as told:
        entrance.sign_in(database, login, password, rules, address=address)
    return told.value.reason


def sql(database: Database, statement: str) -> None:
    with database.transaction() as connection:
        driver(connection).execute(statement)  # type: ignore[arg-type]


def test_the_right_password_lets_in_and_is_audited(database, ivanova, rules, audited: Audited) -> None:
    assert entrance.sign_in(database, " Ivanova ", PASSWORD, rules, address="10.0.0.1") == ivanova
    assert audited() == [("ivanova", "session.began", "ivanova")]
    assert accounts.found(database, "ivanova").signed_in_at


@pytest.mark.feature("SMEV-11")
def test_every_refusal_says_the_same(database, ivanova, rules) -> None:
    accounts.create(database, "outside", "Внешний Пётр", "", ["operator"], actor="test")
    accounts.create(database, "blocked", "Бывший Олег", PASSWORD, ["operator"], actor="test")
    accounts.block(database, "blocked", actor="test")
    told = [
        refused(database, "nobody", PASSWORD, rules),
        refused(database, "", "", rules),
        refused(database, "ivanova", "другой пароль", rules),
        refused(database, "outside", "", rules),
        refused(database, "blocked", PASSWORD, rules),
        refused(database, "\x00ivanova\ud800", PASSWORD, rules),
    ]
    assert set(told) == {REFUSAL}


def test_every_refusal_does_the_same_work(database, ivanova, rules, monkeypatch) -> None:
    """One hash is computed whether the login exists, has a password, is blocked, or not."""
    accounts.create(database, "outside", "Внешний Пётр", "", ["operator"], actor="test")
    accounts.create(database, "blocked", "Бывший Олег", PASSWORD, ["operator"], actor="test")
    accounts.block(database, "blocked", actor="test")
    passwords.fits("warm", None)
    checked: list[str] = []
    real = passwords._hasher

    class Counting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:
            checked.append(login)
            return real.verify(hash, password)

    monkeypatch.setattr(passwords, "_hasher", Counting(time_cost=1, memory_cost=8, parallelism=1))
    logins = ["nobody", "ivanova", "outside", "blocked"]
    for login in logins:
        refused(database, login, "другой пароль", rules)
    assert checked == logins


def test_wrong_passwords_in_a_row_close_the_account_for_a_while(database, ivanova, rules, audited: Audited) -> None:
    for _ in range(rules.failures_most):
        refused(database, "ivanova", "другой пароль", rules)
    assert accounts.found(database, "ivanova").locked
    assert refused(database, "ivanova", PASSWORD, rules) == REFUSAL
    assert audited()[rules.failures_most] == ("", "account.locked", "ivanova")
    sql(database, "UPDATE bus.account SET locked_until = clock_timestamp() - interval '1 s'")
    assert entrance.sign_in(database, "ivanova", PASSWORD, rules) == ivanova


def test_trying_on_does_not_lengthen_the_lock(database, ivanova, rules) -> None:
    for _ in range(rules.failures_most):
        refused(database, "ivanova", "другой пароль", rules)
    until = accounts.found(database, "ivanova").locked_until
    for _ in range(rules.failures_most + 1):
        refused(database, "ivanova", "другой пароль", rules)
    assert accounts.found(database, "ivanova").locked_until == until


def test_a_success_forgets_the_failures_before_it(database, ivanova, rules) -> None:
    for _ in range(2):
        for _ in range(rules.failures_most - 1):
            refused(database, "ivanova", "другой пароль", rules)
        entrance.sign_in(database, "ivanova", PASSWORD, rules)


def test_guesses_at_once_are_all_counted(database, ivanova, rules) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: refused(database, "ivanova", "другой пароль", rules), range(6)))
    assert accounts.found(database, "ivanova").locked


def test_an_address_that_tries_many_logins_has_to_wait(database, ivanova, audited: Audited) -> None:
    rules = AccessSettings(address_failures_most=3)
    for number in range(3):
        refused(database, f"guess{number}", "другой пароль", rules)
    with pytest.raises(TooManyAttempts) as told:
        entrance.sign_in(database, "ivanova", PASSWORD, rules, address="10.0.0.1")
    assert 0 < told.value.pause_s <= entrance.PAUSE_MOST_S
    assert len(audited()) == 3, "what is not even looked at fills no audit"
    assert entrance.sign_in(database, "ivanova", PASSWORD, rules, address="10.0.0.2") == ivanova
    sql(database, "UPDATE bus.sign_in_failure SET last_at = last_at - interval '2 min'")
    assert entrance.sign_in(database, "ivanova", PASSWORD, rules, address="10.0.0.1") == ivanova


def test_the_pause_of_an_address_grows_and_ends(database, ivanova) -> None:
    rules = AccessSettings(address_failures_most=1)
    refused(database, "guess", "другой пароль", rules)
    sql(database, "UPDATE bus.sign_in_failure SET failures = 500, last_at = clock_timestamp()")
    with pytest.raises(TooManyAttempts) as told:
        entrance.sign_in(database, "ivanova", PASSWORD, rules, address="10.0.0.1")
    assert told.value.pause_s == entrance.PAUSE_MOST_S
    sql(database, "UPDATE bus.sign_in_failure SET last_at = last_at - interval '1 day'")
    refused(database, "guess", "другой пароль", rules)
    with database.transaction() as connection:
        assert driver(connection).execute("SELECT failures FROM bus.sign_in_failure").fetchall() == [(1,)]


def test_addresses_of_one_network_are_one(database) -> None:
    rules = AccessSettings(address_failures_most=2)
    refused(database, "guess", "x", rules, "2001:db8:1:2::1")
    refused(database, "guess", "x", rules, "2001:db8:1:2:ffff::7")
    with pytest.raises(TooManyAttempts):
        entrance.sign_in(database, "guess", "x", rules, address="2001:db8:1:2::9")
    refused(database, "guess", "x", rules, "2001:db8:1:3::1")


def test_what_was_typed_as_an_unknown_login_is_not_kept(database, rules, audited: Audited) -> None:
    refused(database, PASSWORD, "", rules)
    assert audited() == [("", "session.refused", "")]


def test_an_old_hash_is_made_anew_at_sign_in(database, ivanova, rules) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=16, parallelism=2).hash(PASSWORD)
    sql(database, f"UPDATE bus.account SET password = '{weak}'")
    assert entrance.sign_in(database, "ivanova", PASSWORD, rules) == ivanova
    with database.transaction() as connection:
        row = driver(connection).execute("SELECT password FROM bus.account").fetchone()
    assert row
    assert row[0] != weak
    assert entrance.sign_in(database, "ivanova", PASSWORD, rules) == ivanova


def test_an_account_closed_while_the_hash_is_computed_does_not_open(database, ivanova, rules, monkeypatch) -> None:
    real = passwords.fits

    def slow(password: str, kept: str | None) -> bool:
        accounts.block(database, "ivanova", actor="test")
        return real(password, kept)

    monkeypatch.setattr(passwords, "fits", slow)
    assert refused(database, "ivanova", PASSWORD, rules) == REFUSAL
