"""What the house linter says, and how it words other people's errors."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from core.errors import BusError


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to mend. place: a file or folder, relative to the house; text: a Russian sentence."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


def words(error: Exception) -> str:
    """An error of ours speaks for itself, a foreign one with its name."""
    return error.reason if isinstance(error, BusError) else f"{type(error).__name__}: {error}"


def imported(house: Path, file: Path) -> ModuleType | Finding:
    """The module of a file of the house, or why it can't be had."""
    name = ".".join(file.relative_to(house).with_suffix("").parts).removesuffix(".__init__")
    try:
        return importlib.import_module(name)
    except Exception as error:  # whatever a module may raise when it is imported
        return Finding(str(file.relative_to(house)), f"модуль не загружается ({words(error)}): исправьте его")
