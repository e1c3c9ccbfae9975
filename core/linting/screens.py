"""Checks of the screens: they load, belong to their folder, and what they point at is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from core.linting.finding import Finding, imported
from core.screen import MESSAGE, Screen, Shelf


def check(house: Path) -> Iterator[Finding]:
    """Every routes/<subsystem>/screens.py."""
    known: dict[str, Screen] = {}
    places: dict[str, str] = {}
    for file in sorted((house / "routes").glob("*/screens.py")):
        place = str(file.relative_to(house))
        module = imported(house, file)
        if isinstance(module, Finding):
            yield module
            continue
        values = list(vars(module).values())
        screens = [one for one in values if isinstance(one, Screen)]
        if not screens:
            yield Finding(place, "нет ни одного экрана: объявите Screen или удалите файл")
        elif not any(isinstance(one, Shelf) for one in values):
            yield Finding(place, "нет названия для меню: объявите SHELF = Shelf(…)")
        for one in screens:
            if one.subsystem != file.parent.name:
                yield Finding(place, f"экран {one.name} над таблицей чужой схемы {one.subsystem}: перенесите его туда")
            elif known.setdefault(one.key, one) is not one:
                yield Finding(place, f"два экрана с именем {one.name}: переименуйте один")
            places[one.key] = place
    for screen in known.values():
        yield from _targets(screen, known, places[screen.key])


def _targets(screen: Screen, known: dict[str, Screen], place: str) -> Iterator[Finding]:
    for column, target in screen.links.items():
        if target != MESSAGE and target not in known:
            yield Finding(place, f"экран {screen.name}: столбец {column} ведёт на экран {target}, а такого нет")
    for target, column in screen.children.items():
        if target not in known:
            yield Finding(place, f"экран {screen.name}: под карточкой экран {target}, а такого нет")
        elif column not in known[target].columns:
            yield Finding(place, f"экран {screen.name}: в таблице экрана {target} нет столбца {column}")
