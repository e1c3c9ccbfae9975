"""Comments and instructions in the middle of a value: two readers must not see two ids, so the whole text is used.

`aa<!-- -->bb` is `aabb` for canonical XML (so a comment can be slipped into what is signed), and `aa` for whoever
reads `Element.text`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from lxml import etree
from pydantic import BaseModel

from connectors.http import soap
from connectors.smev3 import answers
from core import stages, xml
from core.message import Message
from core.signatures import xmldsig
from routes.zags import registry

pytestmark = pytest.mark.feature("BUS-14")

ID = "0d2a4a3e-6f0f-11ee-8c99-0242ac120002"
ORIGINAL = "5f0b7c1c-6f0f-11ee-8c99-0242ac120002"
WEDGES = ["<!-- -->", "<?p q?>", "<!----><?p?><!-- x -->", "<![CDATA[]]>"]


def split(text: str, wedge: str) -> str:
    return text[:3] + wedge + text[3:]


@pytest.mark.feature("SMEV-04")
@pytest.mark.parametrize("signed_with_it", [True, False])
@pytest.mark.parametrize("wedge", WEDGES)
def test_ids_in_a_signed_request_are_read_whole(make, read, wedge: str, signed_with_it: bool) -> None:
    def wedged(envelope: bytes) -> bytes:
        for value in (ID, "ZAGS_3T", "TFOMS_3T", "messageIsDelivered"):
            envelope = envelope.replace(f">{value}<".encode(), f">{split(value, wedge)}<".encode())
        return envelope

    plain = read(make.request())
    if signed_with_it:
        envelope = make.sign(wedged(unsigned(make.request(sender=None))), "SIGNED_BY_SMEV")
    else:
        envelope = wedged(make.request())
    incoming = read(envelope)
    assert incoming.problem is None
    assert incoming.ack_id == ID
    assert incoming.message.external_id == ID
    for name in ("smev.message_id", "smev.sender", "smev.recipient", "smev.delivery_status"):
        assert incoming.message.headers[name] == plain.message.headers[name]


def unsigned(envelope: bytes) -> bytes:
    begin = envelope.index(b"<ds:Signature")
    return envelope[:begin] + b"@SMEV@" + envelope[envelope.index(b"</t:SMEVSignature>") :]


@pytest.mark.feature("SMEV-04")
@pytest.mark.parametrize("wedge", WEDGES)
def test_a_reply_and_its_texts_are_read_whole(make, read, wedge: str) -> None:
    content = (
        "<t:RequestStatus><t:StatusCode>10</t:StatusCode><t:StatusParameter><t:Key>ab</t:Key>"
        "<t:Value>Лесная, 5</t:Value></t:StatusParameter><t:StatusDescription>Принято</t:StatusDescription>"
        "</t:RequestStatus>"
    )
    envelope = make.response(content).decode()
    for value in (ORIGINAL, "Принято", "Лесная, 5"):
        envelope = envelope.replace(f">{value}<", f">{split(value, wedge)}<")
    incoming = read(envelope.encode())
    assert incoming.problem is None
    assert incoming.message.in_reply_to == ORIGINAL
    body = json.loads(incoming.message.body)
    assert body["texts"] == ["Принято"]
    assert body["parameters"] == {"ab": "Лесная, 5"}


@pytest.mark.parametrize("wedge", WEDGES)
def test_an_id_that_nothing_vouches_for_is_read_whole_too(make, read, wedge: str) -> None:
    envelope = make.request().replace(b"ZAGS_3T", b"EVIL_3T")
    envelope = envelope.replace(f"MessageId>{ID}<".encode(), f"MessageId>{split(ID, wedge)}<".encode())
    incoming = read(envelope)
    assert incoming.problem is not None
    assert incoming.message.headers["smev.message_id"] == ID


@pytest.mark.parametrize("wedge", WEDGES)
def test_faults_are_read_whole(make, wedge: str) -> None:
    detail = "<b:RealTotalAttachmentSize>12345</b:RealTotalAttachmentSize>"
    envelope = make.fault("AttachmentSizeLimitExceeded", detail, description="SMEV-403:Много").decode()
    envelope = envelope.replace("12345", split("12345", wedge)).replace("SMEV-403", split("SMEV-403", wedge))
    with pytest.raises(answers.Refused) as refused:
        answers.open_envelope(envelope.encode())
    assert refused.value.fault.number == "SMEV-403"
    assert refused.value.fault.values["RealTotalAttachmentSize"] == "12345"


@pytest.mark.parametrize("wedge", WEDGES)
@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_a_fault_of_a_partner_keeps_its_code(version: str, wedge: str) -> None:
    octets = soap.fault(version, 500, "x", "Сбой").decode()
    for value in ("s:Server<", "s:Receiver<", "Сбой<"):
        octets = octets.replace(value, split(value, wedge))
    assert soap.read_fault(xml.parse(octets.encode())) == ("Server" if version == "1.1" else "Receiver", "Сбой")


class Line(BaseModel):
    sum: str


class Bill(BaseModel):
    number: str
    lines: list[Line] = []


@pytest.mark.parametrize("wedge", WEDGES)
def test_a_field_of_a_body_is_bound_whole(wedge: str) -> None:
    number, price = split("12345", wedge), split("100.00", wedge)
    text = f"<bill>{wedge}<number>{number}</number><lines>{wedge}<sum>{price}</sum></lines></bill>"
    assert stages.bind(etree.fromstring(text), Bill) == Bill(number="12345", lines=[Line(sum="100.00")])


@pytest.mark.parametrize("wedge", WEDGES)
def test_a_record_of_a_registry_keeps_its_number_and_its_order(wedge: str) -> None:
    def document(change: Callable[[str], str]) -> bytes:
        return (
            f'<d:Notice xmlns:d="{registry.DIRECTIVE}" xmlns:z="urn:z"><d:Registry><d:RegistryRecord>'
            f"<d:RecordId>{change('123456')}</d:RecordId><d:Record><d:RecordContent><z:Акт><z:ФИОУмер>"
            f"<z:Фамилия>{change('Лесная')}</z:Фамилия></z:ФИОУмер></z:Акт></d:RecordContent></d:Record>"
            "</d:RegistryRecord></d:Registry></d:Notice>"
        ).encode()

    class Noting:
        message = Message("zags", b"")

        def note(self, words: str) -> None: ...

    context: Any = Noting()
    plain, wedged = (
        next(registry.split(xml.parse(document(change)), context))
        for change in (lambda text: text, lambda text: split(text, wedge))
    )
    assert wedged.headers[registry.RECORD_ID] == "123456"
    assert wedged.key == plain.key


@pytest.mark.feature("SMEV-04")
@pytest.mark.parametrize("wedge", WEDGES[:3])
@pytest.mark.parametrize("name", ["DigestValue", "SignatureValue", "X509Certificate"])
def test_a_value_of_a_signature_has_nothing_in_it_but_text(make, read, name: str, wedge: str) -> None:
    envelope = make.request(sender=None).replace(f"<ds:{name}>".encode(), f"<ds:{name}>A{wedge}".encode())
    problem = read(envelope).problem
    assert problem is not None
    assert "посторонние узлы" in problem.reason


def test_a_signed_id_is_found_whatever_stands_beside_it(make) -> None:
    root = xml.parse(make.request().replace(b"<t:Request Id", b"<!-- Id='SIGNED_BY_SMEV' --><t:Request Id"))
    assert xmldsig.element_by_id(root, "SIGNED_BY_SMEV").tag.endswith("Request")
