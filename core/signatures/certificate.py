"""Certificates: what is written in one, and how many days it has left. Trust in one is `core.signatures.certificates`.

Reading works for ГОСТ, RSA and ECDSA alike. Nothing here says that a certificate is genuine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from core.errors import SignatureRejected
from core.signatures.libcrypto import libcrypto
from core.signatures.provider import (
    OID_EC,
    OID_GOST_2001,
    OID_GOST_2012_256,
    OID_GOST_2012_512,
    OID_RSA,
)

MAX_CERTIFICATE_BYTES: Final = 64 * 1024
MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192
MAX_RSA_EXPONENT_BITS: Final = 33
WARN_DAYS: Final = 30

_NAMES: Final = {
    "2.5.4.3": "CN",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.4": "SN",
    "2.5.4.42": "G",
    "2.5.4.12": "T",
    "1.2.643.100.1": "ОГРН",
    "1.2.643.100.3": "СНИЛС",
    "1.2.643.100.5": "ОГРНИП",
    "1.2.643.3.131.1.1": "ИНН",
    "1.2.643.100.4": "ИНН ЮЛ",
    "1.2.840.113549.1.9.1": "E",
    "1.2.840.113549.1.9.2": "unstructuredName",
}
_KEY_TITLES: Final = {
    OID_GOST_2012_256: "ГОСТ Р 34.10-2012, 256 бит",
    OID_GOST_2012_512: "ГОСТ Р 34.10-2012, 512 бит",
    OID_GOST_2001: "ГОСТ Р 34.10-2001",
    OID_RSA: "RSA",
    OID_EC: "ECDSA",
}


@dataclass(frozen=True)
class Certificate:
    """One X.509 certificate. `der`: its octets, which alone decide equality."""

    der: bytes = field(repr=False)

    @classmethod
    def from_der(cls, der: bytes) -> Certificate:
        """Read DER octets (the same octets give the same object while it is remembered).

        Raises SignatureRejected when they are not a certificate or its key is absurd.
        """
        return _read(der)

    @classmethod
    def from_pem(cls, pem: bytes) -> Certificate:
        """Read the first certificate of PEM text (DER is welcome too). Raises SignatureRejected."""
        return certificates_in(pem)[0]

    @cached_property
    def x509(self) -> x509.Certificate:
        """The certificate as `cryptography` sees it."""
        return x509.load_der_x509_certificate(self.der)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the DER octets, lower-case hex."""
        return hashlib.sha256(self.der).hexdigest()

    @cached_property
    def subject(self) -> str:
        """The owner, readable: `CN=…, O=…, ОГРН=…`."""
        return _readable(self.x509.subject)

    @cached_property
    def issuer(self) -> str:
        """Who issued it, readable."""
        return _readable(self.x509.issuer)

    @property
    def serial(self) -> str:
        """The serial number, lower-case hex without a prefix."""
        return f"{self.x509.serial_number:x}"

    @cached_property
    def common_name(self) -> str:
        """The CN alone, or the whole subject where there is no CN."""
        return next(
            (str(item.value) for item in self.x509.subject if item.oid.dotted_string == "2.5.4.3"), self.subject
        )

    @cached_property
    def not_before(self) -> datetime:
        """Valid from (aware, UTC)."""
        return self.x509.not_valid_before_utc

    @cached_property
    def not_after(self) -> datetime:
        """Valid until (aware, UTC)."""
        return self.x509.not_valid_after_utc

    @cached_property
    def key_oid(self) -> str:
        """The OID of the public key's algorithm, dotted."""
        return self.x509.public_key_algorithm_oid.dotted_string

    @cached_property
    def key_bits(self) -> int:
        """The size of the public key in bits."""
        if self.key_oid in (OID_RSA, OID_EC):
            key = self.x509.public_key()
            return key.key_size if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) else 0
        return 512 if self.key_oid == OID_GOST_2012_512 else 256

    @cached_property
    def public_key_der(self) -> bytes:
        """SubjectPublicKeyInfo in DER, as it stands in the certificate."""
        crypto = libcrypto()
        owner = crypto.x509(self.der)  # the key lives inside of it
        return crypto.der(crypto.lib.i2d_X509_PUBKEY, crypto.lib.X509_get_X509_PUBKEY(owner))

    @property
    def key_title(self) -> str:
        """The public key's algorithm in words."""
        return _KEY_TITLES.get(self.key_oid, self.key_oid)

    def days_left(self, at: datetime | None = None) -> int:
        """Whole days until the end of validity, negative after it. at: aware, default now."""
        return (self.not_after - (at or datetime.now(UTC))).days

    def validity(self, at: datetime | None = None) -> str:
        """Why the dates forbid its use, in Russian; empty when they don't. at: aware, default now."""
        moment = at or datetime.now(UTC)
        if moment < self.not_before:
            return f"Сертификат начнёт действовать {self.not_before:%d.%m.%Y}: проверьте часы сервера."
        if moment > self.not_after:
            return f"Срок действия сертификата истёк {self.not_after:%d.%m.%Y}: нужен новый сертификат."
        return ""


