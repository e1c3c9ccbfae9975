"""The seam behind which cryptography lives: what a provider must do, and who does what.

A provider is found by the algorithm URI of XMLDSig or by the OID of a key, never by name, so adding
КриптоПро JCP or JavaCSP means: a module with a class that fits `Provider` and one `register(...)`.
The last registered provider of an algorithm wins: a setting can put JCP in front of OpenSSL.

Octets at this seam are always those of XMLDSig: ГОСТ signatures are s‖r big-endian (FACTS §3.3), ECDSA
signatures are r‖s, digests stand in their natural order.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from core.errors import SignatureRejected

if TYPE_CHECKING:
    from core.signatures.certificate import Certificate

_CPXMLSEC: Final = "urn:ietf:params:xml:ns:cpxmlsec:algorithms:"
_DSIG_MORE: Final = "http://www.w3.org/2001/04/xmldsig-more#"
_XMLENC: Final = "http://www.w3.org/2001/04/xmlenc#"

OID_GOST_2012_256: Final = "1.2.643.7.1.1.1.1"
OID_GOST_2012_512: Final = "1.2.643.7.1.1.1.2"
OID_GOST_2001: Final = "1.2.643.2.2.19"
OID_RSA: Final = "1.2.840.113549.1.1.1"
OID_EC: Final = "1.2.840.10045.2.1"

STREEBOG_256: Final = "streebog256"
STREEBOG_512: Final = "streebog512"
GOST_94: Final = "gost94"


@dataclass(frozen=True, slots=True)
class DigestMethod:
    """A digest as XMLDSig names it. `hash`: its name at the provider seam; `size`: octets."""

    uri: str
    hash: str
    size: int


@dataclass(frozen=True, slots=True)
class SignatureMethod:
    """A signature algorithm as XMLDSig names it.

    key_oid: the key algorithm that a certificate must have; hash: what is signed is this hash;
    digest_uri: the digest that goes with it when we sign; may_sign: False for what we only verify.
    """

    uri: str
    title: str
    key_oid: str
    hash: str
    digest_uri: str
    may_sign: bool = True


class PrivateKey(Protocol):
    """A key in the provider's hands; its value never leaves the provider."""

    oid: str
    bits: int

    def sign(self, method: SignatureMethod, data: bytes) -> bytes:
        """Signature of `data` (hashed inside) in the order of XMLDSig."""
        ...

    def matches(self, certificate: Certificate) -> bool:
        """True when the certificate is for this key."""
        ...

    def native(self) -> Any:
        """The key as an `EVP_PKEY *` of the system libcrypto (for CMS). Raises ConfigError where there is none."""
        ...


class Provider(Protocol):
    """One implementation of cryptography. Every method may be called from many threads at once."""

    name: str

    def digest(self, hash_name: str, data: bytes) -> bytes:
        """The hash of `data`, octets in natural order."""
        ...

    def verify(self, method: SignatureMethod, certificate: Certificate, data: bytes, signature: bytes) -> bool:
        """True when `signature` of `data` is by the key of `certificate`.

        Raises SignatureRejected when the certificate's key cannot be used at all.
        """
        ...

    def load_key(self, data: bytes, password: str | None) -> PrivateKey:
        """A private key from PKCS#8 PEM or DER octets. Raises ConfigError with the remedy."""
        ...


DIGESTS: Final = {
    method.uri: method
    for method in (
        DigestMethod(_CPXMLSEC + "gostr34112012-256", STREEBOG_256, 32),
        DigestMethod(_CPXMLSEC + "gostr34112012-512", STREEBOG_512, 64),
        DigestMethod(_DSIG_MORE + "gostr3411", GOST_94, 32),
        DigestMethod(_CPXMLSEC + "gostr3411", GOST_94, 32),
        DigestMethod(_XMLENC + "sha256", "sha256", 32),
        DigestMethod(_DSIG_MORE + "sha384", "sha384", 48),
        DigestMethod(_XMLENC + "sha512", "sha512", 64),
    )
}

