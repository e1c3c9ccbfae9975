"""Polling: what a delivered message becomes, and when it is acknowledged."""

from __future__ import annotations

import re

import pytest

from connectors.smev3 import messages as header
from core.errors import ConfigError, MalformedXml, Permanent, Retryable, SchemaViolation, Unavailable
from core.message import Outcome
from core.replies import Reply

REQUEST_ID = "0d2a4a3e-6f0f-11ee-8c99-0242ac120002"
ORIGINAL_ID = "5f0b7c1c-6f0f-11ee-8c99-0242ac120002"


def receive(smev, source="smev.requests"):
    (delivery,) = smev.sources[source].receive()
    return delivery


def acks(far):
    return [
        (
            re.search(rb'accepted="(\w+)"', c.body)[1].decode(),
            re.search(rb">([0-9a-f-]{36})</b:Ack", c.body)[1].decode(),
        )
        for c in far.of("Ack")
    ]


@pytest.mark.feature("SMEV-01")
@pytest.mark.parametrize("version", ["1.1", "1.2", "1.3"])
def test_a_delivered_request_becomes_a_message_of_its_signed_octets(smev_with, far, make, version) -> None:
    smev = smev_with(default_version=version)
    envelope = make.request(
        version=version,
        more="<t:TransactionCode>code|1</t:TransactionCode><t:NodeID>node-7</t:NodeID>",
        lists="<t:TestMessage/>",
    )
    far.prepare("GetRequest", envelope)
    delivery = receive(smev)
    message = delivery.message
    assert delivery.problem is None
    assert message.kind == "{urn://demo/death/1.0}Death"
    assert message.received == envelope
    assert message.source == "smev"
    assert message.external_id == REQUEST_ID
    assert message.outcome is Outcome.REQUEST
    assert message.queue == ""
    text = message.body.decode()
    assert "Лесная Ёлка &amp; &lt;сын" in text
    assert "MessageMetadata" not in text
    assert "message-exchange" not in text
    expected = {
        header.VERSION: version,
        header.CONNECTOR: "smev",
        header.MESSAGE_ID: REQUEST_ID,
        header.REFERENCE_MESSAGE_ID: REQUEST_ID,
        header.TRANSACTION_CODE: "code|1",
        header.NODE: "node-7",
        header.TEST: "true",
        header.REPLY_TO: "eyJzaWQiOjF9",
        header.SENDER: "ZAGS_3T",
        header.RECIPIENT: "TFOMS_3T",
        header.MESSAGE_TYPE: "REQUEST",
        header.SENDING_TIMESTAMP: "2026-01-15T10:00:00.000+03:00",
        header.SENDER_SIGNATURE: "valid",
    }
    assert expected.items() <= message.headers.items()
    assert "СМЭВ (демо)" in message.headers[header.SIGNER_SUBJECT]
    assert far.of("GetRequest")[0].path == f"/smev/v{version}/ws"


@pytest.mark.feature("SMEV-01")
def test_an_empty_queue_is_no_message(smev) -> None:
    for source in ("smev.requests", "smev.responses", "smev.status", "smev.depth"):
        assert list(smev.sources[source].receive()) == []


def test_after_an_empty_answer_the_rest_is_the_interval_with_jitter_and_never_below_the_floor(smev_with) -> None:
    smev = smev_with(
        poll_floor_s=55.0, polls=[{"name": "all", "operation": "requests", "interval_s": 60.0, "jitter": 0.5}]
    )
    source = smev.sources["smev.all"]
    seen = set()
    for _ in range(20):
        source.receive()
        seen.add(source.interval_s)
    assert len(seen) > 1
    assert all(55.0 <= interval <= 90.0 for interval in seen)


