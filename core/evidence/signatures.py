"""The signatures in a package's documents: found, explained and checked, the same way at packing and outside of it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, get_args

from lxml import etree

from core import xml
from core.errors import BusError, SignatureRejected
from core.signatures import cms, xmldsig
from core.signatures.certificate import Certificate
from core.signatures.certificates import TrustStore
from core.signatures.provider import signature_method
from core.signatures.smev_transform import Escaping
from core.signatures.xmldsig import Verified

SIGNATURES_MOST: Final = 200
"""Signatures of one document that are told one by one."""
DETACHED: Final = "SignaturePKCS7"
"""Header of an attachment with its detached signature in base64."""
_PART: Final = re.compile(rb"\A--([^\r\n]{1,200})\r?\n.*?\r?\n\r?\n(.*?)\r?\n--\1", re.DOTALL)
_RESERVED: Final = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Found:
    """One signature. facts: what signatures.json says of it; certificates: of the signer first."""

    facts: dict[str, Any]
    certificates: tuple[Certificate, ...] = ()


def in_document(name: str, octets: bytes) -> list[Found]:
    """The XML signatures of a file of the package; [] when it is no XML or has none.

    Of an envelope with MIME parts the first part is read.
    """
    part = _PART.match(octets)
    try:
        root = xml.parse(part[2] if part else octets)
        best = [_facts(name, *one) for one in _examined(root)]
    except BusError:
        return []
    except etree.LxmlError:
        return []
    return best[:SIGNATURES_MOST]


def _examined(root: etree._Element) -> list[tuple[int, Verified | SignatureRejected, str]]:
    """Every signature with the way of writing texts under which it holds, if it holds under any."""
    ways = get_args(Escaping)
    found: list[tuple[int, Verified | SignatureRejected, str]] = []
    for way in ways:
        examined = [finding for _, finding in xmldsig.examine(root, escaping=way)]
        made = [(number, finding, way) for number, finding in enumerate(examined, 1)]
        found = [
            new if not _holds(old[1]) and _holds(new[1]) else old for old, new in zip(found or made, made, strict=True)
        ]
        if all(_holds(finding) for _, finding, _ in found):
            break
    return found


def _holds(finding: Verified | SignatureRejected) -> bool:
    return isinstance(finding, Verified) and finding.ok


def _facts(name: str, number: int, finding: Verified | SignatureRejected, way: str) -> Found:
    facts: dict[str, Any] = {"file": name, "number": number, "kind": "XMLDSig"}
    if isinstance(finding, SignatureRejected):
        return Found({**facts, "ok": False, "reason": finding.reason})
    facts |= {
        "element": finding.element,
        "element_id": finding.element_id,
        "algorithm": signature_method(finding.algorithm).title,
        "escaping": way,
        "ok": finding.ok,
        "reason": finding.reason,
    }
    return Found({**facts, **_signer(finding.certificate)}, (finding.certificate, *finding.chain))


def is_signed(headers: Mapping[str, str]) -> bool:
    """Did a detached signature come with this attachment?"""
    return bool(_detached(headers))


def _detached(headers: Mapping[str, str]) -> str:
    return next((value for key, value in headers.items() if key.lower() == DETACHED.lower() and value), "")


def of_attachment(name: str, data: bytes | Path, headers: Mapping[str, str]) -> list[Found]:
    """The detached signature that came with an attachment; [] when none did."""
    given = _detached(headers)
    if not given:
        return []
    facts: dict[str, Any] = {"file": name, "number": 1, "kind": "CMS"}
    try:
        report = cms.verify_detached(data, base64.b64decode(given))
    except (binascii.Error, ValueError):
        return [Found({**facts, "ok": False, "reason": "Подпись файла не читается как base64."})]
    except BusError as error:
        return [Found({**facts, "ok": False, "reason": error.reason})]
    facts |= {"ok": report.ok, "reason": report.reason}
    signer = report.signers[:1]
    return [Found({**facts, **(_signer(signer[0]) if signer else {})}, (*report.signers, *report.certificates))]


def trust(found: Found, store: TrustStore, at: datetime) -> dict[str, Any]:
    """Does this store trust the signer, as things were at that moment?"""
    if not found.certificates:
        return {"trusted": False, "trust": "Сертификата нет: доверять некому."}
    signer, *others = found.certificates
    answer = store.check(signer, intermediates=others, at=at)
    return {"trusted": answer.trusted, "trust": answer.reason}


def _signer(certificate: Certificate) -> dict[str, Any]:
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": certificate.serial,
        "fingerprint": certificate.fingerprint,
        "not_before": certificate.not_before.isoformat(),
        "not_after": certificate.not_after.isoformat(),
    }


def certificate_name(found: Found) -> str:
    """Where the signer's certificate lies in the package."""
    file = _RESERVED.sub("-", found.facts["file"].rpartition("/")[2])
    return f"signatures/{file}-{found.facts['number']}.cer"


def same(packed: Sequence[Any], now: Sequence[Found]) -> list[str]:
    """Sentences about what the check at packing and the one now do not agree in."""
    said = []
    before = {(one.get("file"), one.get("number")): one for one in packed if isinstance(one, dict)}
    for found in now:
        one = before.pop((found.facts["file"], found.facts["number"]), None)
        if one is None:
            said.append(f"Подпись {found.facts['number']} в {found.facts['file']} в пакете не описана")
        elif any(
            one.get(key) != value for key, value in found.facts.items() if key in ("ok", "element", "fingerprint")
        ):
            said.append(f"Подпись {found.facts['number']} в {found.facts['file']} описана не так, как она есть")
    said += [f"Описана подпись {number} в {file}, которой там нет" for file, number in before]
    return said
