"""Builds the API: one FastAPI application of the resources that are found in console/api/resources/."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import anyio
from fastapi import FastAPI

from console.api import PREFIX, problems
from console.api.document import document
from console.api.guard import Guard
from console.api.resource import KEYS_AT_ONCE, Operation, Resource
from core.settings import HOUSE

if TYPE_CHECKING:
    from core.bus import Bus


def resources() -> list[Resource]:
    """Every module-level Resource, in the order of the files' names."""
    found: dict[int, Resource] = {}
    for file in sorted((HOUSE / "console" / "api" / "resources").glob("[a-z]*.py")):
        module = importlib.import_module(f"console.api.resources.{file.stem}")
        found |= {id(one): one for one in vars(module).values() if isinstance(one, Resource)}
    return list(found.values())


def build(bus: Bus) -> FastAPI:
    """The API of this bus."""
    app = FastAPI(title="omsbus", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.state.bus = bus
    app.state.keys = anyio.CapacityLimiter(KEYS_AT_ONCE)
    found = resources()
    for resource in found:
        for one in resource.declared:
            app.router.add_api_route(one.path, one.endpoint, route_class_override=Operation, **one.values)
    app.state.document = document(app, found, PREFIX)
    problems.register(app)
    app.add_middleware(Guard, bus=bus)
    return app
