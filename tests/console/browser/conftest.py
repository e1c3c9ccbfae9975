"""A real browser before the console of a real show: СМЭВ simulator, bus, faults, kill -9, then people at work.

The show is played once for all tests of this folder. Screenshots go to build/screenshots.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from rich.console import Console

from core.database import Database
from simulators.demo.accounts import introduce
from simulators.demo.commands import play
from simulators.demo.world import World

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
SHOTS = Path(__file__).resolve().parents[3] / "build" / "screenshots"
WIDTH, HEIGHT = 1366, 768


@dataclass
class Show:
    """The running show. passwords: login → password."""

    world: World
    database: Database
    passwords: dict[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.world.bus_port}"


@pytest.fixture(scope="session")
def show() -> Iterator[Show]:
    # Not under pytest's own folder: the embedded server runs as another user, who may not enter it.
    with tempfile.TemporaryDirectory(prefix="omsbus-show-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with World(folder / "data") as world:
            database = Database(world.database_url)
            with open(folder / "screen.txt", "w", encoding="utf-8") as screen:
                account = play(Console(file=screen), world, database, seed=1, scale=0.3)
            assert account.ok
            told = introduce(database)
            yield Show(world, database, {player.login: password for player, password in told})
            database.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--lang=ru-RU", "--disable-dev-shm-usage"]
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield started
        started.close()


class Desk:
    """A person before a page. `troubles`: what the browser complained of."""

    def __init__(self, show: Show, page: Page) -> None:
        self.show = show
        self.page = page
        self.troubles: list[str] = []
        page.on("pageerror", lambda error: self.troubles.append(f"{page.url}: {error}"))
        page.on("console", self._hear)

    def _hear(self, said: Any) -> None:
        if said.type == "error" and "status of 4" not in said.text:
            self.troubles.append(f"{self.page.url}: {said.text}")

    def sign_in(self, login: str) -> Desk:
        self.page.goto(f"{self.show.url}/login")
        self.page.fill("#login", login)
        self.page.fill("#password", self.show.passwords[login])
        self.page.get_by_role("button", name="Войти", exact=True).click()
        self.page.wait_for_url(lambda url: "/login" not in url)
        return self

    def open(self, path: str) -> int:
        """Go there; the status."""
        answer = self.page.goto(self.show.url + path)
        assert answer
        return answer.status

    def confirm(self) -> None:
        """Press the deed in the question that the page asks."""
        self.page.locator("dialog.question .btn-primary").click()

    def shoot(self, name: str) -> None:
        """Keep what is seen now."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(SHOTS / f"{name}.png"), full_page=True)


@pytest.fixture
def sit_down(show: Show, browser: Browser) -> Iterator[Callable[..., Desk]]:
    """A new person before a browser of his own; signed in when a login is given."""
    contexts: list[BrowserContext] = []

    def make(login: str = "", *, width: int = WIDTH, height: int = HEIGHT, dark: bool = False) -> Desk:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            locale="ru-RU",
            timezone_id="Europe/Moscow",
            color_scheme="dark" if dark else "light",
        )
        context.set_default_timeout(20_000)
        contexts.append(context)
        desk = Desk(show, context.new_page())
        return desk.sign_in(login) if login else desk

    yield make
    for context in contexts:
        context.close()
