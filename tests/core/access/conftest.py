"""What tests of access share: a cheap hash, people of the console, what the audit says."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from argon2 import PasswordHasher

from core import trail
from core.access import accounts, passwords, sessions
from core.access.person import Person
from core.access.settings import AccessSettings
from core.database import Database
from core.trail import Wanted

PASSWORD = "берёзы у старой мельницы"


@pytest.fixture(autouse=True)
def cheap_hash(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The rules are tested here, not argon2."""
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._nobody.cache_clear()
    yield
    passwords._nobody.cache_clear()


@pytest.fixture
def rules() -> AccessSettings:
    return AccessSettings()


@pytest.fixture
def person_of(database: Database, rules: AccessSettings) -> Callable[..., Person]:
    """Somebody signed in with these roles."""

    def make(login: str, *roles: str) -> Person:
        account = accounts.create(database, login, f"Проверяющий {login}", PASSWORD, roles, actor="test")
        found = sessions.person_of(database, sessions.begin(database, account, address="", agent=""), rules)
        assert found
        return found

    return make


@pytest.fixture
def audited(database: Database) -> Callable[[], list[tuple[str, str, str]]]:
    """(actor, action, object id) of everything so far but the making of accounts, the oldest first."""

    def read() -> list[tuple[str, str, str]]:
        rows = trail.rows(database, Wanted(), 1000)
        return [(one.actor, one.action, one.object_id) for one in reversed(rows) if one.action != "account.created"]

    return read