def certificates_in(data: bytes) -> list[Certificate]:
    """Every certificate of PEM text, or the one of DER octets. Raises SignatureRejected when there is none."""
    try:
        if b"-----BEGIN" in data:
            found = [item.public_bytes(Encoding.DER) for item in x509.load_pem_x509_certificates(data)]
        else:
            found = [data]
    except (ValueError, x509.InvalidVersion) as error:
        raise _unreadable(str(error)) from None
    return [Certificate.from_der(der) for der in found]


def expiring(
    certificates: Iterable[Certificate], days: int = WARN_DAYS, at: datetime | None = None
) -> list[Certificate]:
    """Those that end within `days` days (or have ended), the soonest first."""
    return sorted((item for item in certificates if item.days_left(at) < days), key=lambda item: item.not_after)


@lru_cache(maxsize=1024)
def _read(der: bytes) -> Certificate:
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise SignatureRejected(f"Сертификат больше {MAX_CERTIFICATE_BYTES // 1024} КБ: такой не принимается.")
    certificate = Certificate(der)
    try:
        certificate.x509  # noqa: B018 - reading is the check
        certificate.subject, certificate.issuer, certificate.not_before, certificate.not_after  # noqa: B018
        _refuse_absurd_key(certificate)
    except SignatureRejected:
        raise
    except Exception as error:
        # `cryptography` raises ValueError, UnsupportedAlgorithm, OverflowError… for broken DER.
        raise _unreadable(str(error)) from None
    return certificate


def _refuse_absurd_key(certificate: Certificate) -> None:
    """A huge key costs minutes of CPU at the first check: refuse it before any arithmetic."""
    if certificate.key_oid not in (OID_RSA, OID_EC):
        return
    key = certificate.x509.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            raise SignatureRejected(
                f"Ключ RSA в сертификате {key.key_size} бит: принимаются от {MIN_RSA_BITS} до {MAX_RSA_BITS}."
            )
        if key.public_numbers().e.bit_length() > MAX_RSA_EXPONENT_BITS:
            raise SignatureRejected("Показатель ключа RSA в сертификате слишком велик: нужен обычный (65537).")
    elif not isinstance(key, ec.EllipticCurvePublicKey):
        raise SignatureRejected("Ключ сертификата не поддерживается: нужен ГОСТ, RSA или ECDSA.")


def _readable(name: x509.Name) -> str:
    return ", ".join(f"{_NAMES.get(item.oid.dotted_string, item.oid.dotted_string)}={item.value!s}" for item in name)


def _unreadable(detail: str) -> SignatureRejected:
    return SignatureRejected("Сертификат не читается: проверьте, что это X.509 в DER или PEM.", detail=detail)