def test_the_selector_and_the_node_are_signed_into_the_question(smev_with, far) -> None:
    poll = {"name": "zags", "operation": "requests", "namespace": "urn://demo/death/1.0", "root": "Death", "node": "n1"}
    smev = smev_with(polls=[poll])
    smev.sources["smev.zags"].receive()
    body = far.of("GetRequest")[0].body.decode()
    assert "<b:NamespaceURI>urn://demo/death/1.0</b:NamespaceURI><b:RootElementLocalName>Death<" in body
    assert "<b:NodeID>n1</b:NodeID></b:MessageTypeSelector>" in body
    assert '<ds:Reference URI="#SIGNED_BY_CALLER">' in body


@pytest.mark.feature("SMEV-01")
def test_ack_is_sent_once_and_says_accepted(smev, far, make) -> None:
    far.prepare("GetRequest", make.request())
    delivery = receive(smev)
    assert far.of("Ack") == []
    delivery.ack()
    delivery.ack()
    assert acks(far) == [("true", REQUEST_ID)]


def test_an_ack_of_what_smev_has_forgotten_is_success(smev, far, make) -> None:
    far.prepare("GetRequest", make.request())
    far.prepare("Ack", make.fault("TargetMessageIsNotFound", description="SMEV-501:не найдено"))
    receive(smev).ack()
    assert len(far.of("Ack")) == 1


def test_an_ack_answered_by_an_empty_body_is_success(smev, far, make) -> None:
    far.prepare("GetRequest", make.request())
    far.prepare("Ack", make.soap(""))
    receive(smev).ack()


def test_a_failed_ack_is_reported_and_can_be_repeated(smev, far, make) -> None:
    far.prepare("GetRequest", make.request())
    far.prepare("Ack", make.fault("SMEVFailure"))
    delivery = receive(smev)
    with pytest.raises(Unavailable):
        delivery.ack()
    delivery.ack()
    assert len(far.of("Ack")) == 2


def test_a_message_refused_for_the_buss_own_reasons_is_acknowledged_as_delivered(smev, far, make) -> None:
    far.prepare("GetRequest", make.request())
    receive(smev).reject(Permanent("Под этим идентификатором уже было другое"))
    assert acks(far) == [("true", REQUEST_ID)]


def test_a_redelivery_with_another_timestamp_and_signature_is_the_same_message(smev, far, make) -> None:
    far.prepare("GetRequest", make.request(), make.request(delivered="2026-01-15T11:11:11.000+03:00"))
    first, second = receive(smev).message, receive(smev).message
    assert first.received != second.received
    assert first.external_id == second.external_id
    assert first.digest() == second.digest()


def test_a_reused_message_id_with_another_body_has_another_digest(smev, far, make) -> None:
    other = '<d:Death xmlns:d="urn://demo/death/1.0"><d:Name>Другая</d:Name></d:Death>'
    far.prepare("GetRequest", make.request(), make.request(other))
    first, second = receive(smev).message, receive(smev).message
    assert first.external_id == second.external_id
    assert first.digest() != second.digest()


@pytest.mark.feature("SMEV-02")
def test_a_business_answer_names_our_request(smev, far, make) -> None:
    far.prepare(
        "GetResponse",
        make.response('<b:MessagePrimaryContent><s:Snils xmlns:s="urn://demo/s"/></b:MessagePrimaryContent>'),
    )
    message = receive(smev, "smev.responses").message
    assert (message.outcome, message.in_reply_to) == (Outcome.ANSWER, ORIGINAL_ID)
    assert message.kind == "{urn://demo/s}Snils"
    assert message.external_id == REQUEST_ID


@pytest.mark.feature("SMEV-02")
def test_a_rejection_keeps_all_codes_and_texts(smev, far, make) -> None:
    refused = "".join(
        f"<t:RequestRejected><t:RejectionReasonCode>{code}</t:RejectionReasonCode>"
        f"<t:RejectionReasonDescription>{text}</t:RejectionReasonDescription></t:RequestRejected>"
        for code, text in (("NO_DATA", "Нет"), ("FAILURE", "Сбой"))
    )
    far.prepare("GetResponse", make.response(refused))
    message = receive(smev, "smev.responses").message
    assert (message.outcome, message.kind) == (Outcome.REJECTION, "smev.rejection")
    reply = Reply.from_body(message.body)
    assert (reply.codes, reply.texts) == (("NO_DATA", "FAILURE"), ("Нет", "Сбой"))


