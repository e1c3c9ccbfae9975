"""XMLDSig as СМЭВ writes it (FACTS §3): sign an element by its Id, verify a signature and say what it covers.

Promises of `verify`:
* a signature has exactly one reference, `#Id`, to exactly one element of the document; the transforms and
  algorithms are from a closed list; anything else is refused (SignatureRejected), never guessed;
* `Verified.octets` are the very octets whose digest was compared. Who reads the business document from them,
  and from nothing else, cannot be shown an element that was not signed (signature wrapping);
* trust in the certificate is not judged here: see `core.signatures.certificates`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final

from lxml import etree

from core import xml as xml_door
from core.errors import SignatureRejected
from core.signatures.certificate import Certificate
from core.signatures.keys import Identity
from core.signatures.provider import digest, digest_method, provider_of, signature_method
from core.signatures.smev_transform import TRANSFORM_URI, Escaping, Untransformable, canonical, transform_canonical

DS: Final = "http://www.w3.org/2000/09/xmldsig#"
EXCLUSIVE: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED: Final = DS + "enveloped-signature"
SMEV: Final = (EXCLUSIVE, TRANSFORM_URI)
ALLOWED_TRANSFORMS: Final = frozenset(
    {
        SMEV,
        (EXCLUSIVE,),
        (ENVELOPED, EXCLUSIVE),
        (ENVELOPED, EXCLUSIVE, TRANSFORM_URI),
    }
)
MAX_SIGNATURES: Final = 12_000  # a directive of 1000 records, each with a signature and ten of persons
MAX_COVERAGE: Final = 20  # how many times over the signatures of one document may hash the whole of it

_SIGNATURE: Final = f"{{{DS}}}Signature"
_SIGNED_INFO: Final = f"{{{DS}}}SignedInfo"
_WITH_VALUE: Final[Any] = etree.XPath("//@*[. = $value]")
_IDS: Final[Any] = etree.XPath("//@*[translate(local-name(), 'ID', 'id') = 'id']")
_SIGNATURES: Final[Any] = etree.XPath("//ds:Signature", namespaces={"ds": DS})


@dataclass(frozen=True)
class Verified:
    """What one signature says. `ok`: digest and signature both hold; trust is another question.

    element: Clark name `{uri}local` of the signed element; octets: exactly what was digested;
    algorithm: the SignatureMethod URI; chain: further certificates found in KeyInfo;
    reason: Russian, empty when `ok`; signed: the element of the tree, to ask where it stands, never to read it.
    """

    element: str
    element_id: str
    octets: bytes = field(repr=False)
    certificate: Certificate = field(repr=False)
    algorithm: str
    digest_ok: bool
    signature_ok: bool
    reason: str
    chain: tuple[Certificate, ...] = field(default=(), repr=False)
    signed: Any = field(default=None, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """True when the element is intact and the signature is by the certificate's key."""
        return self.digest_ok and self.signature_ok


def sign(
    xml: bytes,
    element_id: str,
    identity: Identity,
    *,
    transforms: Sequence[str] = SMEV,
    escaping: Escaping = "woodstox",
) -> bytes:
    """The octets of one `<ds:Signature>` over the element with this Id.

    xml: the envelope as it will be sent (the caller splices the result in at byte level, outside of the
    signed element unless `transforms` has enveloped-signature). ASCII only, so it fits every encoding we take.
    Raises MalformedXml, SignatureRejected (no such Id, or it is repeated), ConfigError (the key refuses).
    """
    root = xml_door.parse(xml)
    return sign_element(element_by_id(root, element_id), identity, transforms=transforms, escaping=escaping)


def sign_element(
    element: etree._Element, identity: Identity, *, transforms: Sequence[str] = SMEV, escaping: Escaping = "woodstox"
) -> bytes:
    """The same for an element of a tree that the caller has already parsed from the octets it will send."""
    element_id = element.get("Id")
    if not element_id:
        raise SignatureRejected("У подписываемого элемента нет атрибута Id: добавьте его.")
    chosen = tuple(transforms)
    if chosen not in ALLOWED_TRANSFORMS:
        raise SignatureRejected("Такой набор преобразований подписи не поддерживается.", detail=" ".join(chosen))
    octets = canonical(element)
    if TRANSFORM_URI in chosen:
        octets = transform_canonical(octets, escaping=escaping)
    method = identity.method
    digested = digest(digest_method(method.digest_uri).hash, octets)
    info = signed_info(element_id, method.uri, method.digest_uri, digested, chosen)
    value = base64.b64encode(identity.sign(info)).decode()
    certificates = "".join(
        f"<ds:X509Certificate>{base64.b64encode(item.der).decode()}</ds:X509Certificate>"
        for item in (identity.certificate, *identity.chain)
    )
    # SignedInfo goes out in its canonical form, so its declaration moves up without changing what was signed.
    inner = info.decode().replace(f' xmlns:ds="{DS}"', "", 1)
    return (
        f'<ds:Signature xmlns:ds="{DS}">{inner}<ds:SignatureValue>{value}</ds:SignatureValue>'
        f"<ds:KeyInfo><ds:X509Data>{certificates}</ds:X509Data></ds:KeyInfo></ds:Signature>"
    ).encode()


