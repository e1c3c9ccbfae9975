"""From an answer of GetRequest, GetResponse or GetStatus to a bus message: one pure function, `read_delivery`.

The order is the protection: parse, find the one element that СМЭВ signs, verify its signature over exactly
that element, trust the certificate, parse the octets that were hashed, and read everything from them. What
the signature does not cover never reaches a handler, so signature wrapping has nothing to wrap.
An answer that fails on the way still becomes a message (with `problem`), because its bytes must be kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from io import BufferedIOBase
from typing import Final, Protocol

from lxml import etree

from connectors.smev3 import answers, contents
from connectors.smev3 import messages as header
from connectors.smev3.answers import Signed, elements, local, words
from connectors.smev3.envelopes import TYPES
from core import xml
from core.errors import MalformedXml, Permanent, SchemaViolation, SignatureRejected
from core.message import Message
from core.signatures import xmldsig
from core.signatures.certificates import Certificate
from core.signatures.smev_transform import Escaping
from core.signatures.xmldsig import Verified

UNREADABLE_KIND: Final = "smev.unreadable"
UNVERIFIED_KIND: Final = "smev.unverified"

_DELIVERING: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "GetRequestResponse": ("RequestMessage", ("Request", "Cancel")),
    "GetResponseResponse": ("ResponseMessage", ("Response",)),
    "GetStatusResponse": ("SmevAsyncProcessingMessage", ("AsyncProcessingStatusData",)),
}
NO_PARTS: Final[Mapping[str, bytes]] = {}
_SENDERS_PART: Final = b"SenderProvidedRe"
_UNVERIFIED: Final = b"unverified\0"
_PIECE_BYTES: Final = 1024 * 1024
_OVERLAP_BYTES: Final = 512
"""Nothing that is looked for is longer."""


class Trust(Protocol):
    """Says whether a certificate may have signed: "" or a Russian reason against it."""

    def __call__(self, certificate: Certificate, chain: tuple[Certificate, ...], /) -> str: ...


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read: whose messages these are, whom to trust, what to demand of the sender's signature."""

    connector: str
    trust: Trust = field(repr=False)
    sender_trust: Trust = field(repr=False)
    sender_signature: str = "record"
    escaping: Escaping = "woodstox"


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message with what its delivery needs. ack_id: "" when there is nothing to acknowledge by."""

    message: Message
    ack_id: str
    problem: Permanent | None = None


def read_delivery(envelope: bytes, reading: Reading, parts: Mapping[str, bytes] = NO_PARTS) -> Incoming | None:
    """Read one answer. None: the queue is empty.

    parts: the other MIME parts by Content-ID. Raises answers.Refused (a fault) and TruncatedXml (nothing of a
    message came: ask again); every other trouble comes back as an Incoming with its problem.
    """
    try:
        operation = answers.open_envelope(envelope)
        if local(operation) not in _DELIVERING:
            raise SchemaViolation(
                "СМЭВ ответила не на тот вопрос: это не ответ опроса очереди. Проверьте адрес службы",
                detail=str(operation.tag),
            )
        signed = answers.find_signed(operation, *_DELIVERING[local(operation)])
        if signed is None:
            return None
    except xml.TruncatedXml as error:
        incoming = torn(envelope, reading, error.detail)
        if incoming is None:
            raise
        return incoming
    except (MalformedXml, SchemaViolation) as problem:
        return _kept(envelope, reading, problem, UNREADABLE_KIND, answers.claimed_id(envelope))
    try:
        verified = verify(signed, reading, parts)
        verdict = _sender_verdict(signed, reading, verified)
    except Permanent as problem:
        return _kept(
            envelope, reading, problem, UNVERIFIED_KIND, _claimed_id_of(signed.element, envelope), signed.version
        )
    try:
        return _read(envelope, verified, verdict, signed.version, reading)
    except Permanent as problem:
        return _kept(
            envelope, reading, problem, UNREADABLE_KIND, _claimed_id_of(signed.element, envelope), signed.version
        )


def verify(signed: Signed, reading: Reading, parts: Mapping[str, bytes] = NO_PARTS) -> Verified:
    """Verify the signature of СМЭВ over `signed.element` and trust its certificate.

    Raises SignatureRejected, SchemaViolation (a missing MIME part).
    """
    signature = signed.signature()
    if parts:
        answers.put_back(signed.element, parts)
    verified = xmldsig.verify(signed.root, signature, expected=signed.element, escaping=reading.escaping)
    if not verified.ok:
        raise SignatureRejected(f"Подпись СМЭВ не сошлась. {verified.reason} Сообщите в поддержку СМЭВ")
    if against := reading.trust(verified.certificate, verified.chain):
        raise SignatureRejected(
            f"Подпись СМЭВ сделана сертификатом, которому нет доверия. {against} Если СМЭВ сменила сертификат, "
            "добавьте его в доверенные",
            detail=f"{verified.certificate.subject}; {verified.certificate.fingerprint}",
        )
    return verified


@dataclass(frozen=True, slots=True)
class _Verdict:
    words: str
    subject: str = ""


def _sender_verdict(signed: Signed, reading: Reading, verified: Verified) -> _Verdict:
    """Look at the far system's signature over its own data. Raises SignatureRejected only where it is required."""
    if reading.sender_signature == "ignore" or local(signed.element) == "AsyncProcessingStatusData":
        return _Verdict("ignored")
    verdict = _judge_sender(signed, reading, verified)
    if reading.sender_signature == "require" and verdict.words != "valid":
        raise SignatureRejected(
            f"Подпись информационной системы отправителя не принята ({verdict.words}): сообщите отправителю. "
            "Требование снимается настройкой sender_signature"
        )
    return verdict