@pytest.mark.feature("SMEV-02")
def test_a_request_status_keeps_its_parameters(smev, far, make) -> None:
    status = (
        "<t:RequestStatus><t:StatusCode>102</t:StatusCode><t:StatusParameter><t:Key>срок</t:Key><t:Value>5</t:Value>"
        "</t:StatusParameter><t:StatusDescription>В работе</t:StatusDescription></t:RequestStatus>"
    )
    far.prepare("GetResponse", make.response(status))
    message = receive(smev, "smev.responses").message
    reply = Reply.from_body(message.body)
    assert message.outcome is Outcome.STATUS
    assert (reply.codes, reply.texts, reply.parameters) == (("102",), ("В работе",), {"срок": "5"})


FAULT = (
    f"<t:OriginalMessageId>{ORIGINAL_ID}</t:OriginalMessageId><t:StatusCategory>requestIsRejectedBySmev"
    "</t:StatusCategory><t:StatusDetails>Проверка не пройдена</t:StatusDetails>"
    '<t:SmevFault xsi:type="f:InvalidContent"><b:Code>tsmev3:P:BSV:3</b:Code><b:Description>SMEV-403:Не по схеме'
    '</b:Description><f:ValidationError errorPosition="-1">cvc-pattern-valid: X</f:ValidationError></t:SmevFault>'
)


@pytest.mark.feature("SMEV-02")
@pytest.mark.parametrize("original", [ORIGINAL_ID, ""])
def test_an_asynchronous_rejection_is_a_failure_of_our_request_and_is_acknowledged(smev, far, make, original) -> None:
    far.prepare(
        "GetResponse",
        make.response(
            f"<t:AsyncProcessingStatus>{FAULT}</t:AsyncProcessingStatus>",
            original=original,
            data_id="SIGNED_ASYNC_BY_SMEV",
        ),
    )
    delivery = receive(smev, "smev.responses")
    message, reply = delivery.message, Reply.from_body(delivery.message.body)
    assert (message.outcome, message.in_reply_to) == (Outcome.FAILURE, ORIGINAL_ID)
    assert message.headers[header.STATUS_CATEGORY] == "requestIsRejectedBySmev"
    assert reply.codes == ("requestIsRejectedBySmev", "InvalidContent", "ValidationError")
    assert reply.texts == ("Проверка не пройдена", "SMEV-403:Не по схеме", "cvc-pattern-valid: X")
    assert "Исправьте данные" in reply.parameters["remedy"]
    delivery.ack()
    assert acks(far) == [("true", REQUEST_ID)], "подтверждается сообщение о состоянии, а не исходный запрос"


@pytest.mark.feature("SMEV-02")
@pytest.mark.parametrize("category", ["requestIsQueued", "requestIsAcceptedBySmev", "neverHeardOf"])
def test_informative_and_unknown_categories_are_news_and_not_failures(smev, far, make, category) -> None:
    inside = f"<t:OriginalMessageId>{ORIGINAL_ID}</t:OriginalMessageId><t:StatusCategory>{category}</t:StatusCategory>"
    far.prepare("GetResponse", make.response(f"<t:AsyncProcessingStatus>{inside}</t:AsyncProcessingStatus>"))
    message = receive(smev, "smev.responses").message
    assert message.outcome is Outcome.STATUS
    assert Reply.from_body(message.body).codes == (category,)


