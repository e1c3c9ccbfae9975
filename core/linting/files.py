"""Checks of the checkout itself: names, sizes, settings."""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from core import discovery, features, settings
from core.errors import BusError
from core.linting.finding import Finding
from core.schedule import Schedule

LINES_MOST: Final = 500
_NOT_SETTINGS: Final = frozenset({"features.toml"})


def names_resolve(house: Path) -> Iterator[Finding]:
    """Every top-level package of pyproject.toml is the one of this checkout, not of some installed package."""
    try:
        project = tomllib.loads((house / "pyproject.toml").read_text(encoding="utf-8"))
        names = project["tool"]["setuptools"]["packages"]
    except (OSError, ValueError, KeyError) as error:
        yield Finding("pyproject.toml", f"нет списка пакетов [tool.setuptools] packages ({error}): верните его")
        return
    for name in names:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            yield Finding(f"{name}/", "пакет назван в pyproject.toml, но не находится: нужен __init__.py")
        elif not Path(spec.origin).resolve().is_relative_to(house.resolve()):
            yield Finding(f"{name}/", f"имя занято чужим пакетом {spec.origin}: удалите его из окружения")


def modules_are_short(house: Path) -> Iterator[Finding]:
    """No module has more than LINES_MOST lines."""
    for root in (*discovery.ROOTS, "tests", "transformers"):
        for file in sorted((house / root).rglob("*.py")):
            count = file.read_bytes().count(b"\n")
            if count > LINES_MOST:
                text = f"строк: {count}, а можно не больше {LINES_MOST}. Разделите модуль по смыслу"
                yield Finding(str(file.relative_to(house)), text)


def settings_load(house: Path) -> Iterator[Finding]:
    """Every file of config/ is accepted as settings: keys, connectors, routes, schedules."""
    known = _known_queues()
    for file in sorted((house / "config").glob("*.toml")):
        place = str(file.relative_to(house))
        try:
            if file.name in _NOT_SETTINGS:
                features.titles(file)
            else:
                yield from (Finding(place, text) for text in _settings(file, known))
        except BusError as error:
            yield Finding(place, error.reason)


def _known_queues() -> set[str] | None:
    """Names of the routes; None when a module of theirs does not load, which another check says."""
    try:
        return {route.name for route in discovery.routes()}
    except Exception:
        return None


def _sinks(configured: dict[str, dict[str, Any]]) -> set[str]:
    """Queues of the connectors of a file. Raises ConfigError; a connector that does not load is another check's."""
    try:
        return {name for connector in discovery.connectors(configured) for name in connector.sinks}
    except BusError:
        raise
    except Exception:
        return set()


def _settings(file: Path, known: set[str] | None) -> Iterator[str]:
    loaded = settings.load(file)
    sinks = _sinks(loaded.connectors)
    for name in loaded.routes:
        if known is not None and name not in known:
            yield f"routes.{name}: такого маршрута нет, уберите или исправьте имя"
    for name, values in loaded.schedules.items():
        schedule = Schedule(name, **values.model_dump())
        if known is not None and schedule.queue not in known | sinks:
            yield f"schedules.{name}: очереди {schedule.queue} нет, исправьте queue"
