"""`omsbus new`: what it writes works as it stands, tried in a copy of the house."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from core import scaffold
from core.errors import ConfigError

Omsbus = Callable[..., Any]
InHouse = Callable[..., subprocess.CompletedProcess[str]]

MADE = ("zags.marriage_contract", "army.draft", "blanks", "dropbox")


@pytest.fixture(scope="module")
def grown(house_copy: Callable[[], Path], in_house: InHouse) -> Path:
    """A copy of the house with a kind in an old subsystem, a kind in a new one, a subsystem, a connector."""
    house = house_copy()
    scaffold.kind(house, MADE[0], "{urn://demo/marriage/1.0}Marriage", "ЕГР ЗАГС: заключение брака")
    scaffold.kind(house, MADE[1], "{urn://demo/draft/1.0}Повестка")
    scaffold.subsystem(house, MADE[2])
    scaffold.connector(house, MADE[3])
    return house


@pytest.mark.feature("SMEV-12")
@pytest.mark.feature("BUS-01")
def test_the_tests_that_come_with_the_skeletons_pass(grown: Path, in_house: InHouse) -> None:
    tests = [
        "tests/routes/zags/test_marriage_contract.py",
        "tests/routes/army",
        "tests/routes/blanks",
        "tests/connectors/dropbox",
    ]
    done = in_house(grown, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.feature("SMEV-12")
def test_the_skeletons_are_found_and_are_complete(grown: Path, in_house: InHouse) -> None:
    done = in_house(grown, "-c", "from core.cli import main; main()", "check")
    said = [line for line in done.stdout.splitlines() if any(name.split(".")[-1] in line for name in MADE)]
    assert said == [], done.stdout
    assert "Замечаний" in done.stdout or "Всё на месте" in done.stdout
    found = in_house(
        grown,
        "-c",
        "from core import discovery\n"
        "print(*[route.name for route in discovery.routes()], *discovery.connector_types(),"
        " *[schema for schema, _ in discovery.migrations()])",
    )
    assert set(MADE) <= set(found.stdout.split())


def test_the_skeletons_are_written_in_the_house_style(grown: Path, in_house: InHouse) -> None:
    files = [str(path) for name in ("marriage_contract", "army", "blanks", "dropbox") for path in _python(grown, name)]
    assert len(files) > 12
    for command in (("ruff", "check", "-q"), ("ruff", "format", "--check", "-q")):
        done = in_house(grown, "-m", *command, *files)
        assert done.returncode == 0, done.stdout + done.stderr


def _python(house: Path, name: str) -> list[Path]:
    return [path for path in house.rglob("*.py") if name in str(path.relative_to(house))]


def test_nothing_that_exists_is_overwritten(house_folder: Path, omsbus: Omsbus) -> None:
    kind = ("new", "kind", "army.draft", "--root", "{urn://demo}Draft", "--house", str(house_folder))
    assert omsbus(*kind).code == 0
    handler = house_folder / "routes" / "army" / "draft.py"
    handler.write_text("# мой труд", encoding="utf-8")
    readme = house_folder / "routes" / "army" / "README.md"
    readme.write_text("мой README", encoding="utf-8")
    said = omsbus(*kind)
    assert isinstance(said.error, ConfigError)
    assert "routes/army/draft.py" in said.error.reason
    assert omsbus("new", "kind", "army.order", "--root", "{urn://demo}Order", "--house", str(house_folder)).code == 0
    assert handler.read_text(encoding="utf-8") == "# мой труд"
    assert readme.read_text(encoding="utf-8") == "мой README"


def test_the_command_names_every_file_and_the_next_step(house_folder: Path, omsbus: Omsbus) -> None:
    for arguments in (("connector", "dropbox"), ("subsystem", "blanks", "--title", "Оборот бланков")):
        said = omsbus("new", *arguments, "--house", str(house_folder))
        lines = said.out.splitlines()
        assert all((house_folder / line).is_file() for line in lines[:-1])
        assert "omsbus check" in lines[-1]
    assert "Оборот бланков" in (house_folder / "routes" / "blanks" / "README.md").read_text(encoding="utf-8")


def test_a_document_without_a_namespace_gets_a_schema_and_a_transform_that_fit(house_folder: Path) -> None:
    scaffold.kind(house_folder, "pump.list", "ZL_LIST")
    schemas = house_folder / "schemas" / "pump" / "list" / "v1"
    schema = etree.XMLSchema(etree.parse(schemas / "list.xsd"))
    style = etree.XSLT(etree.parse(house_folder / "transformers" / "pump" / "list.v1.xsl"))
    valid = [etree.parse(path) for path in sorted((schemas / "samples" / "valid").iterdir())]
    assert [schema.validate(one) for one in valid] == [True] * 3
    assert [style(one).getroot().findtext("number") for one in valid] == ["77-0002", "77-0001", "Ё/№ 3"]
    invalid = [etree.parse(path) for path in (schemas / "samples" / "invalid").iterdir()]
    assert [schema.validate(one) for one in invalid] == [False] * 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("kind", "marriage", "--root", "{urn://x}A"), "ПОДСИСТЕМА.ВИД"),
        (("kind", "zags.Marriage", "--root", "{urn://x}A"), "строчные"),
        (("kind", "zags.class", "--root", "{urn://x}A"), "не годится"),
        (("kind", "../etc.x", "--root", "{urn://x}A"), "ПОДСИСТЕМА.ВИД"),
        (("kind", "zags.x", "--root", '{urn://x"}A'), "--root"),
        (("kind", "zags.x", "--root", "{urn://x}A B"), "--root"),
        (("kind", "zags.x", "--root", "{urn://x}A", "--title", 'Ка"вычки'), "Название"),
        (("connector", "1c"), "первая — буква"),
        (("subsystem", "реестр"), "латинские"),
    ],
)
def test_unfit_names_are_refused_before_anything_is_written(
    house_folder: Path, omsbus: Omsbus, arguments: tuple[str, ...], words: str
) -> None:
    said = omsbus("new", *arguments, "--house", str(house_folder))
    assert isinstance(said.error, ConfigError)
    assert words in said.error.reason
    assert [path.name for path in house_folder.rglob("*")] == ["routes"]


def test_a_folder_that_is_no_house_is_refused(tmp_path: Path, omsbus: Omsbus) -> None:
    said = omsbus("new", "connector", "dropbox", "--house", str(tmp_path))
    assert isinstance(said.error, ConfigError)
    assert "--house" in said.error.reason
