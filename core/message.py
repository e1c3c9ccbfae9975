"""The message: what travels through the bus. Immutable; nothing here touches a database or a network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from io import BufferedIOBase
from typing import Any, Final
from uuid import UUID

from uuid_utils.compat import uuid7


class Outcome(StrEnum):
    """What a message says about an earlier message of ours. A message that answers nothing is a REQUEST."""

    REQUEST = "request"
    ANSWER = "answer"  # the business answer
    REJECTION = "rejection"  # the partner refused: codes and texts
    STATUS = "status"  # intermediate news, the answer is still to come
    FAILURE = "failure"  # the carrier between us refused it (asynchronous fault)
    TIMEOUT = "timeout"  # made by the bus itself: nobody answered in time


OUTCOME_WORDS: Final = {
    Outcome.REQUEST: "запрос",
    Outcome.ANSWER: "ответ",
    Outcome.REJECTION: "отказ",
    Outcome.STATUS: "статус",
    Outcome.FAILURE: "сбой доставки",
    Outcome.TIMEOUT: "нет ответа",
}
"""For people."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """An attached file, however long: its content is never in memory as a whole.

    payload  hex sha256 in the payload store; "" when not fetched
    open     gives the content as a binary stream, which the caller closes. From a source: what the journal shall
             store (seekable); in a sink or handler: what it has stored, readable from beginning to end while the
             message is being worked on. None: there is no content.
    """

    name: str
    media_type: str = "application/octet-stream"
    payload: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    open: Callable[[], BufferedIOBase] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    kind         `zags.death`; from a source that knows only the document: Clark name `{namespace}root`
    body         what the route works on; for a signed document the octets that the signature covers
    received     the bytes exactly as they came, when they are more than the body (an envelope);
                 an open file of them when they are too many for memory
    queue        destination; "" lets the bus find it by `in_reply_to`, then by kind
    key          messages of one queue with one key are handled in order; "" means no order
    source, external_id   the pair is unique in the journal: that is the deduplication
    fingerprint  sha256 hex of what must be equal when the external id comes again ("" → of the body)
    in_reply_to  external id under which one of our messages went out through `source`'s connector
    replies_to   for an outgoing request: the route that takes the answers ("" → the route that emitted it)
    reply_within_s  for an outgoing request: seconds until the bus makes an Outcome.TIMEOUT message
    """

    kind: str
    body: bytes
    queue: str = ""
    version: str = ""
    key: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()
    cause: UUID | None = None
    source: str = "bus"
    external_id: str = ""
    received: bytes | BufferedIOBase | None = None
    fingerprint: str = ""
    outcome: Outcome = Outcome.REQUEST
    in_reply_to: str = ""
    replies_to: str = ""
    reply_within_s: float | None = None
    id: UUID = field(default_factory=uuid7)

    def digest(self) -> str:
        """Hex sha256 that tells a repeat from another body under the same external id."""
        return self.fingerprint or hashlib.sha256(self.body).hexdigest()

    def but(self, **changes: Any) -> Message:
        """The same message with some fields changed."""
        return replace(self, **changes)
