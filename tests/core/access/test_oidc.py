"""Sign-in at an OIDC provider: a real one on the loopback, honest and spoilt."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3
from pydantic import ValidationError

from core.access import accounts, oidc
from core.access.oidc import OidcSignIn
from core.access.settings import AccessSettings, OidcSettings
from core.errors import BusError, ConfigError, Permanent, Unavailable
from simulators.oidc.provider import OidcProvider

BACK = "http://console/login/oidc/done"
PASSWORD = "берёзы у старой мельницы"


@pytest.fixture(scope="module")
def one_provider() -> Iterator[OidcProvider]:
    with OidcProvider(client_id="omsbus", client_secret="s:e%c ret") as made:
        yield made


@pytest.fixture
def provider(one_provider: OidcProvider, monkeypatch: pytest.MonkeyPatch) -> OidcProvider:
    monkeypatch.setenv("TEST_OIDC_SECRET", one_provider.client_secret)
    one_provider.claims = {"sub": "42", "preferred_username": "Ivanova", "name": "Иванова Вера"}
    one_provider.spoil, one_provider.answer, one_provider.algorithm = {}, None, "RS256"
    one_provider.requests.clear()
    monkeypatch.setattr(one_provider, "key", one_provider.key)
    monkeypatch.setattr(one_provider, "published", one_provider.published)
    return one_provider


def settings(provider: OidcProvider, **more: Any) -> OidcSettings:
    values = {"issuer": provider.issuer, "client_id": "omsbus", "client_secret_env": "TEST_OIDC_SECRET"}
    return OidcSettings(**(values | more))


def at_provider(url: str) -> tuple[str, str]:
    """What the browser brings back: state, code."""
    answer = urllib3.request("GET", url, redirect=False, retries=False)
    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    return query["state"][0], query["code"][0]


def claims_of(sign_in: OidcSignIn) -> Mapping[str, Any]:
    start = sign_in.start(BACK)
    state, code = at_provider(start.url)
    return sign_in.finish(start.cookie, state, code, BACK)


@pytest.mark.feature("SMEV-11")
def test_a_person_who_signed_in_there_is_known_here(provider) -> None:
    claims = claims_of(OidcSignIn(settings(provider)))
    assert (claims["sub"], claims["preferred_username"]) == ("42", "Ivanova")


def test_nothing_is_asked_until_somebody_signs_in(provider) -> None:
    OidcSignIn(settings(provider))
    assert provider.requests == []


def test_what_the_provider_says_of_itself_is_asked_once(provider) -> None:
    sign_in = OidcSignIn(settings(provider))
    claims_of(sign_in)
    claims_of(sign_in)
    assert provider.requests.count("/keys") == 1


@pytest.mark.parametrize(
    "spoil",
    [
        {"nonce": "other"},
        {"nonce": None},
        {"iss": "http://127.0.0.1:1"},
        {"aud": "another-client"},
        {"aud": ["omsbus", "another-client"], "azp": "another-client"},
        {"exp": int(time.time()) - 3600},
        {"exp": None},
        {"sub": None},
        {"sub": ""},
        {"at_hash": "another"},
    ],
    ids=lambda spoil: "-".join(f"{name}" for name in spoil) + ("-none" if None in spoil.values() else ""),
)
def test_an_id_token_that_is_not_for_us_is_refused(provider, spoil) -> None:
    provider.spoil = spoil
    with pytest.raises(Permanent, match="не прошёл проверку"):
        claims_of(OidcSignIn(settings(provider)))


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_a_signature_that_anybody_can_make_is_refused(provider, algorithm: str) -> None:
    provider.algorithm = algorithm
    with pytest.raises(Permanent, match="не прошёл проверку"):
        claims_of(OidcSignIn(settings(provider)))


def test_a_signature_by_another_key_is_refused(provider, monkeypatch) -> None:
    honest = provider.published
    provider.change_key()
    provider.published = honest
    with pytest.raises(Permanent, match="не прошёл проверку"):
        claims_of(OidcSignIn(settings(provider)))


def test_a_new_key_of_the_provider_is_asked_for(provider, monkeypatch) -> None:
    sign_in = OidcSignIn(settings(provider))
    claims_of(sign_in)
    provider.change_key()
    monkeypatch.setattr(oidc, "KEYS_AGAIN_S", 0)
    assert claims_of(sign_in)["sub"] == "42"


@pytest.mark.feature("SMEV-11")
def test_an_answer_is_taken_only_in_the_browser_that_asked(provider) -> None:
    sign_in = OidcSignIn(settings(provider))
    mine, other = sign_in.start(BACK), sign_in.start(BACK)
    state, code = at_provider(mine.url)
    for cookie, given in ((other.cookie, state), ("", state), (mine.cookie, ""), (mine.cookie, state + "x")):
        with pytest.raises(Permanent, match="начат не здесь"):
            sign_in.finish(cookie, given, code, BACK)
    assert "/token" not in provider.requests


def test_a_code_that_was_stolen_is_worth_nothing_without_the_verifier(provider) -> None:
    sign_in = OidcSignIn(settings(provider))
    victim, thief = sign_in.start(BACK), sign_in.start(BACK)
    _, code = at_provider(victim.url)
    state, _ = at_provider(thief.url)
    with pytest.raises(Permanent, match="не принял"):
        sign_in.finish(thief.cookie, state, code, BACK)


def test_a_code_is_taken_once(provider) -> None:
    sign_in = OidcSignIn(settings(provider))
    start = sign_in.start(BACK)
    state, code = at_provider(start.url)
    sign_in.finish(start.cookie, state, code, BACK)
    with pytest.raises(Permanent, match="не принял"):
        sign_in.finish(start.cookie, state, code, BACK)


def test_the_url_tells_neither_the_cookie_nor_the_verifier(provider) -> None:
    start = OidcSignIn(settings(provider)).start(BACK)
    assert start.cookie not in start.url
    assert "code_verifier" not in start.url
    assert re.search(r"code_challenge=[\w-]{43}&code_challenge_method=S256", start.url)


def test_a_wrong_secret_says_what_to_look_at(provider, monkeypatch) -> None:
    monkeypatch.setenv("TEST_OIDC_SECRET", "wrong")
    with pytest.raises(Permanent, match="client_id и секрет"):
        claims_of(OidcSignIn(settings(provider)))
    monkeypatch.delenv("TEST_OIDC_SECRET")
    with pytest.raises(ConfigError, match="Нет секрета"):
        claims_of(OidcSignIn(settings(provider)))


@pytest.mark.parametrize("answer", [[], {}, {"id_token": 5}, {"id_token": "a.b.c"}, {"id_token": ""}], ids=str)
def test_an_answer_that_is_none_is_no_crash(provider, answer) -> None:
    provider.answer = answer
    with pytest.raises(BusError):
        claims_of(OidcSignIn(settings(provider)))


def test_a_provider_that_is_away_is_said_so() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        wanted = OidcSettings(issuer=f"http://127.0.0.1:{closed.getsockname()[1]}", client_id="omsbus")
        with pytest.raises(Unavailable, match="не отвечает"):
            OidcSignIn(wanted).start(BACK)


def test_a_provider_of_another_name_is_refused(provider) -> None:
    with pytest.raises(ConfigError, match="называет себя иначе"):
        OidcSignIn(settings(provider, issuer=provider.issuer + "/")).start(BACK)


@pytest.mark.parametrize("issuer", ["http://login.fund.example", "login.fund.example", "ftp://127.0.0.1/", ""])
def test_a_provider_without_encryption_is_refused(issuer: str) -> None:
    with pytest.raises(ValidationError, match="https"):
        OidcSettings(issuer=issuer, client_id="omsbus")


MAPPED = {
    "roles_claim": "realm_access.roles",
    "roles": {"bus-operators": ["operator"], "bus-admins": ["administrator"]},
}


def access(provider: OidcProvider, **more: Any) -> AccessSettings:
    return AccessSettings(oidc=settings(provider, **more))


def test_an_account_made_beforehand_is_tied_at_the_first_sign_in(database, provider, audited) -> None:
    made = accounts.create(database, "ivanova", "Иванова Вера", "", ["operator"], actor="test")
    assert oidc.sign_in(database, provider.claims, access(provider)) == made
    assert accounts.found(database, "ivanova").subject == "42"
    renamed = provider.claims | {"preferred_username": "ivanova.v"}
    assert oidc.sign_in(database, renamed, access(provider)) == made
    assert [action for _, action, _ in audited()] == ["account.subject", "session.began", "session.began"]


@pytest.mark.feature("SMEV-11")
def test_an_account_with_a_password_is_not_taken_over_by_its_name(database, provider) -> None:
    accounts.create(database, "ivanova", "Иванова Вера", PASSWORD, ["administrator"], actor="test")
    with pytest.raises(Permanent, match="Вас нет среди"):
        oidc.sign_in(database, provider.claims, access(provider))


def test_an_account_of_somebody_else_there_is_not_taken_over(database, provider) -> None:
    accounts.create(database, "ivanova", "Иванова Вера", "", ["operator"], actor="test")
    oidc.sign_in(database, provider.claims, access(provider))
    with pytest.raises(Permanent, match="Вас нет среди"):
        oidc.sign_in(database, provider.claims | {"sub": "43"}, access(provider))


def test_a_blocked_person_stays_out(database, provider, audited) -> None:
    accounts.create(database, "ivanova", "Иванова Вера", "", ["operator"], actor="test")
    oidc.sign_in(database, provider.claims, access(provider))
    accounts.block(database, "ivanova", actor="test")
    with pytest.raises(Permanent, match="вход вам закрыт"):
        oidc.sign_in(database, provider.claims, access(provider))
    assert audited()[-1] == ("", "session.refused", "ivanova")


def test_roles_come_from_the_provider_at_every_sign_in(database, provider) -> None:
    accounts.create(database, "ivanova", "Иванова Вера", "", [], actor="test")
    wanted = access(provider, **MAPPED)
    for theirs, ours in ((["bus-operators", "others"], ("operator",)), ([], ()), ("bus-operators", ("operator",))):
        oidc.sign_in(database, provider.claims | {"realm_access": {"roles": theirs}}, wanted)
        assert accounts.found(database, "ivanova").roles == ours
    oidc.sign_in(database, provider.claims | {"realm_access": "nonsense"}, wanted)
    assert accounts.found(database, "ivanova").roles == ()


def test_an_account_is_made_only_when_asked_and_only_for_who_has_a_role(database, provider) -> None:
    with_role = provider.claims | {"realm_access": {"roles": ["bus-operators"]}}
    with pytest.raises(Permanent):
        oidc.sign_in(database, with_role, access(provider, **MAPPED))
    with pytest.raises(Permanent):
        oidc.sign_in(database, provider.claims, access(provider, create=True, **MAPPED))
    oidc.sign_in(database, with_role, access(provider, create=True, **MAPPED))
    made = accounts.found(database, "ivanova")
    assert (made.name, made.roles, made.has_password) == ("Иванова Вера", ("operator",), False)


def test_the_provider_cannot_take_the_last_administrator_away(database, provider) -> None:
    accounts.create(database, "ivanova", "Иванова Вера", "", ["administrator"], actor="test")
    with pytest.raises(ConfigError, match="последний действующий"):
        oidc.sign_in(database, provider.claims, access(provider, **MAPPED))
    assert accounts.found(database, "ivanova").roles == ("administrator",)
