"""Who is signed in now; any session can be ended."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from console.people.agents import device
from console.shell.page import SESSION_COOKIE, Page, allowed
from core.access import sessions

NEEDS = "people.write"
router = APIRouter()


@router.get("/sessions")
def listed(request: Request, page: Page = allowed(NEEDS)) -> Response:
    return page.show(
        "people/sessions.html",
        sessions=sessions.listed(page.bus.database, page.bus.settings.access),
        mine=sessions.number_of(request.cookies.get(SESSION_COOKIE, "")),
        device=device,
        rules=page.bus.settings.access,
    )


@router.post("/sessions/{number}/end")
def end(number: str, page: Page = allowed(NEEDS)) -> Response:
    sessions.end_one(page.bus.database, number, actor=page.actor)
    page.say("Сеанс завершён")
    return page.to("/sessions")
