"""The console as a whole: deny by default, headers of safety, one menu."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Mount

from console import pages
from console.shell.page import _Gate


def routes_of(routes: list[BaseRoute]) -> Iterator[APIRoute]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "original_router"):  # FastAPI keeps an included router as one
            yield from routes_of(route.original_router.routes)


def gated(route: APIRoute) -> bool:
    return any(isinstance(one.call, _Gate) for one in route.dependant.dependencies)


@pytest.mark.feature("SMEV-11")
def test_every_page_asks_who_you_are(bus_of) -> None:
    app = pages.build(bus_of())
    open_paths = {path for area in pages.areas() for path in getattr(area, "OPEN", ())}
    found = list(routes_of(app.routes))
    assert len(found) > 2
    assert {route.path for route in found if not gated(route)} == open_paths


def test_a_stranger_is_sent_to_the_entrance_and_comes_back(bus_of, console_of) -> None:
    desk = console_of(bus_of())
    told = desk.nobody().get("/queues?state=paused")
    assert told.status_code == 303
    assert told.headers["location"] == "/login?next=%2Fqueues%3Fstate%3Dpaused"


def test_every_answer_has_the_headers_of_safety(bus_of, console_of) -> None:
    answer = console_of(bus_of()).nobody().get("/login")
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_change_without_the_secret_of_the_session_is_refused(bus_of, console_of) -> None:
    administrator = console_of(bus_of()).person("administrator")
    refused = administrator.post("/logout", data={})
    assert refused.status_code == 403
    assert "Форма устарела" in refused.text


def mounts_of(app: Any) -> list[str]:
    return [route.path for route in app.routes if isinstance(route, Mount)]


def test_what_is_mounted_is_known(bus_of) -> None:
    """A mounted application guards itself: each is named here with the test that proves it."""
    known = {"/static/console", "/static/admin"}
    assert set(mounts_of(pages.build(bus_of()))) <= known | {"/registry", "/api/v1"}
