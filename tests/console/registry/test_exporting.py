"""Export: the rows of the list, the masks of the person, the audit, no formulas."""

from __future__ import annotations

import csv
import io
from typing import Any
from urllib.parse import unquote

import openpyxl
import pytest

from core import discovery
from core.database import driver

SCREENS = sorted(screen.key for screen in discovery.screens())


def exported(
    person: Any, path: str, *, extension: str = "csv", query: str = "", scope: str = "all", **form: Any
) -> Any:
    return person.post(
        f"{path}/action",
        params={"name": "export", "_list_query": query, **({"pks": form.pop("pks")} if "pks" in form else {})},
        data={"csrf": person.secret, "format": extension, "scope": scope, **form},
    )


def rows_of(answer: Any) -> list[list[str]]:
    text = answer.content.decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text), delimiter=";"))


@pytest.mark.feature("TECH-03")
@pytest.mark.feature("BUS-14")
@pytest.mark.parametrize("extension", ["csv", "xlsx"])
@pytest.mark.parametrize("key", SCREENS)
def test_an_export_holds_what_the_person_may_see(registry: Any, key: str, extension: str) -> None:
    path, row = registry.rows.paths()[key]
    for roles, masked in ((("administrator",), True), (("personal",), False)):
        answer = exported(registry.reader(*roles), path, extension=extension)
        assert answer.status_code == 200
        assert unquote(answer.headers["content-disposition"]).endswith(f".{extension}")
        if extension == "csv":
            text = str(rows_of(answer))
        else:
            sheet = openpyxl.load_workbook(io.BytesIO(answer.content)).active
            text = str(list(sheet.iter_rows(values_only=True)))
        assert str(row) in text
        found = [secret for secret in registry.shown if secret in text]
        assert bool(found) is (not masked and key != "fns.organizations")
        (told,) = registry.audit()
        assert told["action"] == "registry.exported"
        assert told["detail"]["masked"] is (masked and key != "fns.organizations")
        assert [secret for secret in registry.shown if secret in str(told)] == []


@pytest.mark.feature("TECH-03")
def test_values_stand_as_people_write_them(registry: Any) -> None:
    titles, row = rows_of(exported(registry.reader("personal"), "/registry/pump/services"))
    told = dict(zip(titles, row, strict=True))
    assert told["Начата"] == "29.12.1951"
    assert told["Стоимость, ₽"] == "1\xa0234,50"
    acts = rows_of(exported(registry.reader("personal"), "/registry/erz/deaths"))
    assert dict(zip(*acts, strict=True))["Аннулирован"] == "нет"


def test_only_the_chosen_rows_and_columns_are_exported(registry: Any) -> None:
    person = registry.reader("personal")
    chosen = exported(person, "/registry/erz/persons", scope="selected", pks="999999", fields=["id", "status"])
    assert rows_of(chosen) == [["Номер", "Состояние"]]
    chosen = exported(
        person, "/registry/erz/persons", scope="selected", pks=str(registry.rows.person), fields=["status"]
    )
    assert rows_of(chosen) == [["Состояние"], ["жив"]]


@pytest.mark.feature("BUS-14")
@pytest.mark.parametrize("query", ["?q=Ёлкина", "?filter=birth_date__eq=1951-12-29", "?sort=enp__asc"])
def test_an_export_is_no_oracle(registry: Any, query: str) -> None:
    told = exported(registry.reader(), "/registry/erz/persons", query=query)
    assert told.status_code in (400, 403)


@pytest.mark.feature("TECH-03")
def test_an_export_follows_the_search_and_the_filters(registry: Any) -> None:
    person = registry.reader("personal")
    assert len(rows_of(exported(person, "/registry/erz/persons", query="?q=Ёлкина&filter=status__eq=alive"))) == 2
    assert len(rows_of(exported(person, "/registry/erz/persons", query="?q=Иванов"))) == 1
    assert len(rows_of(exported(person, "/registry/erz/persons", query="?filter=status__eq=dead"))) == 1


@pytest.mark.parametrize("text", ["=1+1", "+7", "-1", "@SUM(A1)", "\t=1"])
def test_no_cell_is_a_formula(registry: Any, text: str) -> None:
    with registry.bus.database.transaction() as connection:
        driver(connection).execute("UPDATE fns.organization SET address = %s", (text,))
    rows = rows_of(exported(registry.reader(), "/registry/fns/organizations", fields=["address"]))
    assert rows == [["Адрес"], ["'" + text]]


def test_an_unknown_kind_of_file_leads_back_to_the_list(registry: Any) -> None:
    told = exported(registry.reader(), "/registry/fns/organizations", extension="exe")
    assert told.headers["location"] == "/registry/fns/organizations/list"


def test_an_export_without_the_secret_is_refused(registry: Any) -> None:
    person = registry.reader()
    assert person.post("/registry/fns/organizations/action?name=export", data={"format": "csv"}).status_code == 403
