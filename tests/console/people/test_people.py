"""Users, roles, tokens, sessions: what the pages do, and whom they refuse."""

from __future__ import annotations

import re
from typing import Any

import pytest

from console.people import words
from console.people.agents import device
from console.shell.page import SESSION_COOKIE
from core import trail
from core.access import accounts, permissions, roles, sessions, tokens
from core.trail import Wanted

PASSWORD = "берёзы у старой мельницы"
LOOKS = (
    "/people",
    "/people/new/account",
    "/people/ivanova",
    "/roles",
    "/roles/operator",
    "/roles/night",
    "/roles/new/own",
    "/tokens",
    "/tokens/new",
    "/sessions",
)
CHANGES = (
    "/people/new/account",
    "/people/ivanova/name",
    "/people/ivanova/roles",
    "/people/ivanova/password",
    "/people/ivanova/block",
    "/people/ivanova/unblock",
    "/people/ivanova/subject",
    "/people/ivanova/sessions/end",
    "/roles/new/own",
    "/roles/night",
    "/roles/night/remove",
    "/tokens/new",
    "/tokens/reports/revoke",
    "/sessions/00/end",
)


@pytest.fixture
def desk(bus_of: Any, console_of: Any) -> Any:
    made = console_of(bus_of())
    database = made.bus.database
    accounts.create(database, "ivanova", "Иванова Вера", PASSWORD, ["operator"], actor="test")
    roles.save(database, "night", "Ночная смена", ["queues.read"], actor="test", new=True)
    tokens.issue(database, "reports", ["queues.read"], None, "test")
    return made


@pytest.fixture
def admin(desk: Any) -> Any:
    return desk.person("administrator", login="admin")


def deeds(desk: Any) -> list[tuple[str, str, str]]:
    rows = trail.rows(desk.bus.database, Wanted(actor="admin"), 100)
    return [(one.action, one.object_id, one.via) for one in reversed(rows)]


def messages(answer: Any, browser: Any) -> str:
    """What the next page says."""
    return browser.get(answer.headers["location"]).text


@pytest.mark.feature("SMEV-11")
def test_only_who_may_write_people_comes_here(desk) -> None:
    every = [name for name in permissions.roles() if "people.write" not in permissions.roles()[name].permissions]
    person = desk.person(*every)
    for path in LOOKS:
        assert person.get(path).status_code == 403, path
    for path in CHANGES:
        assert person.submit(path).status_code == 403, path
    assert "Пользователи, роли, токены" in person.get("/people").text
    assert 'href="/people"' not in person.get("/me").text


@pytest.mark.feature("SMEV-11")
def test_a_change_without_the_secret_is_refused(admin) -> None:
    for path in CHANGES:
        assert admin.post(path, data={"csrf": "x"}).status_code == 403, path


def test_every_page_opens_for_an_administrator(admin) -> None:
    for path in LOOKS:
        assert admin.get(path).status_code == 200, path


def test_a_new_person_gets_a_password_that_is_shown_once(desk, admin) -> None:
    answer = admin.submit("/people/new/account", login="Petrov", name="Петров  Пётр", roles=["operator", "night"])
    [password] = re.findall(r'<code id="once">([a-z2-9-]+)</code>', answer.text)
    made = accounts.found(desk.bus.database, "petrov")
    assert (made.name, made.roles, made.must_change) == ("Петров Пётр", ("operator", "night"), True)
    assert password not in admin.get("/people/petrov").text
    browser = desk.nobody()
    assert browser.post("/login", data={"login": "petrov", "password": password}).status_code == 303
    assert deeds(desk) == [("account.created", "petrov", "console")]


def test_a_form_that_was_refused_keeps_what_was_typed(admin) -> None:
    answer = admin.submit("/people/new/account", login="ivanova", name="Иванова Вторая", roles=["auditor"])
    assert answer.status_code == 409
    assert "уже есть" in answer.text
    assert 'value="Иванова Вторая"' in answer.text
    assert re.search(r'value="auditor" checked', answer.text)


