"""The house linter looks at screens."""

from __future__ import annotations

import types
from pathlib import Path

import pytest

from core.linting import screens
from core.settings import HOUSE

WHOLE = """
from core.screen import Field, Screen, Shelf
from routes.erz.models import Policy
SHELF = Shelf("Проба")
POLICIES = Screen("p", model=Policy, title="П", one="П", fields=(Field("id", "Номер"),){more})
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    (tmp_path / "routes").mkdir()
    return tmp_path


def found(house: Path, text: str, monkeypatch: pytest.MonkeyPatch, subsystem: str = "erz") -> list[str]:
    file = house / "routes" / subsystem / "screens.py"
    file.parent.mkdir()
    file.write_text(text, encoding="utf-8")

    def imported(_house: Path, _file: Path) -> types.ModuleType:
        module = types.ModuleType("screens")
        exec(compile(text, str(file), "exec"), module.__dict__)
        return module

    monkeypatch.setattr(screens, "imported", imported)
    return [one.text for one in screens.check(house)]


def test_the_screens_of_the_house_are_whole() -> None:
    assert list(screens.check(HOUSE)) == []


def test_a_whole_screen_is_not_spoken_of(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = ', links={"person_id": "erz.p"}, children={"erz.p": "person_id"}'
    assert found(house, WHOLE.format(more=more), monkeypatch) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "нет ни одного экрана"),
        (WHOLE.format(more="").replace('SHELF = Shelf("Проба")', ""), "нет названия для меню"),
        (WHOLE.format(more=', links={"person_id": "erz.nobody"}'), "ведёт на экран erz.nobody"),
        (WHOLE.format(more=', children={"erz.nobody": "person_id"}'), "под карточкой экран erz.nobody"),
        (WHOLE.format(more=', children={"erz.p": "nothing"}'), "нет столбца nothing"),
        (WHOLE.format(more="") + "SECOND = Screen('p', model=Policy, title='', one='', fields=())", "два экрана"),
    ],
)
def test_what_is_missing_is_named(house: Path, monkeypatch: pytest.MonkeyPatch, text: str, sentence: str) -> None:
    (said,) = found(house, text, monkeypatch)
    assert sentence in said


def test_a_screen_over_the_table_of_another_is_named(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (said,) = found(house, WHOLE.format(more=""), monkeypatch, subsystem="fns")
    assert "чужой схемы erz" in said
