"""Settings of the simulator: behaviour, participants, kinds of information, scripts. Unknown keys are errors.

The shipped `defaults.toml` is read first; a file given by the user replaces whole lists (`participants`, `kinds`,
`scripts`) and single keys of `behaviour`. Every number that СМЭВ does not publish is a setting (FACTS §17).
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import ConfigError

DEFAULTS = Path(__file__).parent / "defaults.toml"
SHIPPED_SCHEMAS = Path(__file__).parent / "schemas"
ANY_ROOT = "*"

Multipart = Literal["always", "never", "attachments"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Behaviour(_Strict):
    """What the operator's side does. Times in seconds, sizes in bytes."""

    verify_signatures: bool = True
    default_caller: str = ""
    """Who calls when signatures are not verified and the message carries none; empty = nobody."""
    multipart: dict[str, Multipart] = Field(default={"1.1": "attachments", "1.2": "always", "1.3": "attachments"})
    """By version: every answer multipart, none (contents inline), or only those that carry attachments."""
    fault_http_status: int = 500
    quota_messages: int = 1000
    redelivery_s: float = 15 * 60.0
    redelivery_per_mib: float = 0.1
    """Coefficient: the reservation grows by this share for each MiB of attachments."""
    validation_delay_s: float = 0.2
    stale_after_s: float = 2 * 24 * 3600.0
    future_tolerance_s: float | None = None
    """Ids from the future further than this are refused; None = accepted."""
    mtom_limit_bytes: int = 5 * 1024 * 1024
    storage_quota_bytes: int = 1024 * 1024 * 1024
    poll_mean_interval_s: float = 0.0
    """Mean pause that the last `poll_window` polls of one queue must keep, else AccessDenied; 0 = no limit."""
    poll_window: int = 10
    poll_limit_counts_only_empty: bool = True
    response_selector: Literal["response", "request", "either"] = "either"
    """Which type the selector of GetResponse names: practice differs."""
    status_needs_ack: bool = False
    transaction_code_pattern: str = r"[^\s\x00-\x1f].*"
    soap_header_required: bool = True
    ack_body: Literal["response", "empty"] = "response"
    """What a successful Ack returns: AckResponse, or an empty soap:Body as one trace shows."""
    record_envelopes: bool = True
    control_token: str = ""


class Participant(_Strict):
    """A member of the exchange. `key` names its pair in the keys folder; `certificate_file` is for a real one."""

    mnemonic: str
    name: str
    key: str = ""
    certificate_file: Path | None = None
    nodes: list[str] = Field(default_factory=list)
    """Registered nodes; an empty list lets any NodeID through."""


class Kind(_Strict):
    """A kind of information (вид сведений): its type, who may send requests of it and who gets them."""

    name: str
    title: str
    namespace: str
    request_root: str = ANY_ROOT
    response_root: str = ""
    """Empty: a broadcast that nobody answers."""
    senders: list[str]
    recipients: list[str]
    broadcast: bool = False
    request_schema: str = ""
    response_schema: str = ""
    """File under schemas/ of the simulator, or a path; empty = no asynchronous validation of the payload."""
    transaction_code_required: bool = False

    def is_request(self, namespace: str, root: str) -> bool:
        return self.namespace == namespace and self.request_root in (ANY_ROOT, root)

    def is_response(self, namespace: str, root: str) -> bool:
        return bool(self.response_root) and (self.namespace, self.response_root) == (namespace, root)


class Rule(_Strict):
    """What a scripted provider does with a request. The first rule that fits wins.

    Fits: `surname` (equal, without case) when given, and every `every`-th request when given.
    """

    surname: str = ""
    every: int = 0
    action: Literal["answer", "reject", "async_reject", "status", "silence"] = "answer"
    code: str = ""
    text: str = ""
    delay_s: float = 0.0


class Script(_Strict):
    """One virtual participant at work. provider: answers `kind`; consumer: collects its answers and, when `every_s`
    is set, sends a made-up request (a registry of `records` records) so often, `limit` times at most."""

    participant: str
    role: Literal["provider", "consumer"]
    kind: str = ""
    version: Literal["1.1", "1.2", "1.3"] = "1.2"
    rules: list[Rule] = Field(default_factory=list)
    every_s: float = 0.0
    limit: int = 0
    records: int = 1


class Settings(_Strict):
    """Everything that one simulator is told."""

    behaviour: Behaviour = Field(default_factory=Behaviour)
    participants: list[Participant]
    kinds: list[Kind]
    scripts: list[Script] = Field(default_factory=list)
    operator_key: str = "smev"
    keys_dir: Path = Path("keys")
    keys_password: str = Field(default="", repr=False)
    database_url: str = Field(default="", repr=False)
    data_dir: Path = Path("data")

    @classmethod
    def load(cls, config: Path | None = None, **overrides: Any) -> Self:
        """Shipped defaults, then `config` (TOML), then `overrides`. ConfigError names the wrong key."""
        values = _read(DEFAULTS)
        if config is not None:
            own = _read(config)
            values["behaviour"] = values.get("behaviour", {}) | own.pop("behaviour", {})
            values |= own
        values["behaviour"] = values.get("behaviour", {}) | overrides.pop("behaviour", {})
        try:
            return cls.model_validate(values | overrides)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            raise ConfigError(f"Настройки имитатора СМЭВ неверны, исправьте: {wrong}") from None

    def participant(self, mnemonic: str) -> Participant | None:
        return next((one for one in self.participants if one.mnemonic == mnemonic), None)

    def kind_of_request(self, namespace: str, root: str) -> Kind | None:
        return next((kind for kind in self.kinds if kind.is_request(namespace, root)), None)

    def kind_of_response(self, namespace: str, root: str) -> Kind | None:
        return next((kind for kind in self.kinds if kind.is_response(namespace, root)), None)

    def kind_named(self, name: str) -> Kind | None:
        return next((kind for kind in self.kinds if kind.name == name), None)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"Файл настроек имитатора {path} не читается: {error}. Проверьте путь и TOML") from None
