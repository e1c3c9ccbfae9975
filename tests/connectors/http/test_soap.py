"""SOAP clients at the intake: a real zeep client, both versions, faults that it understands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import zeep
from lxml import etree
from zeep.exceptions import Fault
from zeep.transports import Transport

SPACES = {"1.1": "http://schemas.xmlsoap.org/soap/envelope/", "1.2": "http://www.w3.org/2003/05/soap-envelope"}
INTAKE = "urn:omsbus:intake:1"
DEATH = '<d:Death xmlns:d="urn://demo/death/1.0"><d:Surname>Лесная</d:Surname></d:Death>'


def envelope(inside: str, version: str = "1.1", header: str = "") -> bytes:
    text = f'<s:Envelope xmlns:s="{SPACES[version]}">{header}{inside}</s:Envelope>'
    return text.encode()


def body(document: str = DEATH) -> str:
    return f"<s:Body>{document}</s:Body>"


def headers(version: str) -> dict[str, str]:
    if version == "1.2":
        return {"Content_Type": "application/soap+xml; charset=utf-8"}
    return {"Content_Type": "text/xml; charset=utf-8", "SOAPAction": '"urn:anything"'}


def fault_of(answer: Any) -> tuple[str, str, str]:
    """(code without its prefix, text, code of the IntakeFault) of a fault of either version."""
    root = etree.fromstring(answer.content)
    version = next(name for name, space in SPACES.items() if root.tag == f"{{{space}}}Envelope")
    (fault,) = root.iter(f"{{{SPACES[version]}}}Fault")
    detail = next(fault.iter(f"{{{INTAKE}}}IntakeFault"))
    if version == "1.1":
        return fault.findtext("faultcode").split(":")[1], fault.findtext("faultstring"), detail.get("code")
    space = {"s": SPACES["1.2"]}
    code = fault.findtext("s:Code/s:Value", namespaces=space).split(":")[1]
    return code, fault.findtext("s:Reason/s:Text", namespaces=space), detail.get("code")


@pytest.fixture
def client_of() -> Iterator[Callable[..., Any]]:
    """A zeep service of a queue: `client_of(url, "11", token)`."""
    with requests.Session() as session:

        def make(url: str, number: str, token: str = "", key: str = "") -> Any:
            if token:
                session.headers["Authorization"] = f"Bearer {token}"
            if key:
                session.headers["Idempotency-Key"] = key
            client = zeep.Client(f"{url}?wsdl", transport=Transport(session=session, timeout=10))
            return client.bind("Intake", f"Intake{number}")

        yield make


@pytest.mark.feature("TECH-03")
@pytest.mark.parametrize("number", ["11", "12"])
def test_a_zeep_client_submits_by_the_wsdl_of_the_queue_and_reads_the_answer(web_of, client_of, token, number) -> None:
    web = web_of()
    service = client_of(f"{web.url}/in/erz.lists", number, token, key="k-1")
    document = etree.fromstring(DEATH)
    first = service.Submit(_value_1=[document])
    second = service.Submit(_value_1=[document])
    assert [first.repeated, second.repeated] == [False, True]
    assert first.messageId == second.messageId == str(web.rows()[0][0])
    assert b"\xd0\x9b\xd0\xb5\xd1\x81" in web.bodies()[0]
    assert web.rows()[0][3]["http.sender"] == "smo1"


@pytest.mark.feature("TECH-03")
@pytest.mark.parametrize("number", ["11", "12"])
def test_zeep_raises_our_fault_with_its_russian_text(web_of, client_of, token, number) -> None:
    web = web_of()
    service = client_of(f"{web.url}/in/erz.lists", number, token, key="k-1")
    service.Submit(_value_1=[etree.fromstring(DEATH)])
    with pytest.raises(Fault, match="уже принято другое содержимое") as caught:
        service.Submit(_value_1=[etree.fromstring(DEATH.replace("Лесная", "Полевая"))])
    assert caught.value.code.split(":")[1] == ("Client" if number == "11" else "Sender")
    assert b"IntakeFault" in etree.tostring(caught.value.detail)


def test_the_wsdl_is_shown_to_those_who_may_post_only(web_of, token, other_token) -> None:
    client = web_of().client
    seen = [
        client.get("/in/erz.lists?wsdl", headers={"Authorization": f"Bearer {given}"} if given else {}).status_code
        for given in (token, other_token, "")
    ]
    assert seen == [200, 403, 401]
    assert client.get("/in/w1?wsdl").status_code == 200
    assert client.get("/in/w1").status_code == 405


def test_the_wsdl_names_the_address_of_the_settings_not_what_a_request_says(web_of) -> None:
    web = web_of(public_url="https://bus.example/in")
    assert b'location="https://bus.example/in/w1"' in web.client.get("/in/w1?wsdl").content
    spoiled = web_of().client.get("/in/w1?wsdl", headers={"Host": 'a"><evil>'})
    assert not list(etree.fromstring(spoiled.content).iter("{*}evil"))


@pytest.mark.parametrize("version", ["1.1", "1.2"])
@pytest.mark.parametrize(
    ("document", "words", "code"),
    [
        pytest.param("", "нет Body", "envelope", id="no body"),
        pytest.param(body() + body(), "один Body", "envelope", id="two bodies"),
        pytest.param(f"<s:Body>{DEATH}{DEATH}</s:Body>", "ровно один документ", "envelope", id="two documents"),
        pytest.param("<s:Body/>", "ровно один документ", "envelope", id="empty body"),
        pytest.param(f"{body()}<s:Header/>", "после Body", "envelope", id="header after body"),
    ],
)
def test_a_wrong_envelope_gets_a_fault_of_its_own_version_and_leaves_nothing(
    web_of, version, document, words, code
) -> None:
    web = web_of()
    answer = web.post("w1", envelope(document, version), **headers(version))
    name, text, told = fault_of(answer)
    assert (answer.status_code, name) == ((500, "Client") if version == "1.1" else (400, "Sender"))
    assert words in text
    assert told == code
    assert web.rows() == []


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_malformed_xml_and_a_dtd_get_a_fault(web_of, version) -> None:
    web = web_of()
    cut = envelope(body(), version)[:-20]
    dtd = b'<!DOCTYPE x [<!ENTITY a "b">]>' + envelope(body("<d>&amp;</d>"), version)
    answers = [web.post("w1", one, **headers(version)) for one in (cut, dtd)]
    assert [fault_of(answer)[2] for answer in answers] == ["xml", "xml"]
    assert "обрывается" in fault_of(answers[0])[1]
    assert "DOCTYPE" in fault_of(answers[1])[1]
    assert web.rows() == []


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_http_keeps_its_status_where_http_must_understand(web_of, version) -> None:
    web = web_of(request_most_bytes=2048, body_most_bytes=1024)
    stranger = web.post("erz.lists", envelope(body(), version), **headers(version))
    assert stranger.status_code == 401
    assert "токен" in fault_of(stranger)[1]
    too_long = web.post("w1", envelope(body("<a>" + "x" * 4000 + "</a>"), version), **headers(version))
    assert too_long.status_code == 413
    assert fault_of(too_long)[2] == "too-long"
    web.bus.intake.stop()
    busy = web.post("w1", envelope(body(), version), **headers(version))
    assert busy.status_code == 503
    assert int(busy.headers["retry-after"]) >= 1
    assert fault_of(busy)[0] == ("Server" if version == "1.1" else "Receiver")


def test_another_version_of_soap_is_a_version_mismatch(web_of) -> None:
    strange = b'<s:Envelope xmlns:s="urn:soap:9"><s:Body><a/></s:Body></s:Envelope>'
    assert fault_of(web_of().post("w1", strange, **headers("1.1")))[0] == "VersionMismatch"


def test_an_envelope_posted_by_a_plain_client_is_a_document_answered_202(web_of) -> None:
    web = web_of()
    content = envelope(body())
    answer = web.post("w1", content, key="a", Content_Type="text/xml")
    assert answer.status_code == 202
    assert web.post("w1", content + b" ", key="a", Content_Type="text/xml").status_code == 409
    assert web.post("w1", envelope(""), Content_Type="text/xml").status_code == 400
    assert web.bodies()[0] == content


def test_a_soap_queue_takes_envelopes_only(web_of) -> None:
    web = web_of(soap_queues=["w1"])
    assert web.post("w1", DEATH.encode(), Content_Type="text/xml").status_code == 400
    assert web.post("w1", b"{}", Content_Type="application/json").status_code == 415
    assert web.post("w1", envelope(body()), Content_Type="text/xml").status_code == 202
