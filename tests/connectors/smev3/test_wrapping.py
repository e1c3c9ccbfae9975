"""Signature wrapping: whatever is moved, doubled or slipped in, the forged document never becomes a body."""

from __future__ import annotations

import re

import pytest

from core.errors import Permanent, SchemaViolation, SignatureRejected

FORGED = '<d:Death xmlns:d="urn://demo/death/1.0"><d:Name>ПОДДЕЛКА</d:Name></d:Death>'
_SIGNED = re.compile(rb"<t:Request Id=.*</t:Request>", re.DOTALL)
_MESSAGE = re.compile(rb"<t:RequestMessage>.*</t:RequestMessage>", re.DOTALL)
_SIGNATURE = re.compile(rb"<t:SMEVSignature>.*?</t:SMEVSignature>", re.DOTALL)


def parts(make):
    good = make.request()
    forged = make.request(FORGED, message_id="77777777-6f0f-11ee-8c99-0242ac120002")
    return good, _SIGNED.search(good)[0], _SIGNED.search(forged)[0]


def original_moved_to_the_soap_header(make):
    good, signed, forged = parts(make)
    types = re.search(rb' xmlns:t="[^"]+" xmlns:b="[^"]+"', good)[0]
    moved = signed.replace(b"<t:Request", b"<t:Request" + types, 1)
    other = forged.replace(b'Id="SIGNED_BY_SMEV"', b'Id="FORGED"')
    return good.replace(signed, other).replace(b"<S:Header/>", b"<S:Header>" + moved + b"</S:Header>")


def original_moved_and_the_id_repeated(make):
    good, signed, forged = parts(make)
    types = re.search(rb' xmlns:t="[^"]+" xmlns:b="[^"]+"', good)[0]
    moved = signed.replace(b"<t:Request", b"<t:Request" + types, 1)
    return good.replace(signed, forged).replace(b"<S:Header/>", b"<S:Header>" + moved + b"</S:Header>")


def original_nested_inside_the_forged_request(make):
    good, signed, forged = parts(make)
    other = forged.replace(b'Id="SIGNED_BY_SMEV"', b'Id="FORGED"')
    return good.replace(signed, other.replace(b"</t:Request>", signed + b"</t:Request>"))


def original_hidden_in_an_object_of_the_signature(make):
    good, signed, forged = parts(make)
    other = forged.replace(b'Id="SIGNED_BY_SMEV"', b'Id="FORGED"')
    doctored = good.replace(signed, other)
    end = doctored.rfind(b"</ds:Signature>")
    return doctored[:end] + b"<ds:Object>" + signed + b"</ds:Object>" + doctored[end:]


def forged_message_put_before_the_good_one(make):
    good, signed, forged = parts(make)
    message = _MESSAGE.search(good)[0]
    first = message.replace(signed, forged.replace(b'Id="SIGNED_BY_SMEV"', b'Id="FORGED"'))
    return good.replace(message, first + message)


def forged_request_put_beside_the_good_one(make):
    good, signed, forged = parts(make)
    return good.replace(signed, forged.replace(b'Id="SIGNED_BY_SMEV"', b'Id="FORGED"') + signed)


def a_genuine_signature_over_the_metadata_only(make):
    envelope = re.sub(
        rb"<t:SMEVSignature>.*?</t:SMEVSignature>",
        b"<t:SMEVSignature>@SMEV@</t:SMEVSignature>",
        make.request(FORGED),
        flags=re.DOTALL,
    )
    return make.sign(envelope, "META")


def the_reference_with_an_empty_uri(make):
    good, signed, forged = parts(make)
    return good.replace(signed, forged).replace(b'URI="#SIGNED_BY_SMEV"', b'URI=""')


def an_xpath_transform_slipped_in(make):
    good, signed, forged = parts(make)
    return good.replace(signed, forged).replace(
        b'<ds:Transform Algorithm="urn://smev-gov-ru/xmldsig/transform">',
        b'<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116">',
    )


def two_signatures(make):
    good, signed, forged = parts(make)
    signature = _SIGNATURE.search(good)[0]
    other = _SIGNATURE.search(make.request(FORGED))[0]
    return good.replace(signed, forged).replace(signature, other + signature)


def the_body_replaced(make):
    good, signed, forged = parts(make)
    return good.replace(signed, forged)


def no_signature_at_all(make):
    return _SIGNATURE.sub(b"", make.request(FORGED))


def an_id_under_another_name_repeats_it(make):
    good, _, _ = parts(make)
    return good.replace(b"<S:Body>", b'<S:Body xml:id="SIGNED_BY_SMEV">')


VARIANTS = [
    original_moved_to_the_soap_header,
    original_moved_and_the_id_repeated,
    original_nested_inside_the_forged_request,
    original_hidden_in_an_object_of_the_signature,
    forged_message_put_before_the_good_one,
    forged_request_put_beside_the_good_one,
    a_genuine_signature_over_the_metadata_only,
    the_reference_with_an_empty_uri,
    an_xpath_transform_slipped_in,
    two_signatures,
    the_body_replaced,
    no_signature_at_all,
    an_id_under_another_name_repeats_it,
]


@pytest.mark.feature("SMEV-04")
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.__name__)
def test_a_wrapped_signature_never_hands_the_forgery_to_a_handler(smev, far, make, variant) -> None:
    envelope = variant(make)
    far.prepare("GetRequest", envelope)
    (delivery,) = smev.sources["smev.requests"].receive()
    assert isinstance(delivery.problem, SignatureRejected | SchemaViolation)
    assert isinstance(delivery.problem, Permanent)
    assert delivery.message.body == b""
    assert delivery.message.received == envelope
    delivery.reject(delivery.problem)
    assert all(b'accepted="false"' in call.body for call in far.of("Ack"))


@pytest.mark.feature("SMEV-04")
def test_what_the_signature_does_not_cover_is_not_seen(smev, far, make) -> None:
    types = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.3"
    slipped = f'<S:Header><t:Request xmlns:t="{types}" Id="FORGED">{FORGED}</t:Request></S:Header>'.encode()
    far.prepare("GetRequest", make.request().replace(b"<S:Header/>", slipped))
    (delivery,) = smev.sources["smev.requests"].receive()
    assert delivery.problem is None
    assert "ПОДДЕЛКА".encode() not in delivery.message.body
    assert "Лесная".encode() in delivery.message.body
