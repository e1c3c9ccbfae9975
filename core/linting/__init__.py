"""The house linter behind `omsbus check`: an incomplete kind, connector or subsystem is found before it is run.

Every check is a function of the house (the checkout) that yields findings; a check never raises for a bad house.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from core.linting import connectors, files, routes, screens, subsystems
from core.linting.finding import Finding, words
from core.settings import HOUSE

Check = Callable[[Path], Iterator[Finding]]

CHECKS: Final[dict[str, Check]] = {
    "имена верхнего уровня": files.names_resolve,
    "размер модулей": files.modules_are_short,
    "файлы настроек": files.settings_load,
    "маршруты": routes.check,
    "коннекторы": connectors.check,
    "подсистемы": subsystems.check,
    "экраны": screens.check,
}
"""What is looked at, in words for a person."""


def findings(house: Path = HOUSE) -> list[Finding]:
    """Everything that is wrong with the house, each once. Raises nothing."""
    return list(dict.fromkeys(one for name, check in CHECKS.items() for one in _run(name, check, house)))


def _run(name: str, check: Check, house: Path) -> Iterator[Finding]:
    try:
        yield from check(house)
    except Exception as error:  # a house so broken that a check stumbles is a finding too
        yield Finding(str(house), f"проверка «{name}» прервалась ({words(error)}): исправьте остальное и повторите")


__all__ = ["CHECKS", "Finding", "findings"]
