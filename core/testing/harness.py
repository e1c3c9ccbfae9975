"""What the contract suite of connectors needs of a far side (see core.testing.connectors)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.connector import Connector
from core.message import Message


@dataclass(frozen=True, slots=True)
class Offered:
    """A message that the far side holds for us. external_id: what it must come under; content: harness's own."""

    external_id: str
    content: bytes = b""


class Harness(Protocol):
    """A far side at the suite's command. One harness a test: nothing is left over from another rule."""

    source: str
    """Name of the source under test; "" where the connector only sends."""
    sink: str
    """Name of the sink under test; "" where the connector only receives."""
    exceptions: Mapping[str, str]
    """Rule → why this far side cannot be asked for it."""
    secrets: Sequence[str]
    """Passwords, tokens and keys that may appear nowhere."""
    patience: int
    """How many times `receive` may be asked before an empty answer counts (a far side may deliver with delay)."""

    def connector(self) -> Connector:
        """A new instance, not opened, configured for this far side."""

    def offer(self) -> Offered:
        """The far side has one more message for us."""

    def offer_bad(self) -> Offered:
        """The same, but it must be kept and not handled: a broken signature, a malformed document.

        It is bad every time it comes. Its external id may be another than the far side's: nobody vouches for it.
        """

    def intact(self, message: Message, offered: Offered) -> bool:
        """Did the message bring, octet by octet, what was offered?"""

    def time_passes(self) -> None:
        """What we did not acknowledge is free to come again."""

    def outgoing(self) -> Message:
        """A new message fit for the sink, each with other content."""

    def unfit(self) -> Sequence[Message]:
        """Messages that the sink must refuse."""

    def arrived(self, message: Message) -> int:
        """How many times the far side took this message's content, octet by octet."""

    def contacts(self) -> int:
        """How many times the far side was spoken to; a connection counts."""

    def break_down(self) -> None:
        """The far side is away."""

    def restore(self) -> None:
        """It is back, with everything it held."""

    def misbehaviours(self) -> Mapping[str, Callable[[], None]]:
        """Name → make the far side answer that way the next time it is spoken to (garbage, half an answer…)."""
