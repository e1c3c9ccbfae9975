"""Document → XSD → transform → body: pure, without a network, and its refusals name places and no values."""

from __future__ import annotations

import contextlib
import http.server
import threading
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from pydantic import BaseModel, Field

from core import stages
from core.errors import ConfigError, MalformedXml, Permanent, SchemaViolation, UnknownKind
from core.message import Message, Outcome
from core.replies import Reply
from core.route import Format, Route

NS = "urn:test:pet"
SCHEMA = f"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="{NS}" xmlns="{NS}"
    elementFormDefault="qualified">
  <xs:element name="Pet"><xs:complexType><xs:sequence>
    <xs:element name="Name" type="xs:string"/><xs:element name="Born" type="xs:date"/>
  </xs:sequence></xs:complexType></xs:element>
</xs:schema>"""
SHEET = """<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns:p="{ns}"
    exclude-result-prefixes="p"><xsl:template match="/p:Pet">{body}</xsl:template></xsl:stylesheet>"""
PET = "<pet><name><xsl:value-of select='p:Name'/></name><born><xsl:value-of select='p:Born'/></born></pet>"


class Pet(BaseModel):
    name: str
    born: date


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """schemas/ and transformers/ of the test's own."""
    monkeypatch.setattr(stages, "HOUSE", tmp_path)
    monkeypatch.setattr(stages, "_local", threading.local())
    for name in ("schemas", "transformers"):
        (tmp_path / name).mkdir()
    (tmp_path / "schemas" / "pet.xsd").write_text(SCHEMA)
    (tmp_path / "transformers" / "pet.xsl").write_text(SHEET.format(ns=NS, body=PET))
    return tmp_path


def _route(schema: str = "pet.xsd", transform: str = "pet.xsl", body: type[BaseModel] | None = Pet) -> Route:
    return Route("pet", title="", formats=[Format("1", f"{{{NS}}}Pet", schema, transform)], body=body)


def _document(name: str = "Мурка", born: str = "2020-05-17") -> bytes:
    return f'<Pet xmlns="{NS}"><Name>{name}</Name><Born>{born}</Born></Pet>'.encode()


def _apply(route: Route, body: bytes, **fields: Any) -> stages.Body:
    return stages.apply(route, Message(kind="pet", body=body, **fields))


# ── the whole way ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.feature("BUS-08")
def test_a_valid_document_becomes_the_routes_body_and_what_the_transform_made_is_kept(house: Path) -> None:
    found = _apply(_route(), _document())
    assert found.value == Pet(name="Мурка", born=date(2020, 5, 17))
    assert found.output
    assert etree.fromstring(found.output).findtext("name") == "Мурка"


@pytest.mark.feature("BUS-08")
def test_the_format_is_chosen_by_the_root_element(house: Path) -> None:
    route = Route("pet", title="", formats=[Format("1", "{urn:a}Pet"), Format("2", "{urn:b}Pet")])
    assert _apply(route, b'<Pet xmlns="urn:b"/>').value.tag == "{urn:b}Pet"
    with pytest.raises(UnknownKind, match=r"не принимает корневой элемент \{urn:c\}Pet. Известны: \{urn:a\}Pet \(1\)"):
        _apply(route, b'<Pet xmlns="urn:c"/>')


def test_without_a_transform_the_handler_gets_the_document_itself(house: Path) -> None:
    assert _apply(_route(transform="", body=None), _document()).value.tag == f"{{{NS}}}Pet"


@pytest.mark.parametrize("outcome", [Outcome.REJECTION, Outcome.STATUS, Outcome.FAILURE, Outcome.TIMEOUT])
def test_other_outcomes_bring_a_reply_not_a_document(house: Path, outcome: Outcome) -> None:
    reply = Reply(outcome, ("NO_DATA",), ("Сведения не найдены",), {"a": "b"})
    assert _apply(_route(), reply.to_body(), outcome=outcome).value == reply


def test_a_route_without_formats_takes_json(house: Path) -> None:
    route = Route("pet.ask", title="", body=Pet)
    assert _apply(route, b'{"name": "x", "born": "2020-01-01"}').value == Pet(name="x", born=date(2020, 1, 1))
    assert _apply(Route("raw", title=""), b"\x00\xff").value == b"\x00\xff"


@pytest.mark.parametrize(
    ("body", "place"), [(b'{"name": "x"}', "born"), (b'{"name": "x", "born": "s3cret"}', "born"), (b"s3cret", "тело")]
)
def test_a_wrong_command_is_refused_with_its_field_and_without_its_value(body: bytes, place: str) -> None:
    with pytest.raises(SchemaViolation, match=place) as refused:
        _apply(Route("pet.ask", title="", body=Pet), body)
    assert "s3cret" not in refused.value.reason


@pytest.mark.parametrize(
    "body", [b"", b"<Pet", "<Пёс>".encode("cp1251"), b'<!DOCTYPE a [<!ENTITY e "x">]><Pet>&e;</Pet>']
)
def test_what_is_no_sound_xml_is_refused(house: Path, body: bytes) -> None:
    with pytest.raises(MalformedXml):
        _apply(_route(), body)


