"""The list of connectors and the page of one connector."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Form
from fastapi.responses import Response

from console.connectors.labels import OPERATIONS, TYPES, label
from console.shell.menu import Item
from console.shell.page import Page, allowed
from console.shell.words import plural
from core import connection_check, connections
from core.connections import Connection
from core.errors import ConfigError

MENU = [Item("Коннекторы", "/connectors", "fa-plug", "Обмен", 1, "connectors.read")]
SMEV = "smev3"
REASON_MOST = 500
_TOLD_APART = ("polls[", "endpoints.")
"""Settings of СМЭВ that have tables of their own."""
router = APIRouter()


@router.get("/connectors")
def listed(page: Page = allowed("connectors.read")) -> Response:
    return page.show("connectors/list.html", **_list(page))


@router.get("/connectors/part")
def listed_part(page: Page = allowed("connectors.read")) -> Response:
    return page.show("connectors/rows.html", **_list(page))


@router.get("/connectors/{name}")
def connector(name: str, page: Page = allowed("connectors.read")) -> Response:
    found = connections.connection(page.bus, name)
    settings = connections.settings(page.bus, name)
    shown = [one for one in settings if found.type != SMEV or not one.name.startswith(_TOLD_APART)]
    return page.show(
        "connectors/connector.html",
        settings=[one for one in shown if one.given],
        defaults=[one for one in shown if not one.given],
        label=label,
        smev=_smev(page, found) if found.type == SMEV and found.state != "off" else None,
        **_state(page, found),
    )


@router.get("/connectors/{name}/part")
def connector_part(name: str, page: Page = allowed("connectors.read")) -> Response:
    return page.show("connectors/state.html", **_state(page, connections.connection(page.bus, name)))


@router.get("/connectors/{name}/check")
def check_part(name: str, page: Page = allowed("connectors.read")) -> Response:
    """The outcome of the last test; asked for again and again while one is under way."""
    return page.show("connectors/check.html", check=connection_check.last(page.bus, name))


@router.post("/connectors/{name}/check")
def check(name: str, page: Page = allowed("connectors.test")) -> Response:
    connection_check.begin(page.bus, name, actor=page.actor)
    return page.to(f"/connectors/{name}")


@router.post("/connectors/{name}/pause")
def pause(name: str, reason: str = Form(""), page: Page = allowed("queues.operate")) -> Response:
    reason = reason.strip()[:REASON_MOST]
    if not reason:
        raise ConfigError("Напишите, почему коннектор ставится на паузу: это увидят все, кто на него смотрит")
    count = connections.set_state(page.bus, name, "paused", actor=page.actor, reason=reason)
    page.say(f"Коннектор {name} на паузе: остановлено {plural(count, 'очередь', 'очереди', 'очередей')}.")
    return page.to(f"/connectors/{name}")


@router.post("/connectors/{name}/resume")
def resume(name: str, page: Page = allowed("queues.operate")) -> Response:
    count = connections.set_state(page.bus, name, "running", actor=page.actor)
    page.say(f"Коннектор {name} пущен: работает {plural(count, 'очередь', 'очереди', 'очередей')}.")
    return page.to(f"/connectors/{name}")


def _list(page: Page) -> dict[str, Any]:
    return {
        "connections": connections.connections(page.bus),
        "checks": connection_check.checks(page.bus),
        "types": TYPES,
    }


def _state(page: Page, found: Connection) -> dict[str, Any]:
    return {
        "one": found,
        "polls": connections.polls(page.bus, found),
        "exchanges": {sink.name: connections.exchange(page.bus, sink.name) for sink in found.sinks},
        "check": connection_check.last(page.bus, found.name),
        "types": TYPES,
        "off": found.state == "off",
    }


def _smev(page: Page, found: Connection) -> dict[str, Any]:
    """Addresses by version, polls in words, and what СМЭВ said waits for us."""
    settings = page.bus.lines[found.name].connector.settings  # type: ignore[attr-defined]
    return {
        "endpoints": sorted(
            (version, connections.shown_value("url", url)) for version, url in settings.addresses.items()
        ),
        "usual": settings.usual_version,
        "polls": [
            {
                "name": f"{found.name}.{poll.name}",
                "operation": OPERATIONS.get(poll.operation, poll.operation),
                "version": settings.version_of(poll),
                "selector": f"{poll.root} из {poll.namespace}" if poll.root else "",
                "node": poll.node,
            }
            for poll in settings.polls
        ],
        "waiting": connections.waiting_there(page.bus, found.name),
    }
