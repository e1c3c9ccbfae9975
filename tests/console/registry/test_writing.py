"""Entering, changing, deleting and loading rows: rights, secrets, checks, the audit of changes."""

from __future__ import annotations

import io
from datetime import date
from typing import Any

import openpyxl
import pytest

from core.database import driver

NEW = {"enp": "1111222233334444", "starts": "2026-01-01", "ends": "", "insurer_code": "77001"}


def writer(registry: Any) -> Any:
    return registry.person("erz.writer", "personal")


def policies(registry: Any) -> list[tuple[Any, ...]]:
    with registry.bus.database.transaction() as connection:
        rows = driver(connection).execute(
            "SELECT id, person_id, enp, insurer_code, starts, ends FROM erz.policy ORDER BY id"
        )
        return rows.fetchall()


def entered(registry: Any, **changes: str) -> Any:
    form = {**NEW, "person_id": str(registry.rows.person), **changes}
    return writer(registry).submit("/registry/erz/policies/create", **form)


@pytest.mark.feature("TECH-04")
def test_a_row_is_entered_changed_and_deleted_and_each_is_audited_without_personal_data(registry: Any) -> None:
    person = writer(registry)
    made = entered(registry)
    assert made.status_code == 303
    assert made.headers["location"] == "/registry/erz/policies/list"
    said = person.get("/registry/erz/policies/list").text
    row = policies(registry)[-1]
    assert f"Полис № {row[0]}: запись внесена" in said
    assert row[1:4] == (registry.rows.person, NEW["enp"], NEW["insurer_code"])

    form = {**NEW, "person_id": str(registry.rows.person), "insurer_code": "77002", "enp": "5555666677778888"}
    assert person.submit(f"/registry/erz/policies/edit?pk={row[0]}", **form).status_code == 303
    assert policies(registry)[-1][2:4] == ("5555666677778888", "77002")

    gone = person.post(
        f"/registry/erz/policies/row-action?name=delete&pk={row[0]}", headers={"X-CSRFToken": person.secret}
    )
    assert gone.status_code == 200
    assert row[0] not in [one[0] for one in policies(registry)]

    deeds = [
        one for one in registry.audit() if one["action"] in ("registry.created", "registry.changed", "registry.deleted")
    ]
    created, changed, deleted = deeds
    assert {one["object_id"] for one in deeds} == {str(row[0])}
    assert {one["object_kind"] for one in deeds} == {"erz.policy"}
    assert {one["actor"] for one in deeds} == {person.login}
    assert "enp" in created["detail"]["fields"]
    assert changed["detail"]["fields"] == ["enp", "insurer_code"]
    assert changed["detail"]["before"] == {"insurer_code": "77001"}
    assert changed["detail"]["after"] == {"insurer_code": "77002"}
    assert deleted["detail"]["before"]["insurer_code"] == "77002"
    assert not any(enp in str(deeds) for enp in ("1111222233334444", "5555666677778888"))


def test_what_follows_from_the_typed_is_written_too(registry: Any) -> None:
    form = {"person_id": str(registry.rows.person), "kind_code": "21", "series": "45 10", "number": "112233"}
    assert writer(registry).submit("/registry/erz/documents/create", **form).status_code == 303
    with registry.bus.database.transaction() as connection:
        found = driver(connection).execute("SELECT number_key, issued FROM erz.document WHERE number = '112233'")
        assert found.fetchall() == [("4510112233", None)]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"enp": "12"}, "ЕНП состоит из 16 цифр"),
        ({"enp": ""}, "Заполните это поле"),
        ({"starts": "31.02.2026"}, "Введите дату вида ДД.ММ.ГГГГ"),
        ({"starts": "вчера"}, "Введите дату вида ДД.ММ.ГГГГ"),
        ({"ends": "2025-01-01"}, "не может закончиться раньше"),
        ({"person_id": "999999999"}, "Записи с таким номером нет"),
        ({"person_id": "9" * 40}, "Число слишком большое"),
        ({"person_id": "первый"}, "Введите целое число"),
        ({"enp": "1111\x002222333344445"}, "ЕНП состоит из 16 цифр"),
    ],
)
def test_what_can_not_be_is_told_beside_the_field_and_nothing_is_written(
    registry: Any, changes: dict[str, str], told: str
) -> None:
    before = policies(registry)
    answer = entered(registry, **changes)
    assert answer.status_code == 422
    assert told in answer.text
    assert policies(registry) == before
    assert registry.audit() == []


def test_the_same_document_is_not_entered_twice(registry: Any) -> None:
    form = {"person_id": str(registry.rows.person), "kind_code": "21", "series": "45 08", "number": "987654"}
    answer = writer(registry).submit("/registry/erz/documents/create", **form)
    assert answer.status_code == 422
    assert "Такая запись уже есть" in answer.text


