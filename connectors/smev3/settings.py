"""What `[connectors.<name>]` with `type = "smev3"` may hold. Every number that FACTS §17 calls unknown is a setting.

No default names a host: endpoints come from the fund's registration with the operator.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from croniter import croniter
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from core.connector import ConnectorSettings

Version = Literal["1.1", "1.2", "1.3"]
VERSIONS: tuple[Version, ...] = ("1.1", "1.2", "1.3")

PollOperation = Literal["requests", "responses", "status", "statistics"]


class Poll(BaseModel):
    """One incoming queue to be asked: it becomes the source `<connector>.<name>`.

    namespace, root   selector: both or none; none takes any type
    node              NodeID, reads the queue of that node
    interval_s        seconds of rest after an empty answer; None → the connector's `poll_interval_s`
    cron              poll by this schedule (5 or 6 fields, seconds last) instead of the interval
    jitter            share of the interval by which it varies at random (0.2 → ±20 %)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$")
    operation: PollOperation
    version: Version | None = None
    namespace: str = ""
    root: str = ""
    node: str = Field(default="", max_length=50)
    interval_s: float | None = Field(default=None, gt=0)
    cron: str = ""
    jitter: float = Field(default=0.2, ge=0, lt=1)

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, value: str) -> str:
        if value and not croniter.is_valid(value):
            raise ValueError(f"cron: «{value}» не похоже на расписание из 5 или 6 полей")
        return value

    @model_validator(mode="after")
    def _selector_is_whole(self) -> Poll:
        if bool(self.namespace) != bool(self.root):
            raise ValueError(f"опрос «{self.name}»: namespace и root задаются только вместе")
        if self.operation == "status" and self.namespace:
            raise ValueError(f"опрос «{self.name}»: у GetStatus нет отбора по виду сведений, уберите namespace и root")
        return self


