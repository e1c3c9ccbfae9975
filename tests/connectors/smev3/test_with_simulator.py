"""Whole ways through the simulator, which was written apart from the connector: neither can be wrong alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from connectors.smev3 import messages as header
from connectors.smev3.connector import Smev, connect
from core.errors import ConfigError, Retryable, SignatureRejected
from core.message import Outcome
from core.replies import Reply

SERVICES = "http://ffoms.ru/GetInsuredRenderedMedicalServices/1.0.0"
DEATHS = "urn://x-artefacts-zags-fatalzp/root/112-25/4.0.1"
SNILS = "http://kvs.pfr.com/snils-by-additionalData/1.0.1"
COMMONS = "urn://x-artefacts-smev-gov-ru/supplementary/commons/1.0.1"


def question(surname: str = "Лесная") -> bytes:
    return (
        f'<s:SnilsByAdditionalDataRequest xmlns:s="{SNILS}" xmlns:c="{COMMONS}"><c:FamilyName>{surname}</c:FamilyName>'
        "<c:FirstName>Ольга</c:FirstName><s:BirthDate>1980-05-05</s:BirthDate><s:Gender>Female</s:Gender>"
        "</s:SnilsByAdditionalDataRequest>"
    ).encode()


@pytest.fixture(params=["1.1", "1.2", "1.3"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def of_version(simulator: str, settings_of: Callable[..., object]) -> Callable[[str], Smev]:
    return lambda version: connect("smev", settings_of(simulator, default_version=version, polls=[
        {"name": "requests", "operation": "requests"},
        {"name": "responses", "operation": "responses"},
        {"name": "status", "operation": "status"},
    ]))  # fmt: skip


def take(smev, source, tries=100):
    for _ in range(tries):
        for delivery in smev.sources[source].receive():
            return delivery
        time.sleep(0.03)
    raise AssertionError("сообщение не пришло")


def send(smev, message, *, repeated=False):
    sink = smev.sinks["smev"]
    prepared = sink.prepare(message)
    return prepared, sink.send(message, prepared, repeated=repeated)


@pytest.mark.feature("SMEV-01", "SMEV-04")
def test_a_request_of_each_version_is_received_answered_and_acknowledged(control, of_version, version) -> None:
    smev = of_version(version)
    payload = f'<InputData xmlns="{SERVICES}"><N>1</N></InputData>'.encode()
    message_id = control.send("EPGU01", payload, version=version, transaction_code="t|1")
    delivery = take(smev, "smev.requests")
    message = delivery.message
    assert delivery.problem is None
    assert message.external_id == message_id
    assert message.headers[header.SENDER] == "EPGU01"
    assert message.headers[header.SENDER_SIGNATURE] == "valid"
    assert message.headers[header.TRANSACTION_CODE] == "t|1"
    delivery.ack()
    assert control.message(message_id)["status"]
    send(smev, header.refusal(message, "NO_DATA", "Сведения не найдены"))
    (answer,) = control.messages(sender="TFOMS01", what="response")
    assert (answer["original_message_id"], answer["content"]) == (message_id, "rejected")


@pytest.mark.feature("SMEV-01", "SMEV-02")
@pytest.mark.parametrize(
    ("surname", "outcomes"),
    [
        ("Лесная", [Outcome.ANSWER]),
        ("Нетданных", [Outcome.REJECTION]),
        ("Непрошедшев", [Outcome.FAILURE]),
        ("Ожидаев", [Outcome.STATUS, Outcome.ANSWER]),
    ],
)
def test_our_request_of_each_version_gets_its_outcome(control, of_version, version, surname, outcomes) -> None:
    smev = of_version(version)
    prepared, receipt = send(smev, header.request(question(surname), kind="sfr.snils"))
    assert receipt.headers[header.DELIVERY_STATUS] == "requestIsQueued"
    assert receipt.headers[header.RECIPIENT] == "SFR001"
    for outcome in outcomes:
        delivery = take(smev, "smev.responses")
        assert delivery.problem is None
        assert (delivery.message.outcome, delivery.message.in_reply_to) == (outcome, prepared.external_id)
        delivery.ack()
    if outcomes == [Outcome.FAILURE]:
        assert Reply.from_body(delivery.message.body).codes[0] == "requestIsRejectedBySmev"


@pytest.mark.feature("SMEV-01")
def test_our_bad_response_comes_back_by_get_status(control, of_version, version) -> None:
    smev = of_version(version)
    payload = f'<InputData xmlns="{SERVICES}"><N>1</N></InputData>'.encode()
    control.send("EPGU01", payload, version=version)
    delivery = take(smev, "smev.requests")
    delivery.ack()
    bad = f'<OutputData xmlns="{SERVICES}"><Nonsense/></OutputData>'.encode()
    prepared, _ = send(smev, header.answer(delivery.message, bad, kind="ffoms.services.answer"))
    told = take(smev, "smev.status")
    assert told.problem is None
    assert (told.message.outcome, told.message.in_reply_to) == (Outcome.FAILURE, prepared.external_id)


@pytest.mark.feature("SMEV-01")
def test_the_depth_of_our_queues_is_told_in_1_1(control, of_version) -> None:
    smev = of_version("1.1")
    for _ in range(3):
        control.send("ZAGS01", f'<Request xmlns="{DEATHS}"/>'.encode(), version="1.1")
    assert sum(smev.statistics().values()) == 3
    assert smev.queue_statistics == smev.statistics()


@pytest.mark.feature("SMEV-04")
@pytest.mark.parametrize(
    "mischief",
    [
        "wrong_smev_signature",
        "no_smev_signature",
        "expired_certificate",
        "foreign_certificate",
        "repeated_id",
        "wrapped",
    ],
)
def test_what_smev_did_not_sign_is_refused_and_does_not_block_the_queue(control, of_version, version, mischief) -> None:
    smev = of_version(version)
    control.arm(mischief, operation="GetRequest", count=1)
    bad = control.send("EPGU01", f'<InputData xmlns="{SERVICES}"/>'.encode(), version=version)
    delivery = take(smev, "smev.requests")
    assert isinstance(delivery.problem, SignatureRejected)
    assert delivery.message.body == b""
    delivery.reject(delivery.problem)
    good = control.send("EPGU01", f'<InputData xmlns="{SERVICES}"/>'.encode(), version=version)
    assert good != bad
    assert take(smev, "smev.requests").message.external_id == good


@pytest.mark.feature("SMEV-02")
@pytest.mark.parametrize(
    ("mischief", "outcome"), [("orphan_status", Outcome.FAILURE), ("orphan_response", Outcome.ANSWER)]
)
def test_orphans_are_delivered_and_acknowledged(control, of_version, mischief, outcome) -> None:
    smev = of_version("1.2")
    control.arm(mischief, count=1)
    delivery = take(smev, "smev.responses")
    assert delivery.problem is None
    assert delivery.message.in_reply_to
    assert delivery.message.outcome in (outcome, Outcome.STATUS, Outcome.REJECTION)
    delivery.ack()
    assert list(smev.sources["smev.responses"].receive()) == []


def test_a_lost_answer_to_our_request_is_repeated_with_the_same_octets_and_recognised(control, of_version) -> None:
    smev = of_version("1.2")
    control.arm("drop_after", operation="SendRequest", count=1)
    message = header.request(question(), kind="sfr.snils")
    sink = smev.sinks["smev"]
    prepared = sink.prepare(message)
    with pytest.raises(Retryable):
        sink.send(message, prepared, repeated=False)
    receipt = sink.send(message, prepared, repeated=True)
    assert "уже приняла" in receipt.note
    assert len(list(control.messages(sender="TFOMS01", what="request"))) == 1


@pytest.mark.parametrize("days", [3, -3])
def test_a_clock_that_is_days_wrong_renews_the_id_and_names_ntp(control, of_version, days) -> None:
    smev = of_version("1.2")
    message = header.request(question(), kind="sfr.snils")
    sink = smev.sinks["smev"]
    prepared = sink.prepare(message)
    control.move_clock(days * 86_400.0)
    try:
        if days > 0:
            with pytest.raises(Retryable, match="NTP") as caught:
                sink.send(message, prepared, repeated=False)
            assert caught.value.renew
        else:
            assert sink.send(message, prepared, repeated=False).note, "id из будущего имитатор принимает"
    finally:
        control.move_clock(0.0)


def test_a_request_whose_life_is_over_is_renewed_with_a_longer_life(control, of_version) -> None:
    smev = of_version("1.3")
    message = header.request(question(), kind="sfr.snils", end_of_life=datetime.now(UTC) + timedelta(hours=1))
    sink = smev.sinks["smev"]
    prepared = sink.prepare(message)
    control.move_clock(7200.0)
    try:
        with pytest.raises(Retryable) as caught:
            sink.send(message, prepared, repeated=False)
        assert caught.value.renew
    finally:
        control.move_clock(0.0)


def test_an_unregistered_sender_stops_the_connector(control, simulator, settings_of, keys) -> None:
    stranger = connect(
        "smev",
        settings_of(
            simulator, key_file=keys.key("smev"), certificate_file=keys.certificate("smev"), default_version="1.2"
        ),
    )
    with pytest.raises(ConfigError, match="ЛК УВ"):
        send(stranger, header.request(question(), kind="sfr.snils"))
    with pytest.raises(ConfigError):
        stranger.sources["smev.requests"].receive()
