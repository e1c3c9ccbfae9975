"""The web application while the bus is still opening: nobody is told "never" where "not yet" is meant."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from console.app import Console


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


def test_an_unknown_address_of_an_open_bus_is_unknown(console: Console, bus_of) -> None:
    bus = bus_of()
    bus.start(intake=False, work=False, schedule=False)
    console.serve(bus)
    assert answer(console, "POST", "/nowhere").status_code == 404
    assert answer(console, "GET", "/healthz").status_code == 200
