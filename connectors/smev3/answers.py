"""What СМЭВ answers: the envelope opened, faults read, the signed element and its signature found.

Nothing here is trusted yet: `deliveries` and `sink` verify the signature and read the signed octets only.
Prefixes mean nothing, namespaces mean everything; unknown children are passed over (FACTS §2.3: be lenient).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from lxml import etree

from connectors.smev3.envelopes import SOAP, TYPES
from connectors.smev3.faults import Fault
from connectors.smev3.settings import VERSIONS
from core import xml
from core.errors import SchemaViolation, SignatureRejected

DS_SIGNATURE: Final = "{http://www.w3.org/2000/09/xmldsig#}Signature"
XOP_INCLUDE: Final = "{http://www.w3.org/2004/08/xop/include}Include"
_XSI_TYPE: Final = "{http://www.w3.org/2001/XMLSchema-instance}type"
_ENVELOPE: Final = f"{{{SOAP}}}Envelope"
_BODY: Final = f"{{{SOAP}}}Body"
_FAULT: Final = f"{{{SOAP}}}Fault"
_UUID: Final = rb"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"
_CLAIMED_ID: Final = re.compile(rb"<(?:[A-Za-z_][\w.-]{0,40}:)?MessageId\s*>\s*(" + _UUID + rb")\s*<")
_VALUE_MOST_CHARACTERS: Final = 1000
_ERRORS_MOST: Final = 20
_PUT_BACK_MOST_BYTES: Final = xml.MAX_DOCUMENT_BYTES


class Refused(Exception):
    """The answer is a fault. Stays inside of the connector: source and sink turn it into a bus error."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.name)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Signed:
    """An element that claims to be signed by СМЭВ. `holder` contains it and the signature, side by side."""

    root: etree._Element
    version: str
    holder: etree._Element
    element: etree._Element

    def signature(self) -> etree._Element:
        """The one `ds:Signature` of СМЭВ beside the element. Raises SignatureRejected."""
        boxes = [child for child in elements(self.holder) if local(child) == "SMEVSignature"]
        if len(boxes) != 1:
            raise SignatureRejected(
                "В сообщении нет подписи СМЭВ. Проверьте, что адрес ведёт в СМЭВ, и сообщите в её поддержку"
                if not boxes
                else "В сообщении несколько подписей СМЭВ. Сообщите в поддержку СМЭВ"
            )
        return only_signature(boxes[0])


def open_envelope(octets: bytes) -> etree._Element:
    """Parse an answer and return the first element of soap:Body.

    Raises TruncatedXml (unknown outcome), MalformedXml, SchemaViolation (no envelope, empty body), Refused.
    """
    root = xml.parse(octets)
    if root.tag != _ENVELOPE:
        raise SchemaViolation(
            "Ответ СМЭВ не является конвертом SOAP 1.1: проверьте адрес службы и передайте ответ в поддержку СМЭВ",
            detail=str(root.tag)[:200],
        )
    bodies = [child for child in elements(root) if child.tag == _BODY]
    content = list(elements(bodies[0])) if len(bodies) == 1 else []
    if len(content) != 1:
        raise SchemaViolation(
            "В конверте СМЭВ должен быть один soap:Body с одним элементом: передайте ответ в поддержку СМЭВ",
            detail=f"Body: {len(bodies)}, элементов: {len(content)}",
        )
    if content[0].tag == _FAULT:
        raise Refused(read_fault(content[0]))
    return content[0]


def version_of(element: etree._Element) -> str:
    """Service version by the namespace of an operation's element. Raises SchemaViolation for a foreign one."""
    namespace = etree.QName(element).namespace or ""
    version = namespace[len(TYPES) :] if namespace.startswith(TYPES) else ""
    if version not in VERSIONS:
        raise SchemaViolation(
            f"Ответ СМЭВ неизвестной версии: поддерживаются {', '.join(VERSIONS)}. Проверьте адрес службы",
            detail=str(element.tag)[:300],
        )
    return version


def find_signed(operation: etree._Element, holder_name: str | None, names: tuple[str, ...]) -> Signed | None:
    """Find what СМЭВ signed in `operation`: `holder_name`/(one of `names`); holder_name None: directly below.

    None: the answer is empty (an empty queue). Raises SchemaViolation.
    """
    version = version_of(operation)
    holder = operation
    if holder_name is not None:
        holders = list(elements(operation))
        if not holders:
            return None
        if len(holders) != 1 or holders[0].tag != f"{{{TYPES}{version}}}{holder_name}":
            raise _unexpected(holders[0])
        holder = holders[0]
    first = next(elements(holder), None)
    if first is None:
        if holder_name is None:
            return None
        raise _unexpected(holder)
    if first.tag not in {f"{{{TYPES}{version}}}{name}" for name in names}:
        raise _unexpected(first)
    return Signed(operation.getroottree().getroot(), version, holder, first)


