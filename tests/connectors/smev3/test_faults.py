"""Every fault of FACTS §10, in its shape on the wire, and what the connector does about it."""

from __future__ import annotations

import re

import pytest

from connectors.smev3 import answers, faults
from connectors.smev3 import messages as header
from connectors.smev3.faults import FAULTS, Fault
from core.errors import BusError, ConfigError, Permanent, Retryable, Unavailable

SNILS = b'<s:Request xmlns:s="urn://demo/snils"><s:Name>\xd0\x9b\xd0\xb5\xd1\x81</s:Name></s:Request>'

SENDING = {
    "SMEVFailure": Unavailable,
    "DestinationOverflow": Retryable,
    "EndOfLifeReached": "renew",
    "MessageIsAlreadySent": Permanent,
    "StaleMessageId": "renew",
    "InvalidMessageIdFormat": Permanent,
    "InvalidContent": Permanent,
    "BusinessDataTypeIsNotSupported": Permanent,
    "TransactionCodeInvalid": Permanent,
    "SignatureVerificationFault": ConfigError,
    "AttachmentContentMiscoordination": Permanent,
    "AttachmentSizeLimitExceeded": Permanent,
    "QuoteLimitExceeded": "renew",
    "AccessDenied": Permanent,
    "PersonalAccessDenied": Permanent,
    "SenderIsNotRegistered": ConfigError,
    "RecipientIsNotFound": Permanent,
    "IncorrectResponseContentType": Permanent,
    "UnknownMessageType": Permanent,
    "TargetMessageIsNotFound": Permanent,
    "RequestIsNotFound": Permanent,
    "NeverHeardOfFault": Retryable,
    "": Retryable,
}
CHILDREN = {
    "DestinationOverflow": "<n:MessageBrokerAddress>a</n:MessageBrokerAddress>"
    "<n:DestinationName>Q-7</n:DestinationName>",
    "InvalidContent": '<n:ValidationError errorPosition="12">cvc-type.3.1.3</n:ValidationError>',
    "BusinessDataTypeIsNotSupported": "<n:RootElementLocalName>Snils</n:RootElementLocalName>"
    "<n:RootElementNamespaceURI>urn:s</n:RootElementNamespaceURI>",
    "AttachmentSizeLimitExceeded": "<n:PermittedTotalAttachmentSize>5</n:PermittedTotalAttachmentSize>"
    "<n:RealTotalAttachmentSize>9</n:RealTotalAttachmentSize>",
    "QuoteLimitExceeded": "<n:RemainedTotalQuoteSize>5</n:RemainedTotalQuoteSize>"
    "<n:RealTotalAttachmentSize>9</n:RealTotalAttachmentSize>",
    "SignatureVerificationFault": "<n:SignatureVerificationFault>CertificateIsExpired</n:SignatureVerificationFault>",
}


def send(smev, *, repeated=False):
    message = header.request(SNILS, kind="demo.snils")
    sink = smev.sinks["smev"]
    return sink.send(message, sink.prepare(message), repeated=repeated)


@pytest.mark.feature("SMEV-01")
@pytest.mark.parametrize("name", SENDING)
def test_a_fault_of_sending_leads_to_its_action(smev, far, make, name) -> None:
    far.prepare("SendRequest", make.fault(name, CHILDREN.get(name, "")))
    expected = SENDING[name]
    with pytest.raises(BusError) as caught:
        send(smev)
    error = caught.value
    if expected == "renew":
        assert isinstance(error, Retryable)
        assert error.renew
    else:
        assert type(error) is expected
        assert not getattr(error, "renew", False)
    assert re.search("[а-я]{3}", error.reason)
    assert "{" not in error.reason
    if name:
        assert name in error.detail
        assert "SMEV-999" in error.detail


def test_every_fault_of_the_table_is_tested() -> None:
    assert set(FAULTS) == set(SENDING) - {"NeverHeardOfFault", ""}


@pytest.mark.feature("SMEV-01")
def test_already_sent_is_success_when_we_repeat(smev, far, make) -> None:
    far.prepare("SendRequest", make.fault("MessageIsAlreadySent"))
    receipt = send(smev, repeated=True)
    assert "уже приняла" in receipt.note


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("StaleMessageId", "NTP"),
        ("DestinationOverflow", "Q-7"),
        ("AttachmentSizeLimitExceeded", "9 байт при пределе 5"),
        ("BusinessDataTypeIsNotSupported", "Snils (urn:s)"),
        ("SignatureVerificationFault", "срок сертификата истёк"),
        ("SenderIsNotRegistered", "ЛК УВ"),
    ],
)
def test_the_reason_names_what_happened_and_the_remedy(smev, far, make, name, words) -> None:
    far.prepare("SendRequest", make.fault(name, CHILDREN.get(name, "")))
    with pytest.raises(BusError) as caught:
        send(smev)
    assert words in caught.value.reason


@pytest.mark.parametrize(
    "value",
    [
        "PoorSOAPEnvelopeFormat",
        "NoSignatureFound",
        "IncorrectSignatureTarget",
        "SignatureIsInvalid",
        "CertificateIsNotFound",
        "CertificateIsExpired",
    ],
)
def test_each_kind_of_signature_fault_has_its_own_remedy(settings_of, value) -> None:
    fault = Fault("SignatureVerificationFault", values={"SignatureVerificationFault": value})
    error = faults.of_sending(fault, settings_of(), repeated=False)
    assert faults.SIGNATURE_REMEDIES[value] in error.reason


