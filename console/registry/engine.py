"""starlette-admin inside our console: our sessions, permissions, secrets, layout and errors instead of its own.

Every endpoint goes through `_Guarded`: who asks and whether this one may (console.shell.page.allowed), one database
session that is committed before anything is answered and rolled back when the answer is an error, words in Russian,
moments in the person's zone. What nothing here needs (its sign-in, relation look-ups, editing in the list, its files)
is not routed at all.
"""

# mypy: allow-subclassing-any

from __future__ import annotations

import contextlib
import json
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import sqlalchemy as sa
from fastapi import FastAPI
from jinja2 import FileSystemLoader, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette_admin.base import BaseAdmin
from starlette_admin.i18n import I18nConfig, set_database_timezone, set_locale, set_timezone

from console.registry import importing, looks, words
from console.registry.view import REACH_ROWS, RegistryView, path_of
from console.shell import errors
from console.shell.menu import menu_of
from console.shell.page import SAFE, SAID_COOKIE, Page, Refused, allowed, keep_said, said_before
from core.access.person import Person
from core.database import Database
from core.screen import Mistake, Screen
from core.settings import HOUSE

if TYPE_CHECKING:
    from core.bus import Bus

BASE: Final = "/registry"
STATEMENT_MOST_S: Final = 5
"""So long may one question to the database take: lists are for finding, not for counting."""
FORM_MOST_BYTES: Final = importing.UPLOAD_MOST_BYTES + 64 * 1024
_ROUTES: Final = (
    ("/{key:path}/list", "_render_list", ("GET",), "list"),
    ("/{key:path}/detail", "_render_detail", ("GET",), "detail"),
    ("/{key:path}/create", "_render_create", ("GET", "POST"), "create"),
    ("/{key:path}/edit", "_render_edit", ("GET", "POST"), "edit"),
    ("/{key:path}/import", "_render_import", ("POST",), "import"),
    ("/{key:path}/action", "handle_action", ("POST",), "action"),
    ("/{key:path}/row-action", "handle_row_action", ("POST",), "row-action"),
)
_CATEGORIES: Final = {"error": "danger"}
Handler = Callable[[Request], Awaitable[Response]]


