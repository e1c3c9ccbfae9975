"""The door of the API: nobody gets further without a token, and no error gets out as anything but a problem."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.api.problems import no_token, refusal_of
from core import audit
from core.access import tokens
from core.access.person import Person

if TYPE_CHECKING:
    from core.bus import Bus

_SECRET_MOST = 512


class Guard:
    """Finds the token before anything else is looked at. `scope["state"]["person"]` is who calls from then on."""

    def __init__(self, app: ASGIApp, bus: Bus) -> None:
        self._app = app
        self._bus = bus

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = False

        async def answer(event: Message) -> None:
            nonlocal began
            began = True
            await send(event)

        path = scope["path"]
        try:
            person = await run_in_threadpool(self._person, Headers(scope=scope))
            scope.setdefault("state", {})["person"] = person
            audit.comes_from("api", scope["client"][0] if scope.get("client") else "")
            await self._app(scope, receive, answer)
        except Exception as error:
            if began:
                raise
            await refusal_of(error, path).answer(path)(scope, receive, send)

    def _person(self, headers: Headers) -> Person:
        given = headers.getlist("authorization")
        if not given:
            raise no_token("Передайте токен в заголовке Authorization: Bearer …", known=False)
        scheme, _, secret = given[0].partition(" ")
        secret = secret.strip()
        if len(given) > 1 or scheme.lower() != "bearer" or not secret or len(secret) > _SECRET_MOST:
            raise no_token("Заголовок Authorization должен быть один и вида Bearer …", known=True)
        person = tokens.person_of(self._bus.database, secret)
        if person is None:
            raise no_token("Токен неизвестен, отозван или его срок истёк: выпустите новый", known=True)
        return person