def _judge_sender(signed: Signed, reading: Reading, verified: Verified) -> _Verdict:
    boxes = [child for child in elements(signed.element) if local(child) == "SenderInformationSystemSignature"]
    if not boxes:
        return _Verdict("absent")
    data = next((child for child in elements(signed.element) if local(child).startswith("SenderProvided")), None)
    if len(boxes) > 1 or data is None:
        return _Verdict("invalid: подпись не относится к данным отправителя")
    try:
        sender = xmldsig.verify(
            signed.root,
            answers.only_signature(boxes[0]),
            expected=data,
            escaping=reading.escaping,
            within=verified,
        )
    except SignatureRejected as error:
        return _Verdict(f"invalid: {error.reason}")
    subject = sender.certificate.subject
    if not sender.ok:
        return _Verdict(f"invalid: {sender.reason}", subject)
    against = reading.sender_trust(sender.certificate, sender.chain)
    return _Verdict(f"untrusted: {against}" if against else "valid", subject)


def _read(envelope: bytes, verified: Verified, verdict: _Verdict, version: str, reading: Reading) -> Incoming:
    tree = xml.parse(verified.octets)
    content = contents.read(tree, verified.octets, TYPES + version)
    headers = {
        header.CONNECTOR: reading.connector,
        header.VERSION: version,
        **content.headers,
        header.SIGNER_SUBJECT: verified.certificate.subject,
        header.SIGNER_FINGERPRINT: verified.certificate.fingerprint,
        header.SENDER_SIGNATURE: verdict.words,
    }
    if verdict.subject:
        headers[header.SENDER_SIGNER_SUBJECT] = verdict.subject
    if content.attachments:
        headers[header.ALERT] = (
            "К сообщению приложены файлы: сохранены их заголовки, содержимое этой версией шины не забирается. "
            "При необходимости запросите файлы у отправителя"
        )
    message = Message(
        kind=content.kind,
        body=content.body,
        headers=headers,
        attachments=content.attachments,
        source=reading.connector,
        external_id=content.external_id,
        received=envelope,
        fingerprint=content.fingerprint,
        outcome=content.outcome,
        in_reply_to=content.in_reply_to,
    )
    return Incoming(message, content.message_id)


