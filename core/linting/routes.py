"""Checks of the routes: each is whole, and keeps the part of the contract of kinds that its files show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from core import stages
from core.discovery import Routes
from core.errors import BusError, ConfigError
from core.linting.finding import Finding, imported, words
from core.route import Route
from core.testing import kinds

_RUSSIAN: Final = re.compile("[а-яё]", re.IGNORECASE)


def check(house: Path) -> Iterator[Finding]:
    """Every module of routes/ loads, and every route it declares is complete."""
    found: dict[int, tuple[Route, Path]] = {}
    for file in sorted((house / "routes").rglob("*.py")):
        if "migrations" in file.parts:
            continue
        module = imported(house, file)
        if isinstance(module, Finding):
            yield module
            continue
        for value in vars(module).values():
            if isinstance(value, Route) and (id(value) not in found or _declares(module.__name__, value)):
                found[id(value)] = (value, file)
    for route, file in found.values():
        place = str(file.relative_to(house))
        yield from (Finding(place, f"{route.name}: {text}") for text in _route(route, file.relative_to(house).parts[1]))
    try:
        Routes([route for route, _ in found.values()])
    except ConfigError as error:
        yield Finding("routes/", error.reason)


def _declares(module: str, route: Route) -> bool:
    """A route may be imported elsewhere: it belongs where its handler is written."""
    return any(handler.__module__ == module for handler in route.handlers.values())


def _route(route: Route, subsystem: str) -> Iterator[str]:
    if not _RUSSIAN.search(route.title):
        yield "нет названия по-русски: напишите title"
    if not route.name.startswith(f"{subsystem}."):
        yield f"имя маршрута начинается не с подсистемы: назовите его {subsystem}.…"
    if not route.formats and route.body is None:
        yield "нет ни форматов документа, ни модели команды: задайте formats или body"
    for form in route.formats:
        if form.transform:
            try:
                stages.transformer(form.transform)
            except BusError as error:
                yield error.reason
            except Exception as error:  # a transformer in Python may raise anything when it is loaded
                yield f"преобразование {form.transform} не загружается ({words(error)}): исправьте его"
    for finding in kinds.check(route):
        yield f"{finding.text} [{finding.rule}]"
