"""One request of a person: who it is, what this one may do, and how an answer is made.

    @router.post("/queues/{name}/pause")
    def pause(name: str, reason: str = Form(""), page: Page = allowed("queues.operate")) -> Response:
        operations.set_state(page.bus, name, "paused", actor=page.actor, reason=reason)
        page.say(f"Очередь {name} поставлена на паузу")
        return page.to(f"/queues/{name}")

`allowed` is the only way to a page: it finds the session, checks every named permission and, for a change, the secret
of the session (CSRF). A route without it fails a test. Errors of the bus become sentences (console.shell.errors).
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from console.shell.menu import menu_of
from core import audit
from core.access import sessions
from core.access.person import Person

if TYPE_CHECKING:
    from core.bus import Bus

SESSION_COOKIE: Final = "omsbus_session"
SAID_COOKIE: Final = "omsbus_said"
WITHOUT_NEW_PASSWORD: Final = ("/me/password", "/logout")
"""What a person whose password somebody else knows may open."""
SAFE: Final = ("GET", "HEAD", "OPTIONS")
_SAID_MOST: Final = 8


class NotSignedIn(Exception):
    """Nobody has signed in here, or the session is over."""


class Refused(Exception):
    """Signed in, but not allowed. `needs` is the permission that is wanted; "" for a change without its secret."""

    def __init__(self, needs: str) -> None:
        super().__init__(needs)
        self.needs = needs


class Page:
    """See the module. `said` are the sentences for the next page that is shown: (category, text)."""

    def __init__(self, request: Request, person: Person) -> None:
        self.request = request
        self.person = person
        self.said: list[tuple[str, str]] = []

    @property
    def bus(self) -> Bus:
        return self.request.app.state.bus  # type: ignore[no-any-return]

    @property
    def actor(self) -> str:
        return self.person.login

    def may(self, permission: str) -> bool:
        return self.person.may(permission)

    def need(self, permission: str) -> None:
        """For what only a part of a page needs. Raises Refused."""
        if not self.may(permission):
            raise Refused(permission)

    def say(self, text: str, category: str = "success") -> None:
        """Show this sentence on the next page. category: success, info, warning, danger."""
        self.said.append((category, text))

    def show(self, template: str, /, *, status: int = 200, **values: Any) -> Response:
        """Render `<area>/<name>.html`. Every template knows `page`, `menu`, and the words of console.shell.words."""
        return render(self.request, template, self, status=status, **values)

    def to(self, path: str, /, **query: Any) -> Response:
        """See other: after a change. What was said is shown there."""
        answer = RedirectResponse(with_query(path, **query), status_code=303)
        if self.said:
            keep_said(answer, self.said)
        return answer


def allowed(*permissions: str) -> Any:
    """`page: Page = allowed("queues.read")`: the page of a signed-in person who has all these permissions."""
    return Depends(_Gate(permissions))


class _Gate:
    def __init__(self, permissions: tuple[str, ...]) -> None:
        self.permissions = permissions

    async def __call__(self, request: Request) -> Page:
        person = await run_in_threadpool(_person, request)
        if person is None:
            raise NotSignedIn
        request.state.person = person
        if person.must_change and request.url.path not in WITHOUT_NEW_PASSWORD:
            raise MustChange
        for one in self.permissions:
            if not person.may(one):
                raise Refused(one)
        if request.method not in SAFE:
            await _check_secret(request, person)
        audit.comes_from("console", address_of(request))
        return Page(request, person)


class MustChange(Exception):
    """The password was given by somebody else: first a new one."""


def _person(request: Request) -> Person | None:
    cookie = request.cookies.get(SESSION_COOKIE, "")
    bus = request.app.state.bus
    return sessions.person_of(bus.database, cookie, bus.settings.access) if cookie else None


async def _check_secret(request: Request, person: Person) -> None:
    given = request.headers.get("x-csrf", "") or request.headers.get("x-csrftoken", "")
    if not given:
        form = await request.form()
        given = str(form.get("csrf", "") or form.get("csrftoken", ""))
    if not hmac.compare_digest(given.encode(), person.csrf.encode()):
        raise Refused("")


def render(request: Request, template: str, page: Page | None, *, status: int = 200, **values: Any) -> Response:
    """A template; without a page (sign-in, errors) there is no menu."""
    state = request.app.state
    said = said_before(request) + (page.said if page else [])
    text = state.templates.get_template(template).render(
        request=request,
        page=page,
        person=page.person if page else None,
        menu=menu_of(page.person, state.menu) if page else [],
        said=said,
        path=request.url.path,
        **values,
    )
    answer = HTMLResponse(text, status_code=status)
    if SAID_COOKIE in request.cookies:
        answer.delete_cookie(SAID_COOKIE)
    return answer


def with_query(path: str, /, **query: Any) -> str:
    """The path with the values that are not empty."""
    given = {name: value for name, value in query.items() if value not in ("", None)}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def address_of(request: Request) -> str:
    """The client's own address: what a proxy says of others is not believed."""
    return request.client.host if request.client else ""


def here(target: str) -> str:
    """A target that stays in this house; "/" for any other."""
    try:
        parts = urlsplit(target.replace("\\", "/"))
    except ValueError:
        return "/"
    return target if target.startswith("/") and not parts.netloc and not target.startswith("//") else "/"


def keep_said(answer: Response, said: list[tuple[str, str]]) -> None:
    """Have it said on the next page."""
    packed = base64.urlsafe_b64encode(json.dumps(said[-_SAID_MOST:], ensure_ascii=False).encode()).decode()
    answer.set_cookie(SAID_COOKIE, packed[:3800], max_age=60, httponly=True, samesite="lax")


def said_before(request: Request) -> list[tuple[str, str]]:
    """What the page before has left to be said."""
    try:
        said = json.loads(base64.urlsafe_b64decode(request.cookies.get(SAID_COOKIE, "")))
        return [(str(category), str(text)) for category, text in said]
    except (ValueError, TypeError):
        return []


def query_of(request: Request, /, **changes: Any) -> str:
    """This very page with some values of its query changed ("" takes one away): for links of filters and pages."""
    values: Mapping[str, Any] = dict(request.query_params) | changes
    return with_query(request.url.path, **values)
