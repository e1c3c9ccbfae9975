"""SOAP envelopes that we send, as octets with a gap for the signature (FACTS §2, §3.1).

Nothing is parsed or serialised between signing and sending: `Unsigned.around(signature)` splices the octets
of `ds:Signature` into the gap, and the result is what travels and what is repeated. `soap:Header` is always
there (its absence is PoorSOAPEnvelopeFormat), no default namespace is ever declared, so a payload inherits none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

TYPES = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/"
BASIC = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"

CALLER_ID = "SIGNED_BY_CALLER"
CONSUMER_ID = "SIGNED_BY_CONSUMER"


@dataclass(frozen=True, slots=True)
class Unsigned:
    """An envelope whose CallerInformationSystemSignature is still empty; `signed_id` names what is to be signed."""

    head: bytes
    tail: bytes
    signed_id: str

    @property
    def whole(self) -> bytes:
        return self.head + self.tail

    def around(self, signature: bytes) -> bytes:
        """The envelope with the octets of `ds:Signature` in the gap."""
        return self.head + signature + self.tail


def send_request(
    version: str,
    *,
    message_id: str,
    payload: bytes,
    reference: str = "",
    transaction_code: str = "",
    node: str = "",
    end_of_life: str = "",
    test: bool = False,
) -> Unsigned:
    """SendRequestRequest. `payload` is one element without prolog; texts are escaped here."""
    signed_id = _free(CONSUMER_ID, payload)
    data = (
        f'<t:SenderProvidedRequestData Id="{signed_id}"><t:MessageID>{message_id}</t:MessageID>'
        f"<t:ReferenceMessageID>{text(reference or message_id)}</t:ReferenceMessageID>"
        f"{_optional('t:TransactionCode', transaction_code)}{_optional('t:NodeID', node)}"
        f"{_optional('t:EOL', end_of_life)}<b:MessagePrimaryContent>"
    ).encode()
    end = "</b:MessagePrimaryContent>" + ("<t:TestMessage/>" if test else "") + "</t:SenderProvidedRequestData>"
    return _envelope(version, "SendRequestRequest", data + payload + end.encode(), signed_id)


def send_response(version: str, *, message_id: str, to: str, payload: bytes) -> Unsigned:
    """SendResponseRequest with a business answer."""
    signed_id = _free(CONSUMER_ID, payload)
    content = b"<b:MessagePrimaryContent>" + payload + b"</b:MessagePrimaryContent>"
    return _response(version, message_id, to, content, signed_id)


def send_rejection(version: str, *, message_id: str, to: str, reasons: Iterable[tuple[str, str]]) -> Unsigned:
    """SendResponseRequest with RequestRejected, one a (code, text)."""
    content = "".join(
        f"<t:RequestRejected><t:RejectionReasonCode>{text(code)}</t:RejectionReasonCode>"
        f"<t:RejectionReasonDescription>{text(words)}</t:RejectionReasonDescription></t:RequestRejected>"
        for code, words in reasons
    )
    return _response(version, message_id, to, content.encode(), CONSUMER_ID)


def send_status(
    version: str, *, message_id: str, to: str, code: int, description: str, parameters: Mapping[str, str]
) -> Unsigned:
    """SendResponseRequest with RequestStatus."""
    pairs = "".join(
        f"<t:StatusParameter><t:Key>{text(key)}</t:Key><t:Value>{text(value)}</t:Value></t:StatusParameter>"
        for key, value in parameters.items()
    )
    content = (
        f"<t:RequestStatus><t:StatusCode>{code}</t:StatusCode>{pairs}"
        f"<t:StatusDescription>{text(description)}</t:StatusDescription></t:RequestStatus>"
    )
    return _response(version, message_id, to, content.encode(), CONSUMER_ID)


def get_message(
    version: str, operation: str, *, namespace: str = "", root: str = "", node: str = "", now: datetime | None = None
) -> Unsigned:
    """GetRequestRequest or GetResponseRequest; `operation` is GetRequest or GetResponse."""
    selector = (
        f'<b:MessageTypeSelector Id="{CALLER_ID}">{_optional("b:NamespaceURI", namespace)}'
        f"{_optional('b:RootElementLocalName', root)}<b:Timestamp>{timestamp(now)}</b:Timestamp>"
        f"{_optional('b:NodeID', node)}</b:MessageTypeSelector>"
    )
    return _envelope(version, operation + "Request", selector.encode(), CALLER_ID)


def get_status(version: str, *, now: datetime | None = None) -> Unsigned:
    """GetStatusRequest."""
    return _envelope(version, "GetStatusRequest", _stamp(now), CALLER_ID)


def get_statistics(version: str, *, node: str = "", now: datetime | None = None) -> Unsigned:
    """GetIncomingQueueStatisticsRequest (1.1 only)."""
    return _envelope(
        version, "GetIncomingQueueStatisticsRequest", _optional("t:NodeID", node).encode() + _stamp(now), CALLER_ID
    )


def ack(version: str, *, message_id: str, accepted: bool) -> Unsigned:
    """AckRequest; accepted=False tells СМЭВ that its signature did not hold (FACTS §6.3)."""
    target = (
        f'<b:AckTargetMessage Id="{CALLER_ID}" accepted="{"true" if accepted else "false"}">{text(message_id)}'
        "</b:AckTargetMessage>"
    )
    return _envelope(version, "AckRequest", target.encode(), CALLER_ID)


def timestamp(now: datetime | None = None) -> str:
    """xs:dateTime with milliseconds and offset."""
    return (now or datetime.now(UTC)).isoformat(timespec="milliseconds")


def text(value: str) -> str:
    """Character data of an element. A carriage return is written as a reference, else a parser would change it."""
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def _stamp(now: datetime | None) -> bytes:
    return f'<b:Timestamp Id="{CALLER_ID}">{timestamp(now)}</b:Timestamp>'.encode()


def _response(version: str, message_id: str, to: str, content: bytes, signed_id: str) -> Unsigned:
    data = (
        f'<t:SenderProvidedResponseData Id="{signed_id}"><t:MessageID>{message_id}</t:MessageID><t:To>{text(to)}</t:To>'
    ).encode()
    return _envelope(version, "SendResponseRequest", data + content + b"</t:SenderProvidedResponseData>", signed_id)


def _envelope(version: str, element: str, signed: bytes, signed_id: str) -> Unsigned:
    head = (
        f'<soap:Envelope xmlns:soap="{SOAP}"><soap:Header/><soap:Body>'
        f'<t:{element} xmlns:t="{TYPES}{version}" xmlns:b="{BASIC}{version}">'
    ).encode()
    tail = f"</t:CallerInformationSystemSignature></t:{element}></soap:Body></soap:Envelope>".encode()
    return Unsigned(head + signed + b"<t:CallerInformationSystemSignature>", tail, signed_id)


def _optional(name: str, value: str) -> str:
    return f"<{name}>{text(value)}</{name}>" if value else ""


def _free(wanted: str, payload: bytes) -> str:
    """`wanted`, or a variation that the payload does not use as an Id: an Id is unique in a message."""
    name, number = wanted, 1
    while re.search(rb"""=\s*["']\s*""" + name.encode() + rb"""\s*["']""", payload):
        number += 1
        name = f"{wanted}_{number}"
    return name
