"""Giving the bus something by the API: checked at once, journaled once under a key, requests and their answers."""

from __future__ import annotations

import base64
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict

from console.api.resources import sending
from core.connector import Prepared, Receipt
from core.database import driver
from core.message import Message, Outcome
from core.questions import Question
from core.route import Format, Route


class Ask(BaseModel):
    model_config = ConfigDict(extra="forbid")

    number: int


def routes() -> list[Route]:
    command = Route("sfr.ask", title="Спросить", body=Ask)
    note = Route("erz.note", title="Заметки", formats=[Format("1", "note")])

    @command.handler
    def take(body: Ask, ctx: Any) -> None:
        pass

    @note.handler
    def keep(body: Any, ctx: Any) -> None:
        pass

    return [command, note]


class Post:
    """A far side that takes everything."""

    name = "post"

    def __init__(self) -> None:
        self.sources: dict[str, Any] = {}
        self.sinks = {"post": self}

    def open(self) -> None: ...

    def close(self) -> None: ...

    def check(self) -> str:
        return "Связь есть"

    def prepare(self, message: Message) -> Prepared:
        return Prepared(f"out-{message.id}")

    def send(self, message: Message, prepared: Prepared, *, repeated: bool) -> Receipt:
        return Receipt("принято")


def journal(bus: Any) -> list[tuple[str, str, str, str]]:
    """(kind, source, state, external id), the oldest first."""
    with bus.database.transaction() as connection:
        rows = driver(connection).execute(
            "SELECT m.kind, m.source, e.state, m.external_id "
            "FROM bus.message m JOIN bus.entry e USING (seq) ORDER BY seq"
        )
        return rows.fetchall()  # type: ignore[return-value]


@pytest.mark.feature("SMEV-07")
def test_a_command_and_a_document_go_into_their_routes(bus_of, api_of) -> None:
    bus = bus_of(routes())
    caller = api_of(bus).token("messages.send", "messages.read", name="erz")
    made = caller.post("/messages", json={"kind": "sfr.ask", "data": {"number": 7}})
    assert made.status_code == 201
    xml = base64.b64encode(b"<note/>").decode()
    for body in ({"text": "<note/>"}, {"base64": xml}):
        assert caller.post("/messages", json={"kind": "erz.note", **body}).status_code == 201
    assert [row[:3] for row in journal(bus)] == [
        ("sfr.ask", "api:erz", "ready"), ("erz.note", "api:erz", "ready"), ("erz.note", "api:erz", "ready"),
    ]  # fmt: skip
    events = caller.get(f"/messages/{made.json()['message_id']}/events").json()["items"]
    assert [(one["stage"], one["actor"]) for one in events] == [("put", "token:erz")]


def test_what_its_route_would_not_take_is_refused_at_once(bus_of, api_of) -> None:
    bus = bus_of(routes())
    caller = api_of(bus).token("messages.send")
    for body, status, kind in (
        ({"kind": "sfr.ask", "data": {"number": "x"}}, 422, "document"),
        ({"kind": "erz.note", "text": "<other/>"}, 422, "document"),
        ({"kind": "erz.note", "text": "<note>"}, 422, "document"),
        ({"kind": "erz.note", "text": "<!DOCTYPE a [<!ENTITY b 'c'>]><note/>"}, 422, "document"),
        ({"kind": "no.such", "text": "x"}, 409, "conflict"),
        ({"kind": "erz.note"}, 422, "values"),
        ({"kind": "erz.note", "text": "<note/>", "data": {}}, 422, "values"),
        ({"kind": "erz.note", "base64": "я"}, 422, "values"),
        ({"kind": "erz.note", "base64": "abc"}, 422, "values"),
    ):
        refused = caller.post("/messages", json=body)
        assert (refused.status_code, refused.json()["type"]) == (status, f"/api/v1/problems/{kind}"), body
    assert journal(bus) == []


def test_a_message_under_a_key_is_journaled_once_even_when_the_stored_answer_is_lost(bus_of, api_of) -> None:
    bus = bus_of(routes())
    caller = api_of(bus).token("messages.send", name="erz")
    headers = {"Idempotency-Key": "order-1"}
    first = caller.post("/messages", json={"kind": "sfr.ask", "data": {"number": 1}}, headers=headers)
    again = caller.post("/messages", json={"kind": "sfr.ask", "data": {"number": 1}}, headers=headers)
    assert again.json() == first.json()
    assert again.status_code == 201
    assert again.headers["idempotency-replayed"] == "true"
    other = caller.post("/messages", json={"kind": "sfr.ask", "data": {"number": 2}}, headers=headers)
    assert (other.status_code, other.json()["type"]) == (409, "/api/v1/problems/key-reused")
    with bus.database.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM bus.idempotency")
    late = caller.post("/messages", json={"kind": "sfr.ask", "data": {"number": 1}}, headers=headers)
    assert late.json() == first.json()
    other = caller.post(
        "/messages", json={"kind": "sfr.ask", "data": {"number": 2}}, headers={"Idempotency-Key": "order-1"}
    )
    assert other.status_code == 409
    assert [row[3] for row in journal(bus)] == ["order-1"]


def test_near_the_end_of_the_disk_nothing_is_taken(bus_of, api_of, monkeypatch) -> None:
    bus = bus_of(routes())
    monkeypatch.setattr(bus.pressure, "reason", lambda: "Кончается место на диске")
    refused = api_of(bus).token("messages.send").post("/messages", json={"kind": "sfr.ask", "data": {"number": 1}})
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "60"


@pytest.mark.feature("SMEV-08")
def test_a_request_is_sent_and_its_answer_arrives(bus_of, api_of, monkeypatch) -> None:
    def make(payload: bytes) -> Message:
        return Message(kind="sfr.snils.request", body=payload, queue="post", reply_within_s=60)

    question = Question("sfr.snils.request", "Запрос СНИЛС", Format("1", "ask"), make, "Когда СНИЛС неизвестен")
    monkeypatch.setattr(sending, "_questions", lambda: [question])
    bus = bus_of(routes(), [Post()])
    caller = api_of(bus).token("messages.send", "messages.read", "connectors.read", name="erz")
    [known] = caller.get("/questions").json()["items"]
    assert (known["name"], known["root"]) == ("sfr.snils.request", "ask")
    monkeypatch.setattr("core.stages.validate", lambda *_: None)
    sent = caller.post("/requests", json={"question": "sfr.snils.request", "text": "<ask/>"})
    assert sent.status_code == 201
    message_id = sent.json()["message_id"]
    assert caller.get(f"/requests/{message_id}").json()["state"] == "waiting"
    for _ in range(2):
        bus.engine.drain("post", 10)
    assert caller.get(f"/requests/{message_id}").json()["state"] == "sent"
    answer = Message(
        kind="", body=b"<a/>", source="post", in_reply_to=f"out-{message_id}", outcome=Outcome.ANSWER, external_id="a"
    )
    [accepted] = bus.engine.put([answer])
    one = caller.get(f"/requests/{message_id}").json()
    assert (one["state"], one["answers"], one["asked_by"]) == ("answered", [str(accepted.message_id)], "token:erz")
    page = caller.get("/requests", params={"limit": 1}).json()
    assert ([row["id"] for row in page["items"]], page["next"]) == ([message_id], None)
    assert caller.get(f"/requests/{UUID(int=1)}").status_code == 404
    assert caller.post("/requests", json={"question": "no", "text": "<ask/>"}).status_code == 409
    assert caller.post("/requests", json={"question": "sfr.snils.request", "text": "<no/>"}).status_code == 422
