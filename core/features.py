"""The list of what the system must be able to do (config/features.toml) and the proof of it by tests.

The proof is written by the pytest plugin `core.testing.features`: {id: [tests that passed]}.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import ConfigError
from core.settings import HOUSE

LIST: Final = HOUSE / "config" / "features.toml"
COVERAGE: Final = HOUSE / "var" / "features.json"


@dataclass(frozen=True, slots=True)
class Feature:
    """id: `BUS-01`; tests: those that passed in the last run."""

    id: str
    title: str
    tests: list[str]

    @property
    def covered(self) -> bool:
        return bool(self.tests)


def titles(path: Path = LIST) -> dict[str, str]:
    """Id → title, in the order of the file. Raises ConfigError."""
    try:
        sections = tomllib.loads(path.read_text(encoding="utf-8"))
        return {one: title for section in sections.values() for one, title in section.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(f"Перечень {path} не читается ({error}): верните файл из поставки") from None


def load(coverage: Path = COVERAGE) -> list[Feature]:
    """Every feature with its proof; without a test run nothing is proved. Raises ConfigError."""
    try:
        proof = json.loads(coverage.read_text(encoding="utf-8")) if coverage.exists() else {}
        return [Feature(one, title, sorted(proof.get(one, []))) for one, title in titles().items()]
    except (OSError, ValueError, AttributeError, TypeError):
        raise ConfigError(f"Файл {coverage} повреждён: удалите его и выполните make test") from None
