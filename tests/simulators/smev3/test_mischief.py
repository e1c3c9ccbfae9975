"""Every armed fault, seen from the caller's side of the wire."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest

from core.errors import MalformedXml, SignatureRejected
from core.signatures import xmldsig
from core.xml import TruncatedXml, parse
from simulators.smev3.control import ControlError
from simulators.smev3.mischief import NAMES, ArmedFault

pytestmark = pytest.mark.feature("SMEV-13")


@pytest.fixture
def delivery(fund, control):
    """Arm a fault, send one broadcast, receive it on version 1.3 (plain answers)."""

    def receive(name, **fields):
        control.play("fns.egrul", 1, version="1.3")
        fund.version = "1.3"
        control.arm(name, operation="GetRequest", count=1, **fields)
        return fund.receive()

    return receive


def judge(answer):
    """Smev's own signature on the outer element, as a receiver would check it."""
    root = parse(answer.root)
    message = root.find(".//{*}RequestMessage")
    return xmldsig.verify(root, message.find("{*}SMEVSignature/{*}Signature"), expected=message.find("{*}Request"))


def test_without_faults_a_delivery_is_sound(fund, control):
    control.play("fns.egrul", 1)
    assert judge(fund.receive()).ok


def test_a_wrong_signature_of_smev_does_not_hold(delivery):
    assert not judge(delivery("wrong_smev_signature")).ok


def test_a_missing_signature_of_smev_leaves_the_message_bare(delivery):
    answer = delivery("no_smev_signature")
    assert answer.find("SMEVSignature") is None
    assert answer.find("Request") is not None


def test_a_wrong_signature_of_the_sender_stands_under_a_sound_one_of_smev(delivery):
    answer = delivery("wrong_sender_signature")
    assert judge(answer).ok
    inner, _outer = xmldsig.verify_all(answer.root)
    assert not inner.ok


@pytest.mark.parametrize(("fault", "key"), [("expired_certificate", "expired"), ("foreign_certificate", "foreign")])
def test_smev_may_sign_with_a_certificate_that_must_not_be_trusted(delivery, keys, fault, key):
    verified = judge(delivery(fault))
    assert verified.ok
    assert verified.certificate == keys.identity(key).certificate


def test_a_repeated_id_lets_no_signature_be_verified(delivery):
    answer = delivery("repeated_id")
    header_copy, forged = answer.xml.findall(".//{*}Request")
    assert header_copy.get("Id") == forged.get("Id")
    assert forged.findtext(".//{*}MessageID")[0] == "f"
    with pytest.raises(SignatureRejected, match="повторяется"):
        judge(answer)


def test_a_wrapped_message_is_signed_elsewhere(delivery):
    answer = delivery("wrapped")
    with pytest.raises(SignatureRejected, match="не тот элемент"):
        judge(answer)
    signature = parse(answer.root).findall(".//{*}SMEVSignature/{*}Signature")[0]
    genuine = xmldsig.verify(signature.getroottree().getroot(), signature)
    assert genuine.ok
    assert parse(answer.root).find("{*}Header/{*}Request") is not None


def test_an_unknown_status_stands_in_the_metadata_under_a_sound_signature(delivery):
    answer = delivery("unknown_status", params={"value": "messageIsOnTheMoon"})
    assert answer.text("Status") == "messageIsOnTheMoon"
    assert judge(answer).ok


def test_a_duplicate_comes_after_its_acknowledgement_so_many_times(fund, control):
    [sent] = control.play("fns.egrul", 1)
    control.arm("duplicate", count=1, params={"times": 2})
    for _ in range(3):
        assert fund.receive().text("MessageID") == sent
        assert fund.ack(sent).fault == ""
    assert fund.get_request().is_empty
    [row] = control.summary()["queues"]
    assert (row["sent"], row["redelivered"], row["acked_true"], row["open"]) == (1, 2, 1, 0)


def test_the_newest_message_may_come_first(fund, control):
    first, second = control.play("fns.egrul", 2)
    control.arm("newest_first", count=1)
    assert [fund.receive().text("MessageID") for _ in range(2)] == [second, first]


def test_an_orphan_status_tells_of_a_message_that_nobody_sent(fund, control):
    control.arm("orphan_status", count=1)
    answer = fund.receive("GetResponse")
    assert answer.text("StatusCategory") == "requestIsRejectedBySmev"
    assert list(control.messages(message_id=answer.text("OriginalMessageId"))) == []
    assert all(one.ok for one in xmldsig.verify_all(answer.root))
    assert fund.ack(answer.text("MessageID")).fault == ""


def test_an_orphan_answer_belongs_to_no_request(fund, control):
    control.arm("orphan_response", count=1)
    answer = fund.receive("GetResponse")
    assert answer.text("RejectionReasonCode") == "FAILURE"
    assert list(control.messages(message_id=answer.text("OriginalMessageId"))) == []


def test_an_asynchronous_refusal_may_be_ordered(fund, control, question):
    control.arm("async_reject", kind="sfr.snils", count=1, params={"text": "cvc-pattern-valid: так велено"})
    sent = fund.send_request(question()).text("MessageId")
    status = fund.receive("GetResponse")
    assert status.text("OriginalMessageId") == sent
    assert status.text("ValidationError") == "cvc-pattern-valid: так велено"


def test_any_named_fault_may_be_ordered_for_an_operation(fund, control):
    control.arm("fault", operation="Ack", count=1, params={"name": "SMEVFailure", "text": "Ремонт"})
    assert fund.get_request().fault == ""
    refused = fund.ack(fund.new_id())
    assert refused.fault == "SMEVFailure"
    assert refused.text("faultstring") == "Ремонт"
    assert fund.ack(fund.new_id()).fault == "TargetMessageIsNotFound"