@pytest.mark.feature("SMEV-01")
def test_the_fate_of_our_response_comes_by_get_status_without_ack_and_under_a_stable_id(smev, far, make) -> None:
    inside = (
        f"<t:OriginalMessageId>{ORIGINAL_ID}</t:OriginalMessageId><t:StatusCategory>responseIsRejectedBySmev"
        "</t:StatusCategory><t:StatusDetails>Не по схеме</t:StatusDetails>"
    )
    far.prepare("GetStatus", make.status_of_response(inside), make.status_of_response(inside))
    first, second = receive(smev, "smev.status"), receive(smev, "smev.status")
    assert (first.message.outcome, first.message.in_reply_to) == (Outcome.FAILURE, ORIGINAL_ID)
    assert first.message.external_id == second.message.external_id
    assert first.message.digest() == second.message.digest()
    first.ack()
    assert far.of("Ack") == []


def test_an_answer_to_an_unknown_request_is_delivered_all_the_same(smev, far, make) -> None:
    unknown = "99999999-6f0f-11ee-8c99-0242ac120002"
    far.prepare(
        "GetResponse",
        make.response('<b:MessagePrimaryContent><s:S xmlns:s="urn:s"/></b:MessagePrimaryContent>', original=unknown),
        make.response('<b:MessagePrimaryContent><s:S xmlns:s="urn:s"/></b:MessagePrimaryContent>', original=""),
    )
    assert receive(smev, "smev.responses").message.in_reply_to == unknown
    assert receive(smev, "smev.responses").message.in_reply_to == ""


@pytest.mark.feature("SMEV-01")
def test_a_cancelled_request_of_version_1_1_is_told_to_the_bus(smev_with, far, make) -> None:
    types = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/"
    envelope = make.sign(
        make.soap(
            f'<t:GetRequestResponse xmlns:t="{types}1.1" xmlns:b="{types}basic/1.1"><t:RequestMessage>'
            f'<t:Cancel Id="SIGNED_BY_SMEV"><b:MessageReference Id="R">{ORIGINAL_ID}</b:MessageReference>'
            f"<t:MessageID>{REQUEST_ID}</t:MessageID>{make.metadata(REQUEST_ID, 'CANCEL')}</t:Cancel>"
            "<t:SMEVSignature>@SMEV@</t:SMEVSignature></t:RequestMessage></t:GetRequestResponse>"
        ),
        "SIGNED_BY_SMEV",
    )
    smev = smev_with(default_version="1.1")
    far.prepare("GetRequest", envelope)
    delivery = receive(smev)
    assert delivery.problem is None
    assert delivery.message.kind == "smev.cancel"
    assert Reply.from_body(delivery.message.body).parameters == {"message_id": ORIGINAL_ID}


@pytest.mark.feature("SMEV-05")
def test_headers_of_attachments_are_kept_and_the_one_time_password_is_not_shown(smev, far, make) -> None:
    lists = (
        "<b:AttachmentHeaderList><b:AttachmentHeader><b:contentId>a1</b:contentId><b:MimeType>text/plain</b:MimeType>"
        "<b:SignaturePKCS7>QUJD</b:SignaturePKCS7></b:AttachmentHeader></b:AttachmentHeaderList>"
        "<b:RefAttachmentHeaderList><b:RefAttachmentHeader><b:uuid>u-1</b:uuid><b:FileName>выписка.pdf</b:FileName>"
        "<b:Hash>aGFzaA==</b:Hash><b:MimeType>application/pdf</b:MimeType></b:RefAttachmentHeader>"
        "</b:RefAttachmentHeaderList>"
    )
    stored = (
        "<b:FSAttachmentsList><b:FSAttachment><b:uuid>u-1</b:uuid><b:UserName>once</b:UserName>"
        "<b:Password>одноразовый</b:Password><b:FileName>/u-1/f.pdf</b:FileName></b:FSAttachment></b:FSAttachmentsList>"
    )
    far.prepare("GetRequest", make.request(lists=lists, after=stored))
    message = receive(smev).message
    mtom, ftp = message.attachments
    assert (mtom.name, mtom.media_type, mtom.headers["transport"], mtom.headers["SignaturePKCS7"]) == (
        "a1",
        "text/plain",
        "mtom",
        "QUJD",
    )
    assert (ftp.media_type, ftp.headers["transport"], ftp.headers["uuid"], ftp.headers["Hash"]) == (
        "application/pdf",
        "ftp",
        "u-1",
        "aGFzaA==",
    )
    assert "одноразовый" not in repr(message.attachments)
    assert "приложены файлы" in message.headers[header.ALERT]


