"""The way of a message through the simulator, call by call, over real HTTP with real ГОСТ signatures."""

from __future__ import annotations

import base64
import json
import uuid

import pytest
from lxml import etree

from core.signatures import xmldsig

pytestmark = pytest.mark.feature("SMEV-13")

SNILS = "http://kvs.pfr.com/snils-by-additionalData/1.0.1"
EGRUL = "urn://x-artefacts-fns-nsvuidat/root/311-31/4.0.0"


def signed_elements(answer):
    return [(etree.QName(one.element).localname, one.ok) for one in xmldsig.verify_all(answer.root)]


def test_a_request_is_queued_and_its_metadata_is_signed_by_smev(fund, question):
    message_id = fund.new_id()
    answer = fund.send_request(question(), message_id)
    assert answer.status == 200
    assert answer.text("MessageId") == message_id
    assert answer.text("Status") == "requestIsQueued"
    assert answer.text("MessageType") == "REQUEST"
    assert answer.xml.findtext(".//{*}Recipient/{*}Mnemonic") == "SFR001"
    [verified] = xmldsig.verify_all(answer.root)
    assert verified.ok
    assert verified.element_id == "SIGNED_BY_SMEV"
    assert etree.QName(verified.element).localname == "MessageMetadata"


def test_the_provider_gets_the_request_with_the_untouched_signature_of_its_sender(fund, sfr, question):
    sent = fund.send_request(question()).text("MessageId")
    answer = sfr.receive()
    assert answer.text("MessageID") == sent
    assert answer.text("Status") == "messageIsDelivered"
    assert answer.text("DeliveryTimestamp")
    assert signed_elements(answer) == [("SenderProvidedRequestData", True), ("Request", True)]
    assert xmldsig.verify_all(answer.root)[0].certificate == fund.identity.certificate


@pytest.mark.parametrize("version", ["1.1", "1.2", "1.3"])
def test_a_question_travels_to_its_answer_in_every_version(make_caller, control, question, snils_answer, version):
    control.down("SFR001")
    fund, sfr = make_caller("fund", version), make_caller("sfr", version)
    sent = fund.send_request(question()).text("MessageId")
    received = sfr.receive()
    assert sfr.ack(sent).fault == ""
    answered = sfr.send_response(received.text("ReplyTo"), snils_answer)
    assert answered.text("MessageType") == "RESPONSE"
    delivered = fund.receive("GetResponse")
    assert delivered.text("OriginalMessageId") == sent
    assert delivered.text("Snils") == "99000000000"
    assert signed_elements(delivered) == [("SenderProvidedResponseData", True), ("Response", True)]
    assert fund.ack(delivered.text("MessageId")).text("AckResponse") == ""
    assert fund.get_response().is_empty


def test_the_first_edition_names_participants_and_says_response_is_delivered_even_of_requests(
    make_caller, control, question
):
    control.down("SFR001")
    queued = make_caller("fund", "1.1").send_request(question())
    assert queued.text("DestinationName") == "unknown"
    assert queued.text("InteractionType") == "NotDetected"
    assert queued.xml.findtext(".//{*}Sender/{*}HumanReadableName") == "ТФОМС (учебный)"
    assert make_caller("sfr", "1.1").receive().text("Status") == "responseIsDelivered"


def test_a_message_of_one_version_is_not_handed_out_in_another(make_caller, control, question):
    control.down("SFR001")
    sent = make_caller("fund", "1.2").send_request(question()).text("MessageId")
    control.wait(lambda: control.message(sent)["status"] == "requestIsAcceptedBySmev")
    assert make_caller("sfr", "1.3").get_request().is_empty
    assert not make_caller("sfr", "1.2").get_request().is_empty


def test_an_empty_queue_answers_with_an_element_without_children(fund):
    assert fund.get_request().is_empty
    assert fund.get_response().is_empty
    assert fund.get_status().is_empty


def test_the_oldest_message_comes_first(control, fund):
    sent = control.play("fns.egrul", 3)
    assert [fund.receive().text("MessageID") for _ in sent] == sent


