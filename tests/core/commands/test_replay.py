"""`omsbus replay`: a candidate on real messages, and the exit code for scripts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.bus import Bus
from core.errors import ConfigError
from core.message import Message
from core.settings import HOUSE
from routes.zags import death

Omsbus = Callable[..., Any]
SAMPLE = HOUSE / "schemas/zags/death/v1/samples/valid/record-plain.xml"
PRESENT = HOUSE / "transformers/zags/death.v1.xsl"
PYTHON = """
def transform(document):
    return {"reference": document.get("ИдСвед"), "acts": []}
"""


@pytest.fixture(autouse=True)
def journal(bus_of: Callable[..., Bus]) -> Bus:
    bus = bus_of([death.route])
    bus.engine.put([Message(kind=death.route.formats[0].root, body=SAMPLE.read_bytes()) for _ in range(2)])
    return bus


@pytest.mark.feature("BUS-05")
def test_a_candidate_that_changes_nothing_ends_with_0_and_another_with_1(omsbus: Omsbus, tmp_path: Path) -> None:
    same = omsbus("replay", "zags.death", "--candidate", str(PRESENT))
    assert same.code == 0
    assert "Без изменений" in same.out
    new = tmp_path / "v2.xsl"
    new.write_text(PRESENT.read_text(encoding="utf-8").replace("<birth_place>", "<birth_place>г. "), encoding="utf-8")
    said = omsbus("replay", "zags.death", "--candidate", str(new))
    assert said.code == 1
    assert "acts/person/birth_place" in said.out
    assert "г. " not in said.out, "values are personal data"


@pytest.mark.feature("BUS-05")
def test_values_are_shown_when_asked_for_and_the_look_is_noted(
    omsbus: Omsbus, tmp_path: Path, look: Any, journal: Bus
) -> None:
    new = tmp_path / "v2.xsl"
    new.write_text(PRESENT.read_text(encoding="utf-8").replace("<birth_place>", "<birth_place>г. "), encoding="utf-8")
    found = omsbus("replay", "zags.death", "--candidate", str(new), "--json").json
    assert (found["done"], found["differ"], found["clean"]) == (2, 2, False)
    assert set(found["differences"][0]["examples"][0]) == {"message", "path"}
    assert look.one("SELECT count(*) FROM bus.audit WHERE action = 'message.viewed'") == 0
    shown = omsbus("replay", "zags.death", "--candidate", str(new), "--values", "--json").json
    assert shown["differences"][0]["examples"][0]["new"].startswith("г. ")
    assert look.one("SELECT count(*) FROM bus.audit WHERE action = 'message.viewed'") == 2


@pytest.mark.feature("BUS-05", "BUS-08")
def test_a_developers_python_is_tried(omsbus: Omsbus, tmp_path: Path) -> None:
    file = tmp_path / "death_v2.py"
    file.write_text(PYTHON, encoding="utf-8")
    found = omsbus("replay", "zags.death", "--candidate", str(file), "--json").json
    assert (found["done"], found["differ"], found["newly_fails"]) == (2, 2, 0)
    assert any(one["path"].startswith("acts") and one["change"] == "исчезло" for one in found["differences"])
    file.write_text("def transform(document):\n    raise KeyError('x')", encoding="utf-8")
    found = omsbus("replay", "zags.death", "--candidate", str(file), "--json").json
    assert (found["newly_fails"], found["failures"][0]["stage"]) == (2, "transform")


@pytest.mark.feature("BUS-05")
def test_a_kind_without_messages_is_told(omsbus: Omsbus) -> None:
    present = str(HOUSE / "transformers/zags/birth.v1.xsl")
    assert "сравнивать не с чем" in omsbus("replay", "zags.birth", "--candidate", present).out


def test_what_cannot_be_tried_is_refused_in_words(omsbus: Omsbus, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("syntax error", encoding="utf-8")
    for arguments, words in (
        (("нет", "--candidate", str(PRESENT)), "zags.death"),
        (("zags.death", "--candidate", str(tmp_path / "нет.xsl")), "не читается"),
        (("zags.death", "--candidate", str(tmp_path / "bad.py")), "не загружается"),
        (("zags.death", "--candidate", str(tmp_path / "bad.py"), "--candidate", str(PRESENT)), "одним файлом"),
        (("zags.death", "--candidate", str(PRESENT), "--version", "1"), "4.0.1"),
    ):
        error = omsbus("replay", *arguments).error
        assert isinstance(error, ConfigError)
        assert words in error.reason
