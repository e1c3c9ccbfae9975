"""Finds what is in the house: connectors, routes, schedules, migrations, commands. No list to edit.

A new connector is a folder `connectors/<type>/` with `connector.py`; a new route is a module-level `Route` in
`routes/<subsystem>/<kind>.py`. Packages installed beside us join by entry points: groups `omsbus.connectors`
(name → module with Settings and connect), `omsbus.routes` (name → module with routes) and `omsbus.screens` (name →
module with screens).
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.metadata
import pkgutil
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from core.connector import Connector, ConnectorSettings
from core.errors import ConfigError
from core.message import Message
from core.questions import Question
from core.route import Format, Route
from core.schedule import Schedule
from core.screen import Screen, Shelf
from core.settings import HOUSE

ROOTS = ("core", "connectors", "routes", "simulators", "console", "benchmarks")


def modules_of(root: str) -> Iterator[ModuleType]:
    """Every module below the top-level package `root`, imported; tests and migrations are not modules of it."""
    package = importlib.import_module(root)
    for found in pkgutil.walk_packages(package.__path__, f"{root}."):
        if ".migrations" not in found.name:
            yield importlib.import_module(found.name)


class Routes:
    """All routes, by name and by the root element of their documents."""

    def __init__(self, routes: Iterator[Route] | list[Route]) -> None:
        self.by_name: dict[str, Route] = {}
        self.by_root: dict[str, tuple[Route, Format]] = {}
        for route in routes:
            if self.by_name.setdefault(route.name, route) is not route:
                raise ConfigError(f"Два маршрута с именем {route.name}: переименуйте один из них")
            for form in route.formats:
                if form.root in self.by_root:
                    other = self.by_root[form.root][0].name
                    raise ConfigError(f"Элемент {form.root} принимают два маршрута: {other} и {route.name}")
                self.by_root[form.root] = (route, form)

    def of(self, message: Message) -> tuple[Route | None, str]:
        """(route, version) for a message by its queue, its kind as a route's name, its kind as a root element."""
        if message.queue:
            return self.by_name.get(message.queue), message.version
        if message.kind in self.by_name:
            return self.by_name[message.kind], message.version
        if message.kind in self.by_root:
            route, form = self.by_root[message.kind]
            return route, form.version
        return None, message.version


def routes() -> list[Route]:
    """Every module-level Route below routes/, and those of installed packages."""
    return _routes_in([*modules_of("routes"), *_installed("omsbus.routes")])


def routes_of(modules: Sequence[str]) -> list[Route]:
    """The module-level Routes of these modules."""
    return _routes_in([importlib.import_module(name) for name in modules])


def _routes_in(modules: Sequence[ModuleType]) -> list[Route]:
    found = {id(value): value for module in modules for value in vars(module).values() if isinstance(value, Route)}
    return list(found.values())


def schedules() -> list[Schedule]:
    """Every module-level Schedule below routes/, and those of installed packages."""
    found: dict[int, Schedule] = {}
    for module in [*modules_of("routes"), *_installed("omsbus.routes")]:
        for value in vars(module).values():
            if isinstance(value, Schedule):
                found[id(value)] = value
    return list(found.values())


def questions() -> list[Question]:
    """Every module-level Question below routes/, and those of installed packages."""
    found: dict[int, Question] = {}
    for module in [*modules_of("routes"), *_installed("omsbus.routes")]:
        for value in vars(module).values():
            if isinstance(value, Question):
                found[id(value)] = value
    return list(found.values())


def screens() -> list[Screen]:
    """Every module-level Screen of routes/<x>/screens.py, and those of installed packages. Raises ConfigError."""
    found: dict[str, Screen] = {}
    for module in _screen_modules():
        for value in vars(module).values():
            if isinstance(value, Screen) and found.setdefault(value.key, value) is not value:
                raise ConfigError(f"Два экрана с именем {value.key}: переименуйте один из них")
    return list(found.values())


def shelves() -> dict[str, Shelf]:
    """Subsystem → how it is called in the menu; one with screens and without a Shelf is not among them."""
    found: dict[str, Shelf] = {}
    for module in _screen_modules():
        values = vars(module).values()
        for shelf in (value for value in values if isinstance(value, Shelf)):
            found |= {value.subsystem: shelf for value in values if isinstance(value, Screen)}
    return found


