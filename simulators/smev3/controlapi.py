"""The control API: JSON over HTTP, from this machine only, with a token when the settings give one.

Nothing here belongs to СМЭВ: it is how tests, the demo and a trainer order messages and failures and learn what the
far side has seen. Octets travel as base64.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.errors import BusError
from simulators.smev3 import report
from simulators.smev3.envelopes import Headers
from simulators.smev3.mischief import NAMES
from simulators.smev3.outbox import Order
from simulators.smev3.payloads import REQUESTS, make_request
from simulators.smev3.simulator import Simulator
from simulators.smev3.store import envelopes_after

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost", "testclient"})
MAX_PAGE = 1000

Body = dict[str, Any]
Action = Callable[[Request, Body], Any]


def control_routes(simulator: Simulator) -> list[Route]:
    """Routes under /control."""
    control = _Control(simulator)
    table: list[tuple[str, str, Action]] = [
        ("POST", "/send", control.send),
        ("POST", "/play", control.play),
        ("GET", "/faults", control.faults),
        ("POST", "/faults", control.arm),
        ("DELETE", "/faults", control.disarm),
        ("GET", "/messages", control.messages),
        ("GET", "/messages/{message_id}/data", control.data),
        ("GET", "/summary", control.summary),
        ("GET", "/envelopes", control.envelopes),
        ("GET", "/clock", control.clock),
        ("POST", "/clock", control.move_clock),
        ("POST", "/reset", control.reset),
        ("GET", "/providers", control.providers),
        ("POST", "/providers/{mnemonic}/down", control.down),
        ("POST", "/providers/{mnemonic}/up", control.up),
    ]
    token = simulator.settings.behaviour.control_token
    return [Route(path, _endpoint(action, token), methods=[method]) for method, path, action in table]


def _endpoint(action: Action, token: str) -> Any:
    async def endpoint(request: Request) -> Response:
        host = request.client.host if request.client else ""
        if host not in LOOPBACK:
            return _json({"error": "Управление имитатором доступно только с этой машины"}, 403)
        offered = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token and not hmac.compare_digest(offered.encode(), token.encode()):
            return _json({"error": "Нужен заголовок Authorization: Bearer с control_token из настроек"}, 401)
        try:
            octets = await request.body()
            body = json.loads(octets) if octets else {}
            if not isinstance(body, dict):
                raise ValueError("Тело запроса должно быть объектом JSON")
            return _json(await run_in_threadpool(action, request, body), 200)
        except KeyError as error:
            return _json({"error": f"Не хватает или неизвестно: {error.args[0]}"}, 400)
        except (ValueError, TypeError, BusError) as error:
            return _json({"error": str(error)}, 400)
        except psycopg.Error as error:
            return _json({"error": f"База данных имитатора отказала: {type(error).__name__}. Повторите"}, 503)

    return endpoint


class _Control:
    """What each route does. ValueError carries the words for a 400."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def send(self, _request: Request, body: Body) -> Body:
        """Send one message for a scripted participant; the keys are the fields of `Order`, octets in base64."""
        sender = self._present(str(body["sender"]))
        order = _order(sender, body)
        with self._simulator.store.transaction() as conn:
            return {"message_id": self._simulator.outbox.send_request(conn, order)}

    def play(self, _request: Request, body: Body) -> Body:
        """Send `count` made-up requests of one kind: {kind, sender?, count, records, version?, seed, tag}."""
        kind = self._simulator.settings.kind_named(str(body["kind"]))
        if kind is None or kind.name not in REQUESTS:
            raise ValueError(f"Имитатор не умеет сочинять вид сведений {body['kind']}. Умеет: {', '.join(REQUESTS)}")
        sender = self._present(str(body.get("sender") or kind.senders[0]))
        version = str(body.get("version") or ("1.3" if kind.name.startswith("zags.") else "1.2"))
        first = int(body.get("seed", 0))
        sent = []
        for seed in range(first, first + int(body.get("count", 1))):
            payload = make_request(kind.name, seed, int(body.get("records", 1)))
            order = Order(sender=sender, payload=payload, version=version, tag=str(body.get("tag", "")))
            with self._simulator.store.transaction() as conn:
                sent.append(self._simulator.outbox.send_request(conn, order))
        return {"message_ids": sent}

    def faults(self, _request: Request, _body: Body) -> Body:
        return {"armed": self._simulator.mischief.armed(), "known": NAMES}

    def arm(self, _request: Request, body: Body) -> Body:
        return {"fault": vars(self._simulator.mischief.arm(body))}

    def disarm(self, request: Request, _body: Body) -> Body:
        number = request.query_params.get("id")
        self._simulator.mischief.disarm(int(number) if number else None)
        return {"armed": self._simulator.mischief.armed()}

    def messages(self, request: Request, _body: Body) -> Body:
        filters = dict(request.query_params)
        after, limit = _page(filters)
        with self._simulator.store.transaction() as conn:
            return {"messages": report.messages(conn, filters, after, limit)}

    def data(self, request: Request, _body: Body) -> Body:
        with self._simulator.store.transaction() as conn:
            row = report.data_of(conn, request.path_params["message_id"])
        if row is None:
            raise ValueError("Такого сообщения имитатор не знает")
        return dict(row)

    def summary(self, _request: Request, _body: Body) -> Body:
        with self._simulator.store.transaction() as conn:
            return report.summary(conn)

    def envelopes(self, request: Request, _body: Body) -> Body:
        """A page of recorded envelopes, `body` in base64; `last` is the `after` of the next page."""
        after, limit = _page(dict(request.query_params))
        with self._simulator.store.transaction() as conn:
            rows = envelopes_after(conn, after, limit)
        return {"envelopes": rows, "last": rows[-1]["seq"] if rows else after}

    def clock(self, _request: Request, _body: Body) -> Body:
        return {"offset_s": self._simulator.clock.offset_s, "now": self._simulator.clock.now()}

    def move_clock(self, request: Request, body: Body) -> Body:
        """{offset_s}: seconds to add to the wall clock, negative for the past."""
        self._simulator.clock.offset_s = float(body["offset_s"])
        self._simulator.store.save_state("clock_offset_s", self._simulator.clock.offset_s)
        return self.clock(request, body)

    def reset(self, _request: Request, _body: Body) -> Body:
        """Forget messages, envelopes, faults, the moved clock and who is down."""
        self._simulator.mischief.disarm()
        self._simulator.store.forget_everything()
        self._simulator.clock.offset_s = 0.0
        self._simulator.actors.down = set()
        return {"reset": True}

    def providers(self, _request: Request, _body: Body) -> Body:
        scripts = self._simulator.settings.scripts
        down = self._simulator.actors.down
        return {
            "providers": [
                {"mnemonic": one.participant, "role": one.role, "kind": one.kind, "up": one.participant not in down}
                for one in scripts
            ]
        }

    def down(self, request: Request, _body: Body) -> Body:
        """The participant stops: it takes nothing, answers nothing and sends nothing."""
        return self._switch(request, self._simulator.actors.down | {self._mnemonic(request)})

    def up(self, request: Request, _body: Body) -> Body:
        return self._switch(request, self._simulator.actors.down - {self._mnemonic(request)})

    def _switch(self, request: Request, down: set[str]) -> Body:
        self._simulator.actors.down = down
        self._simulator.store.save_state("down", sorted(down))
        return self.providers(request, {})

    def _mnemonic(self, request: Request) -> str:
        mnemonic = str(request.path_params["mnemonic"])
        if self._simulator.settings.participant(mnemonic) is None:
            raise ValueError(f"Участник {mnemonic} не описан в настройках имитатора")
        return mnemonic

    def _present(self, sender: str) -> str:
        if sender in self._simulator.actors.down:
            raise ValueError(f"Участник {sender} выключен: включите его (POST /control/providers/{sender}/up)")
        return sender


