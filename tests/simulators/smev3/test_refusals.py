"""Every refusal that a hand-made call can provoke, in the shape seen on the wire (FACTS §10)."""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from core.signatures.demo_keys import PARTICIPANTS, as_pem, make_demo_keys
from core.signatures.issuing import Authority, IssuedKey
from simulators.smev3.clock import moment_of_uuid1, uuid1_at
from simulators.smev3.control import SimulatorControl

pytestmark = pytest.mark.feature("SMEV-13")

XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
HEADER = (
    "<b:AttachmentHeaderList><b:AttachmentHeader><b:contentId>{}</b:contentId><b:MimeType>text/plain</b:MimeType>"
    "</b:AttachmentHeader></b:AttachmentHeaderList>"
)
CONTENT = (
    "<b:AttachmentContentList><b:AttachmentContent><b:Id>{}</b:Id><b:Content>{}</b:Content></b:AttachmentContent>"
    "</b:AttachmentContentList>"
)


def detail(answer):
    return answer.xml.find(".//{*}Fault/detail/*")


def test_a_fault_has_the_shape_of_the_real_one(fund):
    answer = fund.ack(fund.new_id())
    assert answer.status == 500
    fault = answer.xml.find(".//{http://schemas.xmlsoap.org/soap/envelope/}Fault")
    assert fault.findtext("faultcode") == "soap:Server"
    text = fault.findtext("faultstring")
    assert text.endswith("не найдено среди неподтверждённых.")
    assert detail(answer).tag == "{urn://x-artefacts-smev-gov-ru/services/message-exchange/types/faults/1.2}" + (
        "TargetMessageIsNotFound"
    )
    assert detail(answer).get(XSI_TYPE) == "SmevFault"
    assert answer.text("Code") == "tsmev3:PRODUCTION_AREA:TSMEV3_CORE1 : TR:SYNC:DAS:4"
    assert answer.text("Description") == f"SMEV-501:{text}"


def test_a_call_without_the_signature_block_is_invalid_content(fund, make_caller, question):
    answer = make_caller(None).send_request(question())
    assert answer.fault == "InvalidContent"
    assert answer.text("Description").startswith("SMEV-403:Сообщение содержит не все вложенные элементы. Блок Caller")
    assert answer.text("ValidationError")
    assert answer.find("ValidationError").get("errorPosition") == "-1"


def test_an_empty_signature_block_is_no_signature(make_caller, fund):
    bare = make_caller(None)
    block = "<t:CallerInformationSystemSignature/>"
    answer = bare.post(bare.envelope("GetRequest", bare.selector() + block), "GetRequest")
    assert detail(answer).findtext("{*}SignatureVerificationFault") == "NoSignatureFound"
    assert answer.text("Description") == "SMEV-100:Отсутствует ЭП-ОВ."


def test_a_changed_element_breaks_the_signature(fund, question):
    body = fund.envelope("SendRequest", fund.request_data(question())).replace("Берёзов".encode(), "Берёзин".encode())
    answer = fund.post(body, "SendRequest")
    assert detail(answer).findtext("{*}SignatureVerificationFault") == "SignatureIsInvalid"


def test_a_signature_over_another_element_is_an_incorrect_target(fund):
    inner = f'<b:Timestamp Id="OTHER">{fund.now()}</b:Timestamp>'
    body = fund.envelope("GetStatus", inner, element_id="OTHER").replace(b'Id="OTHER"', b'Id="SIGNED_BY_CALLER"')
    answer = fund.post(body, "GetStatus")
    assert detail(answer).findtext("{*}SignatureVerificationFault") == "IncorrectSignatureTarget"


def test_a_message_without_soap_header_is_a_poor_envelope(fund):
    body = fund.envelope("GetRequest", fund.selector()).replace(b"<s:Header/>", b"")
    answer = fund.post(body, "GetRequest")
    assert detail(answer).findtext("{*}SignatureVerificationFault") == "PoorSOAPEnvelopeFormat"


def test_an_expired_certificate_is_named_with_its_date(fund, make_caller):
    answer = make_caller("expired").get_request()
    assert detail(answer).findtext("{*}SignatureVerificationFault") == "CertificateIsExpired"
    assert answer.text("Description").startswith("SMEV-100:Срок действия сертификата ЭП-ОВ истёк. Сертификат действит")


def test_a_certificate_of_an_unknown_authority_is_not_found(fund, make_caller):
    answer = make_caller("foreign").get_request()
    assert detail(answer).findtext("{*}SignatureVerificationFault") == "CertificateIsNotFound"


