"""`omsbus audit list|export`."""

from __future__ import annotations

from pathlib import Path

import pytest
from openpyxl import load_workbook

from core import operations

QUEUE = "toy.ask"


@pytest.fixture(autouse=True)
def deeds(toy_bus) -> None:
    operations.set_state(toy_bus, QUEUE, "paused", actor="petrov", reason="учения")
    operations.set_state(toy_bus, QUEUE, "running", actor="sidorov")


@pytest.mark.feature("SMEV-11")
def test_the_list_is_filtered(omsbus) -> None:
    assert [row["actor"] for row in omsbus("audit", "list", "--json").json] == ["sidorov", "petrov"]
    [row] = omsbus("audit", "list", "--actor", "petrov", "--object", f"queue:{QUEUE}", "--since", "1ч", "--json").json
    assert row["action"] == "queue.paused"
    assert omsbus("audit", "list", "--looks", "--json").json == []
    assert "Таких записей нет" in omsbus("audit", "list", "--until", "01.01.2020").out


def test_the_list_speaks_russian_and_goes_on(omsbus) -> None:
    text = omsbus("audit", "list", "--limit", "1").out
    assert "Очередь: пуск" in text.replace("\n", " ") or "пуск" in text
    assert "--before" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_an_export_is_a_file_and_a_row(omsbus, tmp_path: Path, form: str) -> None:
    path = tmp_path / f"audit.{form}"
    assert omsbus("audit", "export", str(path), "--actor", "petrov").code == 0
    if form == "csv":
        assert path.read_text("utf-8-sig").count("petrov") == 1
    else:
        assert len(list(load_workbook(path)["Аудит"].iter_rows())) == 2
    [row] = omsbus("audit", "list", "--action", "audit.exported", "--json").json
    assert (row["actor"], row["detail"]) == ("ivanova", {"actor": "petrov"})


def test_a_file_that_is_there_stays(omsbus, tmp_path: Path) -> None:
    path = tmp_path / "audit.csv"
    path.write_text("важное")
    assert "уже есть" in omsbus("audit", "export", str(path)).error.reason
    assert path.read_text() == "важное"
    assert ".csv или .xlsx" in omsbus("audit", "export", str(tmp_path / "audit.pdf")).error.reason
    assert "не создать" in omsbus("audit", "export", str(tmp_path / "none" / "audit.csv")).error.reason
