"""The map of flows, drawn anew every few seconds, and the same as a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import Response

from console.flow.drawing import address, draw, mode_of, per_minute, told
from console.shell.menu import Item
from console.shell.page import Page, allowed
from core import flows
from core.standing import MODES

if TYPE_CHECKING:
    from core.bus import Bus

MENU = [Item("Карта потоков", "/flow", "fa-diagram-project", "Шина", 6, "desk.read")]
router = APIRouter()


def mount(app: FastAPI, bus: Bus) -> None:
    """What was observed is shared by all who look."""
    app.state.flow_observer = flows.Observer(bus.database)


@router.get("/flow")
def show(page: Page = allowed("desk.read")) -> Response:
    return page.show("flow/flow.html", **_look(page))


@router.get("/flow/part")
def part(page: Page = allowed("desk.read")) -> Response:
    return page.show("flow/part.html", **_look(page))


def _look(page: Page) -> dict[str, Any]:
    found = flows.flows(page.bus, page.request.app.state.flow_observer)
    edges = sorted(
        found.edges, key=lambda one: (found.nodes[one.origin].side != "source", one.origin, -one.seen, one.target)
    )
    return {
        "flows": found,
        "drawn": draw(found),
        "edges": [(one, found.nodes[one.origin], found.nodes[one.target], per_minute(one, found)) for one in edges],
        "quiet": [node for node in found.nodes.values() if not found.into(node.key) and not found.out_of(node.key)],
        "address": address,
        "mode_of": mode_of,
        "modes": MODES,
        "told": told,
        "sample": flows.SAMPLE,
    }
