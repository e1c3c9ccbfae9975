"""What we take for valid is valid by the published schemas too, where they are at hand (../shared; skipped without)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lxml import etree

from core.settings import HOUSE
from simulators.payloads import ffoms, sfr, zags
from simulators.payloads.people import people

SHARED = HOUSE.parent / "shared" / "smev3"
PUBLISHED = SHARED / "vs"
pytestmark = pytest.mark.skipif(not PUBLISHED.is_dir(), reason="нет опубликованных схем (../shared/smev3/vs)")


def schema(*parts: str) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(PUBLISHED.joinpath(*parts)))


def problems(validator: etree.XMLSchema, document: etree._Element) -> list[str]:
    return [] if validator.validate(document) else [f"{one.line}: {one.message}" for one in validator.error_log]


def samples(kind: str) -> list[Path]:
    return sorted((HOUSE / "schemas" / kind / "samples" / "valid").glob("*.xml"))


@pytest.mark.parametrize("path", samples("ffoms/services/v1"), ids=lambda path: path.name)
def test_rendered_services(path: Path) -> None:
    published = schema("GetInsuredRenderedMedicalServices-1.0.0", "GetInsuredRenderedMedicalServices.xsd")
    assert problems(published, etree.parse(path).getroot()) == []


@pytest.mark.parametrize("path", samples("sfr/snils/v1"), ids=lambda path: path.name)
def test_snils_by_additional_data(path: Path) -> None:
    published = schema("snils-by-additionalData-1.0.1", "snils-by-additionalData-1.0.1.xsd")
    assert problems(published, etree.parse(path).getroot()) == []


@pytest.mark.parametrize(
    "path", sorted((HOUSE / "schemas/ffoms/services/v1/samples/invalid").glob("*.xml")), ids=lambda path: path.name
)
def test_what_we_refuse_of_rendered_services_the_published_schema_refuses_too(path: Path) -> None:
    published = schema("GetInsuredRenderedMedicalServices-1.0.0", "GetInsuredRenderedMedicalServices.xsd")
    try:
        document = etree.parse(path).getroot()
    except etree.XMLSyntaxError:
        return
    assert problems(published, document) != []


def test_generated_payloads() -> None:
    asker = people(5, 1)[0]
    services = schema("GetInsuredRenderedMedicalServices-1.0.0", "GetInsuredRenderedMedicalServices.xsd")
    assert problems(services, etree.fromstring(ffoms.query(asker))) == []
    snils = schema("snils-by-additionalData-1.0.1", "snils-by-additionalData-1.0.1.xsd")
    question = (HOUSE / "schemas/sfr/snils/v1/samples/valid/question-with-certificate.xml").read_bytes()
    assert problems(snils, etree.fromstring(sfr.answer(question))) == []


# ЕГР ЗАГС 4.0.1 is not published for the fund; the sibling kind has the same named types (FACTS §12.2).
SHARED_TYPES = {
    "ОрганЗАГС": "ОрганЗАГСТип",
    "СведСвидет": "СведСвидетТип",
    "СвидетРожд": "СведСвидетТип",
    "ФИОУмер": "ФИОПрТип",
    "ФИОРожд": "ФИОПрТип",
    "ДатаРождДок": "ДатаДокТип",
    "ДатаСмертДок": "ДатаДокТип",
    "МестоРожден": "МестоТип",
    "МестоСмерт": "МестоТип",
    "Гражданство": "ГражданствоТип",
    "УдЛичнФЛ": "УдЛичнФЛТип",
    "СведИспрАГС": "СведИзмАГСТип",
    "СведАннулирАГС": "СведИзмАГСТип",
    "СведДокРод": "СведДокТип",
}


def sibling(kind: str, root: str, folder: Path) -> etree.XMLSchema:
    """The sibling's types, moved into our namespace, with our elements declared by them."""
    ours = f"urn://x-artefacts-zags-{kind}/types/4.0.1"
    types = (PUBLISHED / "zags-fataloiv-4.0.0/commons/zags-fataloiv-types.xsd").read_text(encoding="utf-8")
    moved = re.sub("urn://x-artefacts-zags-fataloiv/types/4.0.0", ours, types)
    (folder / "types.xsd").write_text(moved, encoding="utf-8")
    elements = "".join(f'<xs:element name="{name}" type="t:{type_}"/>' for name, type_ in SHARED_TYPES.items())
    text = (
        f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:t="{ours}" targetNamespace="{root}">'
        f'<xs:import namespace="{ours}" schemaLocation="types.xsd"/>{elements}</xs:schema>'
    )
    (folder / "root.xsd").write_text(text, encoding="utf-8")
    return etree.XMLSchema(etree.parse(folder / "root.xsd"))


@pytest.mark.parametrize(
    ("kind", "root", "folder"),
    [("fatalzp", zags.DEATH, "zags/death/v1"), ("rogdzp", zags.BIRTH, "zags/birth/v1")],
)
def test_parts_of_civil_acts_by_the_types_of_the_sibling(kind: str, root: str, folder: str, tmp_path: Path) -> None:
    published = sibling(kind, root, tmp_path)
    seen = set()
    for path in samples(folder):
        for element in etree.parse(path).getroot().iter(*(f"{{{root}}}{name}" for name in SHARED_TYPES)):
            alone = etree.fromstring(etree.tostring(element, encoding="UTF-8", with_tail=False))
            assert problems(published, alone) == [], path.name
            seen.add(etree.QName(element).localname)
    assert len(seen) >= 6


@pytest.mark.parametrize("folder", ["zags/death/v1", "zags/birth/v1"])
def test_a_notice_by_the_published_directive(folder: str) -> None:
    directive = etree.XMLSchema(etree.parse(SHARED / "schemas/1.3/smev-message-exchange-directive-1.3.xsd"))
    path = HOUSE / "schemas" / folder / "samples/valid/notice-two-records.xml"
    registry = etree.parse(path).getroot()[0]
    assert problems(directive, etree.fromstring(etree.tostring(registry, encoding="UTF-8"))) == []
