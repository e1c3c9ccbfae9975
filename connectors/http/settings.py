"""What `[connectors.<name>]` with `type = "http"` may hold. Tokens are named here, never held.

One table is one side: intake when `senders` or `open_queues` is given, sending when `url` is. Both may stand in one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from core.connector import ConnectorSettings

MIB = 1024 * 1024
GIB = 1024 * MIB

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""Of a queue or a sender: it stands in a path and in an external id, so it has no `/`."""
_RESERVED_HEADERS = frozenset(
    {"authorization", "content-length", "transfer-encoding", "host", "connection", "idempotency-key", "soapaction"}
)


class Sender(BaseModel):
    """Who may post: a token, by file or by environment variable, and the queues that it opens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token_file: Path | None = None
    token_env: str = ""
    queues: tuple[Name, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_token(self) -> Sender:
        if (self.token_file is None) == (not self.token_env):
            raise ValueError("токен отправителя задаётся либо token_file, либо token_env")
        return self


class Settings(ConnectorSettings):
    """Settings of one instance."""

    type: Literal["http"]

    # Intake.
    path: str = Field(default="/in", pattern=r"^(/[A-Za-z0-9._~-]+)+$")
    """Prefix; messages are posted to `<path>/<queue>`."""
    public_url: str = ""
    """Address under which senders know `path`, for the WSDL; "" → as the request names its host."""
    open_queues: tuple[Name, ...] = ()
    """Queues that take from anybody, without a token: for closed test contours only."""
    senders: dict[Name, Sender] = Field(default_factory=dict)
    soap_queues: tuple[Name, ...] = ()
    """Queues that take SOAP envelopes only."""
    check_xml: bool = True
    """Read XML before it is taken: a malformed document, a DTD, a bomb is refused at once."""
    body_most_bytes: int = Field(default=16 * MIB, ge=1024, le=64 * MIB)
    """A longer request goes through the disk and becomes the attachment of a message with an empty body."""
    request_most_bytes: int = Field(default=4 * GIB, ge=1024)
    spool_dir: Path | None = None
    """Where long requests wait for the journal; None → the system's temporary folder."""

    # Sending.
    url: str = ""
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    content_type: str = ""
    """Of what is sent; "" → the message's own, else by its first octets and `soap`."""
    headers: dict[str, str] = Field(default_factory=dict)
    """More headers of each request; no secrets here."""
    token_file: Path | None = None
    token_env: str = ""
    soap: Literal["", "1.1", "1.2"] = ""
    """Put the document into an Envelope of this version, read Faults."""
    soap_action: str = ""
    connect_timeout_s: float = Field(default=10.0, gt=0)
    answer_timeout_s: float = Field(default=60.0, gt=0)
    """From the sent request to the last octet of the answer."""
    answer_most_bytes: int = Field(default=8 * MIB, ge=1024, le=64 * MIB)
    connections: int = Field(default=8, ge=1, le=100)
    conflict_means_repeated: bool = False
    """The partner answers 409 to what it has already: success of a repeated send."""
    ca_file: Path | None = None
    """Authorities to trust instead of the system's."""
    client_certificate_file: Path | None = None
    client_key_file: Path | None = None

    @property
    def receives(self) -> bool:
        return bool(self.senders or self.open_queues)

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if not self.receives and not self.url:
            raise ValueError("нужно хотя бы одно: senders или open_queues (приём), url (отправка)")
        if twice := set(self.senders) & set(self.open_queues):
            # An unnamed client's id begins with the queue, a sender's with its name: they must not meet.
            raise ValueError(f"«{min(twice)}» — и отправитель, и открытая очередь: переименуйте отправителя")
        known = {*self.open_queues, *(queue for one in self.senders.values() for queue in one.queues)}
        if lost := set(self.soap_queues) - known:
            raise ValueError(f"soap_queues: очереди «{min(lost)}» нет ни у отправителей, ни в open_queues")
        if self.request_most_bytes < self.body_most_bytes:
            raise ValueError("request_most_bytes меньше body_most_bytes: увеличьте его")
        return self

    @model_validator(mode="after")
    def _sendable(self) -> Settings:
        if not self.url:
            return self
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.fragment:
            raise ValueError("url должен начинаться с http:// или https:// и не содержать пароля")
        if self.token_file and self.token_env:
            raise ValueError("токен задаётся либо token_file, либо token_env, а не вместе")
        if (self.client_certificate_file is None) != (self.client_key_file is None):
            raise ValueError("client_certificate_file и client_key_file задаются только вместе")
        if self.soap_action and not self.soap:
            raise ValueError("soap_action задаётся только вместе с soap")
        for name, value in self.headers.items():
            if name.lower() in _RESERVED_HEADERS:
                raise ValueError(f"заголовок {name} ставит сама шина: уберите его из headers")
            if not name.replace("-", "").isalnum() or not (name + value).isascii() or not value.isprintable():
                raise ValueError(f"заголовок {name}: только печатные знаки ASCII")
        return self
