"""The seam between the bus and a system outside: Source brings messages in, Sink takes messages out.

A connector is a folder `connectors/<type>/` whose module `connector.py` offers

    class Settings(ConnectorSettings)                        what the TOML table [connectors.<name>] may hold
    def connect(name: str, settings: Settings) -> Connector  no I/O here

The contract that every connector must pass is `core.testing.connectors`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from core.errors import Permanent
from core.message import Message

if TYPE_CHECKING:
    from core.intake import Intake

Event = MutableMapping[str, Any]
Application = Callable[[Event, Callable[[], Awaitable[Event]], Callable[[Event], Awaitable[None]]], Awaitable[None]]
"""An ASGI application: (scope, receive, send)."""


class ConnectorSettings(BaseModel):
    """Settings of one connector instance; an unknown key is an error. `enabled = false` leaves it out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str
    enabled: bool = True


@runtime_checkable
class Delivery(Protocol):
    """One message on its way in. It comes again under the same external id until `ack` or `reject`."""

    message: Message
    problem: Permanent | None
    """Not None: the message must be kept (in quarantine, with this reason) but not handled."""

    def ack(self) -> None:
        """Tell the far side that we hold the message. Called only after our commit. Idempotent."""

    def reject(self, reason: Permanent) -> None:
        """Tell the far side that we hold the message but refuse it. Called only after our commit. Idempotent."""


class Source(Protocol):
    """Brings messages in by polling. What is pushed to us comes through `applications_of`.

    A source with an attribute `cron` (5 or 6 fields, not "") is polled by that schedule and not by `interval_s`.
    """

    @property
    def interval_s(self) -> float:
        """Seconds to rest after an empty answer; while messages come the bus asks again at once.

        Read anew after each poll: a source may ask for a longer rest.
        """

    def receive(self) -> Sequence[Delivery]:
        """Whatever is there now; [] when nothing is. The bus commits the batch at once, then acknowledges.

        Raises Unavailable, Retryable, ConfigError (this source stops); no other error.
        """


@dataclass(frozen=True, slots=True)
class Prepared:
    """What goes to the far side: the bytes to be repeated until it confirms, and the id it knows them by.

    `body` is b"" where the message's own body is what is sent.
    """

    external_id: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The far side confirmed. `note` is Russian, for the journal; `answer` its bytes as received."""

    note: str
    answer: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Sink(Protocol):
    """Takes messages out. Says in its docstring how the far side recognises a repeat."""

    def prepare(self, message: Message) -> Prepared:
        """Make the identity and the bytes, without I/O to the far side. The bus commits them before `send`.

        Raises Permanent, ConfigError.
        """

    def send(self, message: Message, prepared: Prepared, *, repeated: bool) -> Receipt:
        """Hand over. May be called again with the same `prepared`; `repeated` says that it may have arrived before.

        Raises Unavailable, Retryable (renew=True: prepare anew), Permanent, ConfigError; no other error.
        """


class Connector(Protocol):
    """One configured far side. Construction does no I/O."""

    name: str
    sources: Mapping[str, Source]
    """Full source name (`smev.requests`) → source."""
    sinks: Mapping[str, Sink]
    """Queue name (`smev`) → sink."""

    def open(self) -> None:
        """Load keys, open pools. Called before use and again after Unavailable; idempotent. Raises ConfigError."""

    def check(self) -> str:
        """ "Test connection": moves no message; returns a Russian sentence or raises a BusError."""

    def close(self) -> None:
        """Release everything; idempotent."""


def cron_of(source: Source) -> str:
    """The cron of a source that is polled by the clock; "" for one that is polled all the time."""
    return str(getattr(source, "cron", ""))


def certificate_days_of(connector: Connector) -> Mapping[str, int]:
    """Name of a certificate that we use there → whole days until it ends, negative after it.

    A connector that has some offers `certificate_days()`: cheap, without its far side, also when it is not open.
    Raises ConfigError when a certificate cannot be read.
    """
    tell = getattr(connector, "certificate_days", None)
    return tell() if tell else {}


def applications_of(connector: Connector, intake: Intake) -> Mapping[str, Application]:
    """Push sources of a connector: path prefix (`/in`) → the ASGI application that the web processes serve below it.

    A connector that has some offers `applications(intake)`, without I/O. An application hands each Delivery to
    `intake.take` and answers its client when that is done: the answer is the acknowledgement. It checks who calls:
    nobody does it for it.
    """
    make = getattr(connector, "applications", None)
    return make(intake) if make else {}


def plain_of(connector: Connector) -> Collection[str]:
    """Headers of its messages and local names of its envelopes that hold nothing personal (core.masking).

    A connector that knows some offers `plain`.
    """
    known: Collection[str] = getattr(connector, "plain", ())
    return known
