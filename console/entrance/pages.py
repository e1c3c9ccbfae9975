"""Sign in, sign out."""

from __future__ import annotations

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from console.shell.page import SESSION_COOKIE, Page, address_of, allowed, here, render
from core.access import accounts, sessions
from core.errors import Permanent

OPEN = ("/login",)
"""Paths that need no session."""
router = APIRouter()


@router.get("/login")
def form(request: Request, next: str = "/") -> Response:
    return render(request, "entrance/login.html", None, next=here(next), login="", problem="")


@router.post("/login")
def sign_in(
    request: Request,
    login: str = Form(""),
    password: str = Form(""),
    next: str = Form("/"),
) -> Response:
    database = request.app.state.bus.database
    try:
        account_id = accounts.sign_in(database, login, password)
    except Permanent as error:
        return render(
            request, "entrance/login.html", None, status=401, next=here(next), login=login, problem=error.reason
        )
    cookie = sessions.begin(
        database, account_id, address=address_of(request), agent=request.headers.get("user-agent", "")
    )
    answer = RedirectResponse(here(next), status_code=303)
    secure = request.url.scheme == "https" or request.app.state.bus.settings.console_url.startswith("https:")
    answer.set_cookie(SESSION_COOKIE, cookie, httponly=True, samesite="lax", secure=secure)
    return answer


@router.post("/logout")
def sign_out(request: Request, page: Page = allowed()) -> Response:
    sessions.end(page.bus.database, request.cookies.get(SESSION_COOKIE, ""))
    answer = page.to("/login")
    answer.delete_cookie(SESSION_COOKIE)
    return answer
