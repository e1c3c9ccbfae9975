"""Sign in, with a password or at the OIDC provider; sign out."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI, Form, Request
from fastapi.responses import RedirectResponse, Response

from console.shell.page import SESSION_COOKIE, Page, address_of, allowed, here, render
from core import audit
from core.access import accounts, entrance, oidc, sessions
from core.access.entrance import TooManyAttempts
from core.access.oidc import OidcSignIn
from core.errors import BusError, Permanent, Unavailable

if TYPE_CHECKING:
    from core.bus import Bus

OPEN = ("/login", "/login/oidc", "/login/oidc/done")
"""Paths that need no session."""
OIDC_COOKIE: Final = "omsbus_oidc"
OIDC_MOST_S: Final = 600
"""How long a person may take at the provider."""
router = APIRouter()


def mount(app: FastAPI, bus: Bus) -> None:
    """The provider of the settings; it is asked nothing until somebody wants to sign in there."""
    wanted = bus.settings.access.oidc
    app.state.oidc = OidcSignIn(wanted) if wanted else None


@router.get("/login")
def form(request: Request, next: str = "/") -> Response:
    return _form(request, next)


@router.post("/login")
def sign_in(
    request: Request,
    login: str = Form(""),
    password: str = Form(""),
    next: str = Form("/"),
) -> Response:
    bus = request.app.state.bus
    if _is_foreign(request):
        return _form(request, next, status=403, problem="Форма открыта с другого сайта: войдите здесь")
    audit.comes_from("console", address_of(request))
    try:
        account_id = entrance.sign_in(bus.database, login, password, bus.settings.access, address=address_of(request))
    except TooManyAttempts as error:
        answer = _form(request, next, status=429, login=login, problem=error.reason)
        answer.headers["retry-after"] = str(error.pause_s)
        return answer
    except Permanent as error:
        return _form(request, next, status=401, login=login, problem=error.reason)
    return _begin(request, account_id, next)


@router.get("/login/oidc")
def to_provider(request: Request, next: str = "/") -> Response:
    provider: OidcSignIn | None = request.app.state.oidc
    if provider is None:
        return _form(request, next, status=404, problem="Вход через организацию не настроен: войдите по паролю")
    try:
        start = provider.start(_redirect_uri(request))
    except BusError as error:
        return _form(request, next, status=503, problem=error.reason)
    answer = RedirectResponse(start.url, status_code=303)
    kept = base64.urlsafe_b64encode(json.dumps([start.cookie, here(next)]).encode()).decode()
    answer.set_cookie(
        OIDC_COOKIE, kept, max_age=OIDC_MOST_S, path="/login", httponly=True, samesite="lax", secure=_is_safe(request)
    )
    return answer


@router.get("/login/oidc/done")
def from_provider(request: Request, state: str = "", code: str = "", error: str = "") -> Response:
    bus, provider = request.app.state.bus, request.app.state.oidc
    cookie, target = _kept(request)
    audit.comes_from("console", address_of(request))
    try:
        if provider is None or error:
            raise Permanent("Провайдер входа вас не пустил: начните вход снова или войдите по паролю")
        claims = provider.finish(cookie, state, code, _redirect_uri(request))
        answer = _begin(request, oidc.sign_in(bus.database, claims, bus.settings.access), target)
    except BusError as problem:
        status = 503 if isinstance(problem, Unavailable) else 401
        answer = _form(request, target, status=status, problem=problem.reason)
    answer.delete_cookie(OIDC_COOKIE, path="/login")
    return answer


@router.post("/logout")
def sign_out(request: Request, page: Page = allowed()) -> Response:
    sessions.end(page.bus.database, request.cookies.get(SESSION_COOKIE, ""))
    answer = page.to("/login")
    answer.delete_cookie(SESSION_COOKIE)
    return answer


def _form(request: Request, target: str, *, status: int = 200, login: str = "", problem: str = "") -> Response:
    bus = request.app.state.bus
    return render(
        request,
        "entrance/login.html",
        None,
        status=status,
        next=here(target),
        login=login,
        problem=problem,
        oidc=bus.settings.access.oidc,
        nobody=not accounts.any_at_all(bus.database),
    )


def _begin(request: Request, account_id: int, target: str) -> Response:
    """A new session, whatever cookie the browser brought; the old session of this browser is over."""
    database = request.app.state.bus.database
    if old := request.cookies.get(SESSION_COOKIE, ""):
        sessions.end(database, old)
    agent = request.headers.get("user-agent", "")
    cookie = sessions.begin(database, account_id, address=address_of(request), agent=agent)
    answer = RedirectResponse(here(target), status_code=303)
    answer.set_cookie(SESSION_COOKIE, cookie, httponly=True, samesite="lax", secure=_is_safe(request))
    return answer


def _is_safe(request: Request) -> bool:
    """The person came by https, perhaps to a proxy before us."""
    url: str = request.app.state.bus.settings.console_url
    return request.url.scheme == "https" or url.startswith("https:")


def _is_foreign(request: Request) -> bool:
    """The form stood on another site: it would sign a person in as somebody else without his knowing."""
    if site := request.headers.get("sec-fetch-site", ""):
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin", "")
    ours = {request.headers.get("host", ""), urlsplit(request.app.state.bus.settings.console_url).netloc}
    return bool(origin) and urlsplit(origin).netloc not in ours - {""}


def _redirect_uri(request: Request) -> str:
    """Where the provider sends people back to; it must be registered there."""
    base = request.app.state.bus.settings.console_url or str(request.base_url)
    return base.rstrip("/") + "/login/oidc/done"


def _kept(request: Request) -> tuple[str, str]:
    """What the browser brought back: the cookie of the first step, and where the person wanted to go."""
    try:
        cookie, target = json.loads(base64.urlsafe_b64decode(request.cookies.get(OIDC_COOKIE, "")))
    except (ValueError, TypeError):
        return "", "/"
    return str(cookie), here(str(target))