def test_an_unregistered_owner_of_a_good_certificate_is_not_registered(fund, make_caller):
    assert make_caller("smev").get_request().fault == "SenderIsNotRegistered"


@pytest.mark.parametrize(
    "message_id",
    [str(uuid.uuid4()), str(uuid.uuid1()).upper(), "не-uuid", "00000000-0000-1000-0000-000000000000"],
    ids=["of version 4", "in upper case", "no uuid", "nobody's"],
)
def test_only_a_lower_case_first_version_uuid_is_an_identifier(fund, question, message_id):
    assert fund.send_request(question(), message_id).fault == "InvalidMessageIdFormat"


def test_an_identifier_older_than_two_days_is_stale(fund, control, question):
    message_id = fund.new_id()
    control.move_clock(2 * 86400 + 60)
    assert fund.send_request(question(), message_id).fault == "StaleMessageId"
    control.move_clock(2 * 86400 - 60)
    assert fund.send_request(question(), message_id).fault == ""


def test_an_identifier_from_the_future_is_taken_unless_forbidden(fund, control, question, start, make_caller):
    control.move_clock(-86400)
    assert fund.send_request(question(), fund.new_id()).fault == ""
    strict = make_caller("fund", url=start(future_tolerance_s=60.0))
    type(control)(strict.url).move_clock(-86400)
    assert strict.send_request(question(), strict.new_id()).fault == "StaleMessageId"


def test_the_same_bytes_again_are_already_sent(fund, question, control):
    message_id = fund.new_id()
    body = fund.envelope("SendRequest", fund.request_data(question(), message_id))
    assert fund.post(body, "SendRequest").fault == ""
    again = fund.post(body, "SendRequest")
    assert again.fault == "MessageIsAlreadySent"
    assert len(list(control.messages(message_id=message_id))) == 1


def test_the_same_identifier_with_another_body_is_already_sent(fund, question):
    message_id = fund.new_id()
    fund.send_request(question(), message_id)
    assert fund.send_request(question("Кленов"), message_id).fault == "MessageIsAlreadySent"


def test_an_accepted_identifier_is_already_sent_even_when_it_has_become_stale(fund, control, question):
    message_id = fund.new_id()
    fund.send_request(question(), message_id)
    control.move_clock(3 * 86400)
    assert fund.send_request(question(), message_id).fault == "MessageIsAlreadySent"


def test_a_body_out_of_order_is_invalid_content(fund, question):
    after = "<t:NodeID>после содержимого</t:NodeID>"
    answer = fund.send_request(question(), after=after)
    assert answer.fault == "InvalidContent"
    assert answer.text("ValidationError").startswith("cvc-")


def test_a_repeated_id_is_invalid_content_or_an_invalid_signature(fund):
    inner = fund.selector()
    body = fund.envelope("GetRequest", inner).replace(b"<s:Header/>", b'<s:Header><x Id="Q"/><y Id="Q"/></s:Header>')
    answer = fund.post(body, "GetRequest")
    assert answer.fault == "InvalidContent"
    assert "cvc-id.2" in answer.text("ValidationError")


def test_a_selector_needs_both_names_or_none(fund):
    inner = fund.selector("urn:x", "Y").replace("<b:RootElementLocalName>Y</b:RootElementLocalName>", "")
    assert fund.call("GetRequest", inner).fault == "InvalidContent"


def test_an_unregistered_payload_is_not_supported(fund):
    answer = fund.send_request('<q:Вопрос xmlns:q="urn:nowhere"/>')
    assert answer.fault == "BusinessDataTypeIsNotSupported"
    assert answer.text("RootElementLocalName") == "Вопрос"
    assert answer.text("RootElementNamespaceURI") == "urn:nowhere"


def test_a_kind_of_another_sender_is_denied(make_caller, fund, question):
    assert make_caller("epgu").send_request(question()).fault == "AccessDenied"


def test_a_kind_without_a_registered_recipient_has_no_route(start, make_caller, question):
    kinds = [
        {
            "name": "lost", "title": "Без получателя", "namespace": "http://kvs.pfr.com/snils-by-additionalData/1.0.1",
            "senders": ["*"], "recipients": ["NOBODY"],
        }
    ]  # fmt: skip
    caller = make_caller("fund", url=start({"kinds": kinds, "scripts": []}))
    assert caller.send_request(question()).fault == "RecipientIsNotFound"


