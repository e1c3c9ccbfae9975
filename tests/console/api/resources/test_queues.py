"""Queues, schedules, connectors and kinds by the API."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from core.route import Format, Route
from core.schedule import Schedule
from routes.zags import death


class Ask(BaseModel):
    number: int = 0


def routes() -> list[Route]:
    command = Route("sfr.ask", title="Спросить", body=Ask)
    deaths = Route("erz.death", title="Смерть", formats=[Format("1", "death")])

    @command.handler
    def take(body: Ask, ctx: Any) -> None:
        pass

    @deaths.handler
    def keep(body: Any, ctx: Any) -> None:
        pass

    return [command, deaths]


class Far:
    """A far side with a source."""

    name = "far"
    interval_s = 60.0

    def __init__(self) -> None:
        self.sources = {"far.in": self}
        self.sinks: dict[str, Any] = {}

    def open(self) -> None: ...

    def close(self) -> None: ...

    def check(self) -> str:
        return "Связь есть"

    def receive(self) -> list[Any]:
        return []


@pytest.mark.feature("BUS-06")
def test_a_queue_is_paused_resumed_drained_and_polled(bus_of, api_of) -> None:
    caller = api_of(bus_of(routes(), [Far()])).token("queues.read", "queues.operate", name="night")
    assert {one["name"] for one in caller.get("/queues").json()["items"]} >= {"sfr.ask", "far.in", "unknown"}
    paused = caller.post("/queues/sfr.ask/pause", json={"reason": "работы"}).json()
    assert (paused["state"], paused["reason"], paused["changed_by"]) == ("paused", "работы", "token:night")
    assert caller.post("/queues/sfr.ask/drain").status_code == 409
    assert caller.post("/queues/sfr.ask/resume").json()["state"] == "running"
    assert caller.post("/queues/sfr.ask/drain").status_code == 202
    assert caller.post("/queues/far.in/poll").status_code == 202
    assert caller.post("/queues/far.in/drain").status_code == 409
    assert caller.post("/queues/sfr.ask/poll").status_code == 409
    for deed in ("", "/pause", "/resume", "/poll", "/drain"):
        body = {"json": {}} if deed == "/pause" else {}
        assert caller.request("POST" if deed else "GET", f"/queues/none{deed}", **body).status_code == 404


def test_the_numbers_of_a_queue_are_set_and_set_back(bus_of, api_of) -> None:
    caller = api_of(bus_of(routes(), [Far()])).token("queues.read", "queues.operate")
    was = {one["name"]: one["in_force"] for one in caller.get("/queues/sfr.ask/numbers").json()["items"]}
    changed = caller.put("/queues/sfr.ask/numbers", json={"attempts": 3, "concurrency": None}).json()
    assert {one["name"]: one["override"] for one in changed["items"]}["attempts"] == 3
    assert caller.put("/queues/sfr.ask/numbers", json={"attempts": 0}).status_code == 422
    back = caller.put("/queues/sfr.ask/numbers", json={}).json()
    assert {one["name"]: one["in_force"] for one in back["items"]} == was
    assert caller.get("/queues/far.in/numbers").status_code == 404


@pytest.mark.feature("BUS-05")
def test_a_schedule_is_made_changed_run_paused_and_removed(bus_of, api_of) -> None:
    bus = bus_of(routes())
    bus.schedules.declare([Schedule("nightly", "0 3 * * *", "sfr.ask", title="Ночью")])
    caller = api_of(bus).token("schedules.read", "schedules.operate", "schedules.write", name="clock")
    wish = {"title": "Днём", "queue": "sfr.ask", "cron": "0 12 * * *", "body": '{"number": 5}'}
    made = caller.post("/schedules", json={"name": "daily", **wish})
    assert (made.status_code, made.json()["name"], made.json()["origin"]) == (201, "daily", "operator")
    assert "body" not in made.json()
    assert caller.post("/schedules", json={"name": "daily", **wish}).status_code == 409
    assert caller.post("/schedules", json={"name": "odd", **wish, "cron": "every noon"}).status_code == 409
    changed = caller.put("/schedules/daily", json={**wish, "cron": "30 12 * * *"}).json()
    assert changed["cron"] == "30 12 * * *"
    assert caller.put("/schedules/nightly", json={**wish, "cron": "0 4 * * *"}).json()["changed"]
    assert caller.post("/schedules/nightly/reset").json()["cron"] == "0 3 * * *"
    ran = caller.post("/schedules/nightly/run")
    assert ran.status_code == 201
    runs = caller.get("/schedules/nightly/runs").json()
    assert [(one["message_id"], one["planned"]) for one in runs["items"]] == [(ran.json()["message_id"], None)]
    assert len(caller.get("/schedules/nightly/next", params={"count": 3}).json()["items"]) == 3
    assert caller.post("/schedules/nightly/pause").json()["paused"]
    assert not caller.post("/schedules/nightly/resume").json()["paused"]
    assert caller.delete("/schedules/nightly").status_code == 409
    assert caller.delete("/schedules/daily").status_code == 204
    assert [one["name"] for one in caller.get("/schedules").json()["items"]] == ["nightly"]
    for method, path in (("GET", ""), ("POST", "/run"), ("POST", "/pause"), ("DELETE", ""), ("GET", "/next")):
        assert caller.request(method, f"/schedules/none{path}").status_code == 404


@pytest.mark.feature("BUS-14")
def test_connectors_are_listed_and_tested(bus_of, api_of) -> None:
    caller = api_of(bus_of(routes(), [Far()])).token("connectors.read", "connectors.test")
    assert caller.get("/connectors").json()["items"] == [
        {"name": "far", "type": "far", "sources": ["far.in"], "sinks": []}
    ]
    checked = caller.post("/connectors/far/check").json()
    assert (checked["ok"], checked["said"]) == (True, "Связь есть")
    assert caller.get("/connectors/none").status_code == 404
    assert caller.post("/connectors/none/check").status_code == 404


@pytest.mark.feature("SMEV-08")
def test_kinds_are_listed_with_their_files(bus_of, api_of) -> None:
    bus = bus_of([*routes(), death.route])
    caller = api_of(bus).token("connectors.read")
    assert [one["name"] for one in caller.get("/kinds").json()["items"] if one["name"].startswith("sfr")] == ["sfr.ask"]
    found = caller.get(f"/kinds/{death.route.name}").json()
    assert found["formats"]
    schema = next(one for one in found["files"] if one["title"] == "схема")
    file = caller.get(f"/kinds/{death.route.name}/file", params={"path": schema["path"]})
    assert len(file.content) == schema["size_bytes"]
    assert caller.get(f"/kinds/{death.route.name}/file", params={"path": "../pyproject.toml"}).status_code == 404
    assert caller.get("/kinds/none").status_code == 404