@pytest.mark.feature("BUS-14")
def test_an_administrator_does_not_give_access_to_personal_data(desk, admin) -> None:
    answer = admin.submit("/people/new/account", login="petrov", name="Петров", roles=["personal"])
    assert answer.status_code == 409
    assert "omsbus user roles" in answer.text
    admin.submit("/people/ivanova/roles", roles=["personal"])
    assert accounts.found(desk.bus.database, "ivanova").roles == ("operator",)
    accounts.set_roles(desk.bus.database, "ivanova", ["personal"], actor="root")
    assert "Выдать новый пароль" not in admin.get("/people/ivanova").text
    answer = admin.submit("/people/ivanova/password")
    assert answer.status_code == 303
    assert "доступ к персональным данным" in messages(answer, admin)


def test_roles_are_given_and_end_sessions(desk, admin) -> None:
    person = desk.person("operator", login="petrov")
    admin.submit("/people/petrov/roles", roles=["auditor", "night"])
    assert accounts.found(desk.bus.database, "petrov").roles == ("auditor", "night")
    assert person.get("/me").headers["location"].startswith("/login")


def test_block_and_unblock(desk, admin) -> None:
    person = desk.person("operator", login="petrov")
    assert "заблокирован" in messages(admin.submit("/people/petrov/block", reason="уволен"), admin)
    assert person.get("/me").status_code == 303
    assert "Петров" not in admin.get("/people?state=active").text
    assert "petrov" in admin.get("/people?state=blocked").text
    admin.submit("/people/petrov/unblock")
    assert [action for action, _, _ in deeds(desk)] == ["account.blocked", "account.unblocked"]


def test_the_last_administrator_and_oneself_are_safe(desk, admin) -> None:
    for path in ("block", "roles", "password"):
        answer = admin.submit(f"/people/admin/{path}", roles=["operator"])
        assert answer.status_code == 303
        assert "alert-danger" in messages(answer, admin)
    accounts.create(desk.bus.database, "second", "Второй", PASSWORD, ["administrator"], actor="test")
    accounts.block(desk.bus.database, "second", actor="test")
    assert "Это вы" in admin.get("/people/admin").text
    assert accounts.found(desk.bus.database, "admin").roles == ("administrator",)


def test_a_new_password_ends_sessions_and_is_shown_once(desk, admin) -> None:
    person = desk.person("operator", login="petrov")
    answer = admin.submit("/people/petrov/password")
    assert re.search(r'<code id="once">[a-z2-9-]{19}</code>', answer.text)
    assert answer.headers["cache-control"] == "no-store"
    assert person.get("/me").status_code == 303


def test_people_are_found_by_name_role_and_state(admin) -> None:
    assert "ivanova" in admin.get("/people?q=ИВАНОВА").text
    assert "ivanova" not in admin.get("/people?q=петров").text
    assert "ivanova" not in admin.get("/people?role=auditor").text
    assert "Таких пользователей нет" in admin.get("/people?state=locked").text


def test_an_unknown_person_or_role_is_a_sentence(admin) -> None:
    for path in ("/people/nobody", "/roles/nothing", "/people/%00x", "/roles/%F0%9F%92%A9"):
        answer = admin.get(path)
        assert answer.status_code == 404, path
        assert "Посмотрите список" in answer.text


def test_a_built_in_role_is_shown_and_not_changed(desk, admin) -> None:
    page = admin.get("/roles/operator").text
    assert "поставляется с шиной" in page
    assert 'type="submit">Сохранить' not in page
    assert admin.submit("/roles/operator", title="Моя", may=["people.write"]).status_code == 409
    assert 'value="queues.operate" checked' in admin.get("/roles/new/own?like=operator").text


def test_an_own_role_is_made_changed_and_removed(desk, admin) -> None:
    assert admin.submit("/roles/new/own", name="Плохое имя", title="x", may=["desk.read"]).status_code == 409
    admin.submit("/roles/new/own", name="day", title="Дневная смена", may=["desk.read", "queues.read"])
    admin.submit("/roles/day", title="Дневная", may=["desk.read"])
    assert "Дневная" in admin.get("/roles").text
    admin.submit("/roles/day/remove")
    assert [one for one in deeds(desk) if one[1] == "day"] == [
        (f"role.{deed}", "day", "console") for deed in ("created", "changed", "removed")
    ]