def test_a_full_queue_overflows_and_has_room_again_after_an_acknowledgement(start, make_caller, question):
    url = start({"scripts": []}, quota_messages=2)
    fund, sfr = make_caller("fund", url=url), make_caller("sfr", url=url)
    for _ in range(2):
        assert fund.send_request(question()).fault == ""
    refused = fund.send_request(question())
    assert refused.fault == "DestinationOverflow"
    assert refused.text("DestinationName") == "SFR001.request"
    sfr.ack(sfr.receive().text("MessageID"))
    assert fund.send_request(question()).fault == ""


def test_a_passed_end_of_life_is_refused(fund, question):
    answer = fund.send_request(question(), before="<t:EOL>2020-01-01T00:00:00+03:00</t:EOL>")
    assert answer.fault == "EndOfLifeReached"


def test_a_transaction_code_must_fit_its_pattern(start, make_caller, question):
    fund = make_caller("fund", url=start(transaction_code_pattern=r"[0-9]{20}"))
    good, bad = (f"<t:TransactionCode>{code}</t:TransactionCode>" for code in ("1" * 20, "код"))
    assert fund.send_request(question(), before=bad).fault == "TransactionCodeInvalid"
    assert fund.send_request(question(), before=good).fault == ""


@pytest.mark.parametrize(
    ("header", "content"),
    [(HEADER.format("a"), ""), ("", CONTENT.format("a", "eA==")), (HEADER.format("a"), CONTENT.format("b", "eA=="))],
)
def test_attachment_headers_and_contents_must_agree(fund, question, header, content):
    answer = fund.call("SendRequest", fund.request_data(question(), after=header) + content)
    assert answer.fault == "AttachmentContentMiscoordination"


def test_attachments_over_the_limit_are_refused_with_both_sizes(start, make_caller, question):
    fund = make_caller("fund", url=start(mtom_limit_bytes=10))
    content = CONTENT.format("a", base64.b64encode(b"x" * 11).decode())
    answer = fund.call("SendRequest", fund.request_data(question(), after=HEADER.format("a")) + content)
    assert answer.fault == "AttachmentSizeLimitExceeded"
    assert answer.text("PermittedTotalAttachmentSize") == "10"
    assert answer.text("RealTotalAttachmentSize") == "11"


def test_attachments_over_the_quota_of_the_sender_are_refused(start, make_caller, question):
    fund = make_caller("fund", url=start(storage_quota_bytes=15))
    answers = []
    for _ in range(2):
        content = CONTENT.format("a", base64.b64encode(b"x" * 10).decode())
        answers.append(fund.call("SendRequest", fund.request_data(question(), after=HEADER.format("a")) + content))
    assert [one.fault for one in answers] == ["", "QuoteLimitExceeded"]
    assert answers[1].text("RemainedTotalQuoteSize") == "5"


def test_an_answer_to_an_unknown_address_has_no_recipient(fund, sfr, snils_answer):
    assert sfr.send_response("bm93aGVyZQ==", snils_answer).fault == "RecipientIsNotFound"


def test_an_answer_of_somebody_else_to_a_request_has_no_recipient(fund, sfr, question, snils_answer, make_caller):
    fund.send_request(question())
    to = sfr.receive().text("ReplyTo")
    assert make_caller("zags").send_response(to, snils_answer).fault == "RecipientIsNotFound"


def test_a_request_document_is_no_answer(fund, sfr, question):
    fund.send_request(question())
    answer = sfr.send_response(sfr.receive().text("ReplyTo"), question())
    assert answer.fault == "IncorrectResponseContentType"


def test_an_answer_of_an_unregistered_type_is_not_supported(fund, sfr, question):
    fund.send_request(question())
    answer = sfr.send_response(sfr.receive().text("ReplyTo"), '<q:Ответ xmlns:q="urn:nowhere"/>')
    assert answer.fault == "BusinessDataTypeIsNotSupported"


def test_only_smev_makes_asynchronous_statuses(fund, sfr, question):
    fund.send_request(question())
    received = sfr.receive()
    status = (
        f"<t:AsyncProcessingStatus><t:OriginalMessageId>{received.text('MessageID')}</t:OriginalMessageId>"
        "<t:StatusCategory>requestIsRejectedBySmev</t:StatusCategory></t:AsyncProcessingStatus>"
    )
    answer = sfr.call("SendResponse", sfr.response_data(received.text("ReplyTo"), status))
    assert answer.fault == "IncorrectResponseContentType"


def test_a_broadcast_is_not_answered(fund, control, snils_answer):
    control.play("fns.egrul", 1)
    answer = fund.send_response(fund.receive().text("ReplyTo"), snils_answer)
    assert answer.fault == "IncorrectResponseContentType"


