"""What a delivered message says, read from the octets that the signature of СМЭВ covers (FACTS §2.2, §5, §7)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from lxml import etree

from connectors.smev3 import messages as header
from connectors.smev3.answers import elements, local, read_smev_fault, words
from connectors.smev3.faults import explain
from core.errors import SchemaViolation
from core.message import Attachment, Outcome
from core.replies import Reply

CANCEL_KIND: Final = "smev.cancel"
REPLY_KINDS: Final[Mapping[Outcome, str]] = {
    Outcome.REJECTION: "smev.rejection",
    Outcome.STATUS: "smev.status",
    Outcome.FAILURE: "smev.failure",
}

FINAL_CATEGORIES: Final = frozenset(
    {"requestIsRejectedBySmev", "responseIsRejectedBySmev", "cancelled", "doesNotExist"}
)
"""StatusCategory after which no answer will come; every other one, also an unknown one, is news (FACTS §7)."""

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class Content:
    """The fields of a bus message. message_id: what an Ack names, "" where there is none."""

    kind: str
    body: bytes
    external_id: str
    message_id: str
    fingerprint: str
    headers: Mapping[str, str]
    outcome: Outcome = Outcome.REQUEST
    in_reply_to: str = ""
    attachments: tuple[Attachment, ...] = ()


def read(tree: etree._Element, octets: bytes, namespace: str) -> Content:
    """Read Request, Response, Cancel or AsyncProcessingStatusData; `tree` was parsed from `octets`.

    namespace: of the types of this version. Raises SchemaViolation.
    """
    match local(tree):
        case "Request":
            return _request(tree, octets, namespace)
        case "Response":
            return _response(tree, octets, namespace)
        case "Cancel":
            return _cancel(tree, namespace)
        case _:
            return _status_data(tree, namespace)


def is_uuid(value: str) -> bool:
    """Eight-four-four-four-twelve hex digits."""
    return _UUID.fullmatch(value) is not None


def _request(tree: etree._Element, octets: bytes, namespace: str) -> Content:
    data = _child(tree, namespace, "SenderProvidedRequestData")
    headers = _metadata(tree, namespace, data)
    for name, element in (
        (header.REFERENCE_MESSAGE_ID, "ReferenceMessageID"),
        (header.TRANSACTION_CODE, "TransactionCode"),
        (header.NODE, "NodeID"),
        (header.END_OF_LIFE, "EOL"),
    ):
        _put(headers, name, words(data.find(f"{{{namespace}}}{element}")))
    _put(headers, header.REPLY_TO, words(tree.find(f"{{{namespace}}}ReplyTo")))
    if data.find(f"{{{namespace}}}TestMessage") is not None:
        headers[header.TEST] = "true"
    attachments = _attachments(data, tree)
    fingerprint = _fingerprint(octets, local(data))
    kind, body = _business(data)
    return Content(
        kind,
        body,
        headers[header.MESSAGE_ID],
        headers[header.MESSAGE_ID],
        fingerprint,
        headers,
        attachments=attachments,
    )


def _response(tree: etree._Element, octets: bytes, namespace: str) -> Content:
    data = _child(tree, namespace, "SenderProvidedResponseData")
    headers = _metadata(tree, namespace, data)
    _put(headers, header.TRANSACTION_CODE, words(tree.find(f"{{{namespace}}}OriginalTransactionCode")))
    _put(headers, header.REFERENCE_MESSAGE_ID, words(tree.find(f"{{{namespace}}}ReferenceMessageID")))
    original = words(tree.find(f"{{{namespace}}}OriginalMessageId"))
    attachments = _attachments(data, tree)
    fingerprint = _fingerprint(octets, local(data))
    message_id = headers[header.MESSAGE_ID]

    reply: Reply | None = None
    rejected = data.findall(f"{{{namespace}}}RequestRejected")
    status = data.find(f"{{{namespace}}}RequestStatus")
    processing = data.find(f"{{{namespace}}}AsyncProcessingStatus")
    if rejected:
        reply = _rejection(rejected)
    elif status is not None:
        reply = _status(status)
    elif processing is not None:
        reply = _processing(processing, headers)
        original = original or _original_of(processing)
    _put(headers, header.ORIGINAL_MESSAGE_ID, original)
    if reply is None:
        kind, body = _business(data)
        outcome = Outcome.ANSWER
    else:
        kind, body, outcome = REPLY_KINDS[reply.outcome], reply.to_body(), reply.outcome
    return Content(kind, body, message_id, message_id, fingerprint, headers, outcome, original, attachments)


def _cancel(tree: etree._Element, namespace: str) -> Content:
    """1.1: the asker takes its request back. The body is like a Reply, so that every kind reads it alike."""
    headers = _metadata(tree, namespace, tree)
    reference = next((words(child) for child in elements(tree) if local(child) == "MessageReference"), "")
    _put(headers, header.ORIGINAL_MESSAGE_ID, reference)
    body = Reply(Outcome.STATUS, ("CANCEL",), ("Отправитель отменил свой запрос",), {"message_id": reference}).to_body()
    message_id = headers[header.MESSAGE_ID]
    fingerprint = hashlib.sha256(f"cancel {reference}".encode()).hexdigest()
    return Content(CANCEL_KIND, body, message_id, message_id, fingerprint, headers)


def _status_data(tree: etree._Element, namespace: str) -> Content:
    """GetStatus: the fate of a response of ours. It has no id of its own, so one is made that is always the same."""
    processing = _child(tree, namespace, "AsyncProcessingStatus")
    original = _original_of(processing)
    if not original:
        raise SchemaViolation("В сообщении о состоянии нет OriginalMessageId: передайте ответ в поддержку СМЭВ")
    headers = {header.ORIGINAL_MESSAGE_ID: original}
    reply = _processing(processing, headers)
    digest = hashlib.sha256(reply.to_body()).hexdigest()
    external_id = f"{original}:{headers.get(header.STATUS_CATEGORY, '')}:{digest[:16]}"
    return Content(
        REPLY_KINDS[reply.outcome], reply.to_body(), external_id, original, digest, headers, reply.outcome, original
    )


def _business(data: etree._Element) -> tuple[str, bytes]:
    """Clark name and octets of the one element under MessagePrimaryContent; taken out of the tree."""
    primary = next((child for child in elements(data) if local(child) == "MessagePrimaryContent"), None)
    documents = list(elements(primary)) if primary is not None else []
    if primary is None or len(documents) != 1:
        raise SchemaViolation(
            "В сообщении нет делового документа (MessagePrimaryContent): передайте его отправителю и в поддержку СМЭВ"
            if not documents
            else "В MessagePrimaryContent несколько документов вместо одного: передайте сообщение отправителю"
        )
    document = documents[0]
    primary.remove(document)  # lxml moves the namespaces that it needs along and leaves the others
    return str(document.tag), etree.tostring(document, encoding="utf-8", with_tail=False)


def _metadata(tree: etree._Element, namespace: str, data: etree._Element) -> dict[str, str]:
    meta = _child(tree, namespace, "MessageMetadata")
    message_id = words(meta.find(f"{{{namespace}}}MessageId")) or words(data.find(f"{{{namespace}}}MessageID"))
    if not is_uuid(message_id):
        raise SchemaViolation(
            "В сообщении СМЭВ нет MessageId: его нельзя подтвердить. Передайте ответ в поддержку СМЭВ"
        )
    headers = {header.MESSAGE_ID: message_id.lower()}
    sender = meta.find(f"{{{namespace}}}Sender")
    recipient = meta.find(f"{{{namespace}}}Recipient")
    for name, parent, element in (
        (header.MESSAGE_TYPE, meta, "MessageType"),
        (header.SENDER, sender, "Mnemonic"),
        (header.SENDER_NAME, sender, "HumanReadableName"),
        (header.RECIPIENT, recipient, "Mnemonic"),
        (header.SENDING_TIMESTAMP, meta, "SendingTimestamp"),
        (header.DELIVERY_TIMESTAMP, meta, "DeliveryTimestamp"),
        (header.DELIVERY_STATUS, meta, "Status"),
    ):
        if parent is not None:
            _put(headers, name, words(parent.find(f"{{{namespace}}}{element}")))
    return headers


def _rejection(rejected: list[etree._Element]) -> Reply:
    codes, texts = [], []
    for item in rejected:
        by_name = {local(child): words(child) for child in elements(item)}
        codes.append(by_name.get("RejectionReasonCode", ""))
        # the earliest 1.1 edition calls the text RejectionReason
        texts.append(by_name.get("RejectionReasonDescription") or by_name.get("RejectionReason", ""))
    return Reply(Outcome.REJECTION, tuple(codes), tuple(texts))


def _status(status: etree._Element) -> Reply:
    code = text = ""
    parameters: dict[str, str] = {}
    for child in elements(status):
        match local(child):
            case "StatusCode":
                code = words(child)
            case "StatusDescription":
                text = words(child)
            case "StatusParameter":
                pair = {local(item): words(item) for item in elements(child)}
                parameters[pair.get("Key", "")] = pair.get("Value", "")
    return Reply(Outcome.STATUS, (code,), (text,), parameters)


def _processing(processing: etree._Element, headers: dict[str, str]) -> Reply:
    category = details = ""
    fault = None
    for child in elements(processing):
        match local(child):
            case "StatusCategory":
                category = words(child)
            case "StatusDetails":
                details = words(child)
            case "SmevFault":
                fault = read_smev_fault(child)
    _put(headers, header.STATUS_CATEGORY, category)
    codes, texts, parameters = [category], [details], {}
    if fault is not None:
        codes.append(fault.name or fault.number or fault.code)
        texts.append(fault.description)
        for error in fault.errors:
            codes.append("ValidationError")
            texts.append(error)
        parameters = {"fault": fault.name, "code": fault.code, "number": fault.number}
        if fault.name:
            parameters["remedy"] = explain(fault)
    outcome = Outcome.FAILURE if fault is not None or category in FINAL_CATEGORIES else Outcome.STATUS
    return Reply(outcome, tuple(codes), tuple(texts), {key: value for key, value in parameters.items() if value})


def _original_of(processing: etree._Element) -> str:
    return next((words(child) for child in elements(processing) if local(child) == "OriginalMessageId"), "")


def _attachments(data: etree._Element, tree: etree._Element) -> tuple[Attachment, ...]:
    """The three lists of headers, in one. The one-time password of the file storage stays in the envelope only."""
    stored = {
        item.get("uuid", ""): item
        for holder in elements(tree)
        if local(holder) == "FSAttachmentsList"
        for item in _records(holder)
    }
    found = []
    for holder in elements(data):
        if local(holder) == "AttachmentHeaderList":
            found += [_attachment(item, "mtom", item.get("contentId", "")) for item in _records(holder)]
        elif local(holder) == "RefAttachmentHeaderList":
            for item in _records(holder):
                place = stored.pop(item.get("uuid", ""), {})
                item |= {name: value for name, value in place.items() if name != "Password"}
                found.append(_attachment(item, "ftp", item.get("FileName") or item.get("uuid", "")))
    found += [
        _attachment({k: v for k, v in item.items() if k != "Password"}, "ftp", item.get("FileName", ""))
        for item in stored.values()
    ]
    return tuple(found)


def _attachment(item: Mapping[str, str], transport: str, name: str) -> Attachment:
    headers = {"transport": transport} | {key: value for key, value in item.items() if key != "MimeType" and value}
    return Attachment(name, item.get("MimeType") or "application/octet-stream", headers=headers)


def _records(holder: etree._Element) -> Iterator[dict[str, str]]:
    for item in elements(holder):
        record: dict[str, str] = {}
        for child in elements(item):
            inside = list(elements(child))
            if inside:  # Archive of 1.3: the names of its files
                record[local(child)] = "; ".join(
                    words(name) for file in inside for name in elements(file) if local(name) == "Name"
                )
            else:
                record[local(child)] = words(child)
        yield record


def _fingerprint(octets: bytes, name: str) -> str:
    """Of the sender's own data as signed: the same for every redelivery, whatever СМЭВ wrote around it.

    The octets are the transform's output, so the data stand between known tags; the sender's element comes
    before and nothing of that name after the metadata of СМЭВ, so the last end tag is the right one.
    """
    start = octets.find(b"<ns1:" + name.encode())
    end = octets.rfind(b"</ns1:" + name.encode() + b">")
    return hashlib.sha256(octets[start:end] if 0 <= start < end else octets).hexdigest()


def _child(parent: etree._Element, namespace: str, name: str) -> etree._Element:
    child = parent.find(f"{{{namespace}}}{name}")
    if child is None:
        raise SchemaViolation(
            f"В подписанной части сообщения нет {name}: оно не по схеме. Передайте ответ в поддержку СМЭВ"
        )
    return child


def _put(headers: dict[str, str], name: str, value: str) -> None:
    if value:
        headers[name] = value
