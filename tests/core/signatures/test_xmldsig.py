"""XMLDSig: round trips, the real message, tampering, wrapping, and everything structural that must be refused."""

from __future__ import annotations

import base64
import re
import threading

import pytest
from lxml import etree

from core import xml
from core.errors import MalformedXml, SignatureRejected
from core.signatures import xmldsig
from core.signatures.demo_keys import DemoKeys
from core.signatures.issuing import Authority, IssuedKey
from core.signatures.keys import Identity
from core.signatures.provider import OID_GOST_2012_512, SIGNATURES, provider_of, signing_method
from core.signatures.smev_transform import TRANSFORM_URI
from core.signatures.xmldsig import DS, ENVELOPED, EXCLUSIVE, SMEV, sign, verify, verify_all

pytestmark = pytest.mark.feature("SMEV-04")

HEAD = b'<e:Envelope xmlns:e="urn:envelope"><e:Body><m:Send xmlns:m="urn:message">'
DATA = (
    '<m:Data Id="SIGNED_BY_CALLER"><m:ID>1</m:ID>\n  <d:Document xmlns:d="urn:document" d:b="2" a="1 &gt; 0">'
    "Ёлкин &amp; Ко</d:Document></m:Data>"
).encode()
TAIL = b"</m:Send></e:Body></e:Envelope>"
BARE = HEAD + DATA + TAIL


def signed(identity: Identity, data: bytes = DATA) -> bytes:
    signature = sign(HEAD + data + TAIL, "SIGNED_BY_CALLER", identity)
    return HEAD + data + b"<m:Signature>" + signature + b"</m:Signature>" + TAIL


def parsed(document: bytes) -> tuple[etree._Element, etree._Element]:
    root = xml.parse(document)
    return root, xmldsig.signatures_in(root)[0]


@pytest.mark.feature("SMEV-03")
def test_a_gost_signature_made_here_holds_and_covers_the_element(fund: Identity) -> None:
    (verified,) = verify_all(signed(fund))
    assert verified.ok
    assert verified.reason == ""
    assert verified.element == "{urn:message}Data"
    assert verified.element_id == "SIGNED_BY_CALLER"
    assert verified.algorithm.endswith("gostr34102012-gostr34112012-256")
    assert verified.certificate == fund.certificate
    assert (
        verified.octets
        == (
            '<ns1:Data xmlns:ns1="urn:message" Id="SIGNED_BY_CALLER"><ns1:ID>1</ns1:ID><ns2:Document '
            'xmlns:ns2="urn:document" ns2:b="2" a="1 > 0">Ёлкин &amp; Ко</ns2:Document></ns1:Data>'
        ).encode()
    )


@pytest.mark.feature("SMEV-03")
def test_gost_512_signs_and_verifies() -> None:
    authority = Authority.self_signed([("CN", "УЦ 512")], kind="gost2012_512")
    key = IssuedKey.generate("gost2012_512")
    certificate = authority.issue([("CN", "Лист")], key)
    private = provider_of(OID_GOST_2012_512).load_key(key.pem("p"), "p")
    identity = Identity(certificate, signing_method(OID_GOST_2012_512, 512), private)
    (verified,) = verify_all(signed(identity))
    assert verified.ok
    assert verified.algorithm.endswith("gostr34102012-gostr34112012-512")
    assert not verify_all(signed(identity).replace(b"<m:ID>1<", b"<m:ID>2<"))[0].ok


def test_the_real_message_of_the_operator_verifies(real_message: bytes) -> None:
    (verified,) = verify_all(real_message)
    assert verified.ok
    assert verified.element.endswith("MessageMetadata")
    assert "1035009567450" in verified.certificate.subject
    assert verified.octets.startswith(b"<ns1:MessageMetadata ")


