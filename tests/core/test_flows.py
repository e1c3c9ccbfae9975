"""The map shows who gives messages to whom: what was seen and what is declared."""

from __future__ import annotations

from typing import Any

import pytest

from core import discovery, flows
from core.flows import BY_CLOCK, BY_HAND, BY_TERM, Flows, Observer
from core.flows import flows as graph
from core.message import Message
from core.schedule import Schedule

pytestmark = pytest.mark.feature("SMEV-08")


def edges(found: Flows) -> dict[tuple[str, str], int]:
    return {(edge.origin, edge.target): edge.seen for edge in found.edges}


def test_messages_draw_the_edges_they_went(bus_of: Any, working: Any, far: Any, run_dry: Any) -> None:
    first = working(lambda message, _: [Message(kind="t.second", body=message.body)], name="t.first")
    second = working(lambda message, _: [Message(kind="q", body=message.body, queue="far")], name="t.second")
    bus = bus_of([first, second], [far])
    far.offer("1", b"a", kind="t.first")
    bus.engine.accept(far.receive())
    for queue in ("t.first", "t.second", "far"):
        run_dry(bus, queue)
    bus.engine.put([Message(kind="t.second", body=b"x", source="far", in_reply_to="out-1", outcome="answer")])
    bus.engine.put([Message(kind="t.first", body=b"hand")])
    found = graph(bus, Observer(bus.database))
    assert edges(found) == {
        ("in:far", "t.first"): 1,
        (BY_HAND, "t.first"): 1,
        ("t.first", "t.second"): 1,
        ("in:far", "t.second"): 1,
        ("t.second", "far"): 1,
    }
    answered = next(edge for edge in found.edges if (edge.origin, edge.target) == ("in:far", "t.second"))
    assert answered.answers
    assert (answered.seen, answered.of) == (1, 2)
    assert {found.nodes[key].side for key in ("in:far", "t.first", "far")} == {"source", "route", "sink"}


def test_a_term_that_is_over_and_a_schedule_are_sources_too(bus_of: Any, working: Any, far: Any, run_dry: Any) -> None:
    bus = bus_of([working()], [far], schedules={"nightly": {"cron": "0 3 * * *", "queue": "t.work"}})
    assert edges(graph(bus, Observer(bus.database))) == {(BY_CLOCK, "t.work"): 0}, "declared, nothing has come yet"
    bus.engine.put([Message(kind="q", body=b"a", queue="far", replies_to="t.work", reply_within_s=0.001)])
    run_dry(bus, "far")
    bus.engine.expire()
    bus.schedules.declare([Schedule("nightly", "0 3 * * *", "t.work")])
    found = edges(graph(bus, Observer(bus.database)))
    assert found == {(BY_HAND, "far"): 1, (BY_TERM, "t.work"): 1, (BY_CLOCK, "t.work"): 0}


def test_queues_that_a_connector_names_in_its_settings_are_declared_edges(bus_of: Any, working: Any, far: Any) -> None:
    settings = {"type": "far", "senders": {"клиника": {"queues": ["t.work", "t.gone"]}}, "inbox": {"queue": "t.other"}}
    bus = bus_of([working(), working(name="t.other")], [far], connectors={"far": settings})
    assert edges(graph(bus, Observer(bus.database))) == {("in:far", "t.work"): 0, ("in:far", "t.other"): 0}


def test_a_rare_flow_is_seen_beside_a_busy_one(bus_of: Any, working: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "SAMPLE", 3)
    bus = bus_of([working(), working(name="t.rare")])
    bus.engine.put([Message(kind="t.rare", body=b"x")])
    bus.engine.put([Message(kind="t.work", body=b"%d" % n) for n in range(20)])
    assert edges(graph(bus, Observer(bus.database))) == {(BY_HAND, "t.rare"): 1, (BY_HAND, "t.work"): 3}


def test_a_resend_draws_no_edge(bus_of: Any, working: Any, put: Any) -> None:
    bus = bus_of([working()])
    [message] = put(bus, "a")
    bus.engine.put([message.but(id=Message("", b"").id, source="resend", cause=message.id)])
    assert edges(graph(bus, Observer(bus.database))) == {(BY_HAND, "t.work"): 1}


def test_a_subsystem_is_the_package_of_the_routes_program_and_has_the_name_people_give_it(bus_of: Any) -> None:
    from routes.zags.death import route

    bus = bus_of([route])
    assert flows.subsystem(bus, "zags.death") == "zags"
    assert flows.subsystem(bus, "bus.poll") == ""
    assert discovery.subsystem_title("zags") == "ЕГР ЗАГС"
    assert discovery.subsystem_title("nowhere") == "nowhere"
