"""The house as a whole: where its names come from, and that nothing in it imports in a circle."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import grimp
import pytest

HOUSE = Path(__file__).resolve().parent.parent
PACKAGES = tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]


@pytest.mark.parametrize("name", PACKAGES)
def test_each_top_level_name_resolves_inside_the_checkout(name) -> None:
    module = importlib.import_module(name)
    assert module.__file__ is not None
    assert Path(module.__file__).resolve().is_relative_to(HOUSE)


def test_nothing_imports_in_a_circle() -> None:
    packages = ("core", "connectors", "routes", "console", "simulators", "benchmarks")
    graph = grimp.build_graph(*packages, cache_dir=None, exclude_type_checking_imports=True)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert _circle(imports) == []


def test_the_search_for_circles_finds_one() -> None:
    assert _circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c", "a"]


def _circle(imports: dict[str, set[str]]) -> list[str]:
    """The first circle found, [] when there is none."""
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for other in sorted(imports.get(module, ())):
            if found := walk(other, [*path, module]):
                return found
        done.add(module)
        return []

    for module in sorted(imports):
        if found := walk(module, []):
            return found
    return []
