"""How an operation of the API is declared and what stands before it.

    queues = Resource("Очереди")

    @queues.act("/queues/{name}/pause", "queues.operate", "Поставить очередь на паузу")
    def pause_queue(call: Asked, name: Name, given: Reason) -> Queue: ...

Before the function is called: the token was found (console.api.guard), its scope is checked, unknown values of the
query are refused, the body is measured and must be JSON, and the idempotency key of a POST is looked up. The name of
the function is the operationId: it never changes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from http import HTTPMethod
from typing import TYPE_CHECKING, Annotated, Any, Final

import anyio
from fastapi import Depends, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from console.api.problems import Fault, Refusal, no_scope, refusal_of
from core.access.permissions import permissions
from core.access.person import Person
from core.idempotency import KEY_MOST, Answer, KeyRefused, Once, fingerprint

if TYPE_CHECKING:
    from core.bus import Bus

ANY: Final = "*"
"""Instead of a permission: whatever the token may."""
BODY_MOST_BYTES: Final = 8 * 1024 * 1024
KEY_HEADER: Final = "idempotency-key"
REPLAYED_HEADER: Final = "Idempotency-Replayed"
KEYS_AT_ONCE: Final = 8
"""Requests under a key hold a connection to the database while they last."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request: who calls, and the bus. key: of idempotency, "" when there is none."""

    bus: Bus
    person: Person
    key: str = ""

    @property
    def actor(self) -> str:
        return self.person.login

    def may(self, permission: str) -> bool:
        return self.person.may(permission)

    def need(self, permission: str) -> None:
        """For what only a part of an operation needs. Raises Refusal (403)."""
        if not self.may(permission):
            raise no_scope(permission, permissions().get(permission, permission))


def _call(request: Request) -> Call:
    return Call(request.app.state.bus, request.state.person, request.headers.get(KEY_HEADER, ""))


Asked = Annotated[Call, Depends(_call)]


@dataclass(frozen=True, slots=True)
class Declared:
    """One operation before it joins an application."""

    path: str
    endpoint: Callable[..., Any]
    values: dict[str, Any]


class Resource:
    """The operations of one part of the bus. title: the heading under which the document shows them."""

    def __init__(self, title: str, description: str = "") -> None:
        self.title = title
        self.description = description
        self.declared: list[Declared] = []

    def look(self, path: str, permission: str, title: str, **values: Any) -> Callable[..., Any]:
        """GET: changes nothing."""
        return self._declare(HTTPMethod.GET, path, permission, title, **values)

    def act(self, path: str, permission: str, title: str, **values: Any) -> Callable[..., Any]:
        """POST. repeatable=False: a second time would be a second effect (see core.idempotency)."""
        return self._declare(HTTPMethod.POST, path, permission, title, **values)

    def change(self, path: str, permission: str, title: str, **values: Any) -> Callable[..., Any]:
        """PUT: the same any number of times."""
        return self._declare(HTTPMethod.PUT, path, permission, title, **values)

    def remove(self, path: str, permission: str, title: str, **values: Any) -> Callable[..., Any]:
        """DELETE."""
        return self._declare(HTTPMethod.DELETE, path, permission, title, status=204, **values)

    def _declare(
        self,
        method: HTTPMethod,
        path: str,
        permission: str,
        title: str,
        *,
        status: int = 200,
        errors: Sequence[int] = (),
        repeatable: bool = True,
        hidden: Sequence[str] = (),
        **values: Any,
    ) -> Callable[..., Any]:
        """errors: further statuses of refusals. hidden: fields of the answer that are not stored under a key."""

        def declare(function: Callable[..., Any]) -> Callable[..., Any]:
            extra = {
                "x-permission": permission,
                "x-errors": list(errors),
                "x-repeatable": repeatable,
                "x-hidden": list(hidden),
            }
            made = {
                "methods": [str(method)],
                "summary": title,
                "tags": [self.title],
                "operation_id": function.__name__,
                "status_code": status,
                "response_description": "Готово",
                "openapi_extra": extra,
            }
            self.declared.append(Declared(path, function, made | values))
            return function

        return declare