def _order(sender: str, body: Body) -> Order:
    known = set(Order.__dataclass_fields__) | {"payload_base64", "attachments", "refs"}
    if strange := set(body) - known:
        raise ValueError(f"Неизвестные ключи: {', '.join(sorted(strange))}. Известны: {', '.join(sorted(known))}")
    values = {key: value for key, value in body.items() if key in Order.__dataclass_fields__ and key != "headers"}
    values["payload"] = _octets(body["payload_base64"]) if "payload_base64" in body else str(body["payload"]).encode()
    values["sender"] = sender
    if values.get("eol"):
        values["eol"] = datetime.fromisoformat(str(values["eol"]))
    attachments = [dict(one) for one in body.get("attachments", [])]
    values["contents"] = [(one["content_id"], one["mime_type"], _octets(one.pop("body"))) for one in attachments]
    values["headers"] = Headers(attachments, [dict(one) for one in body.get("refs", [])])
    return Order(**values)


def _octets(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("Ожидались байты в base64") from None


def _page(filters: dict[str, str]) -> tuple[int, int]:
    after, limit = int(filters.pop("after", 0)), int(filters.pop("limit", 100))
    return after, max(1, min(limit, MAX_PAGE))


def _json(value: Any, status: int = 200) -> Response:
    text = json.dumps(value, ensure_ascii=False, default=_plain)
    return Response(text, status, media_type="application/json; charset=utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, Decimal):
        return int(value)
    return str(value)