def test_a_broadcast_has_no_recipient_and_reaches_its_subscriber(control, fund):
    [sent] = control.play("fns.egrul", 1)
    answer = fund.receive()
    assert answer.text("MessageID") == sent
    assert answer.text("MessageType") == "BROADCAST"
    assert answer.find("Recipient") is None


def test_the_selector_takes_only_its_type(control, fund):
    [birth] = control.play("zags.birth", 1, version="1.2")
    [news] = control.play("fns.egrul", 1)
    answer = fund.receive(namespace=EGRUL, root="NSVUIDATRequest")
    assert answer.text("MessageID") == news
    assert fund.receive().text("MessageID") == birth


def test_answers_to_a_node_wait_in_the_queue_of_that_node(fund, sfr, question, snils_answer):
    fund.send_request(question(), before="<t:NodeID>node-7</t:NodeID>")
    sfr.send_response(sfr.receive().text("ReplyTo"), snils_answer)
    delivered = fund.receive("GetResponse", node="node-7")
    assert delivered.text("Snils") == "99000000000"
    assert fund.get_response().is_empty


def test_an_unacknowledged_message_comes_again_after_the_reservation(fund, control):
    [sent] = control.play("fns.egrul", 1)
    assert fund.receive().text("MessageID") == sent
    assert fund.get_request().is_empty
    control.move_clock(61)
    again = fund.get_request()
    assert again.text("MessageID") == sent
    control.move_clock(0)
    assert control.message(sent)["entries"][0]["deliveries"] == 2


def test_the_reservation_grows_with_attachments(start, make_caller, control):
    url = start(redelivery_s=60.0, redelivery_per_mib=1.0)
    own = type(control)(url)
    body = base64.b64encode(b"x" * 1024 * 1024).decode()
    attachment = {"content_id": "a1", "mime_type": "application/pdf", "body": body}
    sent = own.send("FNS001", f'<N xmlns="{EGRUL}"/>'.encode(), attachments=[attachment])
    fund = make_caller("fund", url=url)
    assert fund.receive().text("MessageID") == sent
    own.move_clock(90)
    assert fund.get_request().is_empty
    own.move_clock(121)
    assert fund.get_request().text("MessageID") == sent


@pytest.mark.parametrize("accepted", ["true", "false"])
def test_an_acknowledgement_is_remembered_with_its_verdict(fund, control, accepted):
    [sent] = control.play("fns.egrul", 1)
    fund.receive()
    assert fund.ack(sent, accepted).fault == ""
    [entry] = control.message(sent)["entries"]
    assert entry["accepted"] is (accepted == "true")
    assert entry["closed_by"] == "ack"
    assert fund.get_request().is_empty


def test_a_second_acknowledgement_finds_nothing(fund, control):
    [sent] = control.play("fns.egrul", 1)
    fund.receive()
    fund.ack(sent)
    second = fund.ack(sent)
    assert second.fault == "TargetMessageIsNotFound"
    assert second.text("Description") == f"SMEV-501:Сообщение {sent} не найдено среди неподтверждённых."
    assert [one["found"] for one in control.message(sent)["acknowledgements"]] == [True, False]


def test_a_late_acknowledgement_finds_nothing_and_the_message_comes_again(fund, control):
    [sent] = control.play("fns.egrul", 1)
    fund.receive()
    control.move_clock(61)
    assert fund.ack(sent).fault == "TargetMessageIsNotFound"
    assert fund.get_request().text("MessageID") == sent


def test_nobody_acknowledges_for_another(fund, control, make_caller):
    [sent] = control.play("fns.egrul", 1)
    fund.receive()
    assert make_caller("sfr").ack(sent).fault == "TargetMessageIsNotFound"


def test_the_return_address_is_opaque_and_of_one_message_only(fund, sfr, question):
    addresses = []
    for _ in range(2):
        sent = fund.send_request(question()).text("MessageId")
        addresses.append(sfr.receive().text("ReplyTo"))
        content = json.loads(base64.b64decode(addresses[-1]))
        assert content["mid"] == sent
        assert content["mnm"] == "TFOMS01"
        assert content["eol"] == 0
        assert content["slc"].endswith("_SnilsByAdditionalDataRequest")
    assert addresses[0] != addresses[1]