@pytest.mark.parametrize(
    "change",
    [(b"500502_3T", b"500502_4T"), (b"requestIsQueued", b"responseIsDelivered"), (b"<ns2:Status>", b"<ns2:Status> ")],
)
def test_a_changed_real_message_fails_by_its_digest(real_message: bytes, change: tuple[bytes, bytes]) -> None:
    (verified,) = verify_all(real_message.replace(*change))
    assert (verified.digest_ok, verified.signature_ok, verified.ok) == (False, True, False)
    assert "изменено" in verified.reason


def test_a_changed_signature_value_fails_by_the_signature(real_message: bytes) -> None:
    changed = real_message.replace(b"<ds:SignatureValue>PwhfByA", b"<ds:SignatureValue>PwhfByB")
    (verified,) = verify_all(changed)
    assert (verified.digest_ok, verified.signature_ok) == (True, False)
    assert "подпись" in verified.reason


def test_indentation_outside_of_the_signed_element_and_prefixes_make_no_difference(fund: Identity) -> None:
    document = (
        signed(fund)
        .replace(b"<m:Signature>", b"\n  <m:Signature>\n")
        .replace(b"m:", b"q:")
        .replace(b"xmlns:m", b"xmlns:q")
    )
    assert verify_all(document)[0].ok


def test_a_signature_of_the_old_standard_is_verified_but_not_made() -> None:
    method = next(item for item in SIGNATURES.values() if item.title == "ГОСТ Р 34.10-2001")
    assert not method.may_sign
    with pytest.raises(SignatureRejected, match="2012"):
        signing_method(method.key_oid, 256)


def test_partners_sign_and_verify_with_rsa_and_ecdsa(partner: Identity) -> None:
    document = signed(partner)
    assert verify_all(document)[0].ok
    assert not verify_all(document.replace(b"<m:ID>1<", b"<m:ID>2<"))[0].digest_ok
    root, signature = parsed(document)
    value = signature.find(f"{{{DS}}}SignatureValue")
    octets = bytearray(base64.b64decode(value.text))
    octets[-1] ^= 1
    value.text = base64.b64encode(bytes(octets)).decode()
    assert not verify(root, signature).signature_ok


def test_our_signature_is_accepted_by_an_independent_library(partner: Identity) -> None:
    from signxml import SignatureConfiguration, XMLVerifier

    signature = sign(BARE, "SIGNED_BY_CALLER", partner, transforms=(EXCLUSIVE,))
    document = xml.parse(HEAD + DATA + signature + TAIL)
    # signxml looks for what the Id names below the signature's root, so it gets the envelope
    result = XMLVerifier().verify(
        document,
        x509_cert=partner.certificate.x509,
        id_attribute="Id",
        expect_config=SignatureConfiguration(require_x509=True, location=".//"),
    )
    assert result.signed_xml.get("Id") == "SIGNED_BY_CALLER"


def test_the_signature_of_an_independent_library_is_accepted(partner: Identity) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding
    from signxml import XMLSigner, methods

    root = xml.parse(BARE)
    method = {"sha256": "sha256", "sha384": "sha384", "sha512": "sha512"}[partner.method.hash]
    signer = XMLSigner(
        method=methods.enveloped,
        signature_algorithm=f"{partner.method.uri.split('#')[1]}",
        digest_algorithm=method,
        c14n_algorithm=EXCLUSIVE,
    )
    signer.excise_empty_xmlns_declarations = True
    element = root[0][0][0]
    made = signer.sign(
        element,
        key=partner.key._key,  # type: ignore[attr-defined]
        cert=partner.certificate.x509.public_bytes(Encoding.PEM).decode(),
        reference_uri="#SIGNED_BY_CALLER",
        id_attribute="Id",
    )
    again = xml.parse(etree.tostring(made))
    verified = verify(again, xmldsig.signatures_in(again)[0])
    assert verified.ok
    assert b"SignatureValue" not in verified.octets


def test_an_enveloped_signature_covers_all_but_itself(fund: Identity) -> None:
    for transforms in ((ENVELOPED, EXCLUSIVE), (ENVELOPED, EXCLUSIVE, TRANSFORM_URI)):
        signature = sign(BARE, "SIGNED_BY_CALLER", fund, transforms=transforms)
        document = BARE.replace(b"</m:ID>\n", b"</m:ID>" + signature + b"\n")
        (verified,) = verify_all(document)
        assert verified.ok
        assert b"Signature" not in verified.octets
        assert not verify_all(document.replace("Ёлкин".encode(), "Палкин".encode()))[0].ok


