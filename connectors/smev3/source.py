"""Messages come in: one Get* call a `receive`, one Delivery at most, acknowledged by Ack after our commit.

СМЭВ hands a message out again until its Ack (FACTS §6.2), so a lost answer, a crash before the commit and a lost
Ack all end in the same message under the same external id; the journal absorbs it, and its Ack is sent again.
"""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable, Sequence
from io import BufferedIOBase

from connectors.smev3 import answers, deliveries, envelopes, faults
from connectors.smev3.client import Lost
from connectors.smev3.deliveries import Incoming, Reading
from connectors.smev3.session import Session
from connectors.smev3.settings import Poll, Settings
from core import xml
from core.connector import Delivery
from core.errors import ConfigError, MalformedXml, Permanent, Retryable, SchemaViolation, SignatureRejected
from core.message import Message

_OPERATIONS = {"requests": "GetRequest", "responses": "GetResponse", "status": "GetStatus"}


class SmevDelivery:
    """One message that СМЭВ keeps for us until `ack` or `reject` tells it that we hold it."""

    def __init__(self, incoming: Incoming, acknowledge: Callable[[str, bool], None], *, accept_bad: bool) -> None:
        self.message: Message = incoming.message
        self.problem: Permanent | None = incoming.problem
        self._ack_id = incoming.ack_id
        self._acknowledge = acknowledge
        self._accept_bad = accept_bad
        self._done = False
        if isinstance(self.message.received, BufferedIOBase):
            weakref.finalize(self, self.message.received.close)

    def ack(self) -> None:
        """Ack accepted="true". Raises Unavailable, Retryable, ConfigError; the message then comes again."""
        self._send(accepted=True)

    def reject(self, reason: Permanent) -> None:  # noqa: ARG002
        """Ack accepted="false" for a message whose signature or envelope did not hold.

        A message with a good signature that the bus refuses for its own reasons (another body under a known id)
        is acknowledged as accepted: `false` means "the signature of СМЭВ is bad" and nothing else (FACTS §6.3).
        An answer without a readable MessageId cannot be acknowledged: СМЭВ hands it out again, the journal absorbs it.
        """
        bad_signature = isinstance(self.problem, SignatureRejected)
        self._send(accepted=self.problem is None or (bad_signature and self._accept_bad))

    def _send(self, *, accepted: bool) -> None:
        if self._done or not self._ack_id:
            return
        self._acknowledge(self._ack_id, accepted)
        self._done = True

    def __repr__(self) -> str:
        return f"SmevDelivery({self.message.external_id!r})"


class SmevSource:
    """One poll of the settings."""

    def __init__(self, connector: str, poll: Poll, settings: Settings, session: Callable[[], Session]) -> None:
        self.name = f"{connector}.{poll.name}"
        self.poll = poll
        self._connector = connector
        self._settings = settings
        self._session = session
        self._version = settings.version_of(poll)
        self._usual_interval_s = settings.interval_of(poll)
        self.interval_s = self._usual_interval_s
        self.cron = poll.cron
        self._unreadable: Retryable | None = None

    def receive(self) -> Sequence[Delivery]:
        """[] or one Delivery. Raises Unavailable, Retryable, ConfigError.

        An answer that cannot be acknowledged ends the poll: the next call raises, so that the bus rests a while
        instead of asking for the same again at once.
        """
        if self._unreadable is not None:
            unreadable, self._unreadable = self._unreadable, None
            raise unreadable
        session = self._session()
        operation = _OPERATIONS[self.poll.operation]
        envelope = session.sign(self._question(operation))
        try:
            answer = session.client.call(self._version, operation, envelope, spool=True)
            incoming = deliveries.read_delivery(answer.envelope, session.reading(), answer.parts)
        except Lost as lost:
            found = self._kept(lost, session.reading())
            if found is None:
                raise faults.of_loss(lost, self._settings) from None
            incoming = found
        except answers.Refused as refused:
            error = faults.of_polling(refused.fault, self._settings)
            if isinstance(error, Retryable) and error.pause_s:
                self.interval_s = max(self._usual_interval_s, error.pause_s)
            raise error from None
        except xml.TruncatedXml as error:
            raise Retryable(
                "Ответ СМЭВ оборвался посреди XML: сообщение осталось в очереди СМЭВ, шина спросит снова",
                detail=error.detail,
            ) from None
        if incoming is None:
            jitter = self._usual_interval_s * self.poll.jitter
            self.interval_s = max(self._settings.poll_floor_s, self._usual_interval_s + random.uniform(-jitter, jitter))
            return []
        if self.poll.operation == "status" and not self._settings.acknowledge_status:
            incoming = Incoming(incoming.message, "", incoming.problem)
        if incoming.problem is not None and not incoming.ack_id:
            self._unreadable = Retryable(incoming.problem.reason, detail=incoming.problem.detail)
        return [SmevDelivery(incoming, self._acknowledge, accept_bad=self._settings.bad_signature != "reject")]

    def _kept(self, lost: Lost, reading: Reading) -> Incoming | None:
        """What is worth keeping of a lost answer: one too long for memory, or the beginning of a message."""
        if lost.file is not None:
            return deliveries.oversized(lost.file, reading, self._settings.answer_most_bytes)
        return deliveries.torn(lost.received, reading, lost.detail)

    def _question(self, operation: str) -> envelopes.Unsigned:
        if operation == "GetStatus":
            return envelopes.get_status(self._version)
        return envelopes.get_message(
            self._version, operation, namespace=self.poll.namespace, root=self.poll.root, node=self.poll.node
        )

    def _acknowledge(self, message_id: str, accepted: bool) -> None:
        session = self._session()
        envelope = session.sign(envelopes.ack(self._version, message_id=message_id, accepted=accepted))
        try:
            answer = session.client.call(self._version, "Ack", envelope)
            if answer.envelope:
                answers.open_envelope(answer.envelope)
        except Lost as lost:
            raise faults.of_loss(lost, self._settings) from None
        except answers.Refused as refused:
            error = faults.of_acknowledging(refused.fault, self._settings)
            if error is not None:
                raise error from None
        except xml.TruncatedXml as error:
            raise Retryable("Ответ СМЭВ на Ack оборвался: сообщение придёт снова", detail=error.detail) from None
        except (MalformedXml, SchemaViolation):
            # An empty soap:Body is one known shape of success: whatever is not a fault is one (FACTS §2.1).
            pass


class StatisticsSource:
    """GetIncomingQueueStatistics on a schedule: brings no message, keeps the numbers for console and metrics."""

    def __init__(self, connector: str, poll: Poll, settings: Settings, ask: Callable[[Poll], object]) -> None:
        self.name = f"{connector}.{poll.name}"
        self.poll = poll
        self._ask = ask
        self.interval_s = settings.interval_of(poll)
        self.cron = poll.cron

    def receive(self) -> Sequence[Delivery]:
        """Always []. Raises Unavailable, Retryable, ConfigError."""
        try:
            self._ask(self.poll)
        except Permanent as error:
            raise ConfigError(error.reason, detail=error.detail) from None
        return []