def test_the_codes_of_a_case_come_back_with_the_answer(fund, sfr, question, snils_answer):
    reference = str(uuid.uuid1())
    before = f"<t:ReferenceMessageID>{reference}</t:ReferenceMessageID><t:TransactionCode>код 7</t:TransactionCode>"
    fund.send_request(question(), before=before)
    sfr.send_response(sfr.receive().text("ReplyTo"), snils_answer)
    delivered = fund.receive("GetResponse")
    assert delivered.text("OriginalTransactionCode") == "код 7"
    assert delivered.text("ReferenceMessageID") == reference


def test_a_refusal_and_a_status_are_answers_too(fund, sfr, question):
    fund.send_request(question())
    to = sfr.receive().text("ReplyTo")
    status = (
        "<t:RequestStatus><t:StatusCode>102</t:StatusCode><t:StatusParameter><t:Key>этап</t:Key><t:Value>1</t:Value>"
        "</t:StatusParameter><t:StatusDescription>В работе</t:StatusDescription></t:RequestStatus>"
    )
    refusal = (
        "<t:RequestRejected><t:RejectionReasonCode>NO_DATA</t:RejectionReasonCode>"
        "<t:RejectionReasonDescription>Нет сведений</t:RejectionReasonDescription></t:RequestRejected>"
    )
    for content in (status, refusal):
        assert sfr.call("SendResponse", sfr.response_data(to, content)).fault == ""
    assert fund.receive("GetResponse").text("StatusCode") == "102"
    assert fund.receive("GetResponse").text("RejectionReasonCode") == "NO_DATA"


def test_attachments_by_mtom_reach_the_recipient_as_parts(make_caller, control):
    octets = bytes(range(256)) * 3
    headers = [{"content_id": "a1", "mime_type": "image/png", "body": base64.b64encode(octets).decode()}]
    control.send("FNS001", f'<N xmlns="{EGRUL}"/>'.encode(), attachments=headers)
    answer = make_caller("fund").receive()
    assert answer.xml.findtext(".//{*}AttachmentHeader/{*}contentId") == "a1"
    assert answer.xml.findtext(".//{*}AttachmentContent/{*}Id") == "a1"
    href = answer.find("Include").get("href")
    assert answer.parts[href.removeprefix("cid:")] == octets
    assert signed_elements(answer)[1] == ("Request", True)


def test_file_references_come_with_one_time_credentials(make_caller, control):
    refs = [{"uuid": str(uuid.uuid1()), "hash": "aGFzaA==", "mime_type": "application/zip"}]
    control.send("FNS001", f'<N xmlns="{EGRUL}"/>'.encode(), refs=refs)
    answer = make_caller("fund").receive()
    assert answer.xml.findtext(".//{*}RefAttachmentHeader/{*}uuid") == refs[0]["uuid"]
    given = answer.xml.find(".//{*}FSAttachmentsList/{*}FSAttachment")
    assert given.findtext("{*}uuid") == refs[0]["uuid"]
    assert given.findtext("{*}UserName")
    assert given.findtext("{*}Password")


def test_a_multipart_request_with_xop_is_understood(fund, sfr, question):
    after = (
        "<b:AttachmentHeaderList><b:AttachmentHeader><b:contentId>f1</b:contentId><b:MimeType>text/plain</b:MimeType>"
        "</b:AttachmentHeader></b:AttachmentHeaderList>"
    )
    content = (
        '<b:AttachmentContentList><b:AttachmentContent><b:Id>f1</b:Id><b:Content><x:Include href="cid:f1%40fund" '
        'xmlns:x="http://www.w3.org/2004/08/xop/include"/></b:Content></b:AttachmentContent></b:AttachmentContentList>'
    )
    root = fund.envelope("SendRequest", fund.request_data(question(), after=after) + content)
    body = (
        b'--b\r\nContent-Type: application/xop+xml; type="text/xml"\r\nContent-ID: <root>\r\n\r\n'
        + root
        + b"\r\n--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <f1@fund>\r\n\r\n"
        + "привет".encode()
        + b"\r\n--b--\r\n"
    )
    content_type = 'multipart/related; type="application/xop+xml"; boundary="b"; start="<root>"; start-info="text/xml"'
    assert fund.post(body, "SendRequest", content_type).fault == ""
    received = sfr.receive()
    assert received.parts[received.find("Include").get("href").removeprefix("cid:")] == "привет".encode()


