"""The web application while the bus is still opening: nobody is told "never" where "not yet" is meant."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from console.app import Console


class Open:
    """A bus that is open and takes nothing."""

    metrics = None

    def healthy(self) -> bool:
        return True

    def applications(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def console() -> Console:
    return Console()


async def _answer(console: Console, method: str, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=console)
    async with httpx.AsyncClient(transport=transport, base_url="http://bus") as client:
        return await client.request(method, path)


def answer(console: Console, method: str, path: str) -> httpx.Response:
    return asyncio.run(_answer(console, method, path))


@pytest.mark.feature("BUS-02")
def test_a_sender_is_asked_to_wait_while_the_bus_is_opening(console: Console) -> None:
    told = answer(console, "POST", "/in/w1")
    assert told.status_code == 503
    assert told.headers["retry-after"] == "2"
    assert answer(console, "GET", "/healthz").status_code == 503


def test_an_unknown_address_of_an_open_bus_is_unknown(console: Console) -> None:
    console.serve(Open())
    assert answer(console, "POST", "/nowhere").status_code == 404
    assert answer(console, "GET", "/healthz").status_code == 200
