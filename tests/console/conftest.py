"""What tests of the console share: a console over a bus of this test, and browsers of signed-in people.

def test_…(console_of):
    console = console_of(bus)
    operator = console.person("operator")            # roles; an httpx.Client with the session
    assert operator.get("/queues").status_code == 200
    operator.submit("/queues/erz/pause", reason="…")    # a POST with the secret of the session
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from argon2 import PasswordHasher
from starlette.testclient import TestClient

from console.app import Console
from console.shell.page import SESSION_COOKIE
from core.access import accounts, passwords, sessions
from core.bus import Bus
from core.database import Database, driver

PASSWORD = "очень длинный пароль 1"


class Browser(TestClient):
    """A client with a session; redirects are not followed, so that a test sees where it is sent."""

    bus: Bus
    login: str

    @property
    def secret(self) -> str:
        """The CSRF secret of this session."""
        person = sessions.person_of(self.bus.database, self.cookies[SESSION_COOKIE], self.bus.settings.access)
        assert person
        return person.csrf

    def submit(self, path: str, /, *, files: Any = None, **form: Any) -> Any:
        """POST a form as the page would."""
        return self.post(path, data={"csrf": self.secret} | form, files=files)


class Desk:
    """The console of one bus."""

    def __init__(self, bus: Bus, keep: Callable[[Any], Any]) -> None:
        self.bus = bus
        self.console = Console()
        self.console.serve(bus)
        self._keep = keep
        self._numbers = itertools.count(1)

    def nobody(self) -> Browser:
        """A client that has not signed in."""
        browser = Browser(self.console, base_url="http://console", follow_redirects=False)
        browser.bus, browser.login = self.bus, ""
        return self._keep(browser)  # type: ignore[no-any-return]

    def person(self, *roles: str, login: str = "") -> Browser:
        """Somebody signed in with these roles."""
        login = login or f"user{next(self._numbers)}"
        account = accounts.create(self.bus.database, login, f"Проверяющий {login}", PASSWORD, roles, actor="test")
        browser = self.nobody()
        browser.login = login
        browser.cookies[SESSION_COOKIE] = sessions.begin(self.bus.database, account, address="", agent="")
        return browser


@pytest.fixture
def rows(database: Database) -> Callable[..., list[tuple[Any, ...]]]:
    """What stands in the tables: rows("SELECT …", values…)."""

    def read(sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with database.transaction() as connection:
            return driver(connection).execute(sql, values or None).fetchall()  # type: ignore[arg-type]

    return read


@pytest.fixture(scope="session")
def desk_type() -> type[Desk]:
    """For tests that share one console: Desk(bus, keep)."""
    return Desk


@pytest.fixture(autouse=True)
def cheap_hash(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A password is hashed for every person of every test: not with the 64 MiB of the real thing."""
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._nobody.cache_clear()
    yield
    passwords._nobody.cache_clear()


@pytest.fixture
def console_of() -> Iterator[Callable[[Bus], Desk]]:
    """A console over an open bus."""
    with contextlib.ExitStack() as stack:
        yield lambda bus: Desk(bus, stack.enter_context)
