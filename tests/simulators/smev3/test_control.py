"""The control API, and what a restart must not forget."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import pytest
from lxml import etree

from simulators.smev3.control import ControlError, SimulatorControl
from simulators.smev3.server import running
from simulators.smev3.settings import Settings

pytestmark = pytest.mark.feature("SMEV-13")

EGRUL = "urn://x-artefacts-fns-nsvuidat/root/311-31/4.0.0"


def test_a_restart_forgets_nothing(keys, fresh_database, make_caller):
    settings = Settings.load(
        database_url=fresh_database, keys_dir=keys.directory, keys_password=keys.password,
        behaviour={"validation_delay_s": 0.0, "redelivery_s": 60.0},
    )  # fmt: skip
    with running(settings) as url:
        control = SimulatorControl(url)
        first, second = control.play("fns.egrul", 2)
        fund = make_caller("fund", url=url)
        assert fund.receive().text("MessageID") == first
        control.arm("http_503", operation="Ack", count=5)
        control.down("SFR001")
        control.move_clock(5)
    with running(settings) as url:
        control = SimulatorControl(url)
        fund = make_caller("fund", url=url)
        assert control.faults()[0]["remaining"] == 5
        assert fund.ack(first).status == 503
        control.disarm()
        assert fund.ack(first).fault == ""
        assert fund.receive().text("MessageID") == second
        assert [one["accepted"] for one in control.message(first)["acknowledgements"]] == [True]
        with pytest.raises(ControlError, match="выключен"):
            control.send("SFR001", b"<x/>")
        assert control._call("GET", "/clock")["offset_s"] == 5


def test_a_message_sent_by_order_carries_all_that_was_ordered(fund, control):
    sent = control.send(
        "FNS001", f'<N xmlns="{EGRUL}"/>'.encode(), version="1.3", transaction_code="код", test_message=True,
        eol="2100-01-01T00:00:00+03:00", element_id="SENDER_OV_SIGNATURE", tag="проба",
    )  # fmt: skip
    fund.version = "1.3"
    answer = fund.receive()
    assert answer.text("MessageID") == sent
    assert answer.text("TransactionCode") == "код"
    assert answer.text("ReferenceMessageID") == sent
    assert answer.find("TestMessage") is not None
    assert answer.text("EOL") == "2100-01-01T00:00:00.000+03:00"
    assert answer.find("SenderProvidedRequestData").get("Id") == "SENDER_OV_SIGNATURE"
    assert [one["message_id"] for one in control.messages(tag="проба")] == [sent]
    assert control.data(sent).startswith(b"<ns2:SenderProvidedRequestData")


def test_a_sender_may_use_the_id_of_smev_without_breaking_its_signature(fund, control):
    control.send("FNS001", f'<N xmlns="{EGRUL}"/>'.encode(), element_id="SIGNED_BY_SMEV")
    answer = fund.receive()
    assert answer.find("Request").get("Id") == "SIGNED_BY_SMEV_1"


@pytest.mark.parametrize("sign", ["wrong", "none", "expired", "foreign"])
def test_a_message_may_be_sent_with_a_bad_signature_of_its_sender(fund, control, sign, keys):
    from core.signatures import xmldsig

    control.send("FNS001", f'<N xmlns="{EGRUL}"/>'.encode(), sign=sign)
    found = xmldsig.verify_all(fund.receive().root)
    assert found[-1].ok
    if sign == "none":
        assert len(found) == 1
    elif sign == "wrong":
        assert not found[0].ok
    else:
        assert found[0].certificate == keys.identity(sign).certificate


def test_the_summary_counts_what_was_sent_taken_and_answered(fund, control, question):
    for surname in ("Берёзов", "Нетданных", "Молчунов", "Smith"):
        fund.send_request(question(surname))
    control.wait(lambda: control.summary()["requests"] and control.summary()["requests"][0]["answered"] == 2)
    control.wait(lambda: control.summary()["requests"][0]["rejected_by_smev"] == 1)
    [row] = control.summary()["requests"]
    assert (row["kind"], row["sender"], row["requests"]) == ("sfr.snils", "TFOMS01", 4)
    assert (row["answers"], row["doubled"]) == (2, 0)

    def taken() -> int:
        return {(one["queue"], one["sender"]): one for one in control.summary()["queues"]}["request", "TFOMS01"][
            "acked_true"
        ]

    control.wait(lambda: taken() == 3)
    for _ in range(3):
        fund.ack(fund.receive("GetResponse").text("MessageID"), "false")
    queues = {(one["queue"], one["sender"]): one for one in control.summary()["queues"]}
    assert queues["response", "SFR001"]["acked_false"] == 2
    assert queues["response", "smev"]["delivered"] == 1


def test_a_doubled_answer_is_counted(fund, sfr, control, question, snils_answer):
    fund.send_request(question())
    to = sfr.receive().text("ReplyTo")
    for _ in range(2):
        sfr.send_response(to, snils_answer)
    assert control.summary()["requests"][0]["doubled"] == 1


def test_every_envelope_is_kept_as_it_went(fund, control, question):
    body = fund.envelope("SendRequest", fund.request_data(question()))
    answer = fund.post(body, "SendRequest")
    received, sent = list(control.envelopes())
    assert received["body"] == body
    assert sent["body"] == answer.root
    assert (received["direction"], sent["direction"]) == ("in", "out")
    assert received["exchange"] == sent["exchange"]
    assert (sent["operation"], sent["version"], sent["caller"]) == ("SendRequest", "1.2", "TFOMS01")
    assert sent["multipart"] is True
    assert list(control.envelopes(after=sent["seq"])) == []


def test_recording_may_be_switched_off(start, make_caller):
    url = start(record_envelopes=False)
    make_caller("fund", url=url).get_request()
    assert list(SimulatorControl(url).envelopes()) == []


def test_a_reset_forgets_messages_faults_and_the_moved_clock(fund, control):
    control.play("fns.egrul", 1)
    control.arm("http_503")
    control.move_clock(1000)
    control.reset()
    assert list(control.messages()) == []
    assert control.faults() == []
    assert fund.get_request().is_empty


def test_a_provider_that_is_down_takes_nothing_until_it_is_up(fund, control, question):
    control.down("SFR001")
    sent = fund.send_request(question()).text("MessageId")
    control.wait(lambda: control.message(sent)["status"] == "requestIsAcceptedBySmev")
    assert control.message(sent)["entries"][0]["deliveries"] == 0
    control.up("SFR001")
    assert len(fund.receive("GetResponse").text("Snils")) == 11


def test_a_token_guards_the_control_when_set(start):
    url = start(control_token="тайна-7")
    with pytest.raises(ControlError, match="control_token"):
        SimulatorControl(url).summary()
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=5)
    connection.request("GET", "/control/summary", headers={"Authorization": "Bearer wrong"})
    assert connection.getresponse().status == 401
    connection.close()


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"sender": "NOBODY", "payload": "<x/>"}, "не описан"),
        ({"sender": "FNS001", "payload": "<x/>"}, "не описан"),
        ({"sender": "FNS001", "payload": "<x"}, "обрывается"),
        ({"sender": "FNS001", "payload": f'<N xmlns="{EGRUL}"/>', "version": "9"}, "Версия"),
        ({"sender": "FNS001", "payload": "<x/>", "цвет": "синий"}, "Неизвестные ключи"),
        ({"payload": "<x/>"}, "sender"),
        ({"sender": "FNS001", "payload_base64": "не base64"}, "base64"),
    ],
)
def test_an_order_that_cannot_be_carried_out_says_what_to_change(control, order, words):
    with pytest.raises(ControlError, match=words):
        control._call("POST", "/send", order)


def test_made_up_requests_are_the_same_for_the_same_seed(control):
    [first] = control.play("zags.death", 1, seed=5, records=3)
    [second] = control.play("zags.death", 1, seed=5, records=3)
    data = [etree.fromstring(control.data(one)) for one in (first, second)]
    contents = [etree.tostring(one.find("{*}MessagePrimaryContent")) for one in data]
    assert contents[0] == contents[1]
    assert contents[0].count(b"RegistryRecord>") == 6