def test_the_first_edition_counts_waiting_messages(make_caller, control):
    control.play("fns.egrul", 2, version="1.1")
    fund = make_caller("fund", "1.1")
    timestamp = f'<b:Timestamp Id="SIGNED_BY_CALLER">{fund.now()}</b:Timestamp>'
    answer = fund.call("GetIncomingQueueStatistics", timestamp)
    [queue] = answer.xml.findall(".//{*}QueueStatistics")
    assert dict(queue.attrib) == {"queueName": "TFOMS01.request", "pendingMessageNumber": "2"}


def test_a_request_that_fails_its_schema_comes_back_as_a_signed_status(fund, question):
    sent = fund.send_request(question("Smith")).text("MessageId")
    status = fund.receive("GetResponse")
    assert status.text("OriginalMessageId") == sent
    assert status.text("StatusCategory") == "requestIsRejectedBySmev"
    assert status.xml.findtext(".//{*}MessageMetadata/{*}Sender/{*}Mnemonic") == "smev"
    fault = status.find("SmevFault")
    assert fault.get("{http://www.w3.org/2001/XMLSchema-instance}type") == "ns3:InvalidContent"
    assert status.text("Code") == "tsmev3:P:TSMEV3_ASYNC_CORE1:TR:ASYNC:PP:BSV:3"
    assert status.text("Description").startswith("SMEV-403:Бизнес-данные сообщения не соответствуют схеме")
    assert status.text("ValidationError").startswith("cvc-")
    inner, outer = xmldsig.verify_all(status.root)
    assert (inner.element_id, inner.ok, outer.element_id, outer.ok) == (
        "SIGNED_ASYNC_BY_SMEV", True, "SIGNED_BY_SMEV", True,
    )  # fmt: skip
    own_id = status.text("MessageID")
    assert own_id != sent
    assert fund.ack(own_id).fault == ""


def test_a_response_that_fails_its_schema_is_told_by_get_status_once(fund, sfr, question):
    fund.send_request(question())
    bad = f'<s:SnilsByAdditionalDataResponse xmlns:s="{SNILS}"/>'
    sent = sfr.send_response(sfr.receive().text("ReplyTo"), bad).text("MessageId")
    status = _status(sfr)
    assert status.text("OriginalMessageId") == sent
    assert status.text("StatusCategory") == "responseIsRejectedBySmev"
    [verified] = xmldsig.verify_all(status.root)
    assert verified.ok
    assert etree.QName(verified.element).localname == "AsyncProcessingStatusData"
    assert sfr.get_status().is_empty
    assert fund.get_response().is_empty


def _status(caller):
    for _ in range(500):
        answer = caller.get_status()
        if not answer.is_empty:
            return answer
    raise AssertionError("no status came")


def test_a_request_whose_life_ends_in_the_queue_is_refused_to_its_sender(fund, control, sfr, question):
    eol = "2100-01-01T00:00:00+03:00"
    sent = fund.send_request(question(), before=f"<t:EOL>{eol}</t:EOL>").text("MessageId")
    control.wait(lambda: control.message(sent)["status"] == "requestIsAcceptedBySmev")
    control.move_clock(100 * 366 * 86400)
    control.wait(lambda: control.message(sent)["answers"])
    control.move_clock(0)
    assert control.message(sent)["status"] == "requestIsRejectedBySmev"
    assert control.message(sent)["entries"][0]["closed_by"] == "eol"