class Settings(ConnectorSettings):
    """Settings of one СМЭВ 3 instance."""

    type: Literal["smev3"]

    endpoints: dict[Version, str] = Field(min_length=1)
    """Service version → address of its endpoint."""
    default_version: Version | None = None
    """Version of outgoing requests that nothing else decides; None → the newest of `endpoints`."""
    versions: dict[str, Version] = Field(default_factory=dict)
    """Payload namespace or kind → version of the service."""

    key_file: Path
    certificate_file: Path
    password_env: str = ""
    """Name of the environment variable with the password of the key file."""
    password_file: Path | None = None
    """File that holds that password (a mounted secret)."""
    next_key_file: Path | None = None
    """Second identity: it signs from `next_from` on, or as soon as the first certificate has expired."""
    next_certificate_file: Path | None = None
    next_password_env: str = ""
    next_password_file: Path | None = None
    next_from: datetime | None = None

    trust_dir: Path
    """Trust store (core.signatures.certificates): authorities, *.crl, `pinned/` with the operator's certificates."""
    pin: tuple[str, ...] = ()
    """Hex sha256 fingerprints of the operator's certificates."""
    operator_subject: tuple[str, ...] = ()
    """What the operator's certificate must say of its owner, e.g. ["ОГРН=1047702026701"]: survives a replacement.

    At least one of `pin`, `operator_subject` and `<trust_dir>/pinned` must be filled: an authority issues
    certificates to thousands of organisations, and only one of them is СМЭВ."""
    accept_stale_lists: bool = False
    """Go on with a revocation list that is out of date."""
    sender_trust_dir: Path | None = None
    """The same for senders' certificates; None → `trust_dir`."""
    escaping: Literal["woodstox", "c14n"] = "woodstox"
    """Step 9 of the СМЭВ transform (FACTS §4)."""

    bad_signature: Literal["reject", "accept-and-alert"] = "reject"
    """A bad signature of СМЭВ: `reject` → quarantine and Ack false; `accept-and-alert` → quarantine and Ack true."""
    sender_signature: Literal["ignore", "record", "require"] = "record"
    """Signature of the far information system: not looked at, verdict kept in a header, or demanded."""
    acknowledge_status: bool = False
    """Send Ack also for messages of GetStatus (the schema names only GetRequest and GetResponse)."""
    verify_outgoing_first: int = Field(default=3, ge=-1)
    """How many of the first messages after opening are verified against our own certificate; -1: all, 0: none."""

    polls: tuple[Poll, ...] = ()
    poll_interval_s: float = Field(default=60.0, gt=0)
    poll_floor_s: float = Field(default=30.0, ge=0)
    """СМЭВ punishes polling faster than this (FACTS §6.6). Only a simulator allows less."""
    polling_penalty_s: float = Field(default=600.0, gt=0)
    """Rest after СМЭВ complained that we ask too often."""

    connect_timeout_s: float = Field(default=10.0, gt=0)
    answer_timeout_s: float = Field(default=60.0, gt=0)
    """From the sent request to the last byte of the answer."""
    answer_most_bytes: int = Field(default=48 * 1024 * 1024, ge=4096, le=64 * 1024 * 1024)
    """Longest answer (with its MIME parts) that is read into memory and understood."""
    spool_most_bytes: int = Field(default=1024 * 1024 * 1024, ge=0)
    """A longer answer up to this is kept whole, through the disk, and put into quarantine unread; 0: nothing is."""
    envelope_most_bytes: int = Field(default=16 * 1024 * 1024, ge=4096)
    """Longest outgoing envelope."""
    connections: int = Field(default=8, ge=1, le=100)

    overflow_pause_s: float = Field(default=300.0, gt=0)
    """Pause before a repeat when the recipient's queue is full."""
    quota_pause_s: float = Field(default=3600.0, gt=0)
    """Pause before a repeat when our storage quota is used up."""
    renew_pause_s: float = Field(default=60.0, ge=0)
    """Pause before a new id where a new id alone may not help: a wrong clock, a life that is over."""
    failure_alert_s: float = Field(default=1800.0, gt=0)
    """A failure of СМЭВ that lasts longer asks the operator to call the support of СМЭВ."""
    end_of_life_s: float = Field(default=86_400.0, ge=0)
    """New life of a request whose EOL has passed before СМЭВ took it; 0: such a request goes to quarantine."""
    certificate_warning_days: int = Field(default=30, ge=0)

    @field_validator("endpoints")
    @classmethod
    def _addresses(cls, value: dict[Version, str]) -> dict[Version, str]:
        for version, url in value.items():
            if not url.startswith(("http://", "https://")) or "@" in url.split("/")[2]:
                raise ValueError(
                    f"адрес версии {version} должен начинаться с http:// или https:// и не содержать пароля"
                )
        return value

    @field_validator("pin")
    @classmethod
    def _fingerprints(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        normal = tuple(item.replace(":", "").replace(" ", "").lower() for item in value)
        for item in normal:
            if len(item) != 64 or set(item) - set("0123456789abcdef"):
                raise ValueError("pin: отпечаток sha256 — это 64 шестнадцатеричных знака")
        return normal

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        for version in {self.default_version, *self.versions.values(), *(poll.version for poll in self.polls)}:
            if version is not None and version not in self.endpoints:
                raise ValueError(f"версия {version} используется, но её адреса нет в endpoints: добавьте адрес")
        if (self.next_key_file is None) != (self.next_certificate_file is None):
            raise ValueError("next_key_file и next_certificate_file задаются только вместе")
        if self.next_from is not None and self.next_from.tzinfo is None:
            raise ValueError("next_from: укажите часовой пояс, например 2026-01-15T00:00:00+03:00")
        if self.password_env and self.password_file:
            raise ValueError("пароль ключа задаётся либо password_env, либо password_file, а не вместе")
        names = [poll.name for poll in self.polls]
        if len(set(names)) != len(names):
            raise ValueError("имена опросов повторяются: дайте каждому своё")
        for poll in self.polls:
            if self.interval_of(poll) < self.poll_floor_s:
                raise ValueError(
                    f"опрос «{poll.name}»: интервал меньше допустимого ({self.poll_floor_s:g} с): "
                    "СМЭВ наказывает за частый опрос. Увеличьте интервал; poll_floor_s снижают только для эмулятора"
                )
            if poll.operation == "statistics" and self.version_of(poll) != "1.1":
                raise ValueError(f"опрос «{poll.name}»: статистика очередей есть только в версии 1.1")
        return self

    def interval_of(self, poll: Poll) -> float:
        """Seconds between two empty answers of this poll, before jitter."""
        return poll.interval_s if poll.interval_s is not None else self.poll_interval_s

    def version_of(self, poll: Poll) -> Version:
        """Service version that this poll asks."""
        if poll.operation == "statistics" and poll.version is None:
            return "1.1"
        return poll.version or self.usual_version

    @property
    def addresses(self) -> dict[str, str]:
        """Version → address, for whoever knows nothing of versions."""
        return {str(version): url for version, url in self.endpoints.items()}

    @property
    def usual_version(self) -> Version:
        """Service version where nothing else decides."""
        return self.default_version or max(self.endpoints)

    def next_is_due(self, now: datetime | None = None) -> bool:
        """True when the date from which the second identity signs has come."""
        return self.next_from is not None and (now or datetime.now(UTC)) >= self.next_from
