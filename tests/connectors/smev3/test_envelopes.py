"""Outgoing envelopes: valid against the published schemas in every version, signed where the schema says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from lxml import etree

from connectors.smev3 import envelopes
from connectors.smev3.identity import new_message_id
from core.signatures import xmldsig

SNILS = b'<s:R xmlns:s="urn://demo/s"><s:N>1</s:N></s:R>'
TO = "eyJzaWQiOjF9+/="
WORDS = st.text(st.characters(blacklist_categories=("Cs", "Cc")) | st.sampled_from("\t\n\r"), max_size=40)


def every(version: str) -> dict[str, envelopes.Unsigned]:
    """One envelope of each operation, with everything optional filled in."""
    made = {
        "request": envelopes.send_request(
            version,
            message_id=new_message_id(),
            payload=SNILS,
            reference=new_message_id(),
            transaction_code="a|1",
            node="n",
            end_of_life=envelopes.timestamp(datetime.now(UTC) + timedelta(days=1)),
            test=True,
        ),
        "request, least": envelopes.send_request(version, message_id=new_message_id(), payload=SNILS),
        "response": envelopes.send_response(version, message_id=new_message_id(), to=TO, payload=SNILS),
        "rejection": envelopes.send_rejection(
            version, message_id=new_message_id(), to=TO, reasons=[("NO_DATA", "Нет"), ("FAILURE", "Сбой <&>")]
        ),
        "status": envelopes.send_status(
            version, message_id=new_message_id(), to=TO, code=-7, description="Идёт", parameters={"ключ": "&"}
        ),
        "get any request": envelopes.get_message(version, "GetRequest"),
        "get request": envelopes.get_message(version, "GetRequest", namespace="urn://demo", root="R", node="n"),
        "get response": envelopes.get_message(version, "GetResponse", namespace="urn://demo", root="R"),
        "get status": envelopes.get_status(version),
        "ack": envelopes.ack(version, message_id=new_message_id(), accepted=True),
        "ack false": envelopes.ack(version, message_id=new_message_id(), accepted=False),
    }
    if version == "1.1":
        made["statistics"] = envelopes.get_statistics(version, node="n")
    return made


SIGNED = {
    "request": "SenderProvidedRequestData",
    "response": "SenderProvidedResponseData",
    "get status": "Timestamp",
    "get request": "MessageTypeSelector",
    "get response": "MessageTypeSelector",
    "ack": "AckTargetMessage",
    "statistics": "Timestamp",
}


@cache
def schema(folder: Path, version: str) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(str(folder / f"schemas/{version}/smev-message-exchange-types-{version}.xsd")))


@pytest.mark.feature("SMEV-01")
@pytest.mark.parametrize("version", ["1.1", "1.2", "1.3"])
def test_every_envelope_is_valid_against_the_published_schema(shared, keys, version) -> None:
    for name, unsigned in every(version).items():
        signature = xmldsig.sign(unsigned.whole, unsigned.signed_id, keys.identity("fund"))
        root = etree.fromstring(unsigned.around(signature))
        assert [etree.QName(child).localname for child in root] == ["Header", "Body"]
        operation = root[1][0]
        valid = schema(shared, version)
        assert valid.validate(operation), f"{name}: {valid.error_log}"


@pytest.mark.feature("SMEV-03")
@pytest.mark.parametrize("version", ["1.1", "1.2", "1.3"])
def test_the_element_of_the_specification_is_signed(keys, version) -> None:
    made = every(version)
    for name, element in SIGNED.items():
        if name not in made:
            continue
        unsigned = made[name]
        envelope = unsigned.around(xmldsig.sign(unsigned.whole, unsigned.signed_id, keys.identity("fund")))
        (verified,) = xmldsig.verify_all(envelope)
        assert verified.ok
        assert etree.QName(verified.element).localname == element


@given(WORDS)
@given_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_survives_the_envelope_and_the_signature(keys, words) -> None:
    unsigned = envelopes.send_rejection("1.3", message_id=new_message_id(), to=TO, reasons=[("FAILURE", words)])
    envelope = unsigned.around(xmldsig.sign(unsigned.whole, unsigned.signed_id, keys.identity("fund")))
    root = etree.fromstring(envelope)
    (found,) = root.iter("{*}RejectionReasonDescription")
    assert (found.text or "") == words
    (verified,) = xmldsig.verify_all(envelope)
    assert verified.ok
