"""The map of flows: a drawing whose nodes lead to their queues, and the same as a list."""

from __future__ import annotations

import re
from typing import Any

import pytest
from lxml import etree
from pydantic import BaseModel

from console.flow.drawing import draw, mode_of
from console.flow.layout import HEIGHT, WIDTH, layout
from core import operations
from core.flows import Edge, Flows, Node
from core.message import Message
from core.pace import Pace
from core.reading import QueueRow
from core.route import Route
from core.standing import Standing

pytestmark = pytest.mark.feature("SMEV-08")


class Nothing(BaseModel):
    """An empty body."""


def node(key: str, side: str = "route", group: str = "", mode: str = "running") -> Node:
    row = QueueRow(key, side, key, "running", "", None, 0, None, "", None, "", 1, 0, 0, 2, None, 0.0)  # type: ignore[arg-type]
    stands = [Standing(row, mode, Pace(), None, False, 1)]
    return Node(key, key, f"Очередь {key} <&>", side, group, stands)


def flows(nodes: list[Node], *edges: tuple[str, str]) -> Flows:
    return Flows({one.key: one for one in nodes}, [Edge(a, b, 5, 10, None) for a, b in edges])


def test_nodes_stand_from_left_to_right_as_messages_go_and_never_on_one_another() -> None:
    found = flows(
        [node("in:far", "source"), *(node(f"t.{n}", group=f"g{n % 2}") for n in range(6)), node("far", "sink")],
        *[("in:far", "t.0"), ("t.0", "t.1"), ("t.1", "t.2"), ("t.0", "t.2"), ("in:far", "t.3"), ("t.2", "far")],
    )
    places = layout(found).places
    across = [places[key].x for key in ("in:far", "t.0", "t.1", "t.2", "far")]
    assert across == sorted(set(across))
    assert set(places) == set(found.nodes)
    taken = list(places.values())
    for place, one in enumerate(taken):
        for other in taken[place + 1 :]:
            assert abs(one.x - other.x) >= WIDTH or abs(one.y - other.y) >= HEIGHT


def test_a_circle_of_routes_is_drawn_too() -> None:
    found = flows([node("t.a"), node("t.b")], ("t.a", "t.b"), ("t.b", "t.a"))
    assert set(layout(found).places) == {"t.a", "t.b"}
    etree.fromstring(str(draw(found)))


def test_the_drawing_is_well_formed_says_states_in_words_and_links_to_queues() -> None:
    found = flows([node("in:far", "source"), node("t.a", mode="paused"), node("far", "sink")], ("in:far", "t.a"))
    drawing = etree.fromstring(str(draw(found)))
    texts = ["".join(one.itertext()) for one in drawing.iter("text")]
    assert "на паузе" in texts
    assert "карантин 2" in texts
    assert {one.get("href") for one in drawing.iter("a")} == {"/connectors/in%3Afar", "/queues/t.a", "/queues/far"}
    assert not [one for one in drawing.iter() if one.get("style") or one.get("onclick")]


def test_an_empty_map_is_drawn_and_the_worst_of_a_sources_polls_counts() -> None:
    etree.fromstring(str(draw(flows([]))))
    stands = [*node("a", mode="running").standings, *node("b", mode="failing").standings]
    assert mode_of(Node("in:x", "x", "Приём: x", "source", "", stands)) == "failing"


@pytest.fixture
def bus(bus_of: Any) -> Any:
    route = Route("t.work", title="Проба: работа", body=Nothing)
    route.handler(lambda _body, _context: None)
    return bus_of([route])


@pytest.mark.feature("SMEV-11")
def test_the_page_shows_the_map_and_the_list_follows_a_pause_and_refuses_strangers(console_of: Any, bus: Any) -> None:
    bus.engine.put([Message(kind="t.work", body=b"{}")])
    desk = console_of(bus)
    operator, stranger = desk.person("operator"), desk.person("personal")
    text = operator.get("/flow").text
    assert "Вручную и командами" in text
    assert "1 из 1" in text
    assert len(re.findall(r'href="/queues/t\.work"', text)) >= 2
    assert 'style="' not in text
    operations.set_state(bus, "t.work", "paused", actor="и", reason="обед")
    assert "на паузе" in operator.get("/flow/part").text
    for path in ("/flow", "/flow/part"):
        assert stranger.get(path).status_code == 403