def signed_info(
    element_id: str, signature_uri: str, digest_uri: str, digested: bytes, transforms: Sequence[str]
) -> bytes:
    """SignedInfo in exclusive canonical form: the octets that are signed."""
    steps = "".join(f'<ds:Transform Algorithm="{uri}"></ds:Transform>' for uri in transforms)
    return (
        f'<ds:SignedInfo xmlns:ds="{DS}"><ds:CanonicalizationMethod Algorithm="{EXCLUSIVE}">'
        f'</ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="{signature_uri}"></ds:SignatureMethod>'
        f'<ds:Reference URI="#{_attribute(element_id)}"><ds:Transforms>{steps}</ds:Transforms>'
        f'<ds:DigestMethod Algorithm="{digest_uri}"></ds:DigestMethod>'
        f"<ds:DigestValue>{base64.b64encode(digested).decode()}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
    ).encode()


def verify(
    root: etree._Element,
    signature: etree._Element,
    *,
    expected: etree._Element | None = None,
    escaping: Escaping = "woodstox",
    ids: Mapping[str, Sequence[Any]] | None = None,
    within: Verified | None = None,
) -> Verified:
    """Check one `ds:Signature` of the document `root`.

    expected: the element that this signature must cover (by identity in the tree, not by name).
    within: a signature over an ancestor that holds already: its octets save the work of transforming again.
    ids: `ids_in(root)` when many signatures of one document are checked in turn.
    Raises SignatureRejected for everything structural: no or several references, a transform or algorithm that
    is not allowed, a URI that is not `#Id`, an Id that is absent or repeated, another element than `expected`,
    no certificate. A wrong digest or signature value is not an exception: see `Verified.ok`.
    """
    info, value, key_info = _parts(signature)
    method, reference = _signed_info_parts(info)
    uri = reference.get("URI") or ""
    if len(uri) < 2 or uri[0] != "#":
        raise SignatureRejected("Подпись ссылается не на элемент по Id: нужна ссылка вида «#Id».", detail=uri[:200])
    element = element_by_id(root, uri[1:], ids)
    if expected is not None and element is not expected:
        raise SignatureRejected(
            "Подписан не тот элемент, который должен быть подписан: подпишите нужный элемент.",
            detail=f"{element.tag!s} / {expected.tag!s}",
        )
    transforms, digest_uri, claimed = _reference_parts(reference)
    certificates = _certificates(key_info)
    certificate = certificates[0]
    if certificate.key_oid != method.key_oid:
        raise SignatureRejected(
            "Алгоритм подписи не соответствует ключу сертификата: подпишите ключом этого сертификата.",
            detail=f"{method.uri} / {certificate.key_oid}",
        )
    hash_name = digest_method(digest_uri).hash
    octets = _cut_out(within, element) if within is not None and transforms == SMEV else b""
    digest_ok = bool(octets) and hmac.compare_digest(digest(hash_name, octets), claimed)
    if not digest_ok:
        octets = _transformed(element, signature, transforms, escaping)
        digest_ok = hmac.compare_digest(digest(hash_name, octets), claimed)
    signature_ok = provider_of(method.key_oid).verify(method, certificate, canonical(info), _base64(value))
    reason = ""
    if not digest_ok:
        reason = "Хеш не сходится: содержимое элемента изменено после подписания."
    elif not signature_ok:
        reason = "Значение подписи не сходится с ключом сертификата: подпись повреждена или сделана другим ключом."
    return Verified(
        str(element.tag),
        uri[1:],
        octets,
        certificate,
        method.uri,
        digest_ok,
        signature_ok,
        reason,
        tuple(certificates[1:]),
        element,
    )


