"""Реестры: what there is, by subsystem; the lists, cards and forms themselves are mounted below /registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import Response

from console.registry.engine import BASE, Engine
from console.registry.view import path_of
from console.shell.menu import Item
from console.shell.page import Page, allowed
from core import discovery
from core.screen import Screen, Shelf

if TYPE_CHECKING:
    from core.bus import Bus

router = APIRouter()
_SCREENS = discovery.screens()
_SHELVES = discovery.shelves()


def shelf_of(subsystem: str) -> Shelf:
    """How a subsystem is called; by its folder when it does not say."""
    return _SHELVES.get(subsystem) or Shelf(subsystem)


MENU = [
    Item(shelf_of(one).title, f"{BASE}/{one}", shelf_of(one).icon, "Реестры", shelf_of(one).place, f"{one}.read")
    for one in sorted({screen.subsystem for screen in _SCREENS})
]


def mount(app: FastAPI, bus: Bus) -> None:
    """Hang the registries below /registry."""
    Engine(app, bus, _SCREENS, {one: shelf_of(one).title for one in _by_subsystem()}).mount_to(app)


@router.get(BASE)
def index(page: Page = allowed()) -> Response:
    """Every screen that this person may see."""
    subsystems = sorted(_by_subsystem(), key=lambda one: (shelf_of(one).place, one))
    seen = [(shelf_of(one), _tiles(one)) for one in subsystems if page.may(f"{one}.read")]
    return page.show("registry/index.html", shelves=seen, title="Реестры")


@router.get(BASE + "/{subsystem}")
def shelf(subsystem: str, page: Page = allowed()) -> Response:
    """The screens of one subsystem."""
    if subsystem not in _by_subsystem():
        raise HTTPException(404)
    page.need(f"{subsystem}.read")
    shelf = shelf_of(subsystem)
    return page.show("registry/index.html", shelves=[(shelf, _tiles(subsystem))], title=shelf.title)


def _by_subsystem() -> dict[str, list[Screen]]:
    found: dict[str, list[Screen]] = {}
    for screen in _SCREENS:
        found.setdefault(screen.subsystem, []).append(screen)
    return found


def _tiles(subsystem: str) -> list[tuple[str, str, str]]:
    """(title, lead, address) of its screens, as they are declared."""
    return [(one.title, one.lead, path_of(one)) for one in _by_subsystem()[subsystem]]
