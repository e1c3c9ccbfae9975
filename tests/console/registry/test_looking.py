"""Who sees what in the registries: rights, masks, no oracle, the audit of looks."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from console.registry import engine, looks, view
from core import discovery
from core.errors import Unavailable

SCREENS = sorted(screen.key for screen in discovery.screens())
HOSTILE = ("", "0", "-1", "abc", "1;DROP TABLE erz.person", "9" * 40, "%00", "1%00", "'", "💥", "%ff", "1.5", "null")


def list_of(registry: Any, key: str) -> str:
    return f"{registry.rows.paths()[key][0]}/list"


def card_of(registry: Any, key: str) -> str:
    path, row = registry.rows.paths()[key]
    return f"{path}/detail?pk={row}"


@pytest.mark.feature("SMEV-11")
def test_every_screen_is_planted(registry: Any) -> None:
    assert sorted(registry.rows.paths()) == SCREENS


@pytest.mark.feature("SMEV-11")
@pytest.mark.parametrize("key", SCREENS)
def test_a_stranger_is_sent_to_the_entrance(registry: Any, key: str) -> None:
    nobody = registry.desk.nobody()
    for path in (list_of(registry, key), card_of(registry, key)):
        told = nobody.get(path)
        assert told.status_code == 303
        assert told.headers["location"].startswith("/login?next=%2Fregistry%2F")
    assert nobody.post(f"{registry.rows.paths()[key][0]}/action?name=export").status_code == 303


@pytest.mark.feature("SMEV-11")
@pytest.mark.parametrize("key", SCREENS)
def test_whoever_lacks_the_right_of_the_subsystem_is_refused(registry: Any, key: str) -> None:
    subsystem = key.partition(".")[0]
    others = [f"{one}.reader" for one in ("erz", "fns", "pump", "sfr") if one != subsystem]
    person = registry.person("administrator", "personal", *others)
    for path in (list_of(registry, key), card_of(registry, key), f"/registry/{subsystem}"):
        assert person.get(path).status_code == 403
    export = person.post(f"{registry.rows.paths()[key][0]}/action?name=export", headers={"X-CSRFToken": person.secret})
    assert export.status_code in (400, 403)
    assert registry.audit() == []


@pytest.mark.feature("BUS-14")
@pytest.mark.feature("TECH-01")
@pytest.mark.parametrize("key", SCREENS)
def test_a_reader_sees_the_rows_and_no_personal_data(registry: Any, key: str) -> None:
    reader = registry.reader("administrator")
    for path in (list_of(registry, key), card_of(registry, key)):
        seen = reader.get(path)
        assert seen.status_code == 200
        assert str(registry.rows.paths()[key][1]) in seen.text
        assert [secret for secret in registry.shown if secret in seen.text] == []
    assert registry.audit() == []


@pytest.mark.feature("BUS-14")
@pytest.mark.parametrize("key", SCREENS)
def test_with_the_permission_the_values_are_seen_and_the_look_is_audited(registry: Any, key: str) -> None:
    reader = registry.reader("personal")
    seen = reader.get(list_of(registry, key)).text + reader.get(card_of(registry, key)).text
    if key == "fns.organizations":
        assert "1027700132195" in seen
        assert registry.audit() == []
        return
    assert any(secret in seen for secret in registry.shown)
    listed, viewed = registry.audit()
    row = str(registry.rows.paths()[key][1])
    assert (listed["action"], listed["detail"]["ids"]) == ("registry.listed", [row])
    assert (viewed["action"], viewed["object_id"]) == ("registry.viewed", row)
    assert viewed["actor"] == reader.login
    assert viewed["object_kind"].startswith(key.partition(".")[0] + ".")
    assert [secret for secret in registry.shown if secret in str(listed) + str(viewed)] == []


@pytest.mark.feature("BUS-14")
def test_the_rows_below_a_card_are_masked_too_and_are_told_to_the_audit(registry: Any) -> None:
    card = card_of(registry, "erz.persons")
    hidden = registry.reader().get(card).text
    assert "Оказанные услуги" in hidden
    assert registry.secrets["service"] not in hidden
    seen = registry.reader("personal").get(card).text
    assert registry.secrets["service"] in seen
    below = registry.audit()[-1]["detail"]["below"]
    assert below["pump.rendered_service"] == [str(registry.rows.service)]


def test_rows_of_a_subsystem_that_one_may_not_read_do_not_stand_below_a_card(registry: Any) -> None:
    seen = registry.person("erz.reader", "personal").get(card_of(registry, "erz.persons")).text
    assert "Оказанные услуги" not in seen
    assert registry.secrets["service"] not in seen


@pytest.mark.feature("BUS-14")
@pytest.mark.parametrize(
    "query",
    [
        "q=" + quote("Ёлкина"),
        "filter=birth_date__eq%3D1951-12-29",
        "filter=enp__eq%3D7712345678901234",
        "filter=" + quote("status__eq=alive AND (birth_date__eq=1951-12-29)"),
        "sort=enp__asc",
        "sort=search_key__asc",
        "sort=surname__asc",
    ],
)
def test_nothing_can_be_found_out_about_what_is_hidden(registry: Any, query: str) -> None:
    for path in ("/registry/erz/persons/list", "/registry/erz/policies/list"):
        told = registry.reader().get(f"{path}?{query}")
        assert told.status_code in (400, 403)
        assert "Номер записи</th>" not in told.text


@pytest.mark.feature("BUS-14")
def test_whoever_sees_masks_is_offered_no_search_and_no_filter_over_them(registry: Any) -> None:
    hidden = registry.reader().get("/registry/erz/persons/list").text
    assert "Поиск закрыт" in hidden
    assert '"name": "birth_date"' not in hidden
    seen = registry.reader("personal").get("/registry/erz/persons/list").text
    assert '"name": "birth_date"' in seen


@pytest.mark.feature("TECH-01")
@pytest.mark.parametrize(
    "text",
    [
        "елкина-тайная",
        "Ёлкина-Тайная Секр",
        "ЁЛКИНА-тайная  секретина скрытовна",
        "Ёлкина 29.12.1951",
        "29.12.1951 елкина",
    ],
)
def test_a_death_is_found_by_name_opened_and_leads_to_its_message(registry: Any, text: str) -> None:
    reader = registry.reader("personal", "auditor")
    found = reader.get("/registry/erz/deaths/list", params={"q": text}).text
    card = card_of(registry, "erz.deaths")
    assert card in found
    assert f'href="/messages/{registry.message}"' in reader.get(card).text
    assert f"/registry/erz/persons/detail?pk={registry.rows.person}" in reader.get(card).text


@pytest.mark.parametrize("text", ["Елкин Петр", "Ёлкина 30.12.1951", "%", "_", "\\", "|", "'", "Я" * 3000])
def test_another_name_finds_nothing(registry: Any, text: str) -> None:
    reader = registry.reader("personal")
    found = reader.get("/registry/erz/deaths/list", params={"q": text})
    assert found.status_code == 200
    assert "Ничего не найдено" in found.text


@pytest.mark.parametrize(
    ("text", "sentence"), [("Елкина 31.02.2026", "нет в календаре"), ("29.12.1951", "Введите с датой и начало фамилии")]
)
def test_what_can_not_be_searched_by_is_told(registry: Any, text: str, sentence: str) -> None:
    told = registry.reader("personal").get("/registry/erz/deaths/list", params={"q": text})
    assert told.status_code == 400
    assert sentence in told.text


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        ("/registry/erz/persons", "112-233-445 95", True),
        ("/registry/erz/persons", "7712 3456 7890 1234", True),
        ("/registry/erz/documents", "45 08 № 987654", True),
        ("/registry/erz/policies", "7712345678901234", True),
        ("/registry/fns/organizations", "7707083893", True),
        ("/registry/fns/organizations", "1027700132195", True),
        ("/registry/fns/organizations", "ромашка", True),
        ("/registry/fns/organizations", "100%", False),
        ("/registry/pump/services", "нет", False),
        ("/registry/pump/services", "9" * 30, False),
    ],
)
def test_each_registry_is_searched_by_what_it_says(registry: Any, path: str, text: str, found: bool) -> None:
    seen = registry.reader("personal").get(f"{path}/list", params={"q": text})
    assert seen.status_code == 200
    assert ("Ничего не найдено" not in seen.text) is found


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("key", ["erz.persons", "fns.organizations"])
def test_a_hostile_id_is_a_row_that_is_not_there(registry: Any, key: str, value: str) -> None:
    path = registry.rows.paths()[key][0]
    told = registry.reader("personal").get(f"{path}/detail?pk={value}")
    assert told.status_code == 404
    assert "Такой записи нет" in told.text


@pytest.mark.parametrize(
    "query",
    [
        "filter=status__eq%3D%00",
        "filter=sex__eq%3Dabc",
        "filter=sex__eq%3D999999999999",
        "filter=source_message_id__eq%3Dabc",
        "filter=birth_date__eq%3Dabc",
        "filter=(((((((((((((((((((((((",
        "filter=nothing__eq%3D1",
        "sort=__class____asc",
        "page_size=1000000",
        "page=99999999999999999999",
        "page=-1",
        "cols=nothing,,",
        "q=%00",
        "q=%ff%fe",
    ],
)
def test_a_hostile_query_is_a_sentence_and_never_a_defect(registry: Any, query: str) -> None:
    told = registry.reader("personal").get(f"/registry/erz/persons/list?{query}")
    assert told.status_code in (200, 400)
    assert "Ошибка программы" not in told.text


@pytest.mark.parametrize(
    "path", ["nothing/at-all/list", "erz/nothing/list", "nothing", "erz/persons", "erz.persons/list"]
)
def test_an_unknown_registry_is_not_there(registry: Any, path: str) -> None:
    assert registry.reader("personal").get(f"/registry/{path}").status_code == 404


@pytest.mark.parametrize(
    "path", ["_api/erz/persons/relation-lookup", "_files/local/x", "erz/persons/inline-edit", "login"]
)
def test_what_the_engine_could_do_besides_is_not_there(registry: Any, path: str) -> None:
    assert registry.reader("personal", "erz.writer").get(f"/registry/{path}").status_code == 404


@pytest.mark.feature("TECH-01")
def test_the_menu_and_the_shelves_show_what_one_may_read(registry: Any) -> None:
    person = registry.person("fns.reader")
    seen = person.get("/registry").text
    assert 'href="/registry/fns/organizations/list"' in seen
    assert "/registry/erz" not in seen
    nobody = registry.person("auditor").get("/registry")
    assert "Реестров не видно" in nobody.text


@pytest.mark.parametrize("key", SCREENS)
def test_pages_have_the_policy_of_the_console_and_nothing_inline(registry: Any, key: str) -> None:
    person = registry.reader("personal", "erz.writer")
    pages = [list_of(registry, key), card_of(registry, key)]
    if key in ("erz.policies", "erz.documents"):
        path, row = registry.rows.paths()[key]
        pages += [f"{path}/create", f"{path}/edit?pk={row}"]
    for path in pages:
        seen = person.get(path)
        assert seen.status_code == 200
        assert "unsafe" not in seen.headers["content-security-policy"]
        assert " style=" not in seen.text
        assert " onclick=" not in seen.text
        assert " onchange=" not in seen.text
        assert "<style" not in seen.text
        assert "<script>" not in seen.text
        assert "http://console" not in seen.text
        assert "https://" not in seen.text


def test_moments_are_told_in_the_zone_of_the_person(registry: Any) -> None:
    reader = registry.reader("personal", "auditor")
    with registry.bus.database.transaction() as connection:
        run = connection.exec_driver_sql
        run("UPDATE erz.person SET changed_at = '2026-01-13 23:30:00+00'")
        run("UPDATE bus.account SET timezone = 'Asia/Vladivostok' WHERE login = %s", (reader.login,))
    assert "14.01.2026 09:30:00" in reader.get("/registry/erz/persons/list").text


@pytest.mark.feature("TECH-01")
def test_a_large_registry_is_neither_counted_nor_paged_to_its_end(
    registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with registry.bus.database.transaction() as connection:
        connection.exec_driver_sql(
            "INSERT INTO fns.organization (ogrn, ogrn_date, name, extract_date) "
            "SELECT 'БОЛЬШОЙ' || i, '2002-08-16', 'Большая ' || i, '2026-01-15' FROM generate_series(100, 159) i"
        )
    monkeypatch.setattr(view, "REACH_ROWS", 30)
    reader = registry.reader()
    seen = reader.get("/registry/fns/organizations/list").text
    assert "1–25 из" in seen
    assert "примерно" in seen
    assert "более чем" in reader.get("/registry/fns/organizations/list?q=Большая").text
    assert seen.count("data-sa-pk=") == 25
    assert reader.get("/registry/fns/organizations/list?page=2").text.count("data-sa-pk=") == 5
    assert "Так далеко список не листают" in reader.get("/registry/fns/organizations/list?page=3").text


def test_a_question_that_takes_too_long_ends_in_a_sentence(registry: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "STATEMENT_MOST_S", 0.05)
    screen = next(one for one in discovery.screens() if one.key == "fns.organizations")
    monkeypatch.setitem(vars(screen), "find", lambda _text: (sa.func.pg_sleep(5).is_not(None),))
    told = registry.reader().get("/registry/fns/organizations/list?q=x")
    assert told.status_code == 422
    assert "Слишком долгий запрос" in told.text


@pytest.mark.feature("BUS-14")
def test_without_the_audit_nothing_is_shown(registry: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: Any) -> None:
        raise Unavailable("Аудит не пишется")

    monkeypatch.setattr(looks.audit, "record", refuse)
    for path in (list_of(registry, "erz.persons"), card_of(registry, "erz.persons")):
        told = registry.reader("personal").get(path)
        assert told.status_code == 503
        assert [secret for secret in registry.shown if secret in told.text] == []


@pytest.mark.feature("BUS-14")
def test_the_log_of_the_program_knows_nothing_of_what_is_searched(
    registry: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    registry.reader("personal").get("/registry/erz/persons/list", params={"q": "Ёлкина-Тайная"})
    assert "лкина" not in caplog.text + "".join(capfd.readouterr())