def test_a_base64_value_taken_out_by_xop_is_put_back_before_the_digest(smev, far, make) -> None:
    lists = (
        "<b:AttachmentHeaderList><b:AttachmentHeader><b:contentId>a1</b:contentId><b:MimeType>text/plain</b:MimeType>"
        "<b:SignaturePKCS7>QUJD</b:SignaturePKCS7></b:AttachmentHeader></b:AttachmentHeaderList>"
    )
    xop = b'<x:Include xmlns:x="http://www.w3.org/2004/08/xop/include" href="cid:p%401"/>'
    envelope = make.request(lists=lists).replace(b"QUJD", xop)
    body = (
        b"--mark\r\nContent-Type: application/xop+xml\r\nContent-ID: <root>\r\n\r\n"
        + envelope
        + b"\r\n--mark\r\nContent-ID: <p@1>\r\n\r\nABC\r\n--mark--\r\n"
    )
    far.prepare("GetRequest", scripted(far, body, "mark", "root"))
    delivery = receive(smev)
    assert delivery.problem is None
    assert delivery.message.received == envelope
    assert delivery.message.attachments[0].headers["SignaturePKCS7"] == "QUJD"


def scripted(far, body, boundary, start):
    kind = type(far.usual("Ack", b""))
    return kind(
        body, content_type=f'multipart/related; type="application/xop+xml"; boundary="{boundary}"; start="<{start}>"'
    )


@pytest.mark.feature("SMEV-01")
def test_a_multipart_answer_is_read_like_a_plain_one(smev, far, make) -> None:
    envelope = make.request()
    body = (
        b"--uuid:7\r\nContent-Type: application/xop+xml; charset=UTF-8\r\nContent-Transfer-Encoding: binary\r\n"
        b"Content-ID: <root.message@cxf.apache.org>\r\n\r\n" + envelope + b"\r\n--uuid:7--"
    )
    far.prepare("GetRequest", scripted(far, body, "uuid:7", "root.message@cxf.apache.org"))
    delivery = receive(smev)
    assert delivery.problem is None
    assert delivery.message.received == envelope


def test_the_published_empty_queue_in_multipart_is_read(smev, far, shared) -> None:
    body = (shared / "messages/GetResponseResponse_EmptyQueue-1.2.multipart.txt").read_bytes()
    boundary = body.split(b"\r\n" if b"\r\n" in body else b"\n")[0][2:].decode()
    far.prepare("GetResponse", scripted(far, body, boundary, "root.message@cxf.apache.org"))
    assert list(smev.sources["smev.responses"].receive()) == []


@pytest.mark.parametrize("broken", ["html", "empty"])
def test_what_is_no_answer_is_an_unknown_outcome_and_is_asked_for_again(smev, far, make, broken) -> None:
    kind = type(far.usual("Ack", b""))
    html = kind("<html>Шлюз устал</html>".encode(), status=504, content_type="text/html")
    far.prepare("GetRequest", {"html": html, "empty": kind(b"")}[broken], make.request())
    with pytest.raises(Retryable) as caught:
        smev.sources["smev.requests"].receive()
    assert "шина" in caught.value.reason
    assert receive(smev).problem is None


DEEP = "<d:a>" * 10_000 + "</d:a>" * 10_000


