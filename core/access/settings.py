"""How people sign in: terms and rules of the console's accounts."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class AccessSettings(BaseModel):
    """Table [access] of the settings."""

    model_config = ConfigDict(extra="forbid")

    session_idle_minutes: float = Field(default=30, gt=0, description="a session ends after so long without a request")
    session_most_hours: float = Field(default=12, gt=0, description="and after so long in any case")
    password_least: int = Field(default=12, ge=8, description="characters of a password, at least")
    failures_most: int = Field(default=5, ge=1, description="wrong passwords in a row until the account is locked")
    lock_minutes: float = Field(default=15, gt=0)