def test_a_signature_called_enveloped_that_stands_outside_is_refused(fund: Identity) -> None:
    signature = sign(BARE, "SIGNED_BY_CALLER", fund, transforms=(ENVELOPED, EXCLUSIVE))
    with pytest.raises(SignatureRejected, match="enveloped"):
        verify_all(HEAD + DATA + signature + TAIL)


# --- wrapping ---------------------------------------------------------------------------------------------------

FORGED = DATA.replace("Ёлкин".encode(), "Злодеев".encode())


def wrapped(document: bytes, how: str) -> bytes:
    """The signed element moved away and a forged one put in its place."""
    wrapper = b"<x:Wrapper xmlns:x='urn:x'>" + DATA + b"</x:Wrapper>"
    if how == "forged beside, same Id":
        return document.replace(DATA, FORGED + DATA)
    if how == "forged has another Id":
        return document.replace(DATA, FORGED.replace(b"SIGNED_BY_CALLER", b"OTHER") + wrapper)
    if how == "forged has no Id":
        return document.replace(DATA, FORGED.replace(b' Id="SIGNED_BY_CALLER"', b"") + wrapper)
    if how == "forged hides the Id in upper case":
        return document.replace(DATA, FORGED.replace(b" Id=", b" ID=") + wrapper)
    if how == "forged hides the Id in xml:id":
        return document.replace(DATA, FORGED.replace(b" Id=", b" xml:id=") + wrapper)
    if how == "original inside the signature":
        return document.replace(DATA, FORGED.replace(b"SIGNED_BY_CALLER", b"OTHER")).replace(
            b"</ds:KeyInfo>", b"</ds:KeyInfo><ds:Object>" + DATA + b"</ds:Object>"
        )
    raise AssertionError(how)


@pytest.mark.parametrize(
    "how", ["forged beside, same Id", "forged hides the Id in upper case", "forged hides the Id in xml:id"]
)
def test_an_id_that_two_elements_could_claim_is_refused(fund: Identity, how: str) -> None:
    with pytest.raises(SignatureRejected, match="повторяется"):
        verify_all(wrapped(signed(fund), how))


@pytest.mark.parametrize("how", ["forged has another Id", "forged has no Id", "original inside the signature"])
def test_a_wrapped_message_never_shows_the_forged_element(fund: Identity, how: str) -> None:
    document = wrapped(signed(fund), how)
    root, signature = parsed(document)
    business = root[0][0][0]
    assert "Злодеев" in etree.tostring(business, encoding="unicode")
    with pytest.raises(SignatureRejected):
        verify(root, signature, expected=business)
    if how != "original inside the signature":
        verified = verify(root, signature)
        assert verified.ok
        assert "Злодеев".encode() not in verified.octets


def test_the_octets_are_all_that_was_hashed(fund: Identity) -> None:
    document = signed(fund, DATA.replace("Ёлкин".encode(), "Ёл<!-- x -->кин".encode()))
    (verified,) = verify_all(document)
    assert verified.ok
    assert xml.parse(verified.octets)[1].text == "Ёлкин & Ко"


# --- structure --------------------------------------------------------------------------------------------------


def change(document: bytes, pattern: str, new: str) -> bytes:
    changed, count = re.subn(pattern.encode(), new.encode(), document, flags=re.DOTALL)
    assert count
    return changed


