"""The document of our question about a СНИЛС: made from the registry, checked by the schema before it leaves."""

from __future__ import annotations

import re
from typing import Final

from lxml import etree

from connectors.smev3 import messages
from core import stages
from core.errors import Permanent
from core.message import Message
from core.questions import Question
from core.route import Format
from routes.erz import api as erz
from routes.sfr.settings import settings

VERSION: Final = "1.0.1"
NAMESPACE: Final = "http://kvs.pfr.com/snils-by-additionalData/1.0.1"
COMMONS: Final = "urn://x-artefacts-smev-gov-ru/supplementary/commons/1.0.1"
SCHEMA: Final = "sfr/snils/v1/snils-by-additional-data.xsd"

_FORMAT: Final = Format(VERSION, root=f"{{{NAMESPACE}}}SnilsByAdditionalDataRequest", schema=SCHEMA)
_GENDERS: Final = {1: "Male", 2: "Female"}
_CERTIFICATE: Final = re.compile(r"([IVXLCDM]{1,3}-[А-Я]{2}) ([0-9]{6})")
_ISSUER: Final = re.compile(r"[а-яА-ЯёЁ0-9\-][а-яА-ЯёЁ0-9\-\s',.]{0,199}")


def _asked_by_hand(payload: bytes) -> Message:
    return messages.request(
        payload,
        kind="sfr.snils.request",
        version=VERSION,
        sink=settings().sink,
        reply_within_s=settings().reply_within_s,
    )


by_hand = Question(
    "sfr.snils.request",
    title="СФР: СНИЛС по дополнительным сведениям",
    form=_FORMAT,
    make=_asked_by_hand,
    hint="Ответ будет виден здесь и в журнале, в реестр он не попадёт. Чтобы СНИЛС записался человеку из реестра, "
    "поставьте в очередь команду sfr.snils.ask с его номером.",
)


def question(person: erz.PersonCard) -> bytes:
    """SnilsByAdditionalDataRequest, with the birth certificate where its form is what СФР takes.

    Raises Permanent when the registry does not know enough; SchemaViolation when a name has letters that the
    schema does not allow.
    """
    if person.birth_date is None or not person.birth_is_exact or person.sex not in _GENDERS:
        raise Permanent(
            f"Для запроса СНИЛС человека {person.id} нужны полная дата рождения и пол: дополните карточку и повторите"
        )
    root = etree.Element(_FORMAT.root, nsmap={"ns": NAMESPACE, "c": COMMONS})
    for name, value in (
        ("FamilyName", person.surname),
        ("FirstName", person.given),
        ("Patronymic", person.patronymic),
    ):
        if value:
            etree.SubElement(root, f"{{{COMMONS}}}{name}").text = value
    etree.SubElement(root, f"{{{NAMESPACE}}}BirthDate").text = person.birth_date.isoformat()
    etree.SubElement(root, f"{{{NAMESPACE}}}Gender").text = _GENDERS[person.sex]
    _add_certificate(root, person)
    stages.validate(_FORMAT, root)
    return etree.tostring(root, encoding="UTF-8")


def _add_certificate(root: etree._Element, person: erz.PersonCard) -> None:
    """The document is optional: one whose form does not fit is left out rather than refused."""
    match = _CERTIFICATE.fullmatch(person.certificate)
    issuer = " ".join(person.certificate_office.replace("№", "").split())
    if match is None or person.certificate_date is None or not _ISSUER.fullmatch(issuer):
        return
    certificate = etree.SubElement(root, f"{{{COMMONS}}}BirthCertificate")
    for name, value in (
        ("Series", match[1]),
        ("Number", match[2]),
        ("IssueDate", person.certificate_date.isoformat()),
        ("Issuer", issuer),
    ):
        etree.SubElement(certificate, f"{{{COMMONS}}}{name}").text = value
