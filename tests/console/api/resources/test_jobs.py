"""Jobs, corrections, search, audit, evidence and health by the API."""

from __future__ import annotations

import io
import zipfile
from typing import Any
from uuid import UUID

import pytest

from core.message import Message
from core.route import Route


def routes() -> list[Route]:
    note = Route("erz.note", title="Заметки")

    @note.handler
    def take(body: bytes, ctx: Any) -> None:
        pass

    return [note]


def unknown(bus: Any, count: int) -> list[str]:
    """Messages in quarantine."""
    made = bus.engine.put([Message(kind="nobody.knows", body=b"<a/>") for _ in range(count)])
    return [str(one.message_id) for one in made]


@pytest.mark.feature("BUS-06")
def test_a_job_is_started_watched_and_cancelled(bus_of, api_of) -> None:
    bus = bus_of(routes())
    ids = unknown(bus, 3)
    caller = api_of(bus).token("messages.read", "messages.resend", name="night")
    [group] = caller.get("/quarantine").json()["items"]
    assert group["many"] == 3
    whole = caller.post(
        "/jobs", json={"action": "drop", "group": {"queue": group["queue"], "name": group["name"]}, "reason": "лишние"}
    )
    assert (whole.status_code, whole.json()["total"], whole.json()["created_by"]) == (201, 3, "token:night")
    number = whole.json()["id"]
    assert caller.post(f"/jobs/{number}/pause").json()["state"] == "paused"
    assert caller.post(f"/jobs/{number}/pause").status_code == 409
    assert caller.post(f"/jobs/{number}/continue").json()["state"] == "running"
    assert caller.post(f"/jobs/{number}/cancel").json()["state"] == "cancelled"
    page = caller.get(f"/jobs/{number}/items", params={"limit": 2}).json()
    rest = caller.get(f"/jobs/{number}/items", params={"limit": 2, "cursor": page["next"]}).json()
    assert [one["message_id"] for one in page["items"] + rest["items"]] == ids
    assert rest["next"] is None
    for body in (
        {"ids": ids[:2]},
        {"filter": {"state": "quarantined", "kind": "nobody.knows"}},
    ):
        assert caller.post("/jobs", json={"action": "resend", **body}).status_code == 201
    assert [one["total"] for one in caller.get("/jobs", params={"limit": 2}).json()["items"]] == [3, 2]
    for body in ({}, {"ids": ids, "filter": {}}, {"ids": [], "rate_per_s": 5}, {"ids": ids, "rate_per_s": 0}):
        assert caller.post("/jobs", json={"action": "resend", **body}).status_code == 422
    assert caller.post("/jobs", json={"action": "drop", "ids": ids}).status_code == 409
    assert caller.get("/jobs/999").status_code == 404


@pytest.mark.feature("BUS-07")
def test_corrections_are_seen_and_decided_by_people_only(bus_of, api_of) -> None:
    caller = api_of(bus_of()).everything()
    assert caller.get("/corrections").json() == {"items": [], "next": None}
    assert caller.get("/corrections/1").status_code == 404
    assert caller.post("/corrections").status_code == 405


@pytest.mark.feature("BUS-04")
def test_a_search_never_carries_what_is_looked_for_in_its_address(bus_of, api_of) -> None:
    bus = bus_of(routes())
    bus.engine.put([Message(kind="erz.note", body="<a><СНИЛС>112-233-445 95</СНИЛС></a>".encode())])
    api = api_of(bus)
    caller = api.token("messages.read", "search.write", "personal.read", name="seeker")
    key = {"name": "snils", "title": "СНИЛС", "kind": "erz.note", "xpath": "//СНИЛС"}
    made = caller.post("/search-keys", json=key)
    assert (made.status_code, made.json()["personal"]) == (201, True)
    assert caller.post("/search-keys", json={**key, "name": "odd", "xpath": "//["}).status_code == 409
    assert "snils" in {one["name"] for one in caller.get("/search-keys").json()["items"]}
    wanted = {"kind": "erz.note", "search_key": "snils", "value": "112-233-445 95"}
    assert caller.post("/messages/search", json=wanted).status_code == 200
    found = caller.post("/messages/search", json={"kind": "erz.note"}).json()
    assert (len(found["items"]), found["complete"], found["next"]) == (1, True, None)
    stranger = api.token("messages.read")
    assert stranger.post("/messages/search", json=wanted).status_code == 403
    assert stranger.post("/messages/search", json={"words": "Иванов"}).status_code == 403
    assert caller.post("/messages/search", json={"search_key": "none", "value": "1"}).status_code == 409
    assert caller.delete("/search-keys/none").status_code == 404
    assert caller.delete("/search-keys/participant").status_code == 409
    assert caller.delete("/search-keys/snils").status_code == 204


@pytest.mark.feature("SMEV-11")
def test_the_audit_comes_in_pages(bus_of, api_of) -> None:
    api = api_of(bus_of(routes()))
    caller = api.token("audit.read", "queues.operate", name="boss")
    for _ in range(3):
        caller.post("/queues/erz.note/pause", json={})
    chosen = {"action": "queue.paused", "actor": "token:boss", "limit": 2}
    page = caller.get("/audit", params=chosen).json()
    rest = caller.get("/audit", params={**chosen, "cursor": page["next"]}).json()
    assert [one["via"] for one in page["items"] + rest["items"]] == ["api"] * 3
    assert rest["next"] is None
    assert caller.get("/audit", params={"since": "2999-01-01T00:00:00Z"}).json()["items"] == []


@pytest.mark.feature("BUS-11")
def test_an_evidence_package_is_downloaded(bus_of, api_of) -> None:
    bus = bus_of(routes())
    [one] = unknown(bus, 1)
    caller = api_of(bus).token("evidence.make")
    package = caller.get(f"/messages/{one}/evidence")
    assert package.headers["content-type"] == "application/zip"
    assert zipfile.ZipFile(io.BytesIO(package.content)).namelist()
    assert caller.get(f"/messages/{UUID(int=1)}/evidence").status_code == 404


@pytest.mark.feature("BUS-14")
def test_how_the_bus_stands(bus_of, api_of) -> None:
    caller = api_of(bus_of(routes())).token("desk.read", name="watch")
    health = caller.get("/health").json()
    assert (health["ready"], health["refusal"], health["accepted"]) == (False, "", 0)
    assert caller.get("/me").json() == {"login": "token:watch", "permissions": ["desk.read"]}
