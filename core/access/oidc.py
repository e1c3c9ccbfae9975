"""Sign-in at an OIDC provider of the fund: authorization code with PKCE, state and nonce; the id_token is verified.

Nothing is asked of the provider until a person clicks. Between the two steps only a cookie remembers: a random text of
which state, nonce and verifier are made, so an answer is taken only in the browser that asked.

Rules: OpenID Connect Core 1.0 §3.1, RFC 7636 (PKCE), RFC 9700 (security of OAuth 2.0).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

import urllib3

from core import audit
from core.access import accounts, sessions
from core.access.accounts import Account
from core.access.roles import roles_of
from core.access.settings import AccessSettings, OidcSettings, safe_url
from core.database import Database, Driver, driver, storable
from core.errors import ConfigError, Permanent, Unavailable

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Of id_tokens: only those with a public key. `none` and the ones by a shared secret are refused."""
KNOWN_S: Final = 3600
"""How long what the provider says of itself is believed."""
LEEWAY_S: Final = 60
"""Clocks of two machines."""
KEYS_AGAIN_S: Final = 60
"""Not oftener is the provider asked for new keys because of a token that its known ones did not sign."""
ANSWER_MOST_BYTES: Final = 1024 * 1024
_CLAIM_MOST: Final = 255
_AWAY: Final = "Провайдер входа не отвечает: войдите по паролю или попробуйте позже"
_NOT_YOU: Final = "Вас нет среди пользователей шины или вход вам закрыт: обратитесь к администратору шины"


@dataclass(frozen=True, slots=True)
class Start:
    """Where the browser goes, and the cookie with which it must come back."""

    url: str
    cookie: str


@dataclass(frozen=True, slots=True)
class Provider:
    """What the provider says of itself (OpenID Connect Discovery 1.0)."""

    authorization_endpoint: str
    token_endpoint: str
    keys: KeySet
    asked_at_s: float


