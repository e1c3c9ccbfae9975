"""`omsbus check`: each planted defect is found, and a whole house is not blamed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from core import linting, scaffold

InHouse = Callable[..., subprocess.CompletedProcess[str]]


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{old!r} is not in {path}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def _check(house: Path, in_house: InHouse) -> list[tuple[str, str]]:
    done = in_house(house, "-c", "from core.cli import main; main()", "check", "--json")
    assert done.returncode == 1, done.stderr
    return [(one["place"], one["text"]) for one in json.loads(done.stdout)]


@pytest.fixture(scope="module")
def said(house_copy: Callable[[], Path], in_house: InHouse) -> list[tuple[str, str]]:
    """(place, text) of all findings in a house with many defects."""
    house = house_copy()
    for name in ("a", "b", "c", "d", "e"):
        scaffold.kind(house, f"army.{name}_kind", f"{{urn://demo/{name}}}Root", f"Вид {name}")
    scaffold.subsystem(house, "blanks")
    scaffold.subsystem(house, "boxes")
    scaffold.subsystem(house, "tasks")
    scaffold.connector(house, "dropbox")
    scaffold.connector(house, "pigeon")
    routes, schemas = house / "routes", house / "schemas" / "army"
    _edit(routes / "army" / "a_kind.py", 'title="Вид a"', 'title=""')
    _edit(routes / "army" / "a_kind.py", "@route.handler\n", "")
    (schemas / "b_kind" / "v1" / "samples" / "valid" / "full.xml").unlink()
    (schemas / "b_kind" / "v1" / "samples" / "invalid" / "no-number.xml").write_text("<b/>", encoding="utf-8")
    _edit(schemas / "c_kind" / "v1" / "c_kind.xsd", 'type="xs:date"', 'type="xs:никакой"')
    _edit(house / "transformers" / "army" / "d_kind.v1.xsl", "<xsl:template", "<xsl:temple")
    (routes / "army" / "README.md").unlink()
    _edit(routes / "blanks" / "models.py", "number: Mapped", "serial: Mapped[str]\n    number: Mapped")
    _edit(
        routes / "boxes" / "migrations" / "0001_boxes.py",
        "        changed_at",
        "        colour text,\n        changed_at",
    )
    (routes / "tasks" / "migrations" / "0001_tasks.py").unlink()
    (house / "connectors" / "dropbox" / "settings.py").unlink()
    (house / "connectors" / "dropbox" / "README.md").unlink()
    (house / "tests" / "connectors" / "dropbox" / "test_contract.py").unlink()
    _edit(house / "connectors" / "pigeon" / "client.py", "import contextlib", "import contextlib\nimport core.message")
    _edit(house / "connectors" / "pigeon" / "connector.py", "def connect(", "def join(")
    _edit(house / "tests" / "connectors" / "pigeon" / "test_contract.py", "ConnectorContract", "Contract")
    (house / "core" / "long.py").write_text("x = 1\n" * 501, encoding="utf-8")
    (house / "config" / "test.toml").write_text("wrkers = 2", encoding="utf-8")
    (house / "config" / "production.toml").write_text(
        '[schedules.one]\ncron = "0 3 * * *"\nqueue = "нет"\n[routes."и.нет"]\nattempts = 3\n', encoding="utf-8"
    )
    _edit(house / "pyproject.toml", 'packages = ["core"', 'packages = ["core", "lxml", "no_such_package"')
    return _check(house, in_house)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("routes/army/a_kind.py", "army.a_kind: нет названия"),
        ("routes/army/a_kind.py", "army.a_kind: нет обработчика"),
        ("routes/army/b_kind.py", "образцов valid: 2"),
        ("routes/army/c_kind.py", "не компилируется"),
        ("routes/army/d_kind.py", "d_kind.v1.xsl"),
        ("routes/army/README.md", "нет файла"),
        ("routes/blanks/models.py", "столбца blanks.record.serial нет в миграциях"),
        ("routes/boxes/models.py", "столбец boxes.record.colour есть в миграциях"),
        ("routes/tasks/migrations", "нет миграций"),
        ("connectors/dropbox/settings.py", "нет файла"),
        ("connectors/dropbox/README.md", "нет файла"),
        ("connectors/dropbox/connector.py", "модуль не загружается"),
        ("tests/connectors/dropbox", "нет тестов"),
        ("connectors/pigeon/client.py", "core.message"),
        ("connectors/pigeon/connector.py", "connect(name, settings)"),
        ("tests/connectors/pigeon", "договорного теста"),
        ("core/long.py", "строк: 501"),
        ("config/test.toml", "wrkers"),
        ("config/production.toml", "очереди нет нет"),
        ("config/production.toml", "routes.и.нет"),
        ("lxml/", "занято чужим пакетом"),
        ("no_such_package/", "не находится"),
    ],
)
def test_a_planted_defect_is_found_and_named(said: list[tuple[str, str]], place: str, words: str) -> None:
    texts = [text for where, text in said if where == place]
    assert any(words in text for text in texts), said


def test_what_was_left_whole_is_not_blamed(said: list[tuple[str, str]]) -> None:
    blamed = {place for place, _ in said}
    assert "routes/blanks/README.md" not in blamed
    assert "config/embedded.toml" not in blamed
    assert "connectors/pigeon/README.md" not in blamed


def test_a_module_that_does_not_load_hides_no_other_finding(house_copy: Callable[[], Path], in_house: InHouse) -> None:
    house = house_copy()
    scaffold.kind(house, "army.draft", "{urn://demo}Draft")
    scaffold.kind(house, "army.order", "{urn://demo}Order", "Приказ")
    (house / "routes" / "army" / "draft.py").write_text("import нет_такого_модуля\n", encoding="utf-8")
    _edit(house / "routes" / "army" / "order.py", 'title="Приказ"', 'title=""')
    found = dict(_check(house, in_house))
    assert "нет_такого_модуля" in found["routes/army/draft.py"]
    assert "нет названия" in found["routes/army/order.py"]
    assert not [text for text in found.values() if "прервалась" in text]


def test_this_house_is_complete() -> None:
    assert [str(one) for one in linting.findings()] == []
