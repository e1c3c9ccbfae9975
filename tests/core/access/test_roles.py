"""Own roles: made, changed, never more than may be given."""

from __future__ import annotations

import pytest

from core.access import accounts, permissions, roles, sessions
from core.access.settings import AccessSettings
from core.errors import ConfigError


def test_a_built_in_role_is_read_only(database) -> None:
    for name in permissions.roles():
        with pytest.raises(ConfigError, match=r"поставляется с шиной|Имя роли"):
            roles.save(database, name, "Моя", ["queues.read"], actor="test")
        with pytest.raises(ConfigError, match="поставляется с шиной"):
            roles.remove(database, name, actor="test")


@pytest.mark.parametrize(
    ("name", "title", "may", "why"),
    [
        ("Ночь", "Ночная", ["queues.read"], "Имя роли"),
        ("night", " ", ["queues.read"], "название"),
        ("night", "Ночная", [], "хотя бы одно"),
        ("night", "Ночная", ["queues.explode"], "Нет права"),
    ],
    ids=["name", "title", "nothing", "unknown"],
)
def test_a_role_that_makes_no_sense_is_refused(database, name: str, title: str, may: list[str], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        roles.save(database, name, title, may, actor="test", new=True)


def test_a_new_role_does_not_replace_an_old_one(database) -> None:
    roles.save(database, "night", "Ночная смена", ["queues.read"], actor="test", new=True)
    with pytest.raises(ConfigError, match="уже есть"):
        roles.save(database, "night", "Другая", ["queues.operate"], actor="test", new=True)
    with pytest.raises(ConfigError, match="Нет роли"):
        roles.save(database, "day", "Дневная", ["queues.operate"], actor="test")


@pytest.mark.feature("SMEV-11")
def test_a_change_counts_at_once_and_ends_sessions(database, person_of) -> None:
    roles.save(database, "night", "Ночная смена", ["queues.read"], actor="test", new=True)
    person_of("ivanova", "night")
    cookie = sessions.begin(database, accounts.found(database, "ivanova").id, address="", agent="")
    roles.save(database, "night", "Ночь", ["queues.read"], actor="test")
    assert sessions.person_of(database, cookie, AccessSettings()), "a title is no right"
    roles.save(database, "night", "Ночь", ["desk.read"], actor="test")
    assert not sessions.person_of(database, cookie, AccessSettings())
    assert accounts.what_he_may(database, accounts.found(database, "ivanova")) == {"desk.read"}


@pytest.mark.feature("BUS-14")
def test_personal_data_does_not_come_in_by_a_role(database, person_of) -> None:
    admin = person_of("admin", "administrator")
    with pytest.raises(ConfigError, match="даёт только тот"):
        roles.save(database, "night", "Ночь", ["personal.read"], actor="admin", giver=admin, new=True)
    roles.save(database, "night", "Ночь", ["personal.read", "desk.read"], actor="root", new=True)
    roles.save(database, "night", "Ночная", ["personal.read"], actor="admin", giver=admin)


def test_nobody_changes_a_role_that_he_holds(database, person_of) -> None:
    roles.save(database, "chief", "Начальник", ["people.write"], actor="test", new=True)
    chief = person_of("chief1", "chief")
    with pytest.raises(ConfigError, match="другой администратор"):
        roles.save(database, "chief", "Начальник", ["people.write", "queues.operate"], actor="chief1", giver=chief)


def test_an_own_role_cannot_shadow_a_built_in_one(database, person_of) -> None:
    """Even a row of another version of the program does not change what comes with the bus."""
    with database.transaction() as connection:
        from core.database import driver

        driver(connection).execute(
            "INSERT INTO bus.role (name, title, permissions) VALUES ('auditor', 'x', '{queues.operate}')"
        )
    assert not person_of("ivanova", "auditor").may("queues.operate")


def test_what_was_done_to_roles_is_audited(database, audited) -> None:
    roles.save(database, "night", "Ночь", ["queues.read"], actor="admin", new=True)
    roles.save(database, "night", "Ночь", ["queues.read"], actor="admin")
    roles.save(database, "night", "Ночь", ["desk.read"], actor="admin")
    roles.remove(database, "night", actor="admin")
    assert audited() == [("admin", f"role.{deed}", "night") for deed in ("created", "changed", "removed")]
