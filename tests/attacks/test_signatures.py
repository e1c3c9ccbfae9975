"""Forged signatures and certificates in an answer of СМЭВ: the forgery never becomes a body, nobody is asked, no CPU.

More of the kind: tests/connectors/smev3/test_wrapping.py (14 ways of wrapping through the whole connector),
tests/core/signatures/test_xmldsig.py (6 ways, 22 wrong structures), test_certificates.py (trust, revocation).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from core import xml
from core.errors import SchemaViolation, SignatureRejected
from core.signatures import cms, xmldsig
from core.signatures.certificates import Certificate, TrustStore
from core.signatures.issuing import Authority, IssuedKey
from core.signatures.provider import DIGESTS, SIGNATURES
from core.signatures.smev_transform import canonical

pytestmark = [pytest.mark.feature("BUS-14"), pytest.mark.feature("SMEV-04")]

FORGED = '<d:Death xmlns:d="urn://demo/death/1.0"><d:Name>ПОДДЕЛКА</d:Name></d:Death>'
DS = f'xmlns:ds="{xmldsig.DS}"'
_REQUEST = re.compile(rb"<t:Request Id=.*</t:Request>", re.DOTALL)
_BODY = re.compile(rb"<S:Body>.*</S:Body>", re.DOTALL)
_OUTER = re.compile(rb"<t:SMEVSignature>.*</t:SMEVSignature>", re.DOTALL)

Forge = Callable[[Any, str], bytes]
"""(maker of genuine answers, URL of the trap) → envelope."""


def forged(make: Any) -> bytes:
    return make.request(FORGED)


def in_signature(pattern: bytes, new: bytes) -> Forge:
    """Change the signature of СМЭВ only, over a forged content."""

    def change(make: Any, url: str) -> bytes:
        envelope = make.request(FORGED)
        old = _OUTER.search(envelope)[0]
        changed, count = re.subn(pattern, lambda _: new.replace(b"{url}", url.encode()), old, flags=re.DOTALL)
        assert count
        return envelope.replace(old, changed)

    return change


def two_bodies(make: Any, url: str) -> bytes:
    return make.request().replace(b"<S:Body>", _BODY.search(forged(make))[0] + b"<S:Body>", 1)


def a_body_after_the_body(make: Any, url: str) -> bytes:
    return make.request().replace(b"</S:Body>", b"</S:Body>" + _BODY.search(forged(make))[0], 1)


def a_body_of_soap_1_2_first(make: Any, url: str) -> bytes:
    other = _BODY.search(forged(make))[0].replace(b"S:Body", b"Z:Body")
    other = other.replace(b"<Z:Body>", b'<Z:Body xmlns:Z="http://www.w3.org/2003/05/soap-envelope">')
    genuine = make.request()
    return genuine.replace(_BODY.search(genuine)[0], other)


def named_by_xsi_type(make: Any, url: str) -> bytes:
    genuine = make.request()
    signed = _REQUEST.search(genuine)[0]
    other = _REQUEST.search(forged(make))[0].replace(b'Id="SIGNED_BY_SMEV"', b'Id="X" xsi:type="t:Request"')
    other = other.replace(b"<t:Request ", b'<t:Any xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" ')
    return genuine.replace(signed, other.replace(b"</t:Request>", b"</t:Any>") + signed)


def a_prefix_means_another_namespace(make: Any, url: str) -> bytes:
    return re.sub(rb' xmlns:b="[^"]+"', b' xmlns:b="urn:evil"', make.request(), count=1)


def a_prefix_declared_anew_on_the_way(make: Any, url: str) -> bytes:
    return make.request().replace(b"<b:MessagePrimaryContent>", b'<b:MessagePrimaryContent xmlns:b="urn:evil">')


def another_version_of_the_service(make: Any, url: str) -> bytes:
    return make.request().replace(b"/types/1.3", b"/types/1.2").replace(b"/types/basic/1.3", b"/types/basic/1.2")


def an_hmac_with_the_public_key_as_secret(make: Any, url: str) -> bytes:
    """The classic of verifiers that ask the signature which algorithm to use."""
    envelope = make.request(FORGED)
    smev = make.keys.identity("smev").certificate
    hmac_uri = b"http://www.w3.org/2000/09/xmldsig#hmac-sha1"
    box = _OUTER.search(envelope)[0]
    method = re.search(rb'SignatureMethod Algorithm="([^"]+)"', box)[1]
    box = box.replace(method, hmac_uri)
    info = xml.parse(box[box.index(b"<ds:Signature ") : box.index(b"</t:SMEVSignature>")])[0]
    value = base64.b64encode(hmac.new(smev.public_key_der, canonical(info), hashlib.sha1).digest())
    box = re.sub(
        rb"(<ds:SignatureValue>).*?(</ds:SignatureValue>)",
        lambda found: found[1] + value + found[2],
        box,
        flags=re.DOTALL,
    )
    return envelope.replace(_OUTER.search(envelope)[0], box)


def a_certificate_of_the_attacker(make: Any, url: str) -> bytes:
    return make.request(FORGED, signer="foreign")


_KEY_INFO = rb"<ds:KeyInfo>.*</ds:KeyInfo>"
_DIGEST = rb'(?<=<ds:DigestMethod Algorithm=")[^"]+'
_URI = rb'(?<=<ds:Reference URI=")[^"]+'
_REFERENCE = rb"<ds:Reference .*</ds:Reference>"
_TRANSFORM = rb"<ds:Transform Algorithm=\"urn:.*?</ds:Transform>"
_X509 = rb"(?<=<ds:X509Certificate>).*?(?=</ds:X509Certificate>)"

FORGERIES: dict[str, Forge] = {
    "two bodies": two_bodies,
    "a body after the body": a_body_after_the_body,
    "a body of SOAP 1.2 first": a_body_of_soap_1_2_first,
    "named by xsi:type": named_by_xsi_type,
    "a prefix that means another namespace": a_prefix_means_another_namespace,
    "a prefix declared anew on the way": a_prefix_declared_anew_on_the_way,
    "another version of the service": another_version_of_the_service,
    "an HMAC with the public key as its secret": an_hmac_with_the_public_key_as_secret,
    "a certificate of the attacker": a_certificate_of_the_attacker,
    "the Id once more in KeyInfo": in_signature(rb"<ds:KeyInfo>", b'<ds:KeyInfo Id="SIGNED_BY_SMEV">'),
    "a reference to an attachment": in_signature(_URI, b"cid:part"),
    "a reference to a foreign document": in_signature(_URI, b"{url}/signed.xml#SIGNED_BY_SMEV"),
    "a reference to a file": in_signature(_URI, b"file:///etc/hostname"),
    "a reference that asks for all": in_signature(_URI, b"#' or '1'='1"),
    "a reference by XPointer": in_signature(_URI, b"#xpointer(id('SIGNED_BY_SMEV'))"),
    "ten thousand references": in_signature(_REFERENCE, b'<ds:Reference URI="#A"/>' * 10_000),
    "MD5": in_signature(_DIGEST, b"http://www.w3.org/2001/04/xmldsig-more#md5"),
    "SHA-1": in_signature(_DIGEST, b"http://www.w3.org/2000/09/xmldsig#sha1"),
    "no transforms": in_signature(rb"<ds:Transforms>.*</ds:Transforms>", b"<ds:Transforms/>"),
    "an XSLT transform": in_signature(
        _TRANSFORM,
        b'<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"><x:stylesheet version="1.0" '
        b'xmlns:x="http://www.w3.org/1999/XSL/Transform"><x:template match="/"><x:copy-of select="document('
        b"'{url}/x')\"/></x:template></x:stylesheet></ds:Transform>",
    ),
    "a thousand transforms": in_signature(
        _TRANSFORM, b'<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>' * 1000
    ),
    "a key and no certificate": in_signature(
        _KEY_INFO, b"<ds:KeyInfo><ds:KeyValue><ds:RSAKeyValue/></ds:KeyValue></ds:KeyInfo>"
    ),
    "a key to be fetched": in_signature(
        _KEY_INFO, b'<ds:KeyInfo><ds:RetrievalMethod URI="{url}/key" Type="urn:x"/></ds:KeyInfo>'
    ),
    "a chain of a thousand certificates": in_signature(
        rb"(?<=<ds:X509Data>).*(?=</ds:X509Data>)", b"<ds:X509Certificate>AAAA</ds:X509Certificate>" * 1000
    ),
    "a certificate of 5 MB": in_signature(_X509, base64.b64encode(b"\x30\x83\x4c\x4b\x40" + b"\x00" * 5_000_000)),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_answer_brings_no_body(make, read, trap, name: str) -> None:
    envelope = FORGERIES[name](make, trap.url)
    incoming = read(envelope, part=FORGED.encode())
    assert isinstance(incoming.problem, SignatureRejected | SchemaViolation)
    assert incoming.message.body == b""
    assert incoming.message.received == envelope
    assert not trap.contacts
    assert read(make.request()).problem is None


def test_what_else_a_signature_names_is_not_fetched(make, read, trap) -> None:
    end = b"</ds:X509Data></ds:KeyInfo></ds:Signature></t:SMEVSignature>"
    named = f'</ds:X509Data><ds:RetrievalMethod URI="{trap.url}/key"/>'.encode()
    envelope = make.request().replace(end, end.replace(b"</ds:X509Data>", named))
    assert trap.url.encode() in envelope
    assert read(envelope).problem is None
    assert not trap.contacts


@pytest.mark.parametrize("weak", ["sha1", "md5", "hmac", "dsa"])
def test_no_weak_algorithm_is_in_the_lists(weak: str) -> None:
    assert not [uri for uri in (*DIGESTS, *SIGNATURES) if weak in uri.lower().replace("ecdsa", "")]


# ── certificates ─────────────────────────────────────────────────────────────────────────────────────────────────────


def certificate(key: Any, *, signer: Any = None, extensions: tuple[x509.ExtensionType, ...] = ()) -> bytes:
    now = datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Злодей")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key)
    builder = builder.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(9))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER)


GENERATOR = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
"""The base point of P-256."""
SIGNER = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    ("bits", "exponent"), [(16_384, 65_537), (400_000, 65_537), (2048, (1 << 2040) + 1), (2048, (1 << 34) + 1)]
)
def test_a_huge_key_is_refused_before_any_arithmetic(make, read, bits: int, exponent: int) -> None:
    der = certificate(rsa.RSAPublicNumbers(exponent, (1 << bits) - 1).public_key(), signer=SIGNER)
    envelope = in_signature(_X509, base64.b64encode(der))(make, "")
    problem = read(envelope).problem
    assert isinstance(problem, SignatureRejected)
    assert "RSA" in problem.reason or "не читается" in problem.reason


@pytest.mark.skipif(not shutil.which("openssl"), reason="нет программы openssl")
def test_a_curve_of_the_attackers_own_is_refused(make, read, tmp_path: Path) -> None:
    subprocess.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit -nodes "
        f"-keyout {tmp_path}/key.pem -outform DER -out {tmp_path}/own.der -subj /CN=x -days 9".split(),
        check=True,
        capture_output=True,
    )
    der = (tmp_path / "own.der").read_bytes()
    point = Certificate.from_der(der).x509.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert GENERATOR in der
    der = der.replace(GENERATOR, point)  # CVE-2020-0601: with 1 as the private key
    with pytest.raises(SignatureRejected):
        Certificate.from_der(der)
    assert isinstance(read(in_signature(_X509, base64.b64encode(der))(make, "")).problem, SignatureRejected)


def test_addresses_in_a_certificate_are_not_visited(keys, trap) -> None:
    url = x509.UniformResourceIdentifier(f"{trap.url}/ca")
    der = certificate(
        SIGNER.public_key(),
        signer=SIGNER,
        extensions=(
            x509.AuthorityInformationAccess([x509.AccessDescription(x509.AuthorityInformationAccessOID.OCSP, url)]),
            x509.CRLDistributionPoints([x509.DistributionPoint([url], None, None, None)]),
        ),
    )
    assert not TrustStore.from_directory(keys.trust).check(Certificate.from_der(der)).trusted
    assert not trap.contacts


def test_a_subject_that_commands_a_terminal_stays_text(make, read, keys) -> None:
    from core import printing

    authority = Authority.self_signed([("CN", "УЦ злодея")])
    key = IssuedKey.generate()
    made = authority.issue([("CN", "Злодей\x1b[2J\r\nОшибок нет\x00")], key)
    changed = base64.b64encode(made.der)
    envelope = make.request()
    start = envelope.index(b"<t:SenderInformationSystemSignature>")
    incoming = read(envelope[:start] + re.sub(_X509, changed, envelope[start:], flags=re.DOTALL, count=1))
    assert incoming.problem is not None, "the signature of СМЭВ covers the sender's"
    shown = printing.harmless(made.subject)
    assert "Злодей" in shown
    assert not {"\x1b", "\r", "\x00"} & set(shown)


# ── cost ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_signatures_that_cannot_be_transformed_are_not_tried_for_ever(keys) -> None:
    signature = xmldsig.sign(b'<a xmlns="urn:a" Id="A"/>', "A", keys.identity("fund"))
    document = b'<r xmlns="urn:a"><a Id="A">' + b'<b xmlns=""/>' * 1000 + b"</a>" + signature * 100 + b"</r>"
    findings = []
    with pytest.raises(SignatureRejected, match="слишком много раз"):
        findings += list(xmldsig.examine(xml.parse(document)))
    assert not findings


def nested(tag: int, content: bytes) -> bytes:
    """DER with a length of four octets."""
    return bytes((tag, 0x84)) + len(content).to_bytes(4, "big") + content


def parts_of(der: bytes) -> list[tuple[int, bytes]]:
    found, place = [], 0
    while place < len(der):
        tag, length, begin = der[place], der[place + 1], place + 2
        if length & 0x80:
            begin += length & 0x7F
            length = int.from_bytes(der[place + 2 : begin], "big")
        found.append((tag, der[begin : begin + length]))
        place = begin + length
    return found


@pytest.mark.parametrize(("certificates", "signers"), [(1, 1000), (1000, 1), (1000, 1000)])
def test_a_signature_file_of_thousands_of_signers_is_refused(keys, certificates: int, signers: int) -> None:
    made = cms.sign_detached(b"data", keys.identity("fund"))
    kind, outer = parts_of(parts_of(made)[0][1])
    inner = parts_of(parts_of(outer[1])[0][1])
    times = {0xA0: certificates, 0x31: 1}
    fields = [nested(tag, content * times.get(tag, 1)) for tag, content in inner[:-1]]
    fields.append(nested(inner[-1][0], inner[-1][1] * signers))
    bomb = nested(0x30, nested(*kind) + nested(0xA0, nested(0x30, b"".join(fields))))
    with pytest.raises(SignatureRejected, match="больше"):
        cms.verify_detached(b"data", bomb)
    assert cms.verify_detached(b"data", made).ok


def test_a_certificate_of_a_version_that_nobody_knows_is_refused(keys) -> None:
    der = keys.certificate("fund").read_bytes()
    octets = base64.b64decode(b"".join(der.split(b"-----")[2].split()))
    assert b"\xa0\x03\x02\x01\x02" in octets
    strange = base64.encodebytes(octets.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x42"))
    for data in (
        b"-----BEGIN CERTIFICATE-----\n" + strange + b"-----END CERTIFICATE-----\n",
        base64.b64decode(strange),
    ):
        with pytest.raises(SignatureRejected, match="не читается"):
            Certificate.from_pem(data)


def test_an_extension_given_twice_is_not_trusted(keys) -> None:
    octets = keys.identity("zags").certificate.der
    key_usage, key_id = bytes.fromhex("0603551d0f"), bytes.fromhex("0603551d0e")
    assert octets.count(key_usage) == octets.count(key_id) == 1
    twice = Certificate.from_der(octets.replace(key_usage, key_id))
    answer = TrustStore.from_directory(keys.trust).check(twice)
    assert not answer.trusted
    assert "Расширения" in answer.reason
