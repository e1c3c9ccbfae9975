"""`omsbus calendar`: import, list, remove."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError
from core.settings import HOUSE

Omsbus = Callable[..., Any]
SHIPPED = HOUSE / "config/calendars/ru-2026.csv"


@pytest.mark.feature("BUS-07")
def test_a_calendar_is_imported_listed_followed_and_removed(omsbus: Omsbus, toy_bus: Any) -> None:
    assert "config/calendars/ru-2026.csv" in omsbus("calendar", "list").out
    assert "годы: 2026" in omsbus("calendar", "import", "ru", str(SHIPPED), "--title", "РФ").out
    [kept] = omsbus("calendar", "list", "--json").json
    assert (kept["name"], kept["title"], kept["years"], kept["changed_by"]) == ("ru", "РФ", [2026], "ivanova")
    assert {"day": "2026-01-09", "kind": "off", "note": "Перенос с 3 января"} in kept["days"]
    assert "2026" in omsbus("calendar", "list").out
    assert omsbus("calendar", "remove", "ru", answer="n\n").code == 1
    assert "удалён" in omsbus("calendar", "remove", "ru", "--yes").out
    assert omsbus("calendar", "list", "--json").json == []


def test_a_file_that_is_none_is_refused_in_words(omsbus: Omsbus, toy_bus: Any, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("вчера;выходной", encoding="utf-8")
    for file, said in ((wrong, "Строка 1"), (tmp_path / "нет.csv", "не читается")):
        error = omsbus("calendar", "import", "ru", str(file)).error
        assert isinstance(error, ConfigError)
        assert said in error.reason
