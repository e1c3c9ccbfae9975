"""What may stand in the table [alerts] of the settings."""

from __future__ import annotations

import re
from datetime import time
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

Severity = Literal["warning", "critical"]


def _part(text: object) -> object:
    """«22:00-08:00» → (22:00, 08:00); None and a pair stay."""
    if not isinstance(text, str):
        return text
    if not (found := re.fullmatch(r"(\d\d:\d\d)-(\d\d:\d\d)", text.strip())):
        raise ValueError("ожидается промежуток вида 22:00-08:00")
    return found.groups()


class Limits(BaseModel):
    """From what on something is wrong. 0 turns a rule off where it makes no sense otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    oldest_min: float = Field(default=30, ge=0, description="minutes the oldest message of a queue may wait; 0: off")
    oldest_min_of: dict[str, float] = Field(default={}, description="the same for single queues")
    quarantine_most: int = Field(default=0, ge=0, description="messages of a queue in quarantine that are no alert")
    quarantine_again_min: float = Field(default=60, ge=0, description="a growing quarantine is told at most so often")
    paused_h: float = Field(default=24, ge=0, description="hours a queue may be paused; 0: off")
    failing_min: float = Field(default=15, ge=0, description="minutes a source or a far side may fail")
    schedule_late_min: float = Field(default=10, gt=0, description="minutes a due run may not have been fired")
    certificate_days: int = Field(default=30, ge=0)
    certificate_critical_days: int = Field(default=7, ge=0)
    disk_days: float = Field(default=14, ge=0, description="forecast of the disk; 0: off")
    process_min: float = Field(default=2, gt=0, description="minutes without a worker or a scheduler")
    clock_most_s: float = Field(default=5, gt=0, description="a machine's clock against the database's")


class MailSettings(BaseModel):
    """The channel `mail`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str
    port: int = Field(default=587, ge=1, le=65535)
    tls: Literal["starttls", "ssl", "none"] = "starttls"
    ca_file: Path | None = Field(default=None, description="authorities of the mail server; None: the system's")
    user: str = ""
    password_env: str = ""
    password_file: Path | None = None
    sender: str
    recipients: list[str] = Field(min_length=1)
    min_severity: Severity = "warning"
    timeout_s: float = Field(default=15, gt=0, le=120)

    @model_validator(mode="after")
    def _no_open_password(self) -> MailSettings:
        if self.user and self.tls == "none":
            raise ValueError("пароль почты ушёл бы открытым: задайте tls = starttls или ssl")
        if self.user and not (self.password_env or self.password_file):
            raise ValueError("у user нет пароля: задайте password_env или password_file")
        return self

    @field_validator("sender", "recipients")
    @classmethod
    def _addresses(cls, value: str | list[str]) -> str | list[str]:
        for one in [value] if isinstance(value, str) else value:
            if not re.fullmatch(r"[^@\s<>,]+@[^@\s<>,]+", one):
                raise ValueError(f"«{one}» не похоже на почтовый адрес")
        return value


class WebhookSettings(BaseModel):
    """One channel [alerts.webhooks.<name>]."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(pattern=r"^https?://[^\s@]+$")
    ca_file: Path | None = None
    token_env: str = ""
    token_file: Path | None = None
    min_severity: Severity = "warning"
    timeout_s: float = Field(default=15, gt=0, le=120)


class AlertSettings(BaseModel):
    """The table [alerts]. `quiet`: warnings of this time of the day wait until it is over, critical ones do not."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every_s: float = Field(default=15, gt=0)
    clear_s: float = Field(default=60, ge=0, description="not found for so long: it is over")
    gap_s: float = Field(default=60, ge=0, description="least pause between two messages of a channel")
    repeat_h: float = Field(default=24, gt=0, description="an alert that lasts is told again after so long")
    quiet: Annotated[tuple[time, time] | None, BeforeValidator(_part)] = None
    timezone: str = "Europe/Moscow"
    limits: Limits = Limits()
    mail: MailSettings | None = None
    webhooks: dict[str, WebhookSettings] = {}

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"нет часового пояса {value}") from None
        return value
