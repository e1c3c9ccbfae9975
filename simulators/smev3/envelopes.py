"""SOAP envelopes of СМЭВ from the templates of this folder: rendered as text, signed, the signature spliced in.

What is signed is what is sent: after the signature is spliced in at its mark the octets are not touched again.
Signed fragments of senders are spliced as they were stored.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from core.signatures import xmldsig
from core.signatures.keys import Identity
from simulators.smev3.clock import xml_time
from simulators.smev3.faults import SmevFault
from simulators.smev3.versions import SIGNED_BY_SMEV, SOAP, Version

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), undefined=StrictUndefined, autoescape=True,
    keep_trailing_newline=False,
)  # fmt: skip
_MARK = "@SIGNATURE-OF-SMEV@"


@dataclass(frozen=True)
class Party:
    """A participant as MessageMetadata names it."""

    mnemonic: str
    name: str


@dataclass(frozen=True)
class Metadata:
    """MessageMetadata; `recipient` None for a broadcast, `delivered_at` only on delivery."""

    message_id: str
    message_type: str
    sender: Party
    recipient: Party | None
    sent_at: str
    status: str
    delivered_at: str = ""


@dataclass(frozen=True)
class Content:
    """An attachment to send: inline, or by `cid` in a part of its own."""

    content_id: str
    mime_type: str
    body: bytes = field(repr=False)
    cid: str = ""

    @property
    def base64(self) -> str:
        return base64.b64encode(self.body).decode()


@dataclass(frozen=True)
class Delivery:
    """What GetRequest or GetResponse hands out. `what` is "Request" or "Response"."""

    what: str
    metadata: Metadata
    data: bytes
    sender_signature: bytes
    reply_to: str = ""
    original_message_id: str = ""
    transaction_code: str = ""
    reference_id: str = ""
    refs: tuple[str, ...] = ()
    contents: tuple[Content, ...] = ()


def envelope(body: str, header: str = "") -> bytes:
    """A whole soap:Envelope around one body; answers of СМЭВ carry no soap:Header."""
    head = f"<soap:Header>{header}</soap:Header>" if header else ""
    return f'<soap:Envelope xmlns:soap="{SOAP}">{head}<soap:Body>{body}</soap:Body></soap:Envelope>'.encode()


def render(template: str, **values: Any) -> str:
    """Text of one template; octets among the values are spliced as they are."""
    raw = {key: Markup(value.decode()) if isinstance(value, bytes) else value for key, value in values.items()}
    return _TEMPLATES.get_template(template).render(**raw)


def signed(body: str, element_id: str, identity: Identity, header: str = "") -> bytes:
    """The envelope around `body` with the signature over `element_id` in the place of the mark."""
    text = envelope(body, header)
    return text.replace(_MARK.encode(), xmldsig.sign(text, element_id, identity), 1)


def empty(version: Version, operation: str) -> bytes:
    """Answer without children: an empty queue, or AckResponse."""
    return envelope(render("empty.xml.j2", v=version, operation=operation))


def sent(version: Version, operation: str, metadata: Metadata, identity: Identity) -> bytes:
    """SendRequestResponse or SendResponseResponse, MessageMetadata signed."""
    body = render(
        "sent.xml.j2", v=version, operation=operation, metadata=metadata, id=SIGNED_BY_SMEV, signature_mark=_MARK
    )
    return signed(body, SIGNED_BY_SMEV, identity)


def delivered(version: Version, delivery: Delivery, identity: Identity, header: str = "") -> bytes:
    """GetRequestResponse or GetResponseResponse with one message, Request / Response signed whole."""
    outer_id = free_id(delivery.data)
    return signed(delivered_body(version, delivery, outer_id), outer_id, identity, header)


def delivered_body(version: Version, delivery: Delivery, outer_id: str) -> str:
    """The same before signing, the mark in the place of the signature."""
    files = [
        {"uuid": ref, "user": secrets.token_hex(6), "password": secrets.token_hex(8), "file": f"/{ref}"}
        for ref in delivery.refs
    ]
    return render(
        "delivered.xml.j2", v=version, what=delivery.what, id=outer_id, data=delivery.data, files=files,
        metadata=delivery.metadata, reply_to=delivery.reply_to, sender_signature=delivery.sender_signature,
        original_message_id=delivery.original_message_id, transaction_code=delivery.transaction_code,
        reference_id=delivery.reference_id, contents=delivery.contents, signature_mark=_MARK,
    )  # fmt: skip


def free_id(data: bytes) -> str:
    """SIGNED_BY_SMEV, unless the sender has used it himself."""
    candidate, number = SIGNED_BY_SMEV, 0
    while f'"{candidate}"'.encode() in data:
        number += 1
        candidate = f"{SIGNED_BY_SMEV}_{number}"
    return candidate


def without_signature(body: bytes) -> bytes:
    return body.replace(_MARK.encode(), b"")


def status(version: Version, async_status: bytes, identity: Identity) -> bytes:
    """GetStatusResponse with one asynchronous status, AsyncProcessingStatusData signed."""
    data = f'<ns2:AsyncProcessingStatusData Id="{SIGNED_BY_SMEV}">'.encode()
    data += async_status + b"</ns2:AsyncProcessingStatusData>"
    body = render("status.xml.j2", v=version, data=data, signature_mark=_MARK)
    return signed(body, SIGNED_BY_SMEV, identity)


def statistics(version: Version, queues: list[dict[str, Any]]) -> bytes:
    return envelope(render("statistics.xml.j2", v=version, queues=queues))


def fault(version: Version, problem: SmevFault, *, with_errors: bool = True) -> bytes:
    """soap:Fault in the shape seen on the wire (FACTS §10.3)."""
    shown: dict[str, Any] = {"name": problem.name, "text": problem.text, "client": problem.client}
    if problem.name:
        shown |= _fault_content(version, problem)
        if not with_errors:
            shown["errors"] = ()
    return envelope(render("fault.xml.j2", v=version, fault=shown))


def async_status(
    version: Version, original_message_id: str, category: str, details: str = "",
    problem: SmevFault | None = None, code: str = "",
) -> bytes:  # fmt: skip
    """AsyncProcessingStatus; inside SmevFault the fault is named by xsi:type. Needs the envelope's prefixes."""
    content = None
    if problem is not None:
        content = {"name": problem.name} | _fault_content(version, problem) | ({"code": code} if code else {})
    return render(
        "async_status.xml.j2", v=version, original_message_id=original_message_id, category=category,
        details=details[:500], fault=content,
    ).encode()  # fmt: skip


