"""The way in and out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

from console.entrance.pages import OIDC_COOKIE
from console.shell.page import SESSION_COOKIE
from core import trail
from core.access import accounts, sessions
from core.access.settings import AccessSettings
from core.trail import Wanted
from simulators.oidc.provider import OidcProvider

PASSWORD = "берёзы у старой мельницы"


@pytest.fixture
def desk(bus_of: Any, console_of: Any) -> Any:
    made = console_of(bus_of(access=AccessSettings(address_failures_most=7)))
    accounts.create(made.bus.database, "ivanova", "Иванова Вера", PASSWORD, ["operator"], actor="test")
    return made


def sign_in(browser: Any, login: str = "ivanova", password: str = PASSWORD, next: str = "/", **headers: str) -> Any:
    form = {"login": login, "password": password, "next": next}
    return browser.post("/login", data=form, headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_the_right_password_opens_a_session_and_goes_where_one_wanted(desk) -> None:
    browser = desk.nobody()
    answer = sign_in(browser, next="/me?x=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/me?x=1")
    assert browser.get("/me").status_code == 200
    [row] = trail.sign_ins(desk.bus.database, "ivanova")
    assert (row.action, row.via, row.address) == ("session.began", "console", "testclient")


@pytest.mark.feature("SMEV-11")
def test_the_cookie_is_not_for_scripts_nor_for_other_sites(desk, bus_of, console_of) -> None:
    answer = sign_in(desk.nobody())
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "secure" not in cookie
    behind_tls = console_of(bus_of(console_url="https://bus.fund.example"))
    assert "secure" in sign_in(behind_tls.nobody()).headers["set-cookie"].lower()


ELSEWHERE = (
    "//evil.example",
    "https://evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "javascript:alert(1)",
    "evil.example",
    "//[",
    "http:evil.example",
    "///evil.example",
    "",
)


@pytest.mark.feature("SMEV-11")
def test_nobody_is_sent_to_another_site(desk) -> None:
    for target in ELSEWHERE:
        answer = sign_in(desk.nobody(), next=target)
        assert (answer.status_code, answer.headers["location"]) == (303, "/"), target
        assert 'name="next" value="/"' in desk.nobody().get("/login", params={"next": target}).text, target


@pytest.mark.feature("SMEV-11")
def test_a_session_that_was_planted_is_not_the_one_that_begins(desk) -> None:
    browser = desk.nobody()
    browser.cookies[SESSION_COOKIE] = "planted-by-an-attacker"
    sign_in(browser)
    assert browser.cookies.get(SESSION_COOKIE, domain="console.local") != "planted-by-an-attacker"
    assert sessions.person_of(desk.bus.database, "planted-by-an-attacker", desk.bus.settings.access) is None


def test_a_new_sign_in_ends_the_session_that_this_browser_had(desk) -> None:
    other = desk.person("operator")
    old = other.cookies[SESSION_COOKIE]
    assert sign_in(other).status_code == 303
    assert sessions.person_of(desk.bus.database, old, desk.bus.settings.access) is None


@pytest.mark.feature("SMEV-11")
def test_every_refusal_is_the_same_page(desk) -> None:
    accounts.create(desk.bus.database, "blocked", "Бывший Олег", PASSWORD, ["operator"], actor="test")
    accounts.block(desk.bus.database, "blocked", actor="test")
    said = set()
    for login, password in (("ivanova", "другой"), ("nobody", PASSWORD), ("blocked", PASSWORD)):
        answer = sign_in(desk.nobody(), login, password)
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        said.add(answer.text.replace(login, "…"))
    assert len(said) == 1


def test_a_locked_account_does_not_open_with_the_right_password(desk) -> None:
    for _ in range(5):
        sign_in(desk.nobody(), password="другой")
    assert sign_in(desk.nobody()).status_code == 401


def test_an_address_that_tries_many_is_told_to_wait(desk) -> None:
    for number in range(7):
        sign_in(desk.nobody(), f"guess{number}", "другой")
    answer = sign_in(desk.nobody())
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert "подождите" in answer.text


@pytest.mark.feature("SMEV-11")
def test_a_form_of_another_site_signs_nobody_in(desk) -> None:
    for header, value, status in (
        ("sec_fetch_site", "cross-site", 403),
        ("sec_fetch_site", "same-site", 403),
        ("sec_fetch_site", "same-origin", 303),
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
        ("origin", "http://console", 303),
    ):
        assert sign_in(desk.nobody(), **{header: value}).status_code == status, value


def test_a_sign_out_ends_the_session_and_wants_the_secret(desk) -> None:
    operator = desk.person("operator")
    cookie = operator.cookies[SESSION_COOKIE]
    assert operator.post("/logout", data={}).status_code == 403
    assert operator.submit("/logout").headers["location"] == "/login"
    assert sessions.person_of(desk.bus.database, cookie, desk.bus.settings.access) is None


def test_an_empty_house_says_how_the_first_one_is_made(bus_of, console_of) -> None:
    assert "omsbus user add" in console_of(bus_of()).nobody().get("/login").text


def test_a_house_with_people_does_not(desk) -> None:
    assert "omsbus user add" not in desk.nobody().get("/login").text


def test_whatever_is_typed_is_answered(desk) -> None:
    for value in ("", "x", "\x00", "я" * 5000, "<script>alert(1)</script>"):
        answer = sign_in(desk.nobody(), value, value, value)
        assert answer.status_code == 401
        assert "<script>alert" not in answer.text


def test_a_password_that_somebody_else_knows_is_changed_first(desk) -> None:
    accounts.give_password(desk.bus.database, "ivanova", "липы у мельницы", desk.bus.settings.access, actor="admin")
    browser = desk.nobody()
    sign_in(browser, password="липы у мельницы")
    for path in ("/", "/me", "/queues", "/messages"):
        assert browser.get(path).headers.get("location") == "/me/password", path
    assert browser.get("/me/password").status_code == 200


# At the provider of the fund


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with OidcProvider(client_id="omsbus") as made:
        made.claims = {"sub": "42", "preferred_username": "petrov"}
        yield made


@pytest.fixture
def outside(provider: OidcProvider, bus_of: Any, console_of: Any) -> Any:
    oidc = {"issuer": provider.issuer, "client_id": "omsbus", "title": "Войти через «Вход фонда»"}
    made = console_of(bus_of(access=AccessSettings.model_validate({"oidc": oidc})))
    accounts.create(made.bus.database, "petrov", "Петров Пётр", "", ["operator"], actor="test")
    return made


def come_back(browser: Any, target: str = "/") -> Any:
    """What a browser does at the provider; the answer of our page to which it comes back."""
    gone = browser.get("/login/oidc", params={"next": target})
    assert gone.status_code == 303
    answer = urllib3.request("GET", gone.headers["location"], redirect=False, retries=False)
    back = urlsplit(answer.headers["Location"])
    assert back.netloc == "console"
    return browser.get(f"{back.path}?{back.query}")


@pytest.mark.feature("SMEV-11")
def test_a_person_of_the_fund_signs_in_at_its_provider(outside) -> None:
    browser = outside.nobody()
    assert "Вход фонда" in browser.get("/login").text
    answer = come_back(browser, "/me")
    assert (answer.status_code, answer.headers["location"]) == (303, "/me")
    assert "Петров Пётр" in browser.get("/me").text
    assert browser.get("/me/password").text.count('type="password"') == 0


def test_without_a_provider_there_is_no_button_and_no_way(desk) -> None:
    browser = desk.nobody()
    assert "/login/oidc" not in browser.get("/login").text
    assert browser.get("/login/oidc").status_code == 404
    assert browser.get("/login/oidc/done?state=a&code=b").status_code == 401


def test_an_answer_that_this_browser_did_not_ask_for_is_refused(outside) -> None:
    victim = outside.nobody()
    thief = outside.nobody()
    gone = thief.get("/login/oidc")
    answer = urllib3.request("GET", gone.headers["location"], redirect=False, retries=False)
    back = urlsplit(answer.headers["Location"])
    refused = victim.get(f"{back.path}?{back.query}")
    assert refused.status_code == 401
    assert SESSION_COOKIE not in victim.cookies


def test_a_broken_answer_is_a_sentence(outside) -> None:
    browser = outside.nobody()
    browser.cookies[OIDC_COOKIE] = "broken"
    for query in ("", "state=&code=", "error=access_denied", "state=%00&code=%ff", "state=x&code=y"):
        answer = browser.get(f"/login/oidc/done?{query}")
        assert answer.status_code == 401, query
        assert 'role="alert"' in answer.text


def test_nobody_is_sent_to_another_site_by_the_provider(outside) -> None:
    assert come_back(outside.nobody(), "//evil.example").headers["location"] == "/"


def test_a_stranger_of_the_provider_is_told_whom_to_ask(outside, provider) -> None:
    provider.claims = {"sub": "7", "preferred_username": "sidorov"}
    answer = come_back(outside.nobody())
    assert answer.status_code == 401
    assert "администратору" in answer.text
    assert [one.action for one in trail.rows(outside.bus.database, Wanted(action="session.refused"))]
