"""Messages by the API: the journal in pages, one message, its contents under a mask, resend and drop."""

from __future__ import annotations

import io
from typing import Any
from uuid import UUID

import pytest

from core.database import driver
from core.message import Attachment, Message
from core.route import Route

NOTHING = UUID(int=1)


def routes() -> list[Route]:
    note = Route("erz.note", title="Заметки", plain=["Код"])

    @note.handler
    def take(body: bytes, ctx: Any) -> None:
        pass

    return [note]


def put(bus: Any, *messages: Message) -> list[UUID]:
    return [one.message_id for one in bus.engine.put(messages)]


def notes(count: int) -> list[Message]:
    return [Message(kind="erz.note", body=b"{}", source="s", external_id=str(n)) for n in range(count)]


@pytest.mark.feature("BUS-04", "SMEV-07")
def test_the_journal_comes_in_pages_the_newest_first(bus_of, api_of) -> None:
    bus = bus_of(routes())
    ids = put(bus, *notes(7))
    caller = api_of(bus).token("messages.read")
    seen, cursor = [], None
    for size in (3, 3, 1):
        page = caller.get("/messages", params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        assert len(page["items"]) == size
        seen += [one["id"] for one in page["items"]]
        cursor = page["next"]
    assert cursor is None
    assert seen == [str(one) for one in reversed(ids)]


def test_the_filters_hold_together(bus_of, api_of) -> None:
    bus = bus_of(routes())
    ids = put(bus, *notes(2), Message(kind="nobody.knows", body=b""))
    caller = api_of(bus).token("messages.read")

    def found(**wanted: str) -> list[str]:
        return [one["id"] for one in caller.get("/messages", params=wanted).json()["items"]]

    assert found(state="quarantined") == [str(ids[2])]
    assert found(external_id="1", source="s") == [str(ids[1])]
    assert found(kind="erz.note", state="quarantined") == []
    assert found(since="2020-01-01T00:00:00Z", until="2020-01-02T00:00:00+03:00") == []
    assert len(found(since="0001-01-01T00:00:00+14:00", until="9999-12-31T23:59:59-12:00")) == 3
    assert caller.get("/messages", params={"since": "1700000000"}).status_code == 422


def test_one_message_its_events_and_its_family(bus_of, api_of) -> None:
    bus = bus_of(routes())
    [cause] = put(bus, *notes(1))
    [effect] = put(bus, Message(kind="erz.note", body=b"<a/>", cause=cause))
    bus.engine.drain("erz.note", 10)
    caller = api_of(bus).token("messages.read")
    card = caller.get(f"/messages/{effect}").json()
    assert (card["state"], card["cause"], card["body_bytes"], card["outgoing"]) == ("handled", str(cause), 4, None)
    assert "headers" not in card
    assert [one["stage"] for one in caller.get(f"/messages/{effect}/events").json()["items"]] == ["handled"]
    family = caller.get(f"/messages/{cause}/family").json()
    assert [(one["id"], one["depth"], one["cause"]) for one in family["effects"]] == [(str(effect), 1, str(cause))]
    for path in ("", "/events", "/family"):
        assert caller.get(f"/messages/{NOTHING}{path}").status_code == 404


def test_contents_are_masked_without_the_right_and_every_look_is_audited(bus_of, api_of) -> None:
    bus = bus_of(routes())
    [one] = put(bus, Message(kind="erz.note", body="<a><Код>42</Код><Имя>Иван</Имя></a>".encode()))
    api = api_of(bus)
    masked = api.token("messages.content", name="masked").get(f"/messages/{one}/contents").json()
    assert masked["masked"]
    assert "Иван" not in masked["body"]["text"]
    assert "42" in masked["body"]["text"]
    whole = api.token("messages.content", "personal.read").get(
        f"/messages/{one}/contents", params={"part": ["body", "headers"]}
    )
    assert "Иван" in whole.json()["body"]["text"]
    with bus.database.transaction() as connection:
        rows = driver(connection).execute("SELECT actor, via, object_id FROM bus.audit WHERE action = 'message.viewed'")
        assert ("token:masked", "api", str(one)) in rows.fetchall()
    assert api.token("messages.content").get(f"/messages/{NOTHING}/contents").status_code == 404


def test_contents_come_as_files_too(bus_of, api_of) -> None:
    bus = bus_of(routes())
    file = Attachment("Иванов.pdf", "application/pdf", open=lambda: io.BytesIO(b"%PDF \x00" * 50_000))  # type: ignore[arg-type]
    [one] = put(bus, Message(kind="erz.note", body=b'{"a": 1}', attachments=(file,)))
    api = api_of(bus)
    caller = api.token("messages.content", "personal.read", "messages.read")
    body = caller.get(f"/messages/{one}/files/body")
    assert body.content == b'{"a": 1}'
    assert body.headers["content-disposition"].startswith("attachment;")
    assert body.headers["content-type"] == "application/octet-stream"
    assert caller.get(f"/messages/{one}/files/attachment:0").content == b"%PDF \x00" * 50_000
    assert caller.get(f"/messages/{one}").json()["attachments"] == [
        {"place": 0, "media_type": "application/pdf", "stored": True}
    ]
    assert caller.get(f"/messages/{one}/files/attachment:7").status_code == 404
    assert caller.get(f"/messages/{one}/files/outputs:0").status_code == 404
    assert caller.get(f"/messages/{one}/files/secret").status_code == 422
    masked = api.token("messages.content")
    assert masked.get(f"/messages/{one}/files/attachment:0").status_code == 403
    assert "1" not in masked.get(f"/messages/{one}/files/body").text


@pytest.mark.feature("BUS-06")
def test_messages_are_sent_again_and_dropped(bus_of, api_of) -> None:
    bus = bus_of(routes())
    ids = [str(one) for one in put(bus, *notes(3))]
    caller = api_of(bus).token("messages.resend", "messages.read", name="operator")
    dropped = caller.post("/messages/drop", json={"ids": ids[:2] + ids[:1], "reason": "повтор"})
    assert dropped.json() == {"done": 2}
    assert caller.post("/messages/drop", json={"ids": ids[:2], "reason": "повтор"}).json() == {"done": 0}
    assert caller.post("/messages/resend", json={"ids": ids[:1]}).json() == {"done": 1}
    copy = caller.get("/messages").json()["items"][0]
    assert copy["source"] == "resend"
    refused = caller.post("/messages/resend", json={"ids": [ids[0], str(NOTHING)]})
    assert refused.status_code == 409
    assert str(NOTHING) in refused.json()["detail"]
    for bad in ({"ids": []}, {"ids": [str(NOTHING)] * 501}, {"ids": ["1"]}, {}):
        assert caller.post("/messages/resend", json=bad).status_code == 422
    assert caller.post("/messages/drop", json={"ids": ids, "reason": ""}).status_code == 422
    events = caller.get(f"/messages/{ids[0]}/events").json()["items"]
    assert [(one["stage"], one["actor"]) for one in events] == [
        ("dropped", "token:operator"), ("resent", "token:operator"),
    ]  # fmt: skip
