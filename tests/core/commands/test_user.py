"""`omsbus user`: accounts from the command line."""

from __future__ import annotations

import pytest

from core.access import accounts, entrance
from core.access.settings import AccessSettings
from core.errors import ConfigError, Permanent

PASSWORD = "берёзы у старой мельницы"


def add(omsbus, *more: str, answer: str = f"{PASSWORD}\n{PASSWORD}\n"):
    return omsbus(
        "user", "add", "ivanova", "--name", "Иванова Вера", "--roles", "operator, personal", *more, answer=answer
    )


@pytest.mark.feature("SMEV-11")
def test_a_new_person_signs_in_and_must_change_the_password(omsbus, database) -> None:
    said = add(omsbus)
    assert said.code == 0
    assert PASSWORD not in said.out
    entrance.sign_in(database, "ivanova", PASSWORD, AccessSettings())
    made = accounts.found(database, "ivanova")
    assert (made.roles, made.must_change) == (("operator", "personal"), True)


def test_a_password_comes_from_a_variable(omsbus, database, monkeypatch) -> None:
    monkeypatch.setenv("NEW_PASSWORD", PASSWORD)
    assert add(omsbus, "--password-env", "NEW_PASSWORD", "--own", answer="").code == 0
    assert not accounts.found(database, "ivanova").must_change
    monkeypatch.delenv("NEW_PASSWORD")
    said = omsbus("user", "password", "ivanova", "--password-env", "NEW_PASSWORD")
    assert "пуста" in said.error.reason


def test_a_password_is_never_an_argument(omsbus) -> None:
    assert add(omsbus, "--password", PASSWORD).code == 2


def test_a_weak_password_is_refused(omsbus, database) -> None:
    said = add(omsbus, answer="короткий\nкороткий\n")
    assert isinstance(said.error, ConfigError)
    assert not accounts.any_at_all(database)


def test_somebody_without_a_password_waits_for_the_provider(omsbus, database) -> None:
    assert add(omsbus, "--no-password", answer="").code == 0
    assert not accounts.found(database, "ivanova").has_password


def test_block_unblock_roles_and_a_new_password(omsbus, database) -> None:
    add(omsbus)
    assert omsbus("user", "block", "ivanova", "--reason", "уволена").code == 0
    assert "заблокирован" in omsbus("user", "list").out
    with pytest.raises(Permanent):
        entrance.sign_in(database, "ivanova", PASSWORD, AccessSettings())
    assert omsbus("user", "unblock", "ivanova").code == 0
    assert omsbus("user", "roles", "ivanova", "--roles", "auditor").code == 0
    other = "липы у новой мельницы"
    assert omsbus("user", "password", "ivanova", answer=f"{other}\n{other}\n").code == 0
    entrance.sign_in(database, "ivanova", other, AccessSettings())
    [row] = omsbus("user", "list", "--json").json
    assert (row["login"], row["roles"], row["must_change"]) == ("ivanova", ["auditor"], True)
    assert not {"password", "hash"} & set(row)


def test_nobody_yet_says_what_to_do(omsbus) -> None:
    assert "omsbus user add" in omsbus("user", "list").out


@pytest.mark.parametrize("command", ["block", "unblock"])
def test_an_unknown_person_is_said_so(omsbus, command: str) -> None:
    assert "Нет пользователя nobody" in omsbus("user", command, "nobody").error.reason


def test_the_audit_names_who_ruled_the_machine(omsbus) -> None:
    add(omsbus)
    [row] = omsbus("audit", "list", "--action", "account.created", "--json").json
    assert (row["actor"], row["via"], row["object_id"]) == ("ivanova", "cli", "ivanova")
