"""What must be the same in every process on one database, and how two processes find out that it is not.

A process that lacks a queue would put its messages into quarantine; another connector under the same name would send
twice or to the wrong place; another schema, transformer or handler would treat two like messages differently. So a
configuration is a table "name of a part → fingerprint of it":

    connectors.smev.url, routes.zags.death.attempts, …   every setting that counts, under its name in the TOML file
    маршрут zags.death: …                                 documents it accepts; its schemas, transformers and program
    версия программы                                      the installed version: the core and the connectors

Not in it: what may differ between machines (`PER_MACHINE`: folders, threads, log level; in a connector the paths of
keys and the names of secrets), and no secret, not even as a fingerprint. Fingerprints are 16 hex digits of SHA-256.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from core.lines import Line
from core.route import Route
from core.settings import HOUSE, Settings

PER_MACHINE: Final = frozenset(
    [
        *("database_url", "broker_url", "data_dir", "blobs", "blob_payload_bytes", "inline_payload_bytes"),
        *("workers", "worker_processes", "batch_most", "sweep_s", "intake_threads", "log_level", "console_url"),
        *("disk_budget_bytes", "disk_free_least_bytes", "ballast_bytes", "rolling", "clock_most_s", "route_modules"),
    ]
)
"""Settings that may differ. `route_modules` shows in the routes themselves."""
_LOCAL_ENDINGS: Final = ("_file", "_dir", "_env")
_SECRET_WORDS: Final = ("password", "secret", "token")
DIGITS: Final = 16
DIFFERENCES_MOST: Final = 8
"""Differences that a sentence names."""


@dataclass(frozen=True, slots=True)
class Queue:
    """A row of bus.queue. settings: fingerprint of the route or connector behind it."""

    name: str
    side: str
    title: str
    settings: str


@dataclass(frozen=True)
class Configuration:
    """parts: name → fingerprint. serves: what stands in bus.process.serves."""

    parts: Mapping[str, str]
    serves: Mapping[str, Any]

    @functools.cached_property
    def fingerprint(self) -> str:
        return digest(sorted(self.parts.items()))

    def differences(self, other: Mapping[str, str]) -> str:
        """What differs from another process's parts, as a Russian list of names; never a value."""
        names = [
            name
            + ("" if name in self.parts and name in other else " (только там)" if name in other else " (только тут)")
            for name in sorted({*self.parts, *other})
            if self.parts.get(name) != other.get(name)
        ]
        more = len(names) - DIFFERENCES_MOST
        return ", ".join(names[:DIFFERENCES_MOST]) + (f" и ещё {more}" if more > 0 else "")


def configuration(
    settings: Settings, routes: Sequence[Route], lines: Mapping[str, Line], queues: Sequence[str]
) -> Configuration:
    """What this process is made of. queues: names of all that it serves."""
    parts = {"версия программы": digest(version())}
    values = settings.model_dump(mode="json", exclude=set(PER_MACHINE))
    parts.update({name: digest(value) for name, value in _leaves(values)})
    parts["broker_url (есть или нет)"] = digest(settings.broker_url is not None)
    roots: dict[str, tuple[str, str]] = {}
    for route in routes:
        parts.update(_parts_of(route))
        roots.update({form.root: (route.name, form.version) for form in route.formats})
    for name, line in lines.items():
        parts[f"коннектор {name}"] = digest([type(line.connector).__qualname__, *_queues_of(line)])
    return Configuration(parts, {"queues": sorted(queues), "roots": roots})


def settings_of(settings: Settings, route: Route) -> str:
    """Fingerprint of everything that a route depends on."""
    changed = settings.routes.get(route.name)
    return digest([sorted(_parts_of(route).items()), changed.model_dump(mode="json") if changed else None])


def settings_of_line(settings: Settings, line: Line) -> str:
    """Fingerprint of a connector's settings."""
    return digest([type(line.connector).__qualname__, list(_leaves(settings.connectors.get(line.connector.name, {})))])


def version() -> str:
    return importlib.metadata.version("omsbus")


def digest(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _parts_of(route: Route) -> dict[str, str]:
    folders = {HOUSE / "schemas" / form.schema for form in route.formats if form.schema}
    folders |= {HOUSE / "transformers" / form.transform for form in route.formats if form.transform}
    programs = {Path(inspect.getfile(inspect.unwrap(one))) for one in route.handlers.values() if inspect.isroutine(one)}
    described = [[form.version, form.root, form.schema, form.transform] for form in route.formats]
    return {
        f"маршрут {route.name}: виды": digest([described, sorted(route.handlers)]),
        f"маршрут {route.name}: схемы и преобразования": digest([_tree(file.parent) for file in sorted(folders)]),
        f"маршрут {route.name}: программа": digest([_program(file) for file in sorted(programs)]),
    }


def _queues_of(line: Line) -> list[str]:
    return sorted([*line.connector.sources, *line.connector.sinks])


def _program(file: Path) -> str:
    """A route below routes/ shares programs with its subsystem; any other stands for itself."""
    folder = file.parent
    if folder.parent == HOUSE / "routes":
        return _tree(folder)
    return _content(file)


@functools.cache
def _tree(folder: Path) -> str:
    files = sorted(file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return digest([(str(file.relative_to(folder)), _content(file)) for file in files])


@functools.cache
def _content(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()[:DIGITS]
    except OSError:  # a function without a file, or a file that went away: whoever needs it says so
        return ""


def _leaves(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of everything that counts."""
    for key, value in values.items():
        name = f"{above}{key}"
        if key.endswith(_LOCAL_ENDINGS) or any(word in key for word in _SECRET_WORDS):
            continue
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{name}.")
        elif isinstance(value, list):
            yield from _leaves({str(place): one for place, one in enumerate(value)}, f"{name}.")
        else:
            yield name, value