SIGNATURES: Final = {
    method.uri: method
    for method in (
        SignatureMethod(
            _CPXMLSEC + "gostr34102012-gostr34112012-256",
            "ГОСТ Р 34.10-2012, 256 бит",
            OID_GOST_2012_256,
            STREEBOG_256,
            _CPXMLSEC + "gostr34112012-256",
        ),
        SignatureMethod(
            _CPXMLSEC + "gostr34102012-gostr34112012-512",
            "ГОСТ Р 34.10-2012, 512 бит",
            OID_GOST_2012_512,
            STREEBOG_512,
            _CPXMLSEC + "gostr34112012-512",
        ),
        SignatureMethod(
            _DSIG_MORE + "gostr34102001-gostr3411",
            "ГОСТ Р 34.10-2001",
            OID_GOST_2001,
            GOST_94,
            _DSIG_MORE + "gostr3411",
            may_sign=False,
        ),
        SignatureMethod(
            _CPXMLSEC + "gostr34102001-gostr3411",
            "ГОСТ Р 34.10-2001",
            OID_GOST_2001,
            GOST_94,
            _CPXMLSEC + "gostr3411",
            may_sign=False,
        ),
        SignatureMethod(_DSIG_MORE + "rsa-sha256", "RSA, SHA-256", OID_RSA, "sha256", _XMLENC + "sha256"),
        SignatureMethod(_DSIG_MORE + "rsa-sha384", "RSA, SHA-384", OID_RSA, "sha384", _DSIG_MORE + "sha384"),
        SignatureMethod(_DSIG_MORE + "rsa-sha512", "RSA, SHA-512", OID_RSA, "sha512", _XMLENC + "sha512"),
        SignatureMethod(_DSIG_MORE + "ecdsa-sha256", "ECDSA, SHA-256", OID_EC, "sha256", _XMLENC + "sha256"),
        SignatureMethod(_DSIG_MORE + "ecdsa-sha384", "ECDSA, SHA-384", OID_EC, "sha384", _DSIG_MORE + "sha384"),
        SignatureMethod(_DSIG_MORE + "ecdsa-sha512", "ECDSA, SHA-512", OID_EC, "sha512", _XMLENC + "sha512"),
    )
}

_PROVIDERS: dict[str, Provider] = {}
_REGISTERING: Final = threading.Lock()


def register(provider: Provider, *, hashes: Iterable[str] = (), key_oids: Iterable[str] = ()) -> None:
    """Let `provider` answer for these hashes and key algorithms from now on (replaces whoever did)."""
    with _REGISTERING:
        for name in (*hashes, *key_oids):
            _PROVIDERS[name] = provider


def provider_of(name: str) -> Provider:
    """The provider of a hash name or of a key OID. Raises SignatureRejected for what nobody does."""
    if not _PROVIDERS:
        _register_built_in()
    try:
        return _PROVIDERS[name]
    except KeyError:
        raise SignatureRejected(f"Алгоритм {name} не поддерживается: подпишите по ГОСТ Р 34.10-2012.") from None


def digest(hash_name: str, data: bytes) -> bytes:
    """The hash of `data` by whoever is registered for it."""
    return provider_of(hash_name).digest(hash_name, data)


def signature_method(uri: str) -> SignatureMethod:
    """The signature method of a URI. Raises SignatureRejected for one that is not in the list."""
    try:
        return SIGNATURES[uri]
    except KeyError:
        raise SignatureRejected(
            "Алгоритм подписи не поддерживается: подпишите по ГОСТ Р 34.10-2012.", detail=uri[:200]
        ) from None


def digest_method(uri: str) -> DigestMethod:
    """The digest method of a URI. Raises SignatureRejected for one that is not in the list."""
    try:
        return DIGESTS[uri]
    except KeyError:
        raise SignatureRejected(
            "Алгоритм хеша не поддерживается: используйте ГОСТ Р 34.11-2012.", detail=uri[:200]
        ) from None


def signing_method(key_oid: str, bits: int) -> SignatureMethod:
    """The method with which a key of this algorithm and size signs. Raises SignatureRejected if none does."""
    wanted = {OID_EC: "sha256" if bits <= 256 else "sha384" if bits <= 384 else "sha512"}.get(key_oid)
    for method in SIGNATURES.values():
        if method.key_oid == key_oid and method.may_sign and wanted in (None, method.hash):
            return method
    raise SignatureRejected("Этим ключом подписывать нельзя: нужен ключ ГОСТ Р 34.10-2012.", detail=key_oid)


# Named, not imported: the seam does not depend on what is plugged into it.
_BUILT_IN: Final = {
    "core.signatures.openssl_gost:OpensslGost": (
        STREEBOG_256, STREEBOG_512, GOST_94, OID_GOST_2012_256, OID_GOST_2012_512, OID_GOST_2001,
    ),
    "core.signatures.rsa_ecdsa:RsaEcdsa": ("sha256", "sha384", "sha512", OID_RSA, OID_EC),
}  # fmt: skip


def _register_built_in() -> None:
    with _REGISTERING:
        for place, names in _BUILT_IN.items():
            module, _, kind = place.partition(":")
            provider: Provider = getattr(importlib.import_module(module), kind)()
            for name in names:
                _PROVIDERS.setdefault(name, provider)