@pytest.mark.feature("SMEV-11")
@pytest.mark.parametrize(
    "roles", [("erz.reader", "personal"), ("erz.writer",), ("administrator", "personal"), ("fns.writer",)]
)
def test_nobody_writes_without_the_right_or_over_masks(registry: Any, roles: tuple[str, ...]) -> None:
    person = registry.person(*roles)
    row = registry.rows.policy
    before = policies(registry)
    assert person.get("/registry/erz/policies/create").status_code == 403
    assert person.get(f"/registry/erz/policies/edit?pk={row}").status_code == 403
    form = {**NEW, "person_id": str(registry.rows.person)}
    assert person.submit("/registry/erz/policies/create", **form).status_code == 403
    assert person.submit(f"/registry/erz/policies/edit?pk={row}", **form).status_code == 403
    secret = {"X-CSRFToken": person.secret}
    for path in (f"row-action?name=delete&pk={row}", f"action?name=delete&pks={row}"):
        assert person.post(f"/registry/erz/policies/{path}", headers=secret).status_code == 400
    file = {"file": ("a.csv", b"a;b", "text/csv")}
    assert (
        person.post("/registry/erz/policies/import", headers=secret, data={"format": "csv"}, files=file).status_code
        == 403
    )
    assert policies(registry) == before


@pytest.mark.feature("SMEV-11")
@pytest.mark.parametrize("screen", ["persons", "births", "deaths"])
def test_a_screen_that_is_not_writable_is_written_by_nobody(registry: Any, screen: str) -> None:
    person = writer(registry)
    assert person.get(f"/registry/erz/{screen}/create").status_code == 403
    assert person.get(f"/registry/erz/{screen}/edit?pk=1").status_code == 403
    refused = person.post(f"/registry/erz/{screen}/row-action?name=delete&pk=1", headers={"X-CSRFToken": person.secret})
    assert refused.status_code == 400


@pytest.mark.feature("SMEV-11")
@pytest.mark.parametrize(
    "path", ["create", "edit?pk=1", "row-action?name=delete&pk=1", "action?name=delete&pks=1", "import"]
)
def test_a_change_needs_the_secret_of_the_session_and_comes_from_here(registry: Any, path: str) -> None:
    person = writer(registry)
    before = policies(registry)
    assert person.post(f"/registry/erz/policies/{path}", data={"csrf": "чужой"}).status_code == 403
    abroad = {"X-CSRFToken": person.secret, "Sec-Fetch-Site": "cross-site"}
    assert person.post(f"/registry/erz/policies/{path}", headers=abroad).status_code == 403
    assert policies(registry) == before


def test_a_form_is_filled_with_the_row_it_was_opened_from(registry: Any) -> None:
    seen = writer(registry).get(f"/registry/erz/policies/create?person_id={registry.rows.person}").text
    assert f'value="{registry.rows.person}"' in seen


# Loading from a file


def loaded(registry: Any, content: bytes, *, extension: str = "csv", preview: bool = False) -> Any:
    person = writer(registry)
    return person.post(
        f"/registry/erz/policies/import?preview={int(preview)}",
        headers={"X-CSRFToken": person.secret},
        data={"format": extension},
        files={"file": (f"полисы.{extension}", content, "application/octet-stream")},
    )


def csv_of(registry: Any, *lines: str) -> str:
    return "Человек;ЕНП;СМО;Действует с;Действует по\n" + "\n".join(lines).format(person=registry.rows.person)


@pytest.mark.feature("TECH-03")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251"])
def test_a_table_is_looked_at_first_and_then_loaded(registry: Any, encoding: str) -> None:
    content = csv_of(registry, "{person};9999888877776666;77003;01.02.2026;", "{person};короткий;77003;01.02.2026;")
    before = policies(registry)
    looked = loaded(registry, content.encode(encoding), preview=True).json()
    assert (looked["rows_total"], looked["rows_new"], len(looked["errors"])) == (2, 1, 1)
    assert policies(registry) == before
    assert looked["mapping"][0] == {"header": "Человек", "field": "Человек", "selected": True}
    assert looked["sample"][0]["cells"]["Действует с"] == "01.02.2026"
    assert looked["errors"][0]["field"] == "ЕНП"
    done = loaded(registry, content.encode(encoding)).json()
    assert (done["rows_created"], len(done["errors"])) == (1, 1)
    assert done["errors"][0]["message"] == "ЕНП состоит из 16 цифр"
    new = [row for row in policies(registry) if row not in before]
    assert [(row[2], row[3], f"{row[4]:%d.%m.%Y}", row[5]) for row in new] == [
        ("9999888877776666", "77003", "01.02.2026", None)
    ]
    created, imported = registry.audit()
    assert created["action"] == "registry.created"
    assert imported["detail"] == {"created": 1, "changed": 0, "refused": 1}


@pytest.mark.feature("TECH-03")
def test_a_sheet_of_excel_is_loaded(registry: Any) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["Человек", "ЕНП", "СМО", "Действует с"])
    sheet.append([registry.rows.person, "4444333322221111", 77004, date(2026, 3, 1)])
    packed = io.BytesIO()
    book.save(packed)
    done = loaded(registry, packed.getvalue(), extension="xlsx").json()
    assert (done["rows_created"], done["errors"]) == (1, [])
    assert policies(registry)[-1][2:4] == ("4444333322221111", "77004")


@pytest.mark.parametrize("extension", ["csv", "xlsx"])
@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe", b"PK\x03\x04 nothing", b"a" * 100_000])
def test_what_is_no_table_is_told(registry: Any, extension: str, content: bytes) -> None:
    before = policies(registry)
    told = loaded(registry, content, extension=extension)
    assert told.status_code in (200, 400)
    assert told.json().get("rows_created", 0) == 0
    assert policies(registry) == before


def test_a_file_that_is_too_long_is_refused_before_it_is_read(registry: Any) -> None:
    assert loaded(registry, b"a" * (6 * 1024 * 1024)).status_code == 413