def _cut_out(outer: Verified, element: etree._Element) -> bytes:
    """The transformed octets of `element` as they stand inside its ancestor's; b"" when they don't stand there.

    Inside, the prefix `ns1` is declared above; alone, the element declares it itself. Where prefixes are numbered
    otherwise the result is wrong, its digest does not hold, and the caller transforms the element itself.
    """
    namespace = etree.QName(element).namespace
    opening = f"<ns1:{etree.QName(element).localname}".encode()
    closing = f"</ns1:{etree.QName(element).localname}>".encode()
    start, end = outer.octets.find(opening), outer.octets.rfind(closing)
    if namespace is None or start < 0 or end < start:
        return b""
    after = start + len(opening)
    declared = f' xmlns:ns1="{namespace}"'.encode()
    return opening + declared + outer.octets[after : end + len(closing)]


def verify_all(xml: bytes) -> list[Verified]:
    """Check every `ds:Signature` of a document, in document order.

    Raises MalformedXml, or SignatureRejected for the first signature that is structurally wrong.
    """
    found = []
    for _, finding in examine(xml_door.parse(xml)):
        if isinstance(finding, SignatureRejected):
            raise finding
        found.append(finding)
    return found


def examine(
    root: etree._Element, *, escaping: Escaping = "woodstox"
) -> Iterator[tuple[etree._Element, Verified | SignatureRejected]]:
    """Every `ds:Signature` in document order, each with what it says or why its structure is refused.

    Raises SignatureRejected when there are absurdly many, or when they hash the document over and over:
    a small document must not cost hours.
    """
    signatures = signatures_in(root)
    ids = ids_in(root) if len(signatures) > 1 else None
    whole = len(etree.tostring(root)) if len(signatures) > MAX_COVERAGE else 0
    left = MAX_COVERAGE * whole or None
    for signature in signatures:
        finding: Verified | SignatureRejected
        try:
            finding = verify(root, signature, escaping=escaping, ids=ids)
        except SignatureRejected as error:
            finding = error
        yield signature, finding
        if left is not None and isinstance(finding, Verified | Untransformable):
            # What could not be transformed was read as a whole all the same.
            left -= len(finding.octets) if isinstance(finding, Verified) else whole
            if left < 0:
                raise SignatureRejected("Подписи документа охватывают его слишком много раз: такой не принимается.")


def signatures_in(root: etree._Element) -> list[etree._Element]:
    """Every `ds:Signature`, in document order. Raises SignatureRejected when there are absurdly many."""
    found: list[etree._Element] = _SIGNATURES(root)
    if len(found) > MAX_SIGNATURES:
        raise SignatureRejected(f"В документе больше {MAX_SIGNATURES} подписей: такой не принимается.")
    return found


def ids_in(root: etree._Element) -> dict[str, list[Any]]:
    """Every value of an attribute that somebody could take for an Id, with the attributes that have it."""
    found: dict[str, list[Any]] = {}
    for value in _IDS(root):
        found.setdefault(str(value), []).append(value)
    return found


def element_by_id(
    root: etree._Element, element_id: str, ids: Mapping[str, Sequence[Any]] | None = None
) -> etree._Element:
    """The one element whose unqualified attribute `Id` has this value.

    Raises SignatureRejected when there is none, or when any other attribute that somebody could take for
    an Id (`ID`, `id`, `xml:id`, `wsu:Id`) anywhere in the document has the same value.
    """
    holders: Sequence[Any]
    if ids is not None:
        holders = ids.get(element_id, ())
    else:
        holders = [
            found
            for found in _WITH_VALUE(root, value=element_id)
            if etree.QName(found.attrname).localname.lower() == "id"
        ]
    if len(holders) > 1:
        raise SignatureRejected(
            "Идентификатор подписанного элемента повторяется в документе: Id должен быть единственным.",
            detail=element_id[:200],
        )
    if not holders or holders[0].attrname != "Id":
        raise SignatureRejected(
            "Элемента с таким Id в документе нет: проверьте ссылку подписи и атрибут Id.", detail=element_id[:200]
        )
    element: etree._Element = holders[0].getparent()
    return element


def _parts(signature: etree._Element) -> tuple[etree._Element, etree._Element, etree._Element]:
    if signature.tag != _SIGNATURE:
        raise SignatureRejected("Это не подпись XMLDSig: нужен элемент ds:Signature.")
    children = [child for child in signature if isinstance(child.tag, str)]
    names = [str(child.tag) for child in children]
    if names != [_SIGNED_INFO, f"{{{DS}}}SignatureValue", f"{{{DS}}}KeyInfo"]:
        raise SignatureRejected(
            "Состав подписи не тот: нужны SignedInfo, SignatureValue и KeyInfo.", detail=" ".join(names)[:500]
        )
    return children[0], children[1], children[2]


