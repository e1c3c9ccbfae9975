"""Whose signature a delivered message carries, and what becomes of it when it is not the right one."""

from __future__ import annotations

import re

import pytest

from connectors.smev3 import messages as header
from core.errors import SignatureRejected

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


@pytest.mark.feature("SMEV-04")
def test_an_unverified_message_does_not_shut_out_the_true_one_of_the_same_id(smev, far, make) -> None:
    good = make.request()
    forged = good.replace("Ёлка".encode(), "Палка".encode())
    far.prepare("GetRequest", forged, forged, good)
    first, again, true = receive(smev), receive(smev), receive(smev)
    assert first.message.external_id == again.message.external_id
    assert first.message.digest() == again.message.digest()
    assert true.problem is None
    assert true.message.external_id == REQUEST_ID
    assert first.message.external_id != REQUEST_ID


@pytest.mark.feature("SMEV-04")
@pytest.mark.parametrize("signer", ["expired", "foreign", "zags", "fund"])
def test_a_signature_by_another_than_the_operator_is_rejected_and_kept(smev, far, make, signer) -> None:
    envelope = make.request(signer=signer)
    far.prepare("GetRequest", envelope)
    delivery = receive(smev)
    assert isinstance(delivery.problem, SignatureRejected)
    assert "доверия" in delivery.problem.reason
    assert delivery.message.received == envelope
    assert delivery.message.body == b""
    delivery.reject(delivery.problem)
    assert acks(far) == [("false", REQUEST_ID)]


@pytest.mark.feature("SMEV-04")
def test_the_operator_is_recognised_by_a_pinned_fingerprint(smev_with, far, make, keys) -> None:
    right = keys.identity("smev").certificate.fingerprint
    wrong = keys.identity("zags").certificate.fingerprint
    far.prepare("GetRequest", make.request(), make.request())
    assert receive(smev_with(operator_subject=[], pin=[right.upper()])).problem is None
    assert isinstance(receive(smev_with(operator_subject=[], pin=[wrong])).problem, SignatureRejected)


@pytest.mark.feature("SMEV-04")
def test_by_policy_a_bad_signature_is_acknowledged_as_accepted_but_still_kept_apart(smev_with, far, make) -> None:
    smev = smev_with(bad_signature="accept-and-alert")
    far.prepare("GetRequest", make.request().replace("Ёлка".encode(), "Палка".encode()))
    delivery = receive(smev)
    assert isinstance(delivery.problem, SignatureRejected)
    delivery.reject(delivery.problem)
    assert acks(far) == [("true", REQUEST_ID)]


@pytest.mark.feature("SMEV-04")
@pytest.mark.parametrize(
    ("sender", "verdict"), [("zags", "valid"), ("foreign", "untrusted"), ("expired", "untrusted"), (None, "absent")]
)
def test_the_verdict_on_the_senders_signature_is_recorded(smev, far, make, sender, verdict) -> None:
    far.prepare("GetRequest", make.request(sender=sender))
    delivery = receive(smev)
    assert delivery.problem is None
    assert delivery.message.headers[header.SENDER_SIGNATURE].partition(":")[0] == verdict


@pytest.mark.feature("SMEV-04")
@pytest.mark.parametrize(("sender", "kept"), [("zags", False), ("foreign", True), (None, True)])
def test_the_senders_signature_can_be_required(smev_with, far, make, sender, kept) -> None:
    smev = smev_with(sender_signature="require")
    far.prepare("GetRequest", make.request(sender=sender))
    assert (receive(smev).problem is not None) is kept
