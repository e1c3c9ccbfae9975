"""A call as it came: HTTP body to operation, signed element, signature and attachments. Refusals are SmevFault."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from lxml import etree

from core import xml as xml_door
from core.errors import MalformedXml
from simulators.smev3 import contract, multipart
from simulators.smev3.faults import SmevFault, ValidationError, bad_signature, invalid_content
from simulators.smev3.versions import SOAP, XMLDSIG, XOP, Version

SIGNATURE_BLOCK = "CallerInformationSystemSignature"
_SIGNED_PART = {
    "SendRequest": "SenderProvidedRequestData",
    "SendResponse": "SenderProvidedResponseData",
    "GetRequest": "MessageTypeSelector",
    "GetResponse": "MessageTypeSelector",
    "GetStatus": "Timestamp",
    "Ack": "AckTargetMessage",
    "GetIncomingQueueStatistics": "Timestamp",
}


@dataclass
class Call:
    """One operation asked for. `body` is the child of soap:Body; `signed` is what the signature must cover."""

    version: Version
    operation: str
    envelope: etree._Element
    body: etree._Element
    signed: etree._Element
    signature: etree._Element | None
    octets: bytes = field(repr=False)
    contents: dict[str, bytes] = field(default_factory=dict, repr=False)
    """MTOM contents by AttachmentContent/Id, decoded."""
    is_multipart: bool = False

    def types(self, name: str) -> str:
        return f"{{{self.version.types}}}{name}"

    def basic(self, name: str) -> str:
        return f"{{{self.version.basic}}}{name}"

    def text(self, name: str) -> str:
        """Text of a direct child of the signed element in the types namespace, '' when absent."""
        return (self.signed.findtext(self.types(name)) or "").strip()


def read(version: Version, content_type: str, soap_action: str, body: bytes, *, header_required: bool = True) -> Call:
    """Recognise the operation and its parts. Verifies nothing yet but the skeleton.

    Raises SmevFault: without a name for what is not SOAP at all, SignatureVerificationFault /
    PoorSOAPEnvelopeFormat without soap:Header, InvalidContent for a body of an unknown shape.
    """
    parts = multipart.parse(content_type, body)
    try:
        envelope = xml_door.parse(parts.root)
    except MalformedXml as error:
        raise SmevFault("", f"Сообщение не разобрано: {error.reason}", client=True) from None
    if envelope.tag != f"{{{SOAP}}}Envelope":
        raise SmevFault("", "Корень сообщения не soap:Envelope (SOAP 1.1).", client=True)
    if header_required and envelope.find(f"{{{SOAP}}}Header") is None:
        raise bad_signature("PoorSOAPEnvelopeFormat", "Отсутствует элемент soap:Header.")
    operation_body = _only_child(envelope)
    operation = _operation(version, operation_body, soap_action)
    signed = operation_body.find(f"{{*}}{_SIGNED_PART[operation]}")
    if signed is None:
        errors = contract.check_envelope(version, operation_body)
        raise invalid_content("Сообщение содержит не все вложенные элементы.", errors)
    contents = _contents(version, operation_body, parts)
    signature = operation_body.find(f"{{{version.types}}}{SIGNATURE_BLOCK}")
    return Call(
        version, operation, envelope, operation_body, signed, signature, parts.root, contents, parts.is_multipart
    )


def signature_of(call: Call) -> etree._Element:
    """The caller's ds:Signature. InvalidContent (SMEV-403) without the block, NoSignatureFound for an empty one."""
    if call.signature is None:
        text = f"Сообщение содержит не все вложенные элементы. Блок {SIGNATURE_BLOCK} отсутствует либо пуст."
        raise invalid_content(text, (ValidationError(text),))
    found = call.signature.find(f"{{{XMLDSIG}}}Signature")
    if found is None:
        raise bad_signature("NoSignatureFound", "Отсутствует ЭП-ОВ.")
    return found


def check_shape(call: Call) -> None:
    """The body against the schema of the version, and every Id once only. Raises InvalidContent."""
    errors = list(contract.check_envelope(call.version, call.body))
    seen: set[str] = set()
    for element in call.envelope.iter(etree.Element):
        value = element.get("Id")
        if value is None:
            continue
        if value in seen:
            errors.append(ValidationError(f"cvc-id.2: There are multiple occurrences of ID value '{value}'."))
        seen.add(value)
    if errors:
        raise invalid_content("Сообщение не соответствует схеме.", tuple(errors))


def _only_child(envelope: etree._Element) -> etree._Element:
    body = envelope.find(f"{{{SOAP}}}Body")
    children = [] if body is None else [child for child in body if isinstance(child.tag, str)]
    if len(children) != 1:
        raise SmevFault("", "В soap:Body должен быть ровно один элемент операции.", client=True)
    return children[0]


def _operation(version: Version, body: etree._Element, soap_action: str) -> str:
    name = etree.QName(body)
    operation = name.localname.removesuffix("Request")
    if name.namespace != version.types or operation not in version.operations or name.localname == operation:
        text = f"Операция {{{name.namespace}}}{name.localname} не поддерживается версией {version.number}."
        raise SmevFault("", text, client=True)
    action = soap_action.strip().strip('"')
    if action and action != f"urn:{operation}":
        raise SmevFault("", f"SOAPAction {action} не соответствует операции {operation}.", client=True)
    return operation


def _contents(version: Version, body: etree._Element, parts: multipart.Parts) -> dict[str, bytes]:
    """Decode attachments, putting base64 text in the place of every xop:Include (FACTS §3.4)."""
    for include in list(body.iter(f"{{{XOP}}}Include")):
        holder = include.getparent()
        octets = parts.others.get(multipart.cid_of(include.get("href") or ""))
        if octets is None or holder is None:
            raise SmevFault("AttachmentContentMiscoordination", "Часть multipart для xop:Include не найдена.")
        holder.remove(include)
        holder.text = base64.b64encode(octets).decode()
    found: dict[str, bytes] = {}
    for content in body.iterfind(f"{{{version.basic}}}AttachmentContentList/{{{version.basic}}}AttachmentContent"):
        content_id = content.findtext(f"{{{version.basic}}}Id") or ""
        text = content.findtext(f"{{{version.basic}}}Content") or ""
        try:
            found[content_id] = base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            raise invalid_content("Содержимое вложения не base64.", ()) from None
    return found
