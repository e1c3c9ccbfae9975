"""Виды сведений: what the bus takes is shown with its files, and no other file of the house."""

from __future__ import annotations

import pytest

from core import discovery


@pytest.fixture
def operator(bus_of, console_of):
    return console_of(bus_of(discovery.routes())).person("operator")


@pytest.mark.feature("SMEV-10")
def test_the_list_and_the_card_show_documents_and_files(operator) -> None:
    assert "ЕГР ЗАГС: запись акта о смерти" in operator.get("/kinds").text
    card = operator.get("/kinds/zags.death").text
    assert "schemas/zags/death/v1/fatalzp.xsd" in card
    assert "transformers/zags/death.v1.xsl" in card
    assert "FATALZPRequest" in card


def test_a_command_shows_its_fields(operator) -> None:
    assert "person_id" in operator.get("/kinds/sfr.snils.ask").text


def test_a_file_is_shown_as_text_and_can_be_taken(operator) -> None:
    path = "transformers/zags/death.v1.xsl"
    assert "&lt;xsl:stylesheet" in operator.get("/kinds/zags.death/file", params={"path": path}).text
    taken = operator.get("/kinds/zags.death/download", params={"path": path})
    assert taken.headers["content-disposition"] == 'attachment; filename="death.v1.xsl"'
    assert b"<xsl:stylesheet" in taken.content


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../pyproject.toml", "schemas/../pyproject.toml", "setup.sh"])
@pytest.mark.parametrize("what", ["file", "download"])
def test_no_other_file_of_the_house_is_shown(operator, path, what) -> None:
    answer = operator.get(f"/kinds/zags.death/{what}", params={"path": path})
    assert answer.status_code == 404
    assert "Такого файла" in answer.text


def test_an_unknown_kind_is_told(operator) -> None:
    assert operator.get("/kinds/no.such").status_code == 404


@pytest.mark.feature("SMEV-11")
def test_who_may_not_look_is_refused(bus_of, console_of) -> None:
    person = console_of(bus_of(discovery.routes())).person("personal")
    for path in ("/kinds", "/kinds/zags.death", "/kinds/zags.death/file", "/kinds/zags.death/download"):
        assert person.get(path).status_code == 403
