"""How people sign in: terms and rules of the console's accounts."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class OidcSettings(BaseModel):
    """Table [access.oidc]: people sign in at a provider of the fund (Keycloak, AD FS, Blitz, …).

    Whose account it is: the one with this `sub`; else the one made beforehand without a password whose login is the
    claim `login_claim` (then the `sub` is kept). With `roles_claim` the roles come from there at every sign-in, by
    `roles`; without it they are given in the console.
    """

    model_config = ConfigDict(extra="forbid")

    issuer: str = Field(description="as in the provider's .well-known/openid-configuration")
    client_id: str = Field(min_length=1)
    client_secret_env: str = Field(default="", description="variable with the secret; none: a public client (PKCE)")
    client_secret_file: Path | None = None
    title: str = Field(default="Войти через учётную запись организации", min_length=1)
    scopes: str = "openid profile"
    login_claim: str = "preferred_username"
    roles_claim: str = Field(default="", description="e.g. realm_access.roles")
    roles: dict[str, list[str]] = Field(default={}, description="role at the provider → roles here")
    create: bool = Field(default=False, description="make an account at the first sign-in, when roles are mapped")
    ca_file: Path | None = Field(default=None, description="authorities of the provider; None: the system's")
    timeout_s: float = Field(default=10, gt=0, le=60)

    @field_validator("issuer")
    @classmethod
    def _safe(cls, value: str) -> str:
        return safe_url(value)


def safe_url(value: object) -> str:
    """An https address, or one of this machine. Raises ValueError."""
    parts = urlsplit(value) if isinstance(value, str) else None
    if not parts or not parts.hostname or (parts.scheme != "https" and parts.hostname not in _LOOPBACK):
        raise ValueError("нужен адрес https://…: по http пароли и роли можно подменить в пути")
    if parts.scheme not in ("http", "https"):
        raise ValueError("нужен адрес https://…")
    return str(value)


class AccessSettings(BaseModel):
    """Table [access] of the settings."""

    model_config = ConfigDict(extra="forbid")

    session_idle_minutes: float = Field(default=30, gt=0, description="a session ends after so long without a request")
    session_most_hours: float = Field(default=12, gt=0, description="and after so long in any case")
    password_least: int = Field(default=12, ge=8, description="characters of a password, at least")
    failures_most: int = Field(default=5, ge=1, description="wrong passwords in a row until the account is locked")
    lock_minutes: float = Field(default=15, gt=0)
    address_failures_most: int = Field(
        default=30, ge=1, description="wrong passwords from one address until it has to wait between attempts"
    )
    oidc: OidcSettings | None = None