# ── schemas ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.feature("BUS-08")
@pytest.mark.parametrize(
    "document",
    [_document(born="Иванов"), _document().replace(b"</Pet>", "<СНИЛС>Иванов</СНИЛС></Pet>".encode())],
    ids=["value", "element"],
)
def test_a_schema_violation_names_the_place_and_not_the_value(house: Path, document: bytes) -> None:
    with pytest.raises(SchemaViolation, match=r"не соответствует схеме pet\.xsd: строка 1, ") as refused:
        _apply(_route(), document)
    assert "Pet" in refused.value.reason
    assert "Иванов" not in refused.value.reason
    assert refused.value.detail


def test_of_many_violations_the_first_is_named_and_the_others_counted(house: Path) -> None:
    (house / "schemas" / "pet.xsd").write_text(SCHEMA.replace("xs:string", "xs:date"))
    with pytest.raises(SchemaViolation, match=r"Pet/Name и ещё 1\. "):
        _apply(_route(), _document(born="x"))


LIST = f"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="{NS}" elementFormDefault="qualified">
  <xs:element name="Pet"><xs:complexType><xs:sequence><xs:element name="Row" maxOccurs="9"><xs:complexType>
    <xs:sequence><xs:element name="Day" type="xs:date"/></xs:sequence><xs:attribute name="n" type="xs:int"/>
  </xs:complexType></xs:element></xs:sequence></xs:complexType></xs:element>