@pytest.mark.parametrize(
    ("pattern", "new", "words"),
    [
        (r"(<ds:Reference.*?</ds:Reference>)", r"\1\1", "ровно одна"),
        (r"<ds:Reference.*?</ds:Reference>", "", "ровно одна"),
        (r'URI="#SIGNED_BY_CALLER"', 'URI=""', "#Id"),
        (r' URI="#SIGNED_BY_CALLER"', "", "#Id"),
        (r'URI="#SIGNED', 'URI="http://127.0.0.1/#SIGNED', "#Id"),
        (r'URI="#SIGNED_BY_CALLER"', 'URI="#xpointer(/)"', "Элемента с таким Id"),
        (r'URI="#SIGNED_BY_CALLER"', 'URI="#NOBODY"', "Элемента с таким Id"),
        (
            r'"http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Canon',
            '"http://www.w3.org/TR/2001/REC-xml-c14n-20010315"></ds:Canon',
            "Каноникализация",
        ),
        (
            r"<ds:Transform Algorithm=\"urn:[^>]*></ds:Transform>",
            '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"><x/></ds:Transform>',
            "Преобразования",
        ),
        (r"<ds:Transform Algorithm=\"urn:[^>]*></ds:Transform>", "", None),
        (r"<ds:Transforms>.*?</ds:Transforms>", "", "Reference заполнен"),
        (r"<ds:Transforms>.*?</ds:Transforms>", "<ds:Transforms></ds:Transforms>", "Преобразования"),
        (r"gostr34102012-gostr34112012-256", "hmac-sha1", "Алгоритм подписи"),
        (
            r"urn:ietf:params:xml:ns:cpxmlsec:algorithms:gostr34102012-gostr34112012-256",
            "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            "не соответствует ключу",
        ),
        (r"gostr34102012-gostr34112012-256", "gostr34102012-gostr34112012-512", "не соответствует ключу"),
        (r"gostr34112012-256\"></ds:DigestMethod>", 'md5"></ds:DigestMethod>', "Алгоритм хеша"),
        (r"<ds:X509Certificate>.*?</ds:X509Certificate>", "", "нет сертификата"),
        (
            r"<ds:X509Certificate>.*?</ds:X509Certificate>",
            "<ds:X509Certificate>AAAA</ds:X509Certificate>",
            "не читается",
        ),
        (r"<ds:X509Certificate>.*?</ds:X509Certificate>", "<ds:X509Certificate>%</ds:X509Certificate>", "base64"),
        (r"(<ds:X509Certificate>.*?</ds:X509Certificate>)", r"\1" * 11, "больше 10"),
        (r"<ds:KeyInfo>.*?</ds:KeyInfo>", "", "Состав подписи"),
        (r"<ds:SignatureValue>.*?</ds:SignatureValue>", "<ds:SignatureValue>?</ds:SignatureValue>", "base64"),
        (r"<ds:SignatureValue>", "<ds:SignatureValue><!-- x -->", "посторонние"),
        (r"<ds:SignedInfo>", "<ds:SignedInfo><ds:X/>", "SignedInfo"),
        (
            r"</ds:CanonicalizationMethod>",
            '<i:InclusiveNamespaces xmlns:i="http://www.w3.org/2001/10/xml-exc-c14n#" '
            'PrefixList="x"/></ds:CanonicalizationMethod>',
            "без параметров",
        ),
    ],
)
def test_a_signature_with_a_wrong_structure_is_refused_in_words(
    fund: Identity, pattern: str, new: str, words: str | None
) -> None:
    document = change(signed(fund), pattern, new)
    if words is None:  # an allowed list, but not the one that was signed
        assert not verify_all(document)[0].ok
        return
    with pytest.raises(SignatureRejected, match=words):
        verify_all(document)


def test_a_short_signature_value_is_simply_wrong(fund: Identity) -> None:
    document = change(
        signed(fund), r"<ds:SignatureValue>.*?</ds:SignatureValue>", "<ds:SignatureValue>AAAA</ds:SignatureValue>"
    )
    assert not verify_all(document)[0].signature_ok


def test_a_certificate_of_somebody_else_does_not_verify(fund: Identity, demo_keys: DemoKeys) -> None:
    other = base64.b64encode(demo_keys.identity("zags").certificate.der).decode()
    document = change(
        signed(fund),
        r"<ds:X509Certificate>.*?</ds:X509Certificate>",
        f"<ds:X509Certificate>{other}</ds:X509Certificate>",
    )
    (verified,) = verify_all(document)
    assert (verified.digest_ok, verified.signature_ok) == (True, False)


