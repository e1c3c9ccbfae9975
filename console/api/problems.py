"""What a program is told when something is refused or fails: application/problem+json (RFC 9457), in Russian."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from core.errors import BusError, ConfigError, Permanent, Retryable

MEDIA_TYPE: Final = "application/problem+json"
TYPES: Final = "/api/v1/problems/"
"""Where the types of problems live; the last part is stable and may be compared."""
AGAIN_S: Final = 5
_log = structlog.get_logger(__name__)


class Fault(BaseModel):
    """One value that is wrong."""

    model_config = ConfigDict(title="Ошибка в значении")

    place: str = Field(title="Место", description="Где стоит значение", examples=["body.reason"])
    text: str = Field(title="Что не так", examples=["обязательное поле не задано"])


class Problem(BaseModel):
    """The body of every refusal."""

    model_config = ConfigDict(title="Отказ", extra="allow")

    type: str = Field(
        title="Вид отказа", description="Постоянный: по нему различают отказы", examples=[f"{TYPES}scope"]
    )
    title: str = Field(title="Заголовок", examples=["Нет права"])
    status: int = Field(title="Код HTTP", examples=[403])
    detail: str = Field(title="Что случилось и что делать", examples=["У токена нет права queues.operate"])
    instance: str = Field(title="Адрес запроса", examples=["/api/v1/queues/smev/pause"])
    errors: list[Fault] = Field(default=[], title="Ошибки в значениях")


class Refusal(Exception):
    """Raised by whatever stands between a request and core. kind: the last part of the type."""

    def __init__(
        self,
        status: int,
        kind: str,
        title: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Fault] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.title = title
        self.detail = detail
        self.headers = dict(headers or {})
        self.errors = list(errors)

    def answer(self, path: str) -> Response:
        problem = Problem(
            type=f"{TYPES}{self.kind}",
            title=self.title,
            status=self.status,
            detail=self.detail,
            instance=path,
            errors=self.errors,
        )
        return JSONResponse(problem.model_dump(), status_code=self.status, headers=self.headers, media_type=MEDIA_TYPE)


def no_token(detail: str, *, known: bool) -> Refusal:
    """401. known: a token was given, and it does not work."""
    challenge = 'Bearer realm="omsbus"' + (', error="invalid_token"' if known else "")
    return Refusal(401, "token", "Нужен токен", detail, headers={"WWW-Authenticate": challenge})


def no_scope(permission: str, title: str) -> Refusal:
    """403."""
    return Refusal(
        403,
        "scope",
        "Нет права",
        f"У токена нет права «{title}» ({permission}). Выпустите токен с этим правом: Управление → Токены",
        headers={"WWW-Authenticate": f'Bearer realm="omsbus", error="insufficient_scope", scope="{permission}"'},
    )


def missing(detail: str) -> Refusal:
    """404."""
    return Refusal(404, "missing", "Не найдено", detail)


@contextlib.contextmanager
def named() -> Iterator[None]:
    """What core refuses inside is something that the address names and that is not there: 404."""
    try:
        yield
    except (Permanent, ConfigError) as error:
        raise missing(error.reason) from None


def of_bus(error: BusError) -> Refusal:
    """What core refused: 503 when a repeat may help, else 409."""
    if isinstance(error, Retryable):
        pause_s = AGAIN_S if error.pause_s is None else max(1, round(error.pause_s))
        return Refusal(503, "unavailable", "Сейчас нельзя", error.reason, headers={"Retry-After": str(pause_s)})
    return Refusal(409, "conflict", "Не получилось", error.reason)


def of_values(error: RequestValidationError) -> Refusal:
    """400 for what is no JSON at all, 422 for values that don't fit."""
    found = list(error.errors())
    if any(one["type"] == "json_invalid" for one in found):
        return Refusal(400, "malformed", "Запрос не читается", "Тело запроса — не JSON в UTF-8")
    faults = [Fault(place=".".join(map(str, one["loc"])), text=_words(one)) for one in found[:50]]
    return Refusal(422, "values", "Неверные значения", "Исправьте перечисленные значения и повторите", errors=faults)


_WORDS: Final = {
    "missing": "обязательное значение не задано",
    "extra_forbidden": "такого поля нет: удалите его или исправьте опечатку",
    "string_type": "нужна строка",
    "string_unicode": "строка не читается как Unicode",
    "string_pattern_mismatch": "недопустимые знаки или вид значения",
    "string_too_short": "слишком коротко",
    "string_too_long": "слишком длинно",
    "int_type": "нужно целое число",
    "int_parsing": "нужно целое число",
    "int_from_float": "нужно целое число",
    "bool_type": "нужно true или false",
    "bool_parsing": "нужно true или false",
    "uuid_parsing": "нужен UUID",
    "uuid_type": "нужен UUID",
    "too_long": "слишком много значений",
    "too_short": "слишком мало значений",
    "list_type": "нужен список",
    "dict_type": "нужен объект",
    "model_attributes_type": "нужен объект",
    "timezone_aware": "нужно время со смещением, например 2026-11-24T09:30:00+03:00",
    "greater_than_equal": "число меньше допустимого",
    "less_than_equal": "число больше допустимого",
    "less_than": "число больше допустимого",
}


def _words(error: Any) -> str:
    if error["type"] in ("literal_error", "enum"):
        return f"допустимы: {error['ctx']['expected']}".replace(" or ", " или ")
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    return _WORDS.get(error["type"], "недопустимое значение")


def unexpected(path: str, error: Exception) -> Refusal:
    """500: a defect of ours, under a number that stands in the program's log."""
    number = secrets.token_hex(4)
    _log.error("api", number=number, path=path, exc_info=error)
    return Refusal(
        500,
        "defect",
        "Ошибка программы",
        f"Ошибка записана в журнал программы под номером {number}: передайте его администратору шины",
    )


def refusal_of(error: Exception, path: str) -> Refusal:
    """Every exception as what the caller is told."""
    match error:
        case Refusal():
            return error
        case BusError():
            return of_bus(error)
        case RequestValidationError():
            return of_values(error)
        case HTTPException():
            return _of_http(error)
        case _:
            return unexpected(path, error)


def _of_http(error: HTTPException) -> Refusal:
    if error.status_code == 404:
        return missing("Такого адреса в API нет: сверьтесь с /api/v1/openapi.json")
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return Refusal(
            405, "method", "Метод не поддерживается", f"По этому адресу можно: {allowed}", headers=error.headers
        )
    if error.status_code == 400:
        return Refusal(400, "malformed", "Запрос не читается", "Тело запроса — не JSON в UTF-8")
    return Refusal(
        error.status_code, "request", "Запрос не принят", "Проверьте запрос и повторите", headers=error.headers
    )


def register(app: FastAPI) -> None:
    """Every error that is raised below an operation becomes a problem."""

    async def tell(request: Request, error: Exception) -> Response:
        return refusal_of(error, request.url.path).answer(request.url.path)

    for kind in (Refusal, BusError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, tell)