def test_a_role_in_use_is_not_removed(desk, admin) -> None:
    accounts.set_roles(desk.bus.database, "ivanova", ["night"], actor="test")
    assert "ivanova" in messages(admin.submit("/roles/night/remove"), admin)
    assert "Иванова Вера" in admin.get("/roles/night").text


def test_a_token_is_shown_once_and_ends(desk, admin) -> None:
    form = {"name": "exports", "scopes": ["queues.read"], "until": "2099-12-31"}
    answer = admin.submit("/tokens/new", **form)
    [secret] = re.findall(r'<code id="once">(omsbus_[\w-]+)</code>', answer.text)
    assert tokens.person_of(desk.bus.database, secret)
    page = admin.get("/tokens").text
    assert secret not in page
    assert "по 31.12.2099" in page
    admin.submit("/tokens/exports/revoke")
    assert tokens.person_of(desk.bus.database, secret) is None
    assert deeds(desk) == [("token.issued", "exports", "console"), ("token.revoked", "exports", "console")]


def test_a_token_that_makes_no_sense_is_refused(admin) -> None:
    scopes = {"scopes": ["queues.read"]}
    for form, why in (
        ({"name": "x"} | scopes, "до какого дня"),
        ({"name": "x", "until": "вчера"} | scopes, "не время"),
        ({"name": "x", "until": "2020-01-01"} | scopes, "прошёл"),
        ({"name": "x", "until": "9999-12-31"} | scopes, "слишком далёк"),
        ({"name": "x", "endless": "true"}, "хотя бы одно"),
        ({"name": "reports", "endless": "true"} | scopes, "уже был"),
        ({"name": "x", "scopes": ["personal.read"], "endless": "true"}, "даёт только тот"),
    ):
        answer = admin.submit("/tokens/new", **form)
        assert (answer.status_code, why in answer.text) == (409, True), form


def test_a_session_of_another_is_ended(desk, admin) -> None:
    person = desk.person("operator", login="petrov")
    number = sessions.number_of(person.cookies[SESSION_COOKIE])
    page = admin.get("/sessions").text
    assert number in page
    assert person.cookies[SESSION_COOKIE] not in page
    admin.submit(f"/sessions/{number}/end")
    assert person.get("/me").status_code == 303
    assert "уже закончился" in messages(admin.submit(f"/sessions/{number}/end"), admin)


def test_every_permission_has_its_place_on_the_form(admin) -> None:
    page = admin.get("/roles/new/own").text
    for name in permissions.permissions():
        assert f'value="{name}"' in page


def test_registries_are_called_as_in_the_menu() -> None:
    assert words.title_of("erz.read") == "ЕРЗ: смотреть"
    assert words.role_title("erz.writer", "erz: ввод") == "ЕРЗ: ввод"
    assert words.role_title("night", "Ночная: смена") == "Ночная: смена"
    assert words.title_of("gone.write") == "gone.write"


def test_signs_that_cannot_be_kept_are_no_crash(admin) -> None:
    for path in CHANGES:
        path = (
            path.replace("ivanova", "%00")
            .replace("night", "%00")
            .replace("reports", "%00")
            .replace("00/end", "%00/end")
        )
        form = {
            "login": "x\x00y",
            "name": "\x00",
            "title": "\x00",
            "reason": "\x00",
            "subject": "\x00",
            "roles": ["\x00"],
        }
        assert admin.submit(path, may=["\x00"], scopes=["\x00"], until="\x00", **form).status_code in (303, 409), path


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/130.0 YaBrowser/24.1 Safari/537", "Яндекс Браузер, Windows"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0", "Firefox, Linux"),
        ("curl/8", "curl/8"),
        ("", "неизвестно"),
    ],
    ids=["yandex", "firefox", "curl", "nothing"],
)
def test_a_browser_is_called_by_its_name(agent: str, said: str) -> None:
    assert device(agent) == said