class OidcSignIn:
    """The provider of the settings. Thread-safe; makes no call until it is used."""

    def __init__(self, settings: OidcSettings) -> None:
        self._settings = settings
        self._known: Provider | None = None

    def start(self, redirect_uri: str) -> Start:
        """The first step. Raises Unavailable, ConfigError."""
        from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
        from authlib.oauth2.rfc7636 import create_s256_code_challenge

        cookie = secrets.token_urlsafe(32)
        url = prepare_grant_uri(
            self._provider().authorization_endpoint,
            self._settings.client_id,
            "code",
            redirect_uri=redirect_uri,
            scope=self._settings.scopes,
            state=_made_of(cookie, "state"),
            nonce=_made_of(cookie, "nonce"),
            code_challenge=create_s256_code_challenge(_made_of(cookie, "verifier")),
            code_challenge_method="S256",
        )
        return Start(url, cookie)

    def finish(self, cookie: str, state: str, code: str, redirect_uri: str) -> Mapping[str, Any]:
        """The second step: what the verified id_token claims. Raises Permanent, Unavailable, ConfigError."""
        if not cookie or not code or not hmac.compare_digest(_octets(state), _octets(_made_of(cookie, "state"))):
            raise Permanent("Вход начат не здесь или слишком давно: начните его снова")
        provider = self._provider()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": _made_of(cookie, "verifier"),
            "client_id": self._settings.client_id,
        }
        status, told = self._ask("POST", provider.token_endpoint, form)
        if status != 200:
            raise Permanent(
                "Провайдер входа не принял ответ: начните вход снова; если повторится, проверьте client_id и секрет "
                "в [access.oidc]",
                detail=str(told.get("error", status)),
            )
        if not isinstance(told.get("id_token"), str):
            raise ConfigError("Провайдер входа не дал id_token: в [access.oidc] scopes должно быть openid")
        return self._verified(provider, told, _made_of(cookie, "nonce"))

    def _verified(self, provider: Provider, told: Mapping[str, Any], nonce: str) -> Mapping[str, Any]:
        from authlib.oidc.core import CodeIDToken
        from joserfc import jwt
        from joserfc.errors import JoseError

        try:
            try:
                found = jwt.decode(told["id_token"], provider.keys, algorithms=ALGORITHMS)
            except (JoseError, ValueError):
                if time.monotonic() - provider.asked_at_s < KEYS_AGAIN_S:
                    raise
                self._known = None  # it may have other keys by now
                found = jwt.decode(told["id_token"], self._provider().keys, algorithms=ALGORITHMS)
            claims = CodeIDToken(
                found.claims,
                found.header,
                options={
                    "iss": {"essential": True, "value": self._settings.issuer},
                    "aud": {"essential": True, "value": self._settings.client_id},
                    "sub": {"essential": True},
                },
                params={
                    "nonce": nonce,
                    "client_id": self._settings.client_id,
                    "access_token": told.get("access_token"),
                },
            )
            claims.validate(leeway=LEEWAY_S)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise Permanent(
                "Ответ провайдера входа не прошёл проверку подписи, получателя или срока: начните вход снова; если "
                "повторится, проверьте часы сервера и [access.oidc]",
                detail=str(error),
            ) from None
        return dict(claims)

    def _provider(self) -> Provider:
        known = self._known
        if known and time.monotonic() - known.asked_at_s < KNOWN_S:
            return known
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        told = self._document(f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration")
        if told.get("issuer") != self._settings.issuer:
            raise ConfigError("Провайдер входа называет себя иначе, чем issuer в [access.oidc]: впишите его точно")
        try:
            authorization, token, jwks = (
                safe_url(told.get(name)) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
            )
        except ValueError:
            raise ConfigError("Провайдер входа назвал негодные адреса (нужны https): проверьте его") from None
        try:
            keys = KeySet.import_key_set(self._document(jwks))  # type: ignore[arg-type]
        except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigError("Ключи провайдера входа не читаются: проверьте его", detail=str(error)) from None
        self._known = Provider(authorization, token, keys, time.monotonic())
        return self._known

    def _document(self, url: str) -> dict[str, Any]:
        status, told = self._ask("GET", url)
        if status != 200:
            raise Unavailable(_AWAY, detail=f"{url}: {status}")
        return told

    def _ask(self, method: str, url: str, form: Mapping[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        """Status and the JSON object of the answer. Raises Unavailable, ConfigError."""
        s = self._settings
        headers = {"Accept": "application/json"}
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            if secret := self._secret():
                pair = f"{quote(s.client_id, safe='')}:{quote(secret, safe='')}"
                headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        try:
            with urllib3.PoolManager(ssl_context=ssl.create_default_context(cafile=s.ca_file)) as pool:
                answer = pool.request(
                    method,
                    url,
                    body=urlencode(form) if form is not None else None,
                    headers=headers,
                    timeout=s.timeout_s,
                    retries=False,
                    redirect=False,
                    preload_content=False,
                )
                told = json.loads(answer.read(ANSWER_MOST_BYTES))
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unavailable(_AWAY, detail=type(error).__name__) from None
        except ValueError as error:
            raise Unavailable(_AWAY, detail=f"{url}: {error}") from None
        return answer.status, told if isinstance(told, dict) else {}

    def _secret(self) -> str:
        s = self._settings
        if not s.client_secret_env and s.client_secret_file is None:
            return ""
        from core.signatures.keys import read_password

        found = (read_password(s.client_secret_env or None, s.client_secret_file) or "").strip()
        if not found:
            raise ConfigError("Нет секрета клиента для входа через организацию: задайте его по [access.oidc]")
        return found


def sign_in(database: Database, claims: Mapping[str, Any], settings: AccessSettings) -> int:
    """The account's id for what a verified id_token claims. Raises Permanent, ConfigError.

    By `sub`; else an account made beforehand without a password whose login is the claim: one with a password could be
    taken over by whoever chooses his own name at the provider.
    """
    oidc = settings.oidc
    assert oidc
    subject, login = str(claims["sub"])[:_CLAIM_MOST], _login_of(claims, oidc)
    account = _account_of(database, subject, login)
    if account is None and oidc.create and oidc.roles_claim and login:
        account = _made(database, subject, login, claims, oidc)
    with database.transaction() as connection:
        db = driver(connection)
        account = accounts.one_of(db, "subject", subject, lock=True)
        if account is None or account.blocked:
            known = account.login if account else ""
            audit.record(db, "", "session.refused", "account", known, "Вход через организацию не удался")
        else:
            if oidc.roles_claim:
                accounts.change_roles(db, account, _mapped(db, claims, oidc), actor="oidc")
            db.execute("UPDATE bus.account SET signed_in_at = clock_timestamp() WHERE id = %s", (account.id,))
            sessions.sweep(db, settings)
            note = "Вход через учётную запись организации"
            audit.record(db, account.login, "session.began", "account", account.login, note)
    if account is None or account.blocked:
        raise Permanent(_NOT_YOU)
    return account.id


def _account_of(database: Database, subject: str, login: str) -> Account | None:
    """The account of this `sub`, or the one that was made for this login and waits for its `sub`."""
    with database.transaction() as connection:
        db = driver(connection)
        known = accounts.one_of(db, "subject", subject)
        if known or not login:
            return known
        waiting = accounts.one_of(db, "login", login, lock=True)
        if waiting is None or waiting.has_password or waiting.subject or waiting.blocked:
            return None
        db.execute("UPDATE bus.account SET subject = %s WHERE id = %s", (subject, waiting.id))
        note = "Привязана учётная запись организации при первом входе"
        audit.record(db, waiting.login, "account.subject", "account", waiting.login, note)
        return waiting


def _made(
    database: Database, subject: str, login: str, claims: Mapping[str, Any], oidc: OidcSettings
) -> Account | None:
    """An account for somebody to whom the provider gives a role of ours; None when it gives none."""
    with database.transaction() as connection:
        if not (roles := _mapped(driver(connection), claims, oidc)):
            return None
    name = str(claims.get("name") or login)[: accounts.NAME_MOST]
    accounts.create(database, login, name, "", roles, actor="oidc")
    return _account_of(database, subject, login)


def _mapped(db: Driver, claims: Mapping[str, Any], oidc: OidcSettings) -> list[str]:
    """Our roles for what stands in the claim; a name that no role has here gives nothing."""
    found: Any = claims
    for step in oidc.roles_claim.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    theirs = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    known = roles_of(db)
    ours = (one for name in theirs if isinstance(name, str) for one in oidc.roles.get(name, ()))
    return [one for one in dict.fromkeys(ours) if one in known]


def _login_of(claims: Mapping[str, Any], oidc: OidcSettings) -> str:
    value = claims.get(oidc.login_claim)
    return storable(value.strip().lower())[:_CLAIM_MOST] if isinstance(value, str) else ""


def _made_of(cookie: str, what: str) -> str:
    """State, nonce and verifier of one cookie: neither tells the cookie or another of them. 43 characters."""
    made = hmac.digest(_octets(cookie), what.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(made).decode().rstrip("=")


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