class Engine(BaseAdmin):
    """See the module. `by_screen`: key of a screen → its view."""

    def __init__(self, app: FastAPI, bus: Bus, screens: list[Screen], titles: Mapping[str, str]) -> None:
        self.by_screen: dict[str, RegistryView] = {}
        self._gate = allowed().dependency
        self._shell = app
        self._bus = bus
        super().__init__(
            title="Реестры",
            base_url=BASE,
            route_name="registry",
            templates_dir=str(HOUSE / "console" / "registry" / "templates"),
            additional_loaders=[FileSystemLoader(HOUSE / "console")],
            secret_key=secrets.token_hex(),
            i18n_config=I18nConfig(default_locale="ru"),
            import_config=importing.LIMITS,
        )
        logging.getLogger("starlette_admin").setLevel(logging.CRITICAL)  # it would write what people search and enter
        words.complete()  # over what starlette-admin has just put there itself
        globals_: dict[str, Any] = self.templates.env.globals
        globals_ |= {name: value for name, value in app.state.templates.globals.items() if name not in globals_}
        for name in ("list_url", "import_url"):
            globals_[name] = _here(globals_[name])
        globals_ |= {
            "csrf_input": _secret,
            "detail_url": lambda _request, key, pk: f"{BASE}/{key}/detail?pk={pk}",
            "edit_url": lambda _request, key, pk: f"{BASE}/{key}/edit?pk={pk}",
            "create_url": lambda _request, key: f"{BASE}/{key}/create",
            "back_url": lambda _request, key: f"{BASE}/{key}/list",
            "local": _local,
            "siblings": self._siblings,
            "siblings_title": lambda view: titles.get(view.screen.subsystem, view.screen.subsystem),
            "registry_base": BASE,
            "REACH_ROWS": REACH_ROWS,
            "mask": words.MASK,
        }
        for screen in screens:
            self.by_screen[screen.key] = view = RegistryView(screen)
            self.add_view(view)

    # What our shell does instead

    def _init_locale(self) -> None:
        """The language is Russian and the zone the person's: _Guarded sets both."""

    def _init_flash(self) -> None:
        """What is said goes into the console's own cookie."""

    def _init_csrf(self) -> None:
        """Every change repeats the secret of the session: console.shell.page.allowed."""

    def _init_auth(self) -> None:
        """Who asks is found by the session of the console."""

    def _init_routes(self) -> None:
        for path, name, methods, called in _ROUTES:
            self.routes.append(Route(path, self._guarded(getattr(self, name)), methods=list(methods), name=called))

    def mount_to(self, app: Any) -> None:
        super().mount_to(app)
        state = self._shell.state
        self.app.state.bus, self.app.state.templates, self.app.state.menu = state.bus, state.templates, state.menu
        errors.register(self.app)
        self.app.router.redirect_slashes = False

    def _guarded(self, handler: Handler) -> Handler:
        async def endpoint(request: Request) -> Response:
            if _too_long(request):
                raise HTTPException(413, "Файл слишком большой: до 5 МБ")
            if request.headers.get("sec-fetch-site") == "cross-site" and request.method not in SAFE:
                raise Refused("")
            page = await self._gate(request)
            set_locale("ru")
            set_timezone(page.person.timezone)
            set_database_timezone("UTC")
            request.state.page, request.state.admin_flash_pending, request.state.admin_flash_consumed = page, [], False
            try:
                answer = await self._in_session(request, handler)
            finally:
                await request.close()  # the uploaded file
            _relative(answer)
            if said := _pending(request):  # a page has taken its own already
                keep_said(answer, said)
            return answer

        return endpoint

    async def _in_session(self, request: Request, handler: Handler) -> Response:
        """Committed before the answer begins; an answer that tells an error undoes everything."""
        try:
            async with _transaction(self._bus.database) as connection:
                with Session(connection, expire_on_commit=False) as session:
                    request.state.session = session
                    answer = await handler(request)
                    if answer.status_code >= 400:
                        raise _Undone(answer)
                return answer
        except _Undone as undone:
            return undone.answer

    # What is shown

    def _template_response(
        self, request: Request, name: str, context: dict[str, Any] | None = None, status_code: int = 200
    ) -> Response:
        page: Page = request.state.page
        values = dict(context or {})
        pending = _pending(request)
        request.state.admin_flash_pending = []
        values |= {
            "page": page,
            "person": page.person,
            "menu": menu_of(page.person, self._shell.state.menu),
            "said": said_before(request) + pending,
            "path": request.url.path,
        }
        answer: Response = self.templates.TemplateResponse(request, name, values, status_code=status_code)
        if SAID_COOKIE in request.cookies:
            answer.delete_cookie(SAID_COOKIE)
        return answer

    async def _render_import(self, request: Request) -> Response:
        """Its columns are called as people call them, not as the table does."""
        answer = await super()._render_import(request)
        told = json.loads(answer.body)
        view = self._find_view_by_key(request.path_params["key"])
        titles = {one.name: str(one.label) for one in view.fields}
        for one in (*told.get("mapping", ()), *told.get("errors", ())):
            one["field"] = titles.get(one["field"], one["field"])
        for one in told.get("sample", ()):
            one["cells"] = {titles[name]: view.told(name, value) for name, value in one["cells"].items()}
            one["errors"] = [error | {"field": titles.get(error["field"], "")} for error in one["errors"]]
        return JSONResponse(told, status_code=answer.status_code)

    @staticmethod
    def _build_import_field_maps(all_fields: list[Any], selected_fields: list[str] | None) -> Any:
        names = {str(one.label): one.name for one in all_fields}
        chosen = [names.get(one, one) for one in selected_fields or ()]
        return BaseAdmin._build_import_field_maps(all_fields, chosen or None)

    async def _render_list(self, request: Request) -> Response:
        answer: Any = await super()._render_list(request)
        view = self._find_view_by_key(request.path_params["key"])
        rows = answer.context["rows"]
        if rows and view.screen.personal and not view.masks(request):
            asked = request.url.query
            await looks.listed(request, view.screen, [one[view.pk_attr] for one in rows], asked, str(self.secret_key))
        return answer  # type: ignore[no-any-return]

    async def _detail_inlines_context(self, request: Request, view: Any, parent: Any) -> Any:
        """Rows of other screens that belong to this one; with them the look is complete, so it is audited here."""
        children = await view.children(request, parent)
        below: dict[str, list[Any]] = {}
        for child in children:
            if child.view.screen.personal and not child.view.masks(request):
                ids = [row[child.view.pk_attr] for row in child.rows]
                below.setdefault(child.view.screen.object_kind, []).extend(ids)
        if (view.screen.personal and not view.masks(request)) or any(below.values()):
            await looks.viewed(request, view.screen, getattr(parent, view.screen.pk), below)
        return children

    async def _find_object_or_404(self, request: Request, view: Any, _key: Any, pk: Any, action: str) -> Any:
        found = await view.find_by_pk(request, pk) if pk else None
        if found is None:
            raise Mistake("Такой записи нет: её удалили или адрес неверен")
        if action == "edit" and request.method == "GET" and view.screen.personal:
            await looks.viewed(request, view.screen, getattr(found, view.screen.pk), {})
        return found

    def _find_view_by_key(self, key: str | None) -> RegistryView:
        for view in self.by_screen.values():
            if view.key == key:
                return view
        raise HTTPException(404)

    def _siblings(self, view: RegistryView) -> list[tuple[str, str, bool]]:
        """(title, address, whether it is this one) of the screens of a view's subsystem."""
        same = [one.screen for one in self.by_screen.values() if one.screen.subsystem == view.screen.subsystem]
        return [(one.title, path_of(one), one is view.screen) for one in same]