</xs:schema>"""
ROWS = "<{p}Pet xmlns{q}='{ns}'>{rows}</{p}Pet>"


@pytest.mark.parametrize("prefix", ["", "d"])
@pytest.mark.parametrize(
    ("bad", "place"),
    [
        ("<{p}Row><{p}Day>x</{p}Day></{p}Row>", "Pet/Row[3]/Day"),
        ("<{p}Row n='x'><{p}Day>2020-01-01</{p}Day></{p}Row>", "Pet/Row[3]"),
        ("<{p}Row/>", "Pet/Row[3]"),
        ("<{p}Raw/>", "Pet/Raw"),
    ],
)
def test_the_place_is_a_way_by_names_whatever_the_prefix(house: Path, prefix: str, bad: str, place: str) -> None:
    (house / "schemas" / "pet.xsd").write_text(LIST)
    p, q = (f"{prefix}:", f":{prefix}") if prefix else ("", "")
    rows = f"<{p}Row><{p}Day>2020-01-01</{p}Day></{p}Row>" * 2 + bad.format(p=p)
    with pytest.raises(SchemaViolation) as refused:
        _apply(_route(), ROWS.format(p=p, q=q, ns=NS, rows=rows).encode())
    assert f", {place}. " in refused.value.reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "Нет схемы"),
        ("<xs:schema", "не компилируется"),
        (SCHEMA.replace("xs:date", "xs:dat"), "не компилируется"),
    ],
)
def test_a_schema_that_is_missing_or_broken_is_a_matter_of_settings(
    house: Path, content: str | None, reason: str
) -> None:
    if content:
        (house / "schemas" / "other.xsd").write_text(content)
    with pytest.raises(ConfigError, match=reason):
        _apply(_route(schema="other.xsd"), _document())


# ── transforms ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.feature("BUS-08")
def test_a_transform_in_python_is_as_good_as_one_in_xslt(house: Path) -> None:
    (house / "transformers" / "pet.v1.py").write_text(
        "def transform(document):\n    return {'name': document[0].text, 'born': document[1].text}\n"
    )
    assert _apply(_route(transform="pet.v1.py"), _document()).value == Pet(name="Мурка", born=date(2020, 5, 17))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.xsl", None, "Нет преобразования"),
        ("x.xsl", "<xsl:stylesheet", "не компилируется"),
        ("x.xsl", SHEET.format(ns=NS, body="<xsl:value-of select='1 +'/>"), "не компилируется"),
        ("x.py", "def transform(", "не загружается"),
        ("x.py", "import no_such_module", "не загружается"),
        ("x.py", "def convert(document): ...", "не загружается"),
    ],
)
def test_a_transform_that_is_missing_or_broken_is_a_matter_of_settings(
    house: Path, name: str, content: str | None, reason: str
) -> None:
    if content:
        (house / "transformers" / name).write_text(content)
    with pytest.raises(ConfigError, match=reason):
        _apply(_route(transform=name), _document())


@pytest.mark.parametrize(
    "body", ["", "<xsl:message terminate='yes'>Иванов</xsl:message>"], ids=["nothing", "terminated"]
)
def test_a_transform_that_fails_quarantines_the_message(house: Path, body: str) -> None:
    (house / "transformers" / "x.xsl").write_text(SHEET.format(ns=NS, body=body))
    with pytest.raises(Permanent, match=r"Преобразование x\.xsl"):
        _apply(_route(transform="x.xsl"), _document())


@pytest.fixture
def asked() -> Any:
    """A web server that notes who asks; (its address, the paths that were asked for)."""
    paths: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<secret>leaked</secret>")

        def log_message(self, *arguments: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", paths
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.feature("BUS-08")
@pytest.mark.parametrize("what", ["file", "network"])
def test_a_transform_may_touch_neither_files_nor_the_network(house: Path, asked: Any, what: str) -> None:
    address, paths = asked
    secret = house / "secret.xml"
    secret.write_text("<secret>leaked</secret>")
    place = secret.as_uri() if what == "file" else f"{address}/secret.xml"
    body = f"<pet><name>x<xsl:value-of select=\"document('{place}')\"/></name><born>2020-01-01</born></pet>"
    (house / "transformers" / "x.xsl").write_text(SHEET.format(ns=NS, body=body))
    try:
        name = _apply(_route(transform="x.xsl"), _document()).value.name
    except Permanent as refused:
        name = refused.reason
    assert "leaked" not in name
    assert paths == []


@pytest.mark.parametrize("where", ["schemas", "transformers"])
def test_our_own_files_import_nothing_from_the_network(house: Path, asked: Any, where: str) -> None:
    address, paths = asked
    if where == "schemas":
        imported = f'<xs:import namespace="urn:x" schemaLocation="{address}/x.xsd"/><xs:element name="Pet"'
        (house / "schemas" / "x.xsd").write_text(SCHEMA.replace('<xs:element name="Pet"', imported))
        route = _route(schema="x.xsd")
    else:
        sheet = SHEET.format(ns=NS, body=PET).replace(
            "<xsl:template", f'<xsl:import href="{address}/x.xsl"/><xsl:template'
        )
        (house / "transformers" / "x.xsl").write_text(sheet)
        route = _route(transform="x.xsl")
    with contextlib.suppress(ConfigError):
        _apply(route, _document())
    assert paths == []


def test_each_thread_compiles_for_itself_and_only_once(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[int] = []
    original = stages.load_transformer

    def counted(path: Path) -> Any:
        compiled.append(threading.get_ident())
        return original(path)

    monkeypatch.setattr(stages, "load_transformer", counted)
    both = threading.Barrier(2)

    def work() -> None:
        both.wait(10)
        for _ in range(3):
            _apply(_route(), _document())

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(compiled) == len(set(compiled)) == 2


def test_threads_do_not_mix_up_each_others_violations(house: Path) -> None:
    wrong: list[str] = []

    def work(line: int) -> None:
        document = b"\n" * line + _document(born="x")
        for _ in range(200):
            try:
                _apply(_route(), document)
            except SchemaViolation as error:
                if f"строка {line + 1}," not in error.reason:
                    wrong.append(error.reason)

    threads = [threading.Thread(target=work, args=(line,)) for line in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# ── binding ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Owner(BaseModel):
    surname: str
    phones: list[str] = []


class Card(BaseModel):
    sum: Decimal
    note: str | None = None
    owner: Owner | None = None
    owners: list[Owner] = []
    maybe: list[Owner] | None = None
    named: str = Field(default="", alias="Имя")


def _bind(xml: str) -> Card:
    card = stages.bind(etree.fromstring(xml), Card)
    assert isinstance(card, Card)
    return card


def test_elements_bind_to_fields_by_name_with_nesting_and_lists() -> None:
    card = _bind(
        "<card><sum>1.50</sum><Имя>Ёж</Имя><owner><surname>А</surname><phones>1</phones><phones>2</phones></owner>"
        "<owners><surname>Б</surname></owners><maybe><surname>В</surname></maybe><!-- c --></card>"
    )
    assert (card.sum, card.named) == (Decimal("1.50"), "Ёж")
    assert card.owner == Owner(surname="А", phones=["1", "2"])
    assert card.owners == [Owner(surname="Б")]
    assert card.maybe == [Owner(surname="В")]


def test_an_empty_element_is_nothing() -> None:
    card = _bind("<card><sum>1</sum><note/><owner/><owners/></card>")
    assert (card.note, card.owner, card.owners) == (None, None, [])


@pytest.mark.parametrize(
    ("xml", "place"),
    [
        ("<card/>", "sum"),
        ("<card><sum>Иванов</sum></card>", "sum"),
        ("<card><sum>1</sum><owner><phones>Иванов</phones></owner></card>", "owner.surname"),
        ("<card><sum>1</sum><owners>Иванов</owners></card>", "owners.0"),
        ("<card><sum>1</sum><note>a</note><note>b</note></card>", "note"),
    ],
)
def test_what_does_not_bind_is_refused_with_its_place_and_without_its_value(xml: str, place: str) -> None:
    with pytest.raises(SchemaViolation, match=place) as refused:
        _bind(xml)
    assert "Иванов" not in refused.value.reason
    assert "Иванов" not in refused.value.detail