@pytest.mark.parametrize("operation", ["GetRequest", "GetResponse"])
def test_a_selector_of_a_type_that_is_not_ours_is_unknown(fund, operation):
    assert fund.call(operation, fund.selector("urn:nowhere", "Root")).fault == "UnknownMessageType"
    births = fund.selector("urn://x-artefacts-zags-rogdzp/root/112-23/4.0.1", "ROGDZPResponse")
    assert fund.call(operation, births).fault == "UnknownMessageType"


def test_a_node_that_was_not_registered_is_refused(start, make_caller, question):
    participants = [
        {"mnemonic": "TFOMS01", "name": "Фонд", "key": "fund", "nodes": ["n1"]},
        {"mnemonic": "SFR001", "name": "СФР", "key": "sfr"},
    ]
    fund = make_caller("fund", url=start({"participants": participants, "scripts": []}))
    assert fund.send_request(question(), before="<t:NodeID>n2</t:NodeID>").fault == "InvalidContent"
    assert fund.send_request(question(), before="<t:NodeID>n1</t:NodeID>").fault == ""
    assert fund.get_response(node="n2").fault == "InvalidContent"


def test_polling_too_often_is_denied_until_the_mean_interval_is_kept(start, make_caller):
    url = start({"scripts": []}, poll_mean_interval_s=30.0, poll_window=3)
    control, fund = SimulatorControl(url), make_caller("fund", url=url)
    assert [fund.get_request().fault for _ in range(3)] == ["", "", "AccessDenied"]
    control.move_clock(61)
    assert fund.get_request().fault == ""


def test_a_renewed_certificate_keeps_its_place_while_its_name_is_the_same(start, make_caller, tmp_path):
    world = make_demo_keys(tmp_path / "keys", "тест")
    second = Authority.self_signed([("CN", "Второй УЦ")])
    (world.trust / "second.pem").write_bytes(as_pem(second.certificate))
    common, organisation, ogrn, inn = PARTICIPANTS["fund"]
    for name, shown in (("renewed", common), ("renamed", "Другое имя")):
        key = IssuedKey.generate()
        subject = [("CN", shown), ("O", organisation), ("ОГРН", ogrn), ("ИНН", inn)]
        world.key(name).write_bytes(key.pem(world.password))
        world.certificate(name).write_bytes(as_pem(second.issue(subject, key)))
    caller = make_caller("fund", url=start({"keys_dir": world.directory, "keys_password": world.password}))
    caller.identity = world.identity("renewed")
    assert caller.get_request().fault == ""
    caller.identity = world.identity("renamed")
    assert caller.get_request().fault == "SenderIsNotRegistered"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<a>", "не разобрано"),
        (b"\xff\xfe\x00", "не разобрано"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "DOCTYPE"),
        (b"<a/>", "soap:Envelope"),
        (b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header/><s:Body/></s:Envelope>', "ровно"),
        (
            b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header/><s:Body><a/></s:Body>'
            b"</s:Envelope>",
            "не поддерживается",
        ),
    ],
)
def test_what_is_not_a_call_gets_a_client_fault_without_detail(fund, body, words):
    answer = fund.post(body, "GetRequest")
    assert answer.status == 500
    assert answer.fault == ""
    assert answer.text("faultcode") == "soap:Client"
    assert words in answer.text("faultstring")


def test_an_action_of_another_operation_is_refused(fund):
    answer = fund.post(fund.envelope("GetRequest", fund.selector()), "GetResponse")
    assert answer.text("faultcode") == "soap:Client"


def test_statistics_exist_in_the_first_edition_only(fund):
    answer = fund.call("GetIncomingQueueStatistics", f'<b:Timestamp Id="SIGNED_BY_CALLER">{fund.now()}</b:Timestamp>')
    assert "не поддерживается" in answer.text("faultstring")


def test_a_broken_multipart_request_gets_a_client_fault(fund):
    answer = fund.post(b"garbage", "GetRequest", 'multipart/related; boundary="none"')
    assert answer.text("faultcode") == "soap:Client"


def test_a_code_of_the_first_edition_fits_fifty_characters(make_caller, fund):
    old = make_caller("fund", "1.1")
    assert len(old.ack(old.new_id()).text("Code")) <= 50


def test_identifiers_of_the_simulator_are_first_version_and_carry_their_moment():
    moment = datetime(2026, 1, 15, 12, tzinfo=UTC)
    made = uuid.UUID(uuid1_at(moment))
    assert made.version == 1
    assert made.variant == uuid.RFC_4122
    assert abs(moment_of_uuid1(made) - moment) < timedelta(microseconds=2)