def test_a_named_fault_leaves_the_message_unaccepted(fund, control, question):
    control.arm("fault", operation="SendRequest", count=1, params={"name": "DestinationOverflow"})
    message_id = fund.new_id()
    assert fund.send_request(question(), message_id).fault == "DestinationOverflow"
    assert list(control.messages(message_id=message_id)) == []
    assert fund.send_request(question(), message_id).fault == ""


def test_invalid_content_may_come_without_its_validation_error(fund, control, question):
    control.arm("fault", operation="SendRequest", count=1, params={"name": "InvalidContent", "bare": True})
    answer = fund.send_request(question())
    assert answer.fault == "InvalidContent"
    assert answer.find("ValidationError") is None


def test_a_connection_dropped_before_leaves_nothing(fund, control, question):
    control.arm("drop_before", operation="SendRequest", count=1)
    message_id = fund.new_id()
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        fund.send_request(question(), message_id)
    assert list(control.messages(message_id=message_id)) == []


def test_a_connection_dropped_after_has_accepted_the_message(fund, control, question):
    control.arm("drop_after", operation="SendRequest", count=1)
    message_id = fund.new_id()
    body = fund.envelope("SendRequest", fund.request_data(question(), message_id))
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        fund.post(body, "SendRequest")
    assert control.message(message_id)["sender"] == "TFOMS01"
    assert fund.post(body, "SendRequest").fault == "MessageIsAlreadySent"


@pytest.mark.parametrize("accepted", [True, False])
def test_a_gateway_page_says_nothing_of_the_outcome(fund, control, question, accepted):
    control.arm("html_504", operation="SendRequest", count=1, params={"accepted": accepted})
    message_id = fund.new_id()
    answer = fund.send_request(question(), message_id)
    assert answer.status == 504
    assert answer.raw.startswith(b"<html>")
    assert len(list(control.messages(message_id=message_id))) == int(accepted)


def test_the_service_may_be_away(fund, control):
    control.arm("http_503", count=1)
    assert fund.get_request().status == 503
    assert fund.get_request().status == 200


def test_a_truncated_answer_breaks_off_before_its_promised_length(fund, control, question):
    fund.version = "1.3"
    control.arm("truncated", operation="SendRequest", count=1)
    message_id = fund.new_id()
    with pytest.raises(http.client.IncompleteRead) as broken:
        fund.send_request(question(), message_id)
    with pytest.raises(TruncatedXml):
        parse(broken.value.partial)
    assert control.message(message_id)


@pytest.mark.parametrize("fault", ["malformed", "not_utf8", "dtd", "entity_bomb", "deep_nesting"])
def test_an_answer_that_is_no_good_xml_is_refused_by_the_hardened_parser(fund, control, fault):
    control.arm(fault, count=1)
    answer = fund.get_request()
    assert answer.status == 200
    with pytest.raises(MalformedXml):
        parse(answer.root)


def test_a_huge_text_node_is_as_long_as_ordered(fund, control):
    control.arm("huge_text", count=1, params={"size": 11_000_000})
    answer = fund.get_request()
    assert len(answer.raw) > 11_000_000
    with pytest.raises(MalformedXml):
        parse(answer.root)


def test_a_broken_multipart_names_a_boundary_that_is_not_there(fund, control):
    control.arm("broken_multipart", count=1)
    answer = fund.get_request()
    assert 'boundary="other"' in answer.content_type
    assert b"--other" not in answer.raw


def test_an_empty_body_is_empty(fund, control):
    control.arm("empty_body", count=1)
    assert fund.get_request().raw == b""


def test_latency_delays_but_spoils_nothing(fund, control):
    control.arm("latency", count=1, params={"seconds": 0.05})
    assert fund.get_request().is_empty
    assert control.faults()[0]["fired"] == 1


def test_the_record_names_the_faults_that_touched_a_call(fund, control):
    control.arm("malformed", count=1)
    fund.get_request()
    fund.get_request()
    injected = [one["injected"] for one in control.envelopes()]
    assert injected == [["malformed"], ["malformed"], [], []]


def test_a_fault_keeps_to_its_caller_and_version(fund, control, make_caller):
    control.arm("fault", caller="SFR001", version="1.2", params={"name": "SMEVFailure"})
    assert fund.get_request().fault == ""
    assert make_caller("sfr", "1.3").get_request().fault == ""
    assert make_caller("sfr").get_request().fault == "SMEVFailure"


def test_a_disarmed_fault_is_silent(fund, control):
    number = control.arm("http_503")
    assert fund.get_request().status == 503
    control.disarm(number)
    assert fund.get_request().status == 200


def test_the_die_of_a_fault_falls_the_same_way_for_the_same_seed():
    def draws(seed):
        fault = ArmedFault(1, "latency", None, None, None, None, None, 0.3, seed, 0, 0)
        return [fault.falls() for _ in range(200)]

    assert draws(7) == draws(7)
    assert draws(7) != draws(8)
    assert 30 < sum(draws(7)) < 90


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"name": "боль"}, "Неизвестный сбой"),
        ({"name": "fault"}, "params.name"),
        ({"name": "dtd", "зачем": 1}, "ключи"),
    ],
)
def test_a_fault_that_does_not_exist_is_refused_with_the_list(control, order, words):
    name = order.pop("name")
    with pytest.raises(ControlError, match=words):
        control.arm(name, **order)


def test_every_fault_of_the_list_is_tried_here():
    source = Path(__file__).read_text(encoding="utf-8")
    untried = [name for name in NAMES if f'"{name}"' not in source]
    assert untried == []