@pytest.mark.parametrize(
    ("name", "spoil", "error"),
    [
        ("DTD", lambda e: b'<!DOCTYPE x [<!ENTITY a "b">]>' + e, MalformedXml),
        ("bomb", lambda e: b'<!DOCTYPE x [<!ENTITY a "b"><!ENTITY c "&a;&a;">]>' + e, MalformedXml),
        ("deep", lambda e: e.replace(b"<d:Void/>", DEEP.encode()), MalformedXml),
        ("not utf-8", lambda e: e.replace("Ёлка".encode(), b"\xc5\xeb"), MalformedXml),
        ("encoding", lambda e: b'<?xml version="1.0" encoding="ISO-8859-5"?>' + e, MalformedXml),
        ("wrong root", lambda e: b"<a xmlns='urn:a'>" + e + b"</a>", SchemaViolation),
        (
            "foreign version",
            lambda e: e.replace(b"message-exchange/types/1.3", b"message-exchange/types/1.9"),
            SchemaViolation,
        ),
        ("two bodies", lambda e: e.replace(b"<S:Body>", b"<S:Body/><S:Body>"), SchemaViolation),
        ("tail", lambda e: e + b"<more/>", MalformedXml),
    ],
)
def test_an_inadmissible_answer_is_kept_with_its_bytes_and_rejected(smev, far, make, name, spoil, error) -> None:
    envelope = spoil(make.request())
    far.prepare("GetRequest", envelope)
    delivery = receive(smev)
    assert isinstance(delivery.problem, error)
    assert re.search("[а-я]{3}", delivery.problem.reason)
    assert delivery.message.kind == "smev.unreadable"
    assert delivery.message.received == envelope
    assert delivery.message.body == b""
    assert delivery.message.headers[header.MESSAGE_ID] == REQUEST_ID
    assert delivery.message.external_id.startswith(f"unverified:{REQUEST_ID}:")
    delivery.reject(delivery.problem)
    assert acks(far) == [("false", REQUEST_ID)]


def test_an_unreadable_answer_without_an_id_is_known_by_its_octets_and_is_not_acknowledged(smev, far) -> None:
    far.prepare("GetRequest", b"<a xmlns='urn:a'/>", b"<a xmlns='urn:a'/>")
    first = receive(smev)
    with pytest.raises(Retryable):  # nothing was acknowledged: to ask again at once would bring the same
        receive(smev)
    second = receive(smev)
    assert first.message.external_id.startswith("sha256:")
    assert first.message.external_id == second.message.external_id
    first.reject(first.problem)
    assert far.of("Ack") == []


def test_two_different_ids_in_an_unreadable_answer_are_no_id(smev, far, make) -> None:
    other = b"<t:MessageId>99999999-6f0f-11ee-8c99-0242ac120002</t:MessageId>"
    far.prepare("GetRequest", make.request().replace(b"<d:Void/>", other + b"<!DOCTYPE"))
    assert receive(smev).message.external_id.startswith("sha256:")


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "нет делового документа"), ("<a:a xmlns:a='urn:a'/><a:b xmlns:a='urn:a'/>", "несколько")],
)
def test_a_message_without_exactly_one_document_is_kept(smev, far, make, content, words) -> None:
    far.prepare("GetRequest", make.request(content))
    delivery = receive(smev)
    assert isinstance(delivery.problem, SchemaViolation)
    assert words in delivery.problem.reason
    assert delivery.message.headers[header.MESSAGE_ID] == REQUEST_ID


def test_a_fault_of_a_poll_names_the_remedy(smev, far, make) -> None:
    far.prepare("GetRequest", make.fault("UnknownMessageType"), make.fault("SMEVFailure"), make.fault("AccessDenied"))
    source = smev.sources["smev.requests"]
    with pytest.raises(ConfigError, match="namespace"):
        source.receive()
    with pytest.raises(Unavailable, match="поддержку"):
        source.receive()
    with pytest.raises(Retryable, match="интервал") as caught:
        source.receive()
    assert caught.value.pause_s == 600.0
    assert source.interval_s == 600.0


def test_a_broadcast_has_no_reply_to_and_cannot_be_answered(smev, far, make) -> None:
    far.prepare("GetRequest", make.request(reply_to=""))
    message = receive(smev).message
    assert header.REPLY_TO not in message.headers
    with pytest.raises(Permanent, match="ReplyTo"):
        header.answer(message, b"<a xmlns='urn:a'/>", kind="x")