class Operation(APIRoute):
    """The route of one operation; refuses to be made without a permission."""

    def __init__(self, *args: Any, **values: Any) -> None:
        extra = values["openapi_extra"]
        self.permission: str = extra["x-permission"]
        self.repeatable: bool = extra["x-repeatable"]
        self.hidden: list[str] = extra["x-hidden"]
        if self.permission != ANY and self.permission not in permissions():
            raise ValueError(f"no such permission: {self.permission}")
        super().__init__(*args, **values)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()
        known = _query_of(self)

        async def guarded(request: Request) -> Response:
            self._allow(request.state.person)
            _refuse_unknown(request, known)
            if self.body_field is not None:
                await _read(request)
            if request.method == "POST" and KEY_HEADER in request.headers:
                return await self._once(request, answer)
            return await answer(request)

        return guarded

    def _allow(self, person: Person) -> None:
        if self.permission == ANY:
            if not person.permissions:
                raise no_scope(ANY, "любое")
        elif not person.may(self.permission):
            raise no_scope(self.permission, permissions()[self.permission])

    async def _once(self, request: Request, answer: Callable[[Request], Coroutine[Any, Any, Response]]) -> Response:
        key = request.headers[KEY_HEADER]
        if not 1 <= len(key) <= KEY_MOST or not key.isascii() or not key.isprintable():
            raise Refusal(400, "key", "Неверный ключ", f"Idempotency-Key: от 1 до {KEY_MOST} печатных знаков ASCII")
        target = f"{request.url.path}?{request.url.query}"
        digest = fingerprint(request.method, target, await request.body())
        once = Once(request.app.state.bus.database, request.state.person.login, key, digest)
        # A client that goes away must not leave the key in doubt.
        async with request.app.state.keys:
            with anyio.CancelScope(shield=True):
                made = await self._carried_out(request, answer, once)
        return made

    async def _carried_out(
        self, request: Request, answer: Callable[[Request], Coroutine[Any, Any, Response]], once: Once
    ) -> Response:
        try:
            stored = await run_in_threadpool(once.begin, repeatable=self.repeatable)
        except KeyRefused as error:
            raise _of_key(error) from None
        if stored is not None:
            headers = {REPLAYED_HEADER: "true"}
            return Response(stored.body, stored.status, headers, "application/json")
        try:
            made = await answer(request)
        except Exception as error:
            refused = refusal_of(error, request.url.path)
            await run_in_threadpool(once.leave if refused.status >= 500 else once.forget)
            raise refused from error
        await run_in_threadpool(once.finish, Answer(made.status_code, _without(bytes(made.body), self.hidden)))
        return made


def _of_key(error: KeyRefused) -> Refusal:
    if error.kind == "other":
        return Refusal(409, "key-reused", "Ключ уже использован", error.reason)
    headers = {"Retry-After": "1"} if error.kind == "running" else {}
    return Refusal(409, f"key-{error.kind}", "Ключ занят", error.reason, headers=headers)


def _without(body: bytes, hidden: Sequence[str]) -> bytes:
    """The JSON without these fields: a secret is shown once and kept nowhere."""
    if not hidden or not body:
        return body

    values = json.loads(body)
    return json.dumps(values | dict.fromkeys(hidden), ensure_ascii=False).encode()


async def _read(request: Request) -> None:
    """Read the body, but no further than its limit, and refuse what is no JSON by its own word."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > BODY_MOST_BYTES:
        raise _too_large()
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > BODY_MOST_BYTES:
            raise _too_large()
    request._body = bytes(body)
    kind, _, charset = request.headers.get("content-type", "").partition(";")
    if kind.strip().lower() != "application/json" or charset.strip().lower() not in ("", "charset=utf-8"):
        raise Refusal(
            415, "media-type", "Тип тела не подходит", "Пришлите тело как JSON: Content-Type: application/json"
        )


def _too_large() -> Refusal:
    most = BODY_MOST_BYTES // 1024**2
    return Refusal(413, "too-large", "Тело слишком велико", f"Тело запроса — не больше {most} МБ")


def _query_of(route: APIRoute) -> dict[str, bool]:
    """Name of a value of the query → may it be given several times?"""
    known: dict[str, bool] = {}
    for one in route.dependant.query_params:
        annotation = one.field_info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            known |= {
                (field.alias or name): "list" in str(field.annotation)
                for name, field in annotation.model_fields.items()
            }
        else:
            known[one.alias] = "list" in str(annotation)
    return known


def _refuse_unknown(request: Request, known: dict[str, bool]) -> None:
    faults = []
    given = [name for name, _ in request.query_params.multi_items()]
    for name in dict.fromkeys(given):
        if name not in known:
            faults.append(Fault(place=f"query.{name}", text="такого параметра нет: удалите его или исправьте опечатку"))
        elif not known[name] and given.count(name) > 1:
            faults.append(Fault(place=f"query.{name}", text="параметр задан несколько раз"))
    if faults:
        raise Refusal(422, "values", "Неверные значения", "Исправьте параметры запроса и повторите", errors=faults)
