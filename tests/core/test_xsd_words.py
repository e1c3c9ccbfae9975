"""libxml2's own words about documents that it refused, told in Russian."""

from __future__ import annotations

import pytest
from lxml import etree

from core.settings import HOUSE
from core.xsd_words import in_russian

SCHEMA = etree.XMLSchema(
    etree.XML("""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:a"
    elementFormDefault="qualified">
  <xs:element name="A"><xs:complexType><xs:sequence>
    <xs:element name="Born" type="xs:date"/>
    <xs:element name="Sex"><xs:simpleType><xs:restriction base="xs:string">
      <xs:enumeration value="М"/><xs:enumeration value="Ж"/></xs:restriction></xs:simpleType></xs:element>
    <xs:element name="Code" minOccurs="0"><xs:simpleType><xs:restriction base="xs:string">
      <xs:pattern value="[0-9]{3}"/></xs:restriction></xs:simpleType></xs:element>
    <xs:element name="Name" minOccurs="0"><xs:simpleType><xs:restriction base="xs:string">
      <xs:maxLength value="3"/></xs:restriction></xs:simpleType></xs:element>
  </xs:sequence><xs:attribute name="id" type="xs:int" use="required"/></xs:complexType></xs:element></xs:schema>""")
)  # fmt: skip
GOOD = "<Born>2020-01-01</Born><Sex>М</Sex>"


@pytest.mark.feature("BUS-04", "BUS-08")
@pytest.mark.parametrize(
    ("document", "words"),
    [
        (f'<A xmlns="urn:a">{GOOD}</A>', "A: не хватает атрибута id"),
        (f'<A xmlns="urn:a" id="x">{GOOD}</A>', "A, атрибут id: недопустимое значение «x»"),
        (f'<A xmlns="urn:a" id="1" no="1">{GOOD}</A>', "A: атрибут no не предусмотрен"),
        ('<A xmlns="urn:a" id="1"><Born>вчера</Born><Sex>М</Sex></A>', "Born: «вчера» — не дата ГГГГ-ММ-ДД"),
        ('<A xmlns="urn:a" id="1"><Born>2020-01-01</Born></A>', "A: не хватает вложенного элемента: Sex"),
        ('<A xmlns="urn:a" id="1"><Sex>М</Sex></A>', "Sex: этого элемента здесь быть не должно; ожидается: Born"),
        (f'<A xmlns="urn:a" id="1">{GOOD.replace("М", "Х")}</A>', "Sex: значения «Х» нет в списке допустимых"),
        (f'<A xmlns="urn:a" id="1">{GOOD}<Code>12a</Code></A>', "Code: значение «12a» не по образцу"),
        (f'<A xmlns="urn:a" id="1">{GOOD}<Name>Семён</Name></A>', "Name: длина 5, а допустимая — 3"),
        (f'<A xmlns="urn:a" id="1">слова{GOOD}</A>', "A: текста здесь быть не должно"),
        ('<B xmlns="urn:a"/>', "B: такого корневого элемента в схеме нет"),
    ],
    ids=["attribute", "value", "extra", "date", "missing", "place", "list", "pattern", "length", "text", "root"],
)
def test_a_saying_in_russian(document: str, words: str) -> None:
    assert not SCHEMA.validate(etree.XML(document))
    assert in_russian(next(iter(SCHEMA.error_log)).message) == words  # type: ignore[call-overload]


def test_what_is_not_known_stays() -> None:
    assert in_russian(" Something {urn:a}else ") == "Something else"


@pytest.mark.feature("BUS-08")
def test_the_invalid_samples_of_a_kind_are_told_in_russian() -> None:
    folder = HOUSE / "schemas/zags/death/v1"
    schema = etree.XMLSchema(etree.parse(folder / "fatalzp.xsd"))
    told = []
    for sample in sorted((folder / "samples/invalid").glob("*.xml")):
        schema.validate(etree.parse(sample))
        told += [in_russian(entry.message) for entry in schema.error_log]  # type: ignore[attr-defined]
    assert len(told) > 5
    assert [words for words in told if " is " in words] == []