def _screen_modules() -> list[ModuleType]:
    names = [f"routes.{one.parent.name}.screens" for one in sorted((HOUSE / "routes").glob("*/screens.py"))]
    return [*(importlib.import_module(name) for name in names), *_installed("omsbus.screens")]


def connector_types() -> list[str]:
    """Names of the types that may be configured, none of them loaded."""
    installed = [entry.name for entry in importlib.metadata.entry_points(group="omsbus.connectors")]
    ours = [folder.parent.name for folder in (HOUSE / "connectors").glob("*/connector.py")]
    return sorted({*ours, *installed})


def connector_module(type_name: str) -> ModuleType:
    """The module with Settings and connect of a type. Raises ConfigError when there is none or it does not load."""
    try:
        if (HOUSE / "connectors" / type_name / "connector.py").is_file():
            return importlib.import_module(f"connectors.{type_name}.connector")
        for entry in importlib.metadata.entry_points(group="omsbus.connectors", name=type_name):
            return entry.load()  # type: ignore[no-any-return]
    except Exception as error:  # whatever a foreign module raises at import
        raise ConfigError(
            f"Коннектор типа «{type_name}» не загружается ({type(error).__name__}): передайте разработчику",
            detail=str(error),
        ) from error
    raise ConfigError(f"нет типа «{type_name}». Есть: {', '.join(connector_types()) or 'ни одного'}")


def connectors(configured: dict[str, dict[str, Any]]) -> list[Connector]:
    """Connectors of the settings table `connectors`, built but not opened. Raises ConfigError."""
    built: list[Connector] = []
    for name, values in configured.items():
        type_name = str(values.get("type", name))
        try:
            module = connector_module(type_name)
        except ConfigError as error:
            raise ConfigError(f"Коннектор {name}: {error.reason}", detail=error.detail) from error
        try:
            settings: ConnectorSettings = module.Settings.model_validate({"type": type_name, **values})
        except ValidationError as error:
            places = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'таблица'}: {_russian(e)}" for e in error.errors())
            raise ConfigError(f"Коннектор {name}: {places}") from None
        if settings.enabled:
            built.append(module.connect(name, settings))
    return built


@functools.cache
def subsystem_title(name: str) -> str:
    """How people call it: the Russian words that the docstring of routes/<name> begins with; else the name."""
    file = HOUSE / "routes" / name / "__init__.py"
    said = ast.get_docstring(ast.parse(file.read_bytes())) if file.is_file() else None
    found = re.match(r"[А-ЯЁ][А-ЯЁа-яё -]*", said or "")
    return found[0].strip() if found else name


def migrations() -> list[tuple[str, Path]]:
    """(PostgreSQL schema, folder of revisions): the bus first, then every subsystem."""
    folders = [("bus", HOUSE / "core" / "migrations")]
    folders += [(path.parent.name, path) for path in sorted((HOUSE / "routes").glob("*/migrations"))]
    return folders


def commands(wanted: str = "") -> list[ModuleType]:
    """Every module of Typer commands: core/commands/*.py and <package>/**/commands.py.

    wanted: only those that offer this group or top-level command, told by their text; all, when none does.
    """
    files = sorted((HOUSE / "core" / "commands").glob("[a-z]*.py"))
    for root in ROOTS[1:]:
        files += sorted((HOUSE / root).glob("**/commands.py"))
    chosen = [file for file in files if wanted in _offered(file)] if wanted else []
    names = [".".join(file.relative_to(HOUSE).with_suffix("").parts) for file in chosen or files]
    return [importlib.import_module(name) for name in names]


def _offered(file: Path) -> set[str]:
    """Its NAME, or the names of its commands when that is ""."""
    offered: set[str] = set()
    for node in ast.parse(file.read_bytes()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "NAME":
            name = getattr(node.value, "value", "")
            if name:
                return {str(name)}
        elif isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "app.command":
                    given = decorator.args[0] if decorator.args else None
                    offered.add(str(given.value) if isinstance(given, ast.Constant) else node.name.replace("_", "-"))
    return offered


def _installed(group: str) -> list[ModuleType]:
    return [entry.load() for entry in importlib.metadata.entry_points(group=group)]


def _russian(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "неизвестный ключ, удалите его или исправьте опечатку"
    if error["type"] == "missing":
        return "обязательный ключ не задан"
    return f"недопустимое значение ({error['msg']})"