def only_signature(box: etree._Element) -> etree._Element:
    """The single `ds:Signature` of an XMLDSigSignatureType. Raises SignatureRejected."""
    inside = list(elements(box))
    if len(inside) != 1 or inside[0].tag != DS_SIGNATURE:
        raise SignatureRejected(
            "Блок подписи пуст или содержит лишнее: сообщение не принято. Сообщите в поддержку СМЭВ"
        )
    return inside[0]


def put_back(element: etree._Element, parts: Mapping[str, bytes]) -> None:
    """Replace each `xop:Include` below `element` by the base64 of its MIME part, in place (FACTS §3.4).

    The digest is of the text, whatever the transport did with it. Raises SchemaViolation for a missing part, and when
    one small part is named so often that the document would outgrow the memory.
    """
    left = _PUT_BACK_MOST_BYTES
    for include in list(element.iter(XOP_INCLUDE)):
        name = unquote((include.get("href") or "").removeprefix("cid:"))
        if name not in parts:
            raise SchemaViolation(
                "Сообщение ссылается на часть, которой нет в ответе СМЭВ: передайте ответ в её поддержку"
            )
        left -= len(parts[name])
        if left < 0:
            raise SchemaViolation(
                "Сообщение ссылается на свои части столько раз, что не помещается в память: передайте ответ СМЭВ "
                "в её поддержку"
            )
        parent = include.getparent()
        assert parent is not None
        parent.remove(include)
        parent.text = base64.b64encode(parts[name]).decode()


def read_fault(element: etree._Element) -> Fault:
    """A soap:Fault; never validated strictly (FACTS §10.3)."""
    text, detail = "", None
    for child in elements(element):
        if local(child) == "faultstring":
            text = words(child)
        elif local(child) == "detail":
            detail = child
    named = list(elements(detail)) if detail is not None else []
    body = next((item for item in named if "/types/faults/" in str(item.tag)), named[0] if named else None)
    if body is None:
        return Fault("", text=text)
    return _fault(local(body), body, text)


def read_smev_fault(element: etree._Element) -> Fault:
    """SmevFault of an asynchronous status: its kind is the local name in xsi:type, whatever the prefix."""
    return _fault((element.get(_XSI_TYPE) or "").rpartition(":")[2], element, "")


def read_statistics(operation: etree._Element) -> dict[str, int]:
    """Queue name → waiting messages. Raises SchemaViolation when this is another answer or a number is none."""
    if local(operation) != "GetIncomingQueueStatisticsResponse":
        raise SchemaViolation("Это не статистика очередей: проверьте адрес версии 1.1", detail=str(operation.tag)[:300])
    try:
        return {
            item.get("queueName") or "": int(item.get("pendingMessageNumber") or 0)
            for item in elements(operation)
            if local(item) == "QueueStatistics"
        }
    except ValueError:
        raise SchemaViolation("В статистике очередей СМЭВ не число: передайте ответ в её поддержку") from None


_TEXT: Final = etree.XPath("string()")


def claimed_id(octets: bytes) -> str:
    """MessageId out of an answer that cannot be parsed: "" unless there is exactly one. Linear in the size."""
    return one_id(claimed_ids(octets))


def claimed_ids(octets: bytes) -> set[str]:
    """Every MessageId in octets that cannot be parsed."""
    return {match.lower().decode() for match in _CLAIMED_ID.findall(octets)}


def one_id(found: set[str]) -> str:
    """The only id; "" when there are none or several."""
    return next(iter(found)) if len(found) == 1 else ""


def elements(parent: etree._Element) -> Iterator[etree._Element]:
    """Child elements without comments and instructions."""
    return parent.iterchildren(etree.Element)


def local(element: etree._Element) -> str:
    """Local name."""
    return str(element.tag).rpartition("}")[2]


def words(element: etree._Element | None) -> str:
    """Text of an element without surrounding blanks; "" for None. A comment in the middle of it does not end it."""
    return "" if element is None else str(_TEXT(element)).strip()


def _fault(name: str, element: etree._Element, text: str) -> Fault:
    code = description = ""
    values: dict[str, str] = {}
    errors: list[str] = []
    for child in elements(element):
        match local(child):
            case "Code":
                code = words(child)
            case "Description":
                description = words(child)
            case "ValidationError" if len(errors) < _ERRORS_MOST:
                errors.append(words(child)[:_VALUE_MOST_CHARACTERS])
            case other:
                values[other] = words(child)[:_VALUE_MOST_CHARACTERS]
    return Fault(name, text, code, description, values, tuple(errors))


def _unexpected(element: etree._Element) -> SchemaViolation:
    return SchemaViolation(
        "Ответ СМЭВ построен не по схеме: неожиданный элемент. Передайте ответ в поддержку СМЭВ",
        detail=str(element.tag)[:300],
    )
