"""The description of the API (OpenAPI 3.1): what FastAPI makes of the operations, and what it cannot know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from console.api.problems import MEDIA_TYPE, Problem
from console.api.resource import ANY, BODY_MOST_BYTES, KEY_HEADER, Resource
from core.access.permissions import permissions
from core.idempotency import KEPT_H, KEY_MOST

VERSION: Final = "1.0.0"
_ABOUT: Final = f"""
Программный доступ к шине: сообщения, очереди, расписания, коннекторы, виды сведений, вебхуки.

* Каждому запросу нужен токен: `Authorization: Bearer …`. Права токена (scopes) выдаёт администратор.
* Отказы — `application/problem+json` (RFC 9457) с объяснением по-русски; вид отказа различайте по полю `type`.
* Списки идут страницами: поле `next` передайте в `cursor`; `null` — страница последняя.
* `Idempotency-Key` в любом POST делает повтор безопасным: в течение {KEPT_H} часов тот же ключ даёт тот же ответ.
* Тело запроса — JSON в UTF-8, не больше {BODY_MOST_BYTES // 1024**2} МБ; неизвестные поля не принимаются.
"""
_ERRORS: Final = {
    400: "Запрос не читается",
    401: "Нет токена, или он не действует",
    403: "У токена нет нужного права",
    404: "Такого нет",
    409: "Сейчас так нельзя: состояние не позволяет, или ключ идемпотентности занят",
    413: "Тело слишком велико",
    415: "Тело — не JSON",
    422: "Значения не подходят",
    500: "Ошибка программы",
    503: "Сейчас нельзя: повторите позже",
}


def document(app: FastAPI, resources: Sequence[Resource], prefix: str) -> dict[str, Any]:
    """The whole description."""
    made = get_openapi(
        title="omsbus",
        version=VERSION,
        summary="API интеграционной шины",
        description=_ABOUT,
        routes=app.routes,
        tags=[{"name": one.title, "description": one.description or one.title} for one in resources],
        servers=[{"url": prefix, "description": "Этот узел"}],
    )
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs", {})
    schemas["Problem"] = problem
    made["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "Токен: Управление → Токены"}
    }
    made["components"]["responses"] = {
        f"Refused{status}": {
            "description": words,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, words in _ERRORS.items()
    }
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            _complete(path, method, operation)
    return made


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    permission = operation["x-permission"]
    title = "любое право" if permission == ANY else f"«{permissions()[permission]}» (`{permission}`)"
    operation["security"] = [{"token": [] if permission == ANY else [permission]}]
    about = operation.get("description", "")
    operation["description"] = f"{about}\n\nНужно право: {title}.".strip()
    if method == "post":
        operation.setdefault("parameters", []).append(_KEY)
    statuses = {401, 403, 500, 503, *operation.pop("x-errors")}
    statuses |= {404, 422} if "{" in path else set()
    statuses |= {400, 422} if operation.get("parameters") else set()
    statuses |= {400, 413, 415, 422} if "requestBody" in operation else set()
    statuses |= {409} if method != "get" else set()
    for name in ("x-repeatable", "x-hidden"):
        operation.pop(name)
    operation["responses"].pop("422", None)
    operation["responses"] |= {
        str(status): {"$ref": f"#/components/responses/Refused{status}"} for status in sorted(statuses)
    }


_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": (
        f"Ключ запроса, например UUID. {KEPT_H} ч тот же запрос с тем же ключом получает прежний ответ "
        "(с заголовком Idempotency-Replayed: true); другой запрос с этим ключом получает 409"
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_MOST, "pattern": "^[ -~]+$"},
    "example": "7f0c3b52-0a3e-4c83-9a0d-3f6f0f1b2c4d",
}
assert _KEY["name"].lower() == KEY_HEADER  # type: ignore[attr-defined]


def operations(made: dict[str, Any]) -> Iterable[tuple[str, str, dict[str, Any]]]:
    """(path, METHOD, operation) of a document."""
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation
