"""Scripted participants: СФР by its rules, ЕПГУ and ЗАГС that collect, a broadcaster by the clock; settings."""

from __future__ import annotations

import pytest

from core.errors import ConfigError
from simulators.smev3.control import SimulatorControl
from simulators.smev3.settings import Settings

pytestmark = pytest.mark.feature("SMEV-13")

SERVICES = "http://ffoms.ru/GetInsuredRenderedMedicalServices/1.0.0"


def test_a_provider_answers_with_the_same_number_for_the_same_person(fund, question):
    for _ in range(2):
        fund.send_request(question())
    numbers = [fund.receive("GetResponse").text("Snils") for _ in range(2)]
    assert numbers[0] == numbers[1]
    assert len(numbers[0]) == 11


def test_a_provider_refuses_by_surname(fund, question):
    sent = fund.send_request(question("НЕТДАННЫХ")).text("MessageId")
    answer = fund.receive("GetResponse")
    assert answer.text("OriginalMessageId") == sent
    assert answer.text("RejectionReasonCode") == "NO_DATA"


def test_smev_refuses_asynchronously_by_surname(fund, question):
    fund.send_request(question("Непрошедшев"))
    assert fund.receive("GetResponse").text("StatusCategory") == "requestIsRejectedBySmev"


def test_a_provider_sends_a_status_before_its_answer(fund, control, question):
    fund.send_request(question("Ожидаев"))
    assert fund.receive("GetResponse").text("StatusCode") == "102"
    assert fund.get_response().is_empty
    control.move_clock(2)
    assert fund.receive("GetResponse").text("Snils")


def test_a_silent_provider_takes_the_request_and_never_answers(fund, control, question):
    sent = fund.send_request(question("Молчунов")).text("MessageId")
    control.wait(lambda: control.message(sent)["acknowledgements"])
    control.move_clock(86400)
    assert fund.get_response().is_empty
    assert control.message(sent)["answers"] == []


def test_a_slow_provider_answers_after_its_delay(fund, control, question):
    sent = fund.send_request(question("Медленнов")).text("MessageId")
    control.wait(lambda: control.message(sent)["acknowledgements"])
    assert fund.get_response().is_empty
    control.move_clock(3)
    assert fund.receive("GetResponse").text("OriginalMessageId") == sent


def test_every_nth_request_may_be_refused(start, make_caller, question):
    script = {
        "participant": "SFR001", "role": "provider", "kind": "sfr.snils",
        "rules": [{"every": 2, "action": "reject", "code": "FAILURE", "text": "через раз"}],
    }  # fmt: skip
    fund = make_caller("fund", url=start({"scripts": [script]}))
    outcomes = []
    for _ in range(4):
        fund.send_request(question())
        answer = fund.receive("GetResponse")
        outcomes.append(answer.find("RequestRejected") is not None)
        fund.ack(answer.text("MessageID"))
    assert outcomes == [False, True, False, True]


def test_epgu_collects_and_acknowledges_our_answer(fund, control):
    [asked] = control.play("ffoms.services", 1)
    content = (
        "<t:RequestRejected><t:RejectionReasonCode>NO_DATA</t:RejectionReasonCode>"
        "<t:RejectionReasonDescription>Нет</t:RejectionReasonDescription></t:RequestRejected>"
    )
    to = fund.receive(namespace=SERVICES, root="InputData").text("ReplyTo")
    sent = fund.call("SendResponse", fund.response_data(to, content)).text("MessageId")
    control.wait(lambda: control.message(sent)["entries"][0]["accepted"])
    [answer] = control.message(asked)["answers"]
    assert (answer["message_id"], answer["content"], answer["details"]) == (sent, "rejected", "NO_DATA: Нет")


def test_an_answer_that_breaks_the_schema_never_reaches_zags(make_caller, control):
    [sent] = control.play("zags.birth", 1)
    fund = make_caller("fund", "1.3")
    to = fund.receive().text("ReplyTo")
    bad = '<r:ROGDZPResponse xmlns:r="urn://x-artefacts-zags-rogdzp/root/112-23/4.0.1" ИдСвед="1" КодОбр="77"/>'
    fund.send_response(to, bad)
    status = _status(fund)
    assert status.text("StatusCategory") == "responseIsRejectedBySmev"
    assert control.message(sent)["answers"][0]["status"] == "responseIsRejectedBySmev"