def _signed_info_parts(info: etree._Element) -> tuple[Any, etree._Element]:
    children = [child for child in info if isinstance(child.tag, str)]
    names = [str(child.tag)[len(DS) + 2 :] for child in children]
    if names[:2] != ["CanonicalizationMethod", "SignatureMethod"]:
        raise SignatureRejected("SignedInfo заполнен неверно: нужны CanonicalizationMethod и SignatureMethod.")
    if names[2:] != ["Reference"]:
        raise SignatureRejected("В подписи должна быть ровно одна ссылка (Reference) на подписанный элемент.")
    if children[0].get("Algorithm") != EXCLUSIVE or len(children[0]):
        raise SignatureRejected(
            "Каноникализация SignedInfo не поддерживается: нужна exclusive C14N без параметров.",
            detail=str(children[0].get("Algorithm"))[:200],
        )
    if len(children[1]):
        raise SignatureRejected("Параметры алгоритма подписи не поддерживаются: уберите их.")
    return signature_method(children[1].get("Algorithm") or ""), children[2]


def _reference_parts(reference: etree._Element) -> tuple[tuple[str, ...], str, bytes]:
    children = [child for child in reference if isinstance(child.tag, str)]
    if [child.tag for child in children] != [
        f"{{{DS}}}{name}" for name in ("Transforms", "DigestMethod", "DigestValue")
    ]:
        raise SignatureRejected("Reference заполнен неверно: нужны Transforms, DigestMethod и DigestValue.")
    steps = [step for step in children[0] if isinstance(step.tag, str)]
    transforms = tuple(str(step.get("Algorithm")) for step in steps)
    if (
        transforms not in ALLOWED_TRANSFORMS
        or any(len(step) for step in steps)
        or any(step.tag != f"{{{DS}}}Transform" for step in steps)
    ):
        raise SignatureRejected(
            "Преобразования подписи не поддерживаются: нужны exclusive C14N и преобразование СМЭВ, без параметров.",
            detail=" ".join(transforms)[:500],
        )
    return transforms, children[1].get("Algorithm") or "", _base64(children[2])


def _transformed(
    element: etree._Element, signature: etree._Element, transforms: tuple[str, ...], escaping: Escaping
) -> bytes:
    if ENVELOPED in transforms:
        element = _without(element, signature)
    octets = canonical(element)
    return transform_canonical(octets, escaping=escaping) if TRANSFORM_URI in transforms else octets


def _without(element: etree._Element, signature: etree._Element) -> etree._Element:
    """A copy of the element without this one signature, which must stand inside of it."""
    if element is signature or element not in signature.iterancestors():
        raise SignatureRejected("Подпись объявлена вложенной (enveloped), но стоит вне подписанного элемента.")
    position = list(element.iter(_SIGNATURE)).index(signature)
    copy = deepcopy(element)
    doomed = list(copy.iter(_SIGNATURE))[position]
    parent = doomed.getparent()
    assert parent is not None  # the signature is inside of the element, so it has one
    if doomed.tail:
        before = doomed.getprevious()
        if before is not None:
            before.tail = (before.tail or "") + doomed.tail
        else:
            parent.text = (parent.text or "") + doomed.tail
    parent.remove(doomed)
    return copy


def _certificates(key_info: etree._Element) -> list[Certificate]:
    """The signer's certificate first, then whatever else the sender enclosed."""
    found = key_info.findall(f"{{{DS}}}X509Data/{{{DS}}}X509Certificate")
    if not found:
        raise SignatureRejected("В подписи нет сертификата: отправитель должен вложить X509Certificate.")
    if len(found) > 10:
        raise SignatureRejected("В подписи больше 10 сертификатов: такая не принимается.")
    return [Certificate.from_der(_base64(item)) for item in found]


def _base64(element: etree._Element) -> bytes:
    if len(element):
        raise SignatureRejected("Внутри значения подписи есть посторонние узлы: нужен только текст base64.")
    try:
        return base64.b64decode("".join((element.text or "").split()), validate=True)
    except (binascii.Error, ValueError):
        raise SignatureRejected("Значение base64 в подписи испорчено.", detail=str(element.tag)) from None


def _attribute(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


__all__ = [
    "ALLOWED_TRANSFORMS",
    "DS",
    "ENVELOPED",
    "EXCLUSIVE",
    "SMEV",
    "Verified",
    "element_by_id",
    "examine",
    "ids_in",
    "sign",
    "sign_element",
    "signatures_in",
    "signed_info",
    "verify",
    "verify_all",
]