def torn(octets: bytes, reading: Reading, detail: str) -> Incoming | None:
    """An answer that broke off: what came is kept. Nothing is acknowledged, so the message itself comes again.

    None: it broke off before any message began, there is nothing to keep.
    """
    if not any(holder.encode() in octets for holder, _ in _DELIVERING.values()):
        return None
    problem = xml.TruncatedXml(
        "Ответ СМЭВ оборвался, сохранена полученная часть. Само сообщение осталось в очереди СМЭВ, шина спросит его "
        "снова: эту запись можно отклонить",
        detail=detail,
    )
    return replace(_kept(octets, reading, problem, UNREADABLE_KIND, answers.claimed_id(octets)), ack_id="")


def oversized(file: BufferedIOBase, reading: Reading, most_bytes: int) -> Incoming:
    """An answer too long for memory: kept whole, never parsed."""
    problem = MalformedXml(
        f"Ответ СМЭВ больше {most_bytes // 1024 // 1024} МБ: он сохранён целиком, но не разобран. Попросите "
        "отправителя передать большие данные вложением и прислать новое сообщение"
    )
    claimed, fingerprint = _look_through(file)
    return _kept(file, reading, problem, UNREADABLE_KIND, claimed, fingerprint=fingerprint)


def _kept(
    envelope: bytes | BufferedIOBase,
    reading: Reading,
    problem: Permanent,
    kind: str,
    claimed: str,
    version: str = "",
    *,
    fingerprint: str = "",
) -> Incoming:
    """An answer that must not be handled: all its bytes, the reason, and the id it claims, if one can be told.

    The claimed id is nobody's word: kept as the external id it would shut out the true message of that id.
    """
    if isinstance(envelope, bytes):
        fingerprint = _unverified_fingerprint(envelope)
    headers = {header.CONNECTOR: reading.connector}
    if version:
        headers[header.VERSION] = version
    if claimed:
        headers[header.MESSAGE_ID] = claimed
    message = Message(
        kind=kind,
        body=b"",
        headers=headers,
        source=reading.connector,
        external_id=f"unverified:{claimed}:{fingerprint}" if claimed else f"sha256:{fingerprint}",
        received=envelope,
        fingerprint=fingerprint,
    )
    return Incoming(message, claimed, problem)


def _claimed_id_of(element: etree._Element, envelope: bytes) -> str:
    """MessageId where the schema puts it, in an element that nothing vouches for."""
    found = [
        words(child)
        for meta in elements(element)
        if local(meta) == "MessageMetadata"
        for child in elements(meta)
        if local(child) == "MessageId"
    ]
    if len(found) == 1 and contents.is_uuid(found[0]):
        return found[0].lower()
    return answers.claimed_id(envelope)


def _unverified_fingerprint(envelope: bytes) -> str:
    """Equal for a redelivery (other delivery metadata, other signature), never equal to a verified message's."""
    start = envelope.find(_SENDERS_PART)
    end = envelope.rfind(_SENDERS_PART)
    part = envelope[start:end] if 0 <= start < end else envelope
    return hashlib.sha256(_UNVERIFIED + part).hexdigest()


def _look_through(file: BufferedIOBase) -> tuple[str, str]:
    """(claimed id, `_unverified_fingerprint`) of a file, piece by piece."""
    ids: set[str] = set()
    marks: list[int] = []
    position, tail = 0, b""
    file.seek(0)
    while piece := file.read(_PIECE_BYTES):
        window = tail + piece
        ids |= answers.claimed_ids(window)
        first, last = window.find(_SENDERS_PART), window.rfind(_SENDERS_PART)
        marks += [position - len(tail) + one for one in (first, last) if one >= 0]
        position += len(piece)
        tail = window[-_OVERLAP_BYTES:]
    start, end = (min(marks), max(marks)) if marks else (0, 0)
    left = end - start or position
    file.seek(start if end > start else 0)
    digest = hashlib.sha256(_UNVERIFIED)
    while left and (piece := file.read(min(left, _PIECE_BYTES))):
        digest.update(piece)
        left -= len(piece)
    return answers.one_id(ids), digest.hexdigest()