def _status(caller):
    while (answer := caller.get_status()).is_empty:
        pass
    return answer


def test_a_broadcaster_sends_by_itself_until_its_limit(start):
    script = {
        "participant": "ZAGS01", "role": "consumer", "kind": "zags.death", "version": "1.3", "every_s": 0.01,
        "limit": 3, "records": 2,
    }  # fmt: skip
    control = SimulatorControl(start({"scripts": [script]}))
    control.wait(lambda: len(list(control.messages(kind="zags.death"))) == 3)
    assert {one["message_type"] for one in control.messages()} == {"REQUEST"}


def test_an_unknown_key_of_the_settings_is_named(tmp_path):
    file = tmp_path / "sim.toml"
    file.write_text("[behaviour]\nredelivery = 5\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"behaviour\.redelivery"):
        Settings.load(file)


def test_a_file_changes_single_keys_of_behaviour_and_whole_lists(tmp_path):
    file = tmp_path / "sim.toml"
    file.write_text("scripts = []\n[behaviour]\nquota_messages = 5\n", encoding="utf-8")
    chosen = Settings.load(file, behaviour={"redelivery_s": 3.0})
    assert (chosen.behaviour.quota_messages, chosen.behaviour.redelivery_s) == (5, 3.0)
    assert chosen.scripts == []
    assert {kind.name for kind in chosen.kinds} == {
        "zags.birth", "zags.death", "fns.egrul", "sfr.snils", "ffoms.services",
    }  # fmt: skip


def test_a_broken_settings_file_is_a_config_error(tmp_path):
    file = tmp_path / "sim.toml"
    file.write_text("это не TOML", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"sim\.toml"):
        Settings.load(file)


def test_missing_keys_are_a_config_error_that_names_the_remedy(tmp_path, monkeypatch):
    from simulators.smev3.identities import Identities

    monkeypatch.delenv("OMSBUS_KEY_PASSWORD", raising=False)
    with pytest.raises(ConfigError, match="omsbus keys demo"):
        Identities(Settings.load(keys_dir=tmp_path))


@pytest.mark.parametrize(("mode", "expected"), [("always", True), ("never", False), ("attachments", False)])
def test_answers_are_multipart_as_the_settings_say(start, make_caller, mode, expected):
    fund = make_caller("fund", url=start(multipart={"1.2": mode}))
    for answer in (fund.get_request(), fund.ack(fund.new_id())):
        assert answer.content_type.startswith("multipart/related") is expected
    if expected:
        assert 'start="<root.message@cxf.apache.org>"' in answer.content_type
        assert 'start-info="text/xml"' in answer.content_type
        assert list(answer.parts) == ["root.message@cxf.apache.org"]


def test_attachments_stand_inline_where_multipart_is_forbidden(start, make_caller):
    url = start(multipart={"1.2": "never"})
    attachment = {"content_id": "a1", "mime_type": "text/plain", "body": "eHl6"}
    payload = b'<N xmlns="urn://x-artefacts-fns-nsvuidat/root/311-31/4.0.0"/>'
    SimulatorControl(url).send("FNS001", payload, attachments=[attachment])
    answer = make_caller("fund", url=url).receive()
    assert answer.content_type.startswith("text/xml")
    assert answer.text("Content") == "eHl6"


def test_without_verification_an_unsigned_call_is_taken_for_the_default_caller(start, make_caller):
    url = start(verify_signatures=False, default_caller="TFOMS01")
    assert make_caller(None, url=url).get_request().is_empty
    assert make_caller("foreign", url=url).get_request().is_empty


def test_an_acknowledgement_may_answer_with_an_empty_body(start, make_caller):
    url = start(ack_body="empty")
    fund = make_caller("fund", url=url)
    [sent] = SimulatorControl(url).play("fns.egrul", 1)
    fund.receive()
    answer = fund.ack(sent)
    assert answer.status == 200
    assert len(answer.xml.find("{http://schemas.xmlsoap.org/soap/envelope/}Body")) == 0
