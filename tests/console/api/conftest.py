"""The API of a bus of this test, and callers with tokens.

def test_…(api_of):
    api = api_of(bus)
    caller = api.token("queues.read", "queues.operate")     # an httpx.Client
    assert caller.post("/queues/erz/pause", json={"reason": "…"}).json()["state"] == "paused"
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from console.api import pages
from core.access import tokens
from core.access.permissions import PERMISSIONS
from core.bus import Bus


class Api:
    """The API of one bus, without the pages around it."""

    def __init__(self, bus: Bus, keep: Callable[[TestClient], TestClient]) -> None:
        self.bus = bus
        self.app = FastAPI()
        pages.mount(self.app, bus)
        self._keep = keep
        self._numbers = itertools.count(1)

    def nobody(self) -> TestClient:
        """A caller without a token."""
        return self._keep(TestClient(self.app, base_url="http://console/api/v1", follow_redirects=False))

    def secret(self, *permissions: str, name: str = "") -> str:
        """The secret of a new token."""
        name = name or f"t{next(self._numbers)}"
        return tokens.issue(self.bus.database, name, permissions, None, "test")[1]

    def token(self, *permissions: str, name: str = "") -> TestClient:
        """A caller whose token has these scopes."""
        caller = self.nobody()
        caller.headers["Authorization"] = f"Bearer {self.secret(*permissions, name=name)}"
        return caller

    def everything(self) -> TestClient:
        """A caller who may do everything."""
        return self.token(*PERMISSIONS)


@pytest.fixture
def api_of() -> Iterator[Callable[[Bus], Api]]:
    """The API over an open bus."""
    with contextlib.ExitStack() as stack:
        yield lambda bus: Api(bus, stack.enter_context)