def test_absurdly_many_signatures_are_refused() -> None:
    with pytest.raises(SignatureRejected, match="больше 12000"):
        verify_all(b"<a xmlns:ds='" + DS.encode() + b"'>" + b"<ds:Signature/>" * 12_001 + b"</a>")


def test_signatures_that_hash_the_document_over_and_over_are_refused(fund: Identity) -> None:
    big = DATA.replace("Ёлкин".encode(), b"x" * 100_000)
    signature = sign(HEAD + big + TAIL, "SIGNED_BY_CALLER", fund)
    with pytest.raises(SignatureRejected, match="слишком много раз"):
        verify_all(HEAD + big + signature * 60 + TAIL)
    assert len(verify_all(HEAD + big + signature * 5 + TAIL)) == 5


def test_a_directive_of_many_signed_records_is_verified_whole(fund: Identity) -> None:
    records = b"".join(b'<m:Record Id="R%d"><m:Text>%d</m:Text></m:Record>' % (n, n) for n in range(50))
    bare = b'<m:All xmlns:m="urn:m">' + records + b"</m:All>"
    document = bare[:-8] + b"".join(sign(bare, f"R{n}", fund) for n in range(50)) + b"</m:All>"
    verified = verify_all(document)
    assert [item.element_id for item in verified] == [f"R{n}" for n in range(50)]
    assert all(item.ok for item in verified)
    assert not verify_all(document.replace(b"<m:Text>7<", b"<m:Text>8<"))[7].ok


def test_a_document_without_signatures_has_none_and_a_broken_one_is_refused() -> None:
    assert verify_all(BARE) == []
    with pytest.raises(MalformedXml):
        verify_all(BARE[:-5])


@pytest.mark.parametrize(
    "document", [b"<a xmlns='urn:1' Id='A'><b Id='A'/></a>", b"<a xmlns='urn:1' ID='A'/>", b"<a xmlns='urn:1' Id='B'/>"]
)
def test_signing_needs_exactly_one_element_with_that_id(fund: Identity, document: bytes) -> None:
    with pytest.raises(SignatureRejected, match="Id"):
        sign(document, "A", fund)


def test_signing_refuses_unknown_transforms_and_elements_without_a_namespace(fund: Identity) -> None:
    with pytest.raises(SignatureRejected, match="преобразований"):
        sign(BARE, "SIGNED_BY_CALLER", fund, transforms=(TRANSFORM_URI, EXCLUSIVE))
    with pytest.raises(SignatureRejected, match="без пространства имён"):
        sign(b"<a Id='A'/>", "A", fund)


def test_an_id_with_markup_characters_is_signed_and_found(fund: Identity) -> None:
    data = DATA.replace(b"SIGNED_BY_CALLER", b"a&amp;&quot;'&lt;b")
    signature = sign(HEAD + data + TAIL, "a&\"'<b", fund)
    assert verify_all(HEAD + data + signature + TAIL)[0].ok


def test_the_signature_is_one_element_in_ascii_that_fits_any_encoding(fund: Identity) -> None:
    signature = sign(BARE, "SIGNED_BY_CALLER", fund)
    assert signature.isascii()
    assert xml.parse(signature).tag == f"{{{DS}}}Signature"
    assert SMEV == (EXCLUSIVE, TRANSFORM_URI)


def test_many_threads_sign_and_verify_at_once(fund: Identity, demo_keys: DemoKeys) -> None:
    others = [demo_keys.identity(name) for name in ("smev", "zags", "fns", "sfr")]
    problems: list[str] = []

    def work(identity: Identity) -> None:
        for _ in range(25):
            if not verify_all(signed(identity))[0].ok:
                problems.append(identity.certificate.subject)

    threads = [threading.Thread(target=work, args=(identity,)) for identity in (fund, *others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
