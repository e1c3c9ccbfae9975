"""Tokens of the REST API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.access import tokens
from core.database import Database, driver
from core.errors import ConfigError


def used_at(database: Database) -> datetime | None:
    return tokens.listed(database)[0].used_at


@pytest.mark.feature("SMEV-11")
def test_a_token_may_what_it_was_given_and_nothing_else(database) -> None:
    _, secret = tokens.issue(database, "reports", ["queues.read", "desk.read"], None, "admin")
    person = tokens.person_of(database, secret)
    assert person
    assert (person.login, person.csrf, person.account_id) == ("token:reports", "", None)
    assert person.permissions == {"queues.read", "desk.read"}


def test_the_secret_is_not_in_the_database_and_not_in_the_audit(database) -> None:
    _, secret = tokens.issue(database, "reports", ["queues.read"], None, "admin")
    with database.transaction() as connection:
        kept = driver(connection).execute(
            "SELECT (SELECT string_agg(t::text, ' ') FROM bus.token t), "
            "(SELECT string_agg(a::text, ' ') FROM bus.audit a)"
        )
        assert secret not in str(kept.fetchall())
    assert secret not in repr(tokens.listed(database))


@pytest.mark.parametrize("secret", ["", "omsbus_", "omsbus_x", "\x00", "omsbus_\ud800", "Bearer x"])
def test_a_wrong_secret_is_nobody(database, secret: str) -> None:
    tokens.issue(database, "reports", ["queues.read"], None, "admin")
    assert tokens.person_of(database, secret) is None


def test_a_token_ends_with_its_term(database) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    _, secret = tokens.issue(database, "reports", ["queues.read"], soon, "admin")
    assert tokens.person_of(database, secret)
    with database.transaction() as connection:
        driver(connection).execute("UPDATE bus.token SET expires_at = clock_timestamp()")
    assert tokens.person_of(database, secret) is None
    assert not tokens.listed(database)[0].works
    with pytest.raises(ConfigError, match="прошёл"):
        tokens.issue(database, "late", ["queues.read"], datetime.now(UTC), "admin")


def test_a_revoked_token_is_nobody_at_once_and_its_name_is_spent(database, audited) -> None:
    _, secret = tokens.issue(database, "reports", ["queues.read"], None, "admin")
    tokens.revoke(database, "reports", actor="admin")
    tokens.revoke(database, "reports", actor="admin")
    assert tokens.person_of(database, secret) is None
    with pytest.raises(ConfigError, match="уже был"):
        tokens.issue(database, "reports", ["queues.read"], None, "admin")
    with pytest.raises(ConfigError, match="Нет токена"):
        tokens.revoke(database, "nothing", actor="admin")
    assert audited() == [("admin", "token.issued", "reports"), ("admin", "token.revoked", "reports")]


def test_a_use_is_noted_at_most_once_a_minute(database) -> None:
    _, secret = tokens.issue(database, "reports", ["queues.read"], None, "admin")
    assert used_at(database) is None
    tokens.person_of(database, secret)
    first = used_at(database)
    tokens.person_of(database, secret)
    assert first
    assert used_at(database) == first
    with database.transaction() as connection:
        driver(connection).execute("UPDATE bus.token SET used_at = used_at - interval '61 s'")
    tokens.person_of(database, secret)
    assert used_at(database) > first


@pytest.mark.parametrize(
    ("name", "scopes", "why"),
    [
        ("Отчёты", ["queues.read"], "Имя токена"),
        ("", ["queues.read"], "Имя токена"),
        ("reports", [], "хотя бы одно"),
        ("reports", ["queues.explode"], "Нет права"),
    ],
    ids=["name", "no name", "no scope", "unknown scope"],
)
def test_a_token_that_makes_no_sense_is_refused(database, name: str, scopes: list[str], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        tokens.issue(database, name, scopes, None, "admin")


@pytest.mark.feature("BUS-14")
def test_a_token_gets_no_personal_data_from_who_has_none(database, person_of) -> None:
    admin, doctor = person_of("admin", "administrator"), person_of("doctor", "administrator", "personal")
    with pytest.raises(ConfigError, match="даёт только тот"):
        tokens.issue(database, "reports", ["personal.read"], None, "admin", giver=admin)
    tokens.issue(database, "reports", ["personal.read"], None, "doctor", giver=doctor)


def test_who_may_not_give_gives_only_his_own(database, person_of) -> None:
    operator = person_of("operator1", "operator")
    with pytest.raises(ConfigError, match="даёт только тот"):
        tokens.issue(database, "reports", ["audit.read"], None, "operator1", giver=operator)


def test_a_permission_that_the_program_has_no_more_gives_nothing(database) -> None:
    _, secret = tokens.issue(database, "reports", ["queues.read"], None, "admin")
    with database.transaction() as connection:
        driver(connection).execute("UPDATE bus.token SET scopes = '{queues.read,gone.write}'")
    person = tokens.person_of(database, secret)
    assert person
    assert person.permissions == {"queues.read"}