def _fault_content(version: Version, problem: SmevFault) -> dict[str, Any]:
    return {
        "family": problem.entry.family, "code": problem.code(version.number), "description": problem.description,
        "children": problem.children, "errors": problem.errors,
    }  # fmt: skip


@dataclass(frozen=True)
class Headers:
    """Attachment headers of a message that we send for a scripted participant."""

    attachments: list[dict[str, str]] = field(default_factory=list)
    refs: list[dict[str, str]] = field(default_factory=list)

    def render(self, version: Version) -> bytes:
        attachments = [{"signature": ""} | one for one in self.attachments]
        refs = [{"file_name": ""} | one for one in self.refs]
        return render("headers.xml.j2", v=version, attachments=attachments, refs=refs).encode()


def request_data(
    version: Version, identity: Identity | None, *, message_id: str, payload: bytes, element_id: str,
    reference_id: str = "", transaction_code: str = "", node: str = "", eol: datetime | None = None,
    headers: Headers | None = None, test_message: bool = False,
) -> tuple[bytes, bytes]:  # fmt: skip
    """SenderProvidedRequestData of a scripted participant and its signature (empty without an identity)."""
    data = render(
        "request_data.xml.j2", v=version, id=element_id, message_id=message_id, payload=payload,
        reference_id=reference_id, transaction_code=transaction_code, node=node, eol=xml_time(eol) if eol else "",
        headers=(headers or Headers()).render(version), test_message=test_message,
    ).encode()  # fmt: skip
    return data, xmldsig.sign(data, element_id, identity) if identity else b""


def response_data(
    version: Version, identity: Identity | None, *, message_id: str, to: str, element_id: str, payload: bytes = b"",
    rejections: list[dict[str, str]] | None = None, status: dict[str, Any] | None = None, async_status: bytes = b"",
    headers: Headers | None = None,
) -> tuple[bytes, bytes]:  # fmt: skip
    """SenderProvidedResponseData with exactly one of payload, rejections, status, async_status; and its signature."""
    data = render(
        "response_data.xml.j2", v=version, id=element_id, message_id=message_id, to=to, payload=payload,
        rejections=rejections or [], status=status, async_status=async_status,
        headers=(headers or Headers()).render(version),
    ).encode()  # fmt: skip
    return data, xmldsig.sign(data, element_id, identity) if identity else b""


def with_inline(delivery: Delivery) -> Delivery:
    """Attachments inside the XML as base64."""
    return replace(delivery, contents=tuple(replace(one, cid="") for one in delivery.contents))
