"""Idempotency keys through the whole API, and what an operation must say of itself."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from console.api.resource import Operation, Resource
from core import operations
from core.message import Message
from core.route import Route


def routes() -> list[Route]:
    note = Route("erz.note", title="Заметки")

    @note.handler
    def take(body: bytes, ctx: Any) -> None:
        pass

    return [note]


def handled(bus: Any) -> str:
    [one] = bus.engine.put([Message(kind="erz.note", body=b"{}")])
    bus.engine.drain("erz.note", 1)
    return str(one.message_id)


@pytest.mark.feature("SMEV-07")
def test_a_repeat_under_its_key_has_no_second_effect(bus_of, api_of) -> None:
    bus = bus_of(routes())
    caller = api_of(bus).token("messages.resend", "messages.read")
    body = {"ids": [handled(bus)]}
    answers = [caller.post("/messages/resend", json=body, headers={"Idempotency-Key": "once"}) for _ in range(3)]
    assert {answer.text for answer in answers} == {'{"done":1}'}
    assert [answer.headers.get("idempotency-replayed") for answer in answers] == [None, "true", "true"]
    assert len(caller.get("/messages").json()["items"]) == 2
    caller.post("/messages/resend", json=body)
    assert len(caller.get("/messages").json()["items"]) == 3


def test_a_refused_request_does_not_use_its_key_up(bus_of, api_of) -> None:
    bus = bus_of(routes())
    caller = api_of(bus).token("messages.resend")
    headers = {"Idempotency-Key": "k"}
    assert caller.post("/messages/drop", json={"ids": []}, headers=headers).status_code == 422
    wrong = {"ids": ["00000000-0000-0000-0000-000000000001"], "reason": "x"}
    assert caller.post("/messages/drop", json=wrong, headers=headers).status_code == 409
    right = {"ids": [handled(bus)], "reason": "x"}
    assert caller.post("/messages/drop", json=right, headers=headers).status_code == 200


def test_after_a_defect_nobody_knows_and_what_is_not_repeatable_is_refused(bus_of, api_of, monkeypatch) -> None:
    bus = bus_of(routes())
    caller = api_of(bus).token("messages.resend", "queues.operate")
    headers = {"Idempotency-Key": "k"}
    monkeypatch.setattr(operations, "resend", lambda *_, **__: 1 / 0)
    monkeypatch.setattr(operations, "set_state", lambda *_, **__: 1 / 0)
    body = {"ids": [handled(bus)]}
    assert caller.post("/messages/resend", json=body, headers=headers).status_code == 500
    assert caller.post("/queues/erz.note/resume", headers={"Idempotency-Key": "r"}).status_code == 500
    monkeypatch.undo()
    refused = caller.post("/messages/resend", json=body, headers=headers)
    assert (refused.status_code, refused.json()["type"]) == (409, "/api/v1/problems/key-unknown")
    assert caller.post("/queues/erz.note/resume", headers={"Idempotency-Key": "r"}).status_code == 200


def test_many_at_once_under_one_key_have_one_effect(bus_of, api_of) -> None:
    bus = bus_of(routes())
    caller = api_of(bus).token("messages.resend", "messages.read")
    body = {"ids": [handled(bus)]}
    start = threading.Barrier(8)

    def send(_: int) -> int:
        start.wait()
        return int(caller.post("/messages/resend", json=body, headers={"Idempotency-Key": "k"}).status_code)

    with ThreadPoolExecutor(8) as pool:
        statuses = set(pool.map(send, range(8)))
    assert 200 in statuses
    assert statuses <= {200, 409}
    assert len(caller.get("/messages").json()["items"]) == 2


def test_a_key_that_is_none_is_refused(bus_of, api_of) -> None:
    caller = api_of(bus_of(routes())).token("queues.operate")
    for key in ("", "x" * 256):
        refused = caller.post("/queues/erz.note/resume", headers={"Idempotency-Key": key})
        assert (refused.status_code, refused.json()["type"]) == (400, "/api/v1/problems/key")


def test_an_operation_without_a_known_permission_cannot_be_made() -> None:
    part = Resource("Часть")

    @part.look("/a", "nothing.known", "А")
    def look() -> None: ...

    [one] = part.declared
    with pytest.raises(ValueError, match=r"nothing\.known"):
        Operation(one.path, one.endpoint, **one.values)
    with pytest.raises(KeyError):
        Operation("/a", look)
