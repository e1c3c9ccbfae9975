"""Sending: identity, envelope, signature, and what the far side's confirmation becomes."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from lxml import etree

from connectors.smev3 import messages as header
from connectors.smev3.identity import made_at, new_message_id
from connectors.smev3.sink import document
from core.errors import ConfigError, MalformedXml, Permanent, SchemaViolation, SignatureRejected, Unavailable
from core.message import Attachment, Message, Outcome
from core.signatures import xmldsig

SNILS = '<s:Request xmlns:s="urn://demo/snils" s:n="1"><s:Name>Лес &gt; поле</s:Name></s:Request>'.encode()
INCOMING = Message(
    kind="{urn://demo}Q",
    body=b"<q/>",
    source="smev.requests",
    headers={
        header.REPLY_TO: "eyJzaWQiOjF9+/=",
        header.VERSION: "1.1",
        header.CONNECTOR: "smev",
        header.MESSAGE_ID: "0d2a4a3e-6f0f-11ee-8c99-0242ac120002",
    },
)


def prepare(smev, message):
    return smev.sinks["smev"].prepare(message)


def payload_of(envelope):
    root = etree.fromstring(envelope)
    (found,) = root.iter("{*}MessagePrimaryContent")
    return found[0]


@pytest.mark.feature("SMEV-01")
def test_message_ids_are_lower_case_version_1_uuids_of_this_moment() -> None:
    before = time.time()
    ids = [new_message_id() for _ in range(2000)]
    assert len(set(ids)) == len(ids)
    for message_id in ids:
        uuid = UUID(message_id)
        assert (uuid.version, message_id) == (1, message_id.lower())
        assert uuid.variant == "specified in RFC 4122"
    assert before - 1 < made_at(ids[0]) <= made_at(ids[-1]) < time.time() + 1


@pytest.mark.feature("SMEV-03")
@pytest.mark.parametrize("version", ["1.1", "1.2", "1.3"])
def test_what_is_prepared_is_signed_by_us_and_is_what_is_sent(smev, far, keys, version) -> None:
    message = header.request(SNILS, kind="demo.snils", smev_version=version)
    prepared = prepare(smev, message)
    (verified,) = xmldsig.verify_all(prepared.body)
    assert verified.ok
    assert verified.element.endswith("}SenderProvidedRequestData")
    assert verified.certificate == keys.identity("fund").certificate
    receipt = smev.sinks["smev"].send(message, prepared, repeated=False)
    (call,) = far.of("SendRequest")
    assert call.body == prepared.body
    assert call.path == f"/smev/v{version}/ws"
    assert receipt.headers == {
        header.DELIVERY_STATUS: "requestIsQueued",
        header.SENDING_TIMESTAMP: "2026-01-15T10:00:00.000+03:00",
        header.RECIPIENT: "SFR_3T",
    }
    assert "SFR_3T" in receipt.note
    assert receipt.answer


def test_the_payload_arrives_octet_by_octet(smev) -> None:
    prepared = prepare(smev, header.request(b"\xef\xbb\xbf<?xml version='1.0'?><!-- c -->\n" + SNILS + b"\n", kind="k"))
    assert SNILS in prepared.body
    assert b"<?xml" not in prepared.body


def test_a_payload_in_another_encoding_is_written_in_utf_8(smev) -> None:
    text = '<?xml version="1.0" encoding="windows-1251"?><s:R xmlns:s="urn:s">Ёж</s:R>'
    prepared = prepare(smev, header.request(text.encode("cp1251"), kind="k"))
    assert payload_of(prepared.body).text == "Ёж"


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"", MalformedXml),
        (b"<a", MalformedXml),
        (b"<a/>", SchemaViolation),
        (b"<!DOCTYPE a><a xmlns='urn:a'/>", MalformedXml),
        (b"<s:a xmlns:s='urn:a'><b/></s:a>", SignatureRejected),
        (b"</b:MessagePrimaryContent><x xmlns='urn:a'/>", MalformedXml),
    ],
)
def test_an_unfit_payload_is_refused_before_it_is_sent(smev, payload, error) -> None:
    with pytest.raises(error) as caught:
        prepare(smev, header.request(payload, kind="k"))
    assert isinstance(caught.value, Permanent)


def test_an_id_of_the_payload_never_collides_with_the_signed_one(smev) -> None:
    payload = b"<s:R xmlns:s='urn:s' Id='SIGNED_BY_CONSUMER'><s:X Id = \"SIGNED_BY_CONSUMER_2\"/></s:R>"
    prepared = prepare(smev, header.request(payload, kind="k"))
    (verified,) = xmldsig.verify_all(prepared.body)
    assert verified.ok
    assert verified.element_id == "SIGNED_BY_CONSUMER_3"


def test_all_fields_of_a_request_stand_in_the_order_of_the_schema(smev) -> None:
    end = datetime.now(UTC) + timedelta(days=2)
    prepared = prepare(
        smev,
        header.request(
            SNILS,
            kind="k",
            reference="5f0b7c1c-6f0f-11ee-8c99-0242ac120002",
            transaction_code="a&b",
            node="n",
            end_of_life=end,
            test=True,
        ),
    )
    data = next(etree.fromstring(prepared.body).iter("{*}SenderProvidedRequestData"))
    names = [etree.QName(child).localname for child in data]
    assert names == [
        "MessageID",
        "ReferenceMessageID",
        "TransactionCode",
        "NodeID",
        "EOL",
        "MessagePrimaryContent",
        "TestMessage",
    ]
    assert [child.text for child in data[:5]] == [
        prepared.external_id,
        "5f0b7c1c-6f0f-11ee-8c99-0242ac120002",
        "a&b",
        "n",
        end.isoformat(timespec="milliseconds"),
    ]


def test_the_first_message_of_a_chain_refers_to_itself(smev) -> None:
    prepared = prepare(smev, header.request(SNILS, kind="k"))
    assert prepared.body.count(prepared.external_id.encode()) == 2


def test_a_past_end_of_life_is_extended_and_can_be_forbidden(smev, smev_with) -> None:
    message = header.request(SNILS, kind="k", end_of_life=datetime.now(UTC) - timedelta(days=1))
    data = next(etree.fromstring(prepare(smev, message).body).iter("{*}EOL"))
    assert datetime.fromisoformat(data.text) > datetime.now(UTC)
    with pytest.raises(Permanent, match="истёк"):
        prepare(smev_with(end_of_life_s=0), message)


@pytest.mark.feature("SMEV-01")
def test_an_answer_goes_to_the_reply_address_through_the_version_it_came_by(smev, far) -> None:
    message = header.answer(INCOMING, SNILS, kind="demo.answer")
    assert (message.queue, message.cause, message.outcome) == ("smev", INCOMING.id, Outcome.ANSWER)
    prepared = prepare(smev, message)
    smev.sinks["smev"].send(message, prepared, repeated=False)
    (call,) = far.of("SendResponse")
    assert call.path == "/smev/v1.1/ws"
    data = next(etree.fromstring(call.body).iter("{*}SenderProvidedResponseData"))
    assert [child.text for child in data[:2]] == [prepared.external_id, "eyJzaWQiOjF9+/="]
    (verified,) = xmldsig.verify_all(call.body)
    assert verified.ok


@pytest.mark.feature("SMEV-01")
def test_a_refusal_and_a_status_are_written_as_the_schema_wants(smev) -> None:
    refused = next(
        etree.fromstring(prepare(smev, header.refusal(INCOMING, "NO_DATA", "Нет & нет")).body).iter(
            "{*}RequestRejected"
        )
    )
    assert [child.text for child in refused] == ["NO_DATA", "Нет & нет"]
    body = prepare(smev, header.status(INCOMING, 7, "В работе", {"a": "1", "б": "<2>"})).body
    status = next(etree.fromstring(body).iter("{*}RequestStatus"))
    assert [etree.QName(c).localname for c in status] == [
        "StatusCode",
        "StatusParameter",
        "StatusParameter",
        "StatusDescription",
    ]
    assert [child.text for child in status.iter("{*}Key", "{*}Value")] == ["a", "1", "б", "<2>"]


def test_a_refusal_with_an_unknown_code_is_a_mistake_of_the_handler() -> None:
    with pytest.raises(Permanent, match="NO_DATA"):
        header.refusal(INCOMING, "SORRY", "Нет")


def test_the_version_is_chosen_by_header_then_kind_then_namespace_then_default(smev_with) -> None:
    smev = smev_with(versions={"demo.kind": "1.1", "urn://demo/snils": "1.2"}, default_version="1.3")
    chosen = [
        prepare(smev, header.request(SNILS, kind="demo.kind", smev_version="1.2")),
        prepare(smev, header.request(SNILS, kind="demo.kind")),
        prepare(smev, header.request(SNILS, kind="other")),
        prepare(smev, header.request(b"<a xmlns='urn:a'/>", kind="other")),
    ]
    assert [prepared.headers[header.VERSION] for prepared in chosen] == ["1.2", "1.1", "1.2", "1.3"]


def test_an_unknown_version_is_refused(smev) -> None:
    with pytest.raises(Permanent, match="endpoints"):
        prepare(smev, header.request(SNILS, kind="k", smev_version="2.0"))


def test_an_attachment_is_refused_and_not_lost_in_silence(smev) -> None:
    with pytest.raises(Permanent, match="вложений"):
        prepare(smev, header.request(SNILS, kind="k", attachments=(Attachment("a.pdf", payload="00"),)))


@pytest.mark.parametrize(
    "headers",
    [
        {header.OPERATION: "SendEverything"},
        {header.OPERATION: header.SEND_RESPONSE},
        {header.OPERATION: header.SEND_RESPONSE, header.TO: "x", header.CONTENT: "poem"},
        {header.OPERATION: header.SEND_RESPONSE, header.TO: "x", header.CONTENT: "rejected"},
        {header.OPERATION: header.SEND_RESPONSE, header.TO: "x" * 4001},
        {header.END_OF_LIFE: "tomorrow"},
    ],
)
def test_headers_made_by_hand_and_wrong_are_refused(smev, headers) -> None:
    with pytest.raises(Permanent):
        prepare(smev, Message(kind="k", body=SNILS, queue="smev", headers=headers))


def test_a_bad_signature_on_the_confirmation_is_noted_and_the_message_is_sent(smev, far, make) -> None:
    message = header.request(SNILS, kind="k")
    prepared = prepare(smev, message)
    far.prepare("SendRequest", make.accepted("SendRequest", "1.3", prepared.body, signer="foreign"))
    receipt = smev.sinks["smev"].send(message, prepared, repeated=False)
    assert "подпись СМЭВ на подтверждении не прошла проверку" in receipt.note
    assert receipt.headers[header.ALERT]
    assert receipt.headers[header.DELIVERY_STATUS] == "requestIsQueued"


def test_the_published_signed_answer_is_read(smev_with, far, shared) -> None:
    smev = smev_with(default_version="1.2")
    message = header.request(SNILS, kind="k")
    prepared = prepare(smev, message)
    far.prepare("SendRequest", (shared / "messages/smev-signed-SendRequestResponse-1.2.xml").read_bytes())
    receipt = smev.sinks["smev"].send(message, prepared, repeated=False)
    assert receipt.headers[header.RECIPIENT] == "GGER03_3T"
    assert "доверия" in receipt.headers[header.ALERT], "её сертификат давно истёк"


def test_no_connection_is_unavailable_and_certainly_nothing_arrived(settings_of) -> None:
    from connectors.smev3.connector import connect

    smev = connect("smev", settings_of("http://127.0.0.1:9"))
    message = header.request(SNILS, kind="k")
    prepared = prepare(smev, message)
    with pytest.raises(Unavailable, match="нет соединения"):
        smev.sinks["smev"].send(message, prepared, repeated=False)


def test_an_envelope_above_the_limit_is_refused(smev_with) -> None:
    smev = smev_with(envelope_most_bytes=4096)
    with pytest.raises(Permanent, match="4096"):
        prepare(smev, header.request(b"<a xmlns='urn:a'>" + b"x" * 5000 + b"</a>", kind="k"))


def test_a_wrong_key_password_stops_the_connector_and_names_no_password(smev_with, monkeypatch) -> None:
    smev = smev_with()
    monkeypatch.setenv("SMEV_TEST_PASSWORD", "не-тот-пароль")
    with pytest.raises(ConfigError) as caught:
        prepare(smev, header.request(SNILS, kind="k"))
    assert "не-тот-пароль" not in f"{caught.value.reason} {caught.value.detail}"


@pytest.mark.parametrize(
    ("body", "octets"),
    [
        (b"<a xmlns='u:a'/>", b"<a xmlns='u:a'/>"),
        (b"\xef\xbb\xbf <a xmlns='u:a'> </a >\n", b"<a xmlns='u:a'> </a >"),
        (b"<?x y?><!--a--><a xmlns='u:a'/><!-- end -->", b'<a xmlns="u:a"/>'),
        (
            '<?xml version="1.0" encoding="UTF-16"?><a xmlns="u:a">Ё</a>'.encode("utf-16"),
            '<a xmlns="u:a">Ё</a>'.encode(),
        ),
    ],
)
def test_the_document_is_taken_out_of_its_prolog(body, octets) -> None:
    assert document(body) == octets