@pass_context
def _secret(context: Context, _request: Request) -> Markup:
    person: Person = context["person"]
    return Markup('<input type="hidden" name="csrf" value="{}">').format(person.csrf)


class _Undone(Exception):
    """Nothing of what this answer's request has written stays."""

    def __init__(self, answer: Response) -> None:
        super().__init__(answer.status_code)
        self.answer = answer


@contextlib.asynccontextmanager
async def _transaction(database: Database) -> AsyncIterator[sa.Connection]:
    """`database.transaction()`, begun and ended in threads. Raises Unavailable when the server is away."""
    held = database.transaction()
    connection = await anyio.to_thread.run_sync(held.__enter__)
    try:
        await anyio.to_thread.run_sync(_limit, connection)
        yield connection
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(held.__exit__, type(error), error, error.__traceback__)
        raise
    await anyio.to_thread.run_sync(held.__exit__, None, None, None)


def _limit(connection: sa.Connection) -> None:
    connection.execute(sa.text(f"SET LOCAL statement_timeout = '{STATEMENT_MOST_S}s'"))
    connection.execute(sa.text("SET LOCAL TIME ZONE 'UTC'"))


def _too_long(request: Request) -> bool:
    length = request.headers.get("content-length", "0" if request.method in SAFE else "")
    return not length.isdecimal() or int(length) > FORM_MOST_BYTES


def _pending(request: Request) -> list[tuple[str, str]]:
    """What starlette-admin wants to be said: (category, text)."""
    said = getattr(request.state, "admin_flash_pending", [])
    return [(_CATEGORIES.get(one["category"], one["category"]), one["message"]) for one in said]


def _here(made: Callable[..., str]) -> Callable[..., str]:
    """The same address without scheme and host: a proxy in front of us may have others."""
    return lambda *given, **named: _local(made(*given, **named))


def _local(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _relative(answer: Response) -> None:
    if "location" in answer.headers:
        answer.headers["location"] = _local(answer.headers["location"])
