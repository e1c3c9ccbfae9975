"""Messages of participants that we play: composed, signed with their keys, put straight behind the front checks.

They are real: signed by the participant, with a version 1 id and a return address, in the same tables as what comes
over HTTP. The payload is not checked against a schema unless asked, so that a bad one can reach the recipient.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from lxml import etree

from core import xml as xml_door
from simulators.smev3 import damage, envelopes, queues, reply_to
from simulators.smev3.clock import Clock, uuid1_at
from simulators.smev3.envelopes import Headers
from simulators.smev3.identities import Identities
from simulators.smev3.queues import Place, Sent, type_name
from simulators.smev3.settings import Kind, Settings
from simulators.smev3.store import Connection, Row
from simulators.smev3.versions import VERSIONS


class Refused(ValueError):
    """An order that the simulator cannot carry out; the message is Russian and says what to change."""


@dataclass
class Order:
    """A request or broadcast to send. `recipients` empty = those of the kind; `broadcast` None = as the kind says."""

    sender: str
    payload: bytes
    version: str = "1.2"
    recipients: list[str] = field(default_factory=list)
    broadcast: bool | None = None
    message_id: str = ""
    element_id: str = "SIGNED_BY_CONSUMER"
    reference_id: str = ""
    transaction_code: str = ""
    node: str = ""
    recipient_node: str = ""
    eol: datetime | None = None
    test_message: bool = False
    headers: Headers = field(default_factory=Headers)
    contents: list[tuple[str, str, bytes]] = field(default_factory=list)
    check_payload: bool = False
    sign: str = "right"
    """right | wrong (digest does not hold) | none | expired | foreign (key of that name)."""
    delay_s: float = 0.0
    tag: str = ""


class Outbox:
    """Sends for scripted participants."""

    def __init__(self, settings: Settings, clock: Clock, identities: Identities) -> None:
        self._settings = settings
        self._clock = clock
        self._identities = identities

    def send_request(self, conn: Connection, order: Order) -> str:
        """Returns the MessageID. Raises Refused for an unknown sender, version, payload or recipient."""
        kind, root = self._kind(order)
        version = VERSIONS[order.version]
        now = self._clock.now()
        message_id = order.message_id or uuid1_at(now)
        data, signature = envelopes.request_data(
            version, self._signer(order.sender, order.sign), message_id=message_id, payload=order.payload,
            element_id=order.element_id, reference_id=order.reference_id or message_id,
            transaction_code=order.transaction_code, node=order.node, eol=order.eol, headers=order.headers,
            test_message=order.test_message,
        )  # fmt: skip
        if order.sign == "wrong":
            signature = damage.spoil_digest(signature)
        broadcast = kind.broadcast if order.broadcast is None else order.broadcast
        recipients = order.recipients or kind.recipients
        recipients = recipients if broadcast else recipients[:1]
        if not recipients:
            raise Refused(f"У вида сведений {kind.name} нет получателя: укажите recipients")
        ready = now + timedelta(seconds=order.delay_s)
        sent = Sent(
            message_id=message_id, what="request", message_type="BROADCAST" if broadcast else "REQUEST",
            version=version.number, sender=order.sender, recipient=None if broadcast else recipients[0],
            kind=kind.name, namespace=kind.namespace, root=root, content="content", sent_at=now,
            status="requestIsQueued", data=data, signature=signature, node=order.node or None,
            reference_id=order.reference_id or message_id, transaction_code=order.transaction_code or None,
            reply_to=reply_to.make(message_id, order.sender, kind.namespace, root, order.transaction_code),
            eol=order.eol, validate_at=ready if order.check_payload or order.delay_s else None,
            checks_payload=order.check_payload, scripted=True, tag=order.tag,
            refs=[one["uuid"] for one in order.headers.refs],
            attachment_bytes=sum(len(body) for _id, _mime, body in order.contents),
        )  # fmt: skip
        places = [
            Place(one, "request", [type_name(kind.namespace, root)], order.recipient_node or None) for one in recipients
        ]
        if not queues.accept(conn, sent, places):
            raise Refused(f"Сообщение {message_id} уже отправлено: укажите другой message_id")
        queues.keep_attachments(conn, message_id, order.contents)
        return message_id

    def send_response(
        self, conn: Connection, sender: str, original: Row, *, payload: bytes = b"",
        rejections: list[dict[str, str]] | None = None, status: dict[str, Any] | None = None, delay_s: float = 0.0,
        check_payload: bool = True,
    ) -> str:  # fmt: skip
        """Answer `original` as `sender` with one of payload, rejections, status. Returns the MessageID."""
        kind = self._settings.kind_named(original["kind"])
        if kind is None:
            raise Refused(f"Вид сведений {original['kind']} не описан в настройках имитатора")
        version = VERSIONS[original["version"]]
        now = self._clock.now()
        message_id = uuid1_at(now)
        data, signature = envelopes.response_data(
            version, self._signer(sender, "right"), message_id=message_id, to=original["reply_to"],
            element_id="SIGNED_BY_CONSUMER", payload=payload, rejections=rejections, status=status,
        )  # fmt: skip
        content = "content" if payload else "rejected" if rejections else "status"
        details = ""
        if rejections:
            details = f"{rejections[0]['code']}: {rejections[0]['text']}"
        elif status:
            details = f"{status['code']}: {status['text']}"
        sent = Sent(
            message_id=message_id, what="response", message_type="RESPONSE", version=version.number, sender=sender,
            recipient=original["sender"], kind=kind.name, namespace=kind.namespace, root=kind.response_root,
            content=content, details=details, sent_at=now, status=version.response_queued_status, data=data,
            signature=signature, node=original["node"], original_message_id=original["message_id"],
            reference_id=original["reference_id"], transaction_code=original["transaction_code"],
            validate_at=now + timedelta(seconds=self._settings.behaviour.validation_delay_s + delay_s),
            checks_payload=check_payload, scripted=True,
        )  # fmt: skip
        types = [type_name(kind.namespace, root) for root in (kind.response_root, kind.request_root) if root]
        queues.accept(conn, sent, [Place(original["sender"], "response", types, original["node"])])
        return message_id

    def _kind(self, order: Order) -> tuple[Kind, str]:
        if order.version not in VERSIONS:
            raise Refused(f"Версия {order.version} неизвестна: укажите одну из {', '.join(VERSIONS)}")
        if self._settings.participant(order.sender) is None:
            raise Refused(f"Участник {order.sender} не описан в настройках имитатора")
        document = xml_door.parse(order.payload)
        name = etree.QName(document)
        kind = self._settings.kind_of_request(name.namespace or "", name.localname)
        if kind is None:
            raise Refused(f"Вид сведений {{{name.namespace}}}{name.localname} не описан в настройках имитатора")
        return kind, name.localname

    def _signer(self, sender: str, how: str) -> Any:
        if how == "none":
            return None
        return self._identities.named(how) if how in ("expired", "foreign") else self._identities.of(sender)
