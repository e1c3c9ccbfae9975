"""Sessions end by idleness, by age, by a person; the cookie is nowhere in the database."""

from __future__ import annotations

import pytest

from core.access import accounts, sessions
from core.database import Database, driver
from core.errors import ConfigError

PASSWORD = "берёзы у старой мельницы"


@pytest.fixture
def account(database: Database) -> int:
    return accounts.create(database, "ivanova", "Иванова Вера", PASSWORD, ["operator"], actor="test")


def begin(database: Database, account: int) -> str:
    return sessions.begin(database, account, address="10.0.0.1", agent="Mozilla/5.0 (X11; Linux) Firefox/130")


@pytest.mark.parametrize("column", ["seen_at", "began_at"])
@pytest.mark.feature("SMEV-11")
def test_a_session_ends_after_its_term(database, account, rules, column: str) -> None:
    cookie = begin(database, account)
    assert sessions.person_of(database, cookie, rules)
    with database.transaction() as connection:
        driver(connection).execute(f"UPDATE bus.session SET {column} = clock_timestamp() - interval '13 h'")  # type: ignore[arg-type]
    assert not sessions.person_of(database, cookie, rules)
    assert sessions.listed(database, rules) == []


@pytest.mark.parametrize("cookie", ["", "x", "\x00", "\ud800", "a" * 10_000])
def test_a_cookie_of_somebody_else_opens_nothing(database, account, rules, cookie: str) -> None:
    begin(database, account)
    assert sessions.person_of(database, cookie, rules) is None


def test_the_cookie_is_not_in_the_database(database, account) -> None:
    cookie = begin(database, account)
    with database.transaction() as connection:
        rows = driver(connection).execute("SELECT s::text FROM bus.session s").fetchall()
    assert cookie not in str(rows)


def test_a_person_ends_his_sessions_but_this_one(database, account, rules, audited) -> None:
    here, elsewhere = begin(database, account), begin(database, account)
    assert sessions.end_all(database, "ivanova", actor="ivanova", but=here) == 1
    assert sessions.person_of(database, here, rules)
    assert not sessions.person_of(database, elsewhere, rules)
    assert sessions.end_all(database, "ivanova", actor="ivanova", but=here) == 0
    assert audited() == [("ivanova", "session.closed", "ivanova")]


def test_a_session_is_ended_by_its_number_and_only_its_own(database, account, rules) -> None:
    cookie = begin(database, account)
    number = sessions.number_of(cookie)
    with pytest.raises(ConfigError, match="уже закончился"):
        sessions.end_one(database, number, actor="petrov", of="petrov")
    for nonsense in ("", "zz", "\x00".strip("\x00"), "%"):
        with pytest.raises(ConfigError, match="уже закончился"):
            sessions.end_one(database, nonsense, actor="admin")
    sessions.end_one(database, number, actor="admin")
    assert not sessions.person_of(database, cookie, rules)


def test_a_sign_out_is_audited_once(database, account, audited) -> None:
    cookie = begin(database, account)
    sessions.end(database, cookie)
    sessions.end(database, cookie)
    assert audited() == [("ivanova", "session.ended", "ivanova")]
