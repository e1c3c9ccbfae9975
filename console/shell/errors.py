"""What a person sees when something is refused or fails: a sentence, and where to go on."""

from __future__ import annotations

import secrets

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from console.shell.page import MustChange, NotSignedIn, Page, Refused, here, render, with_query
from core.access.permissions import permissions
from core.errors import BusError, Unavailable

_log = structlog.get_logger(__name__)


def register(app: FastAPI) -> None:
    """Make every error of the pages a sentence in Russian."""
    app.add_exception_handler(NotSignedIn, _not_signed_in)
    app.add_exception_handler(MustChange, _must_change)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(BusError, _bus_error)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def _page(request: Request) -> Page | None:
    person = getattr(request.state, "person", None)
    return Page(request, person) if person else None


def _is_part(request: Request) -> bool:
    """A piece of a page that a script asks for."""
    return request.headers.get("x-part") == "1"


def _tell(request: Request, status: int, title: str, text: str) -> Response:
    if _is_part(request):
        return JSONResponse({"title": title, "text": text}, status_code=status)
    return render(request, "shell/error.html", _page(request), status=status, title=title, text=text)


def _not_signed_in(request: Request, _error: Exception) -> Response:
    if _is_part(request):
        return JSONResponse({"title": "Сеанс закончился", "text": "Войдите снова"}, status_code=401)
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(with_query("/login", next=target if request.method == "GET" else ""), status_code=303)


def _must_change(_request: Request, _error: Exception) -> Response:
    return RedirectResponse("/me/password", status_code=303)


def _refused(request: Request, error: Exception) -> Response:
    needs = getattr(error, "needs", "")
    if not needs:
        text = "Форма устарела или открыта с другого сайта. Вернитесь, обновите страницу и повторите."
        return _tell(request, 403, "Изменение не принято", text)
    title = permissions().get(needs, needs)
    return _tell(
        request, 403, "Нет права", f"Нужно право «{title}». Его даёт администратор: Управление → Пользователи."
    )


def _bus_error(request: Request, error: Exception) -> Response:
    """A change goes back to where it came from with the sentence; a look shows it."""
    assert isinstance(error, BusError)
    page = _page(request)
    if page and request.method == "POST" and not _is_part(request):
        page.say(error.reason, "danger")
        back = request.headers.get("referer", "")
        origin = str(request.base_url).rstrip("/")
        return page.to(here(back.removeprefix(origin)) if back.startswith(origin) else "/")
    status = 503 if isinstance(error, Unavailable) else 409 if request.method == "POST" else 404
    return _tell(request, status, "Не получилось", error.reason)


def _not_understood(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    places = ", ".join(".".join(map(str, one["loc"][1:])) for one in error.errors())
    return _tell(request, 422, "Запрос не понят", f"Проверьте значения: {places}.")


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _tell(request, 404, "Такой страницы нет", "Проверьте адрес или начните с рабочего стола.")
    if error.status_code == 400 and str(error.detail).isascii():  # a form that the framework would not read
        return _tell(request, 400, "Форма не принята", "Она слишком велика или повреждена: сократите её и повторите.")
    if error.status_code == 405:
        return _tell(request, 405, "Так нельзя", "Этот адрес открывают из формы на странице.")
    return _tell(request, error.status_code, "Не получилось", str(error.detail))


def _unexpected(request: Request, error: Exception) -> Response:
    number = secrets.token_hex(4)
    _log.error("console", number=number, path=request.url.path, exc_info=error)
    text = f"Ошибка записана в журнал программы под номером {number}: передайте его разработчику."
    return _tell(request, 500, "Ошибка программы", text)
