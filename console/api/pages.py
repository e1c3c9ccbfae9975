"""Puts the REST API below the console's pages. It guards itself: a token for everything."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.routing import Mount

from console.api.application import PREFIX, build

if TYPE_CHECKING:
    from core.bus import Bus


def mount(app: FastAPI, bus: Bus) -> None:
    """Called by console.pages.build."""
    mounted = Mount(PREFIX, app=build(bus))
    # An address with a line feed in it is one of ours too, and is answered by a problem like any other.
    mounted.path_regex = re.compile(mounted.path_regex.pattern, re.DOTALL)
    app.router.routes.append(mounted)
