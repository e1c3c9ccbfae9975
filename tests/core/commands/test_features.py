"""`omsbus features`: every id has a title, and only a passed test covers it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import features
from core.errors import ConfigError
from core.settings import HOUSE

Omsbus = Callable[..., Any]

FULL_LIST = HOUSE.parent / "shared" / "FEATURES.md"


def test_ids_are_covered_by_the_tests_that_passed_and_by_nothing_else(omsbus: Omsbus, tmp_path: Path) -> None:
    coverage = tmp_path / "features.json"
    coverage.write_text('{"BUS-02": ["tests/b", "tests/a"], "XXX-99": ["tests/c"]}', encoding="utf-8")
    told = omsbus("features", "--json", "--coverage", str(coverage)).json
    assert told["BUS-02"]["covered"] is True
    assert told["BUS-02"]["tests"] == ["tests/a", "tests/b"]
    assert told["BUS-01"] == {"title": features.titles()["BUS-01"], "covered": False, "tests": []}
    assert "XXX-99" not in told
    text = omsbus("features", "--coverage", str(coverage)).out
    assert f"Подтверждено тестами: 1 из {len(told)}" in text
    assert max(map(len, text.splitlines())) <= 100
    covered = omsbus("features", "--coverage", str(coverage), "--covered").out
    assert "BUS-02" in covered
    assert "BUS-01" not in covered


def test_without_a_test_run_nothing_is_covered(omsbus: Omsbus, tmp_path: Path) -> None:
    said = omsbus("features", "--coverage", str(tmp_path / "none.json"))
    assert "Подтверждено тестами: 0 из" in said.out
    assert "make test" in said.out


@pytest.mark.parametrize("content", ["{", "[]", '{"BUS-01": 5}'])
def test_a_damaged_proof_is_refused_with_the_remedy(omsbus: Omsbus, tmp_path: Path, content: str) -> None:
    coverage = tmp_path / "features.json"
    coverage.write_text(content, encoding="utf-8")
    said = omsbus("features", "--coverage", str(coverage))
    assert isinstance(said.error, ConfigError)
    assert "make test" in said.error.reason


def test_every_mark_in_the_tests_names_a_feature_of_the_list() -> None:
    marked = {
        one
        for file in (HOUSE / "tests").rglob("test_*.py")
        for one in re.findall(r"mark\.feature\(\s*[\"']([A-Z]+-[0-9]+)", file.read_text(encoding="utf-8"))
    }
    assert "BUS-06" in marked
    assert marked <= set(features.titles())


@pytest.mark.skipif(not FULL_LIST.exists(), reason="перечень лежит рядом с проектом только у разработчиков")
def test_the_list_has_every_id_of_the_full_one() -> None:
    full = set(re.findall(r"\b[A-Z]+-[0-9]{2}\b", FULL_LIST.read_text(encoding="utf-8")))
    assert set(features.titles()) == full
