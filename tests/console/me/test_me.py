"""The own profile."""

from __future__ import annotations

from typing import Any

import pytest

from console.shell.page import SESSION_COOKIE
from core import trail
from core.access import accounts, sessions

OLD = "очень длинный пароль 1"
NEW = "липы у новой мельницы"


@pytest.fixture
def desk(bus_of: Any, console_of: Any) -> Any:
    return console_of(bus_of())


@pytest.fixture
def me(desk: Any) -> Any:
    return desk.person(login="ivanova")


def another_session(desk: Any, login: str = "ivanova") -> str:
    account = accounts.found(desk.bus.database, login)
    return sessions.begin(desk.bus.database, account.id, address="10.0.0.7", agent="Firefox")


def works(desk: Any, cookie: str) -> bool:
    return sessions.person_of(desk.bus.database, cookie, desk.bus.settings.access) is not None


def test_a_stranger_has_no_profile(desk) -> None:
    for path in ("/me", "/me/password"):
        assert desk.nobody().get(path).headers["location"].startswith("/login")


@pytest.mark.feature("SMEV-11")
def test_a_change_wants_the_secret(me) -> None:
    for path in ("/me/profile", "/me/password", "/me/others/end", "/me/sessions/00/end"):
        assert me.post(path, data={}).status_code == 403, path


def test_whoever_has_no_role_is_told_what_to_do(me) -> None:
    page = me.get("/me")
    assert page.status_code == 200
    assert "попросите администратора" in page.text


def test_times_are_shown_in_the_own_zone_and_the_own_look(desk, me) -> None:
    me.submit("/me/profile", timezone="Asia/Omsk", theme="dark")
    page = me.get("/me").text
    assert "(Asia/Omsk)" in page
    assert 'data-theme="dark"' in page


def test_a_zone_or_a_look_that_is_none_changes_nothing(desk, me) -> None:
    for form in ({"timezone": "Mars", "theme": "dark"}, {"timezone": "UTC", "theme": "pink"}, {}):
        assert me.submit("/me/profile", **form).status_code == 303
    account = accounts.found(desk.bus.database, "ivanova")
    assert (account.timezone, account.theme) == ("Europe/Moscow", "auto")


@pytest.mark.feature("SMEV-11")
def test_a_new_password_ends_the_other_sessions_and_keeps_this_one(desk, me) -> None:
    elsewhere = another_session(desk)
    answer = me.submit("/me/password", old=OLD, new=NEW, again=NEW)
    assert answer.headers["location"] == "/me"
    assert me.get("/me").status_code == 200
    assert not works(desk, elsewhere)
    assert desk.nobody().post("/login", data={"login": "ivanova", "password": NEW}).status_code == 303


def test_a_password_that_is_not_taken_is_explained(me) -> None:
    for old, new, again, why in (
        ("не тот", NEW, NEW, "не подходит"),
        (OLD, NEW, NEW + "!", "по-разному"),
        (OLD, "короткий", "короткий", "короче"),
        (OLD, OLD, OLD, "совпадает"),
        (OLD, "мой логин ivanova", "мой логин ivanova", "имя для входа"),
        ("", "", "", "не подходит"),
    ):
        answer = me.submit("/me/password", old=old, new=new, again=again)
        assert (answer.status_code, why in answer.text) == (409, True), why
        assert OLD not in answer.text


def test_after_a_given_password_the_console_opens(desk, me) -> None:
    accounts.give_password(desk.bus.database, "ivanova", NEW, desk.bus.settings.access, actor="admin")
    browser = desk.nobody()
    browser.cookies[SESSION_COOKIE] = another_session(desk)
    assert browser.get("/me").headers["location"] == "/me/password"
    assert browser.submit("/me/profile", timezone="UTC", theme="dark").headers["location"] == "/me/password"
    other = "ели за новой мельницей"
    assert browser.submit("/me/password", old=NEW, new=other, again=other).headers["location"] == "/"
    assert browser.get("/me").status_code == 200


def test_the_other_sessions_are_ended_at_once(desk, me) -> None:
    one, two = another_session(desk), another_session(desk)
    assert "10.0.0.7" in me.get("/me").text
    me.submit("/me/others/end")
    assert not works(desk, one)
    assert not works(desk, two)
    assert me.get("/me").status_code == 200


@pytest.mark.feature("SMEV-11")
def test_a_session_of_somebody_else_is_not_mine_to_end(desk, me) -> None:
    desk.person(login="petrov")
    his, mine = another_session(desk, "petrov"), another_session(desk)
    me.submit(f"/me/sessions/{sessions.number_of(his)}/end")
    assert works(desk, his)
    me.submit(f"/me/sessions/{sessions.number_of(mine)}/end")
    assert not works(desk, mine)


def test_the_last_sign_ins_are_shown_with_failures(desk, me) -> None:
    desk.nobody().post("/login", data={"login": "ivanova", "password": "не тот"})
    desk.nobody().post("/login", data={"login": "ivanova", "password": OLD})
    page = me.get("/me").text
    assert "неудача" in page
    assert "Вход по паролю" in page
    assert [one.action for one in trail.sign_ins(desk.bus.database, "ivanova")] == ["session.began", "session.refused"]
