"""The signatures of a message in words: who signed what, with which certificate, checked when and with which result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from core import masking
from core.access.person import Person
from core.contents import PERSONAL, examined
from core.evidence import signatures

if TYPE_CHECKING:
    from core.bus import Bus

_SIGNED: Final = {
    "SenderProvidedRequestData": "данные отправителя запроса",
    "SenderProvidedResponseData": "данные отправителя ответа",
    "Request": "сообщение целиком (подпись СМЭВ)",
    "Response": "ответ целиком (подпись СМЭВ)",
    "RequestMessage": "сообщение целиком (подпись СМЭВ)",
    "ResponseMessage": "ответ целиком (подпись СМЭВ)",
    "AsyncProcessingStatusData": "статус обработки (подпись СМЭВ)",
}
_VERDICTS: Final = {
    "valid": "подпись системы отправителя верна, её сертификату есть доверие",
    "absent": "системой отправителя не подписано",
    "ignored": "подпись системы отправителя по настройке не проверялась",
}


@dataclass(frozen=True, slots=True)
class SignatureWords:
    """One signature, checked now. what: which part it covers; reason: "" when it holds."""

    what: str
    where: str
    ok: bool
    reason: str
    owner: str = ""
    issuer: str = ""
    serial: str = ""
    not_before: datetime | None = None
    not_after: datetime | None = None
    algorithm: str = ""
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Explained:
    """verdicts: sentences about what was checked when the message came. signatures: those of the envelope and body."""

    verdicts: list[str]
    signatures: list[SignatureWords]
    at: datetime


def explain(bus: Bus, message_id: UUID, person: Person) -> Explained:
    """In the audit before it is told. Owners of certificates who are persons are masked by role.

    Raises Permanent when there is no such message.
    """
    found = examined(bus, message_id, person, "подписи")
    made = []
    for name, octets in (("конверт", found.received), ("тело", found.body)):
        for one in signatures.in_document(name, octets) if octets else ():
            made.append(_words(name, one.facts, masked=not person.may(PERSONAL)))
    return Explained(_verdicts(found.headers, masked=not person.may(PERSONAL)), made, found.accepted_at)


def _words(where: str, facts: Mapping[str, str], *, masked: bool) -> SignatureWords:
    element = str(facts.get("element", "")).rpartition("}")[2]
    owner, issuer = str(facts.get("subject", "")), str(facts.get("issuer", ""))
    return SignatureWords(
        what=_SIGNED.get(element, f"элемент {element}" if element else "неизвестно"),
        where=where,
        ok=bool(facts["ok"]),
        reason=str(facts.get("reason", "")),
        owner=masking.masked_subject(owner) if masked else owner,
        issuer=issuer,
        serial=str(facts.get("serial", "")),
        not_before=_moment(facts.get("not_before")),
        not_after=_moment(facts.get("not_after")),
        algorithm=str(facts.get("algorithm", "")),
        fingerprint=str(facts.get("fingerprint", "")),
    )


def _verdicts(headers: Mapping[str, str], *, masked: bool) -> list[str]:
    """From the headers that a connector wrote when it took the message in."""
    said = []
    for name, value in sorted(headers.items()):
        shown = masking.masked_subject(value) if masked else value
        if name.endswith("sender_signature"):
            said.append(_sentence(_VERDICTS.get(value) or f"подпись системы отправителя: {_russian(value)}"))
        elif name.endswith("sender_signer_subject"):
            said.append(f"Система отправителя подписала сертификатом: {shown}.")
        elif name.endswith("signer_subject"):
            said.append(f"Подпись СМЭВ проверена и верна. Сертификат: {shown}.")
    return said


def _russian(verdict: str) -> str:
    word, _, reason = verdict.partition(": ")
    words = {"invalid": "неверна", "untrusted": "верна, но сертификату нет доверия"}.get(word, word)
    return f"{words}: {reason}" if reason else words


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