def test_a_bad_signature_of_one_attachment_stops_only_its_message(smev, far, make) -> None:
    text = "SMEV-100:Проверка подписи на вложении 1: Подпись не прошла проверку по сертификату"
    far.prepare("SendRequest", make.fault("SignatureVerificationFault", description=text))
    with pytest.raises(Permanent, match="вложения"):
        send(smev)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SMEVFailure", Unavailable),
        ("InvalidContent", ConfigError),
        ("SignatureVerificationFault", ConfigError),
        ("SenderIsNotRegistered", ConfigError),
        ("UnknownMessageType", ConfigError),
        ("AccessDenied", Retryable),
        ("StaleMessageId", Retryable),
        ("NeverHeardOfFault", Retryable),
        ("", Retryable),
    ],
)
def test_a_fault_of_polling_rests_or_stops_this_poll(settings_of, name, expected) -> None:
    assert type(faults.of_polling(Fault(name), settings_of())) is expected


@pytest.mark.parametrize("name", [*FAULTS, "NeverHeardOfFault", ""])
def test_polling_and_acknowledging_never_ask_for_what_they_cannot(settings_of, name) -> None:
    polling = faults.of_polling(Fault(name), settings_of())
    assert isinstance(polling, Retryable | ConfigError)
    assert not getattr(polling, "renew", False)
    acknowledging = faults.of_acknowledging(Fault(name), settings_of())
    assert acknowledging is None or isinstance(acknowledging, Retryable | ConfigError)
    assert not getattr(acknowledging, "renew", False)


def test_the_published_faults_are_read(shared, settings_of) -> None:
    for name, kind, number in (
        ("SoapFaultResponse_SignatureVerificationFault.xml", "SignatureVerificationFault", "SMEV-100"),
        ("SoapFaultResponse.xml", "", ""),
    ):
        with pytest.raises(answers.Refused) as caught:
            answers.open_envelope((shared / "messages" / name).read_bytes())
        fault = caught.value.fault
        assert (fault.name, fault.number) == (kind, number)
        assert fault.text
    assert fault.text == "Сообщение об ошибке"


def test_a_fault_with_http_status_500_or_200_is_the_same_fault(smev, far, make) -> None:
    kind = type(far.usual("Ack", b""))
    far.prepare(
        "SendRequest", kind(make.fault("InvalidContent"), status=500), kind(make.fault("InvalidContent"), status=200)
    )
    for _ in range(2):
        with pytest.raises(Permanent, match="схеме"):
            send(smev)


def test_validation_errors_go_into_the_detail_and_not_into_the_reason(smev, far, make) -> None:
    secret = "<n:ValidationError errorPosition='1'>Значение 'Иванов' не подходит</n:ValidationError>"
    far.prepare("SendRequest", make.fault("InvalidContent", secret))
    with pytest.raises(Permanent) as caught:
        send(smev)
    assert "Иванов" not in caught.value.reason
    assert "Иванов" in caught.value.detail


@pytest.mark.parametrize("broken", ["timeout", "502", "504", "html 200", "truncated", "multipart", "garbage", "empty"])
def test_an_unknown_outcome_repeats_the_same_octets_and_then_succeeds(smev_with, far, make, broken) -> None:
    smev = smev_with(answer_timeout_s=0.3)
    kind = type(far.usual("Ack", b""))
    html = b"<html><body>Bad gateway</body></html>"
    far.prepare(
        "SendRequest",
        {
            "timeout": kind(b"<late/>", delay_s=1.0),
            "502": kind(html, status=502, content_type="text/html"),
            "504": kind(b"upstream", status=504, content_type="text/plain"),
            "html 200": kind(html, content_type="text/html"),
            "truncated": kind(make.soap("<a/>")[:-20]),
            "multipart": kind(b"--m\r\n\r\n<half", content_type="multipart/related; boundary=m"),
            "garbage": kind(b"\x00\x01\x02 no xml"),
            "empty": kind(b""),
        }[broken],
    )
    message = header.request(SNILS, kind="demo.snils")
    sink = smev.sinks["smev"]
    prepared = sink.prepare(message)
    with pytest.raises(Retryable) as caught:
        sink.send(message, prepared, repeated=False)
    assert not caught.value.renew
    assert "исход неизвестен" in caught.value.reason
    assert sink.send(message, prepared, repeated=True).note
    first, second = far.of("SendRequest")
    assert first.body == second.body == prepared.body


def test_a_stale_id_is_replaced_at_once_but_a_fresh_one_called_stale_means_a_wrong_clock(smev, far, make) -> None:
    from core.connector import Prepared

    message = header.request(SNILS, kind="demo.snils")
    sink = smev.sinks["smev"]
    fresh = sink.prepare(message)
    old = Prepared("0d2a4a3e-6f0f-11ee-8c99-0242ac120002", fresh.body, fresh.headers)
    pauses = []
    for prepared in (old, fresh):
        far.prepare("SendRequest", make.fault("StaleMessageId"))
        with pytest.raises(Retryable) as caught:
            sink.send(message, prepared, repeated=False)
        assert caught.value.renew
        pauses.append(caught.value.pause_s)
    assert pauses == [0.0, 60.0]
