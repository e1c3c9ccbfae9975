"""The kinds of this bus as people look at them: documents, schema files, transformers, samples, and who takes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.discovery import subsystem_title
from core.errors import ConfigError
from core.route import Format, Route
from core.settings import HOUSE


@dataclass(frozen=True, slots=True)
class KindFile:
    """A file that belongs to a kind. path: below the house; sha256 hex of its bytes."""

    path: str
    title: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A route as a kind of information. commands: its body is JSON, given by hand, schedules or other routes."""

    name: str
    title: str
    subsystem: str
    """How people call it; "" for the bus itself."""
    formats: tuple[Format, ...]
    features: tuple[str, ...]
    commands: bool


def kinds(routes: Iterable[Route]) -> list[Kind]:
    """Every route, those with documents first, by title."""
    made = [
        Kind(route.name, route.title, _subsystem(route), route.formats, route.features, not route.formats)
        for route in routes
    ]
    return sorted(made, key=lambda kind: (kind.commands, kind.title))


def files(formats: Sequence[Format]) -> list[KindFile]:
    """Schema files (with what lies beside them), transformers and samples of these formats."""
    found: dict[str, KindFile] = {}
    for form in formats:
        if form.schema:
            folder = (HOUSE / "schemas" / form.schema).parent
            for path in sorted(folder.glob("*.xsd")):
                _add(found, path, "схема" if path.name == Path(form.schema).name else "часть схемы")
            for path in sorted(folder.glob("samples/valid/*")):
                _add(found, path, "пример")
            for path in sorted(folder.glob("samples/invalid/*")):
                _add(found, path, "пример с ошибкой")
        if form.transform:
            _add(found, HOUSE / "transformers" / form.transform, "преобразование")
    return list(found.values())


def text_of(formats: Sequence[Format], path: str) -> bytes:
    """Octets of one of `files`. Raises ConfigError for any other path."""
    if path not in {file.path for file in files(formats)}:
        raise ConfigError("Такого файла у этого вида сведений нет: выберите файл из списка")
    return (HOUSE / path).read_bytes()


def _add(found: dict[str, KindFile], path: Path, title: str) -> None:
    if path.is_file():
        octets = path.read_bytes()
        name = path.relative_to(HOUSE).as_posix()
        found.setdefault(name, KindFile(name, title, len(octets), hashlib.sha256(octets).hexdigest()))


def _subsystem(route: Route) -> str:
    module = next((one.__module__ for one in route.handlers.values()), "")
    return subsystem_title(module.split(".")[1]) if module.startswith("routes.") else ""
