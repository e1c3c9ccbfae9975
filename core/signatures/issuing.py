"""A small certificate authority over OpenSSL: for demo keys, the simulator and tests, never for production.

It makes ГОСТ (and, for comparison, nothing else) keys, certificates with the fields that СМЭВ looks at
(ОГРН, ИНН), and revocation lists. Everything is made in memory; who writes files is `core.signatures.demo_keys`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from core.errors import ConfigError
from core.signatures.certificate import Certificate
from core.signatures.libcrypto import Libcrypto, libcrypto

_MBSTRING_UTF8: Final = 0x1000
_NUMERIC_STRING: Final = 18
_NUMERIC_OIDS: Final = {"ОГРН": "1.2.643.100.1", "ИНН": "1.2.643.3.131.1.1"}
_X509_V3: Final = 2
_ROOT_AGE_DAYS: Final = 5 * 365
_CRL_V2: Final = 1
_CONTEXT_BYTES: Final = 128  # struct v3_ext_ctx is 64 octets in OpenSSL 3; spare room costs nothing
_KINDS: Final = {
    "gost2012_256": (b"md_gost12_256", b"A"),
    "gost2012_512": (b"md_gost12_512", b"A"),
    "gost2001": (b"md_gost94", b"A"),
}


@dataclass(frozen=True)
class IssuedKey:
    """A fresh private key inside OpenSSL. kind: `gost2012_256`, `gost2012_512` or `gost2001`."""

    kind: str
    pointer: Any = field(repr=False)

    @classmethod
    def generate(cls, kind: str = "gost2012_256") -> IssuedKey:
        """A new key. Raises ConfigError when the ГОСТ engine is missing."""
        crypto = libcrypto()
        ffi, lib = crypto.ffi, crypto.lib
        engine = crypto.require_gost()
        context = ffi.gc(lib.EVP_PKEY_CTX_new_id(lib.OBJ_txt2nid(kind.encode()), engine), lib.EVP_PKEY_CTX_free)
        key = ffi.new("EVP_PKEY **")
        _must(crypto, lib.EVP_PKEY_keygen_init(context) == 1)
        _must(crypto, lib.EVP_PKEY_CTX_ctrl_str(context, b"paramset", _KINDS[kind][1]) == 1)
        _must(crypto, lib.EVP_PKEY_keygen(context, key) == 1)
        return cls(kind, ffi.gc(key[0], lib.EVP_PKEY_free))

    def pem(self, password: str) -> bytes:
        """PKCS#8, encrypted with AES-256 under `password`."""
        crypto = libcrypto()
        ffi, lib = crypto.ffi, crypto.lib
        out = crypto.sink()
        secret = password.encode()
        _must(
            crypto,
            lib.PEM_write_bio_PKCS8PrivateKey(
                out,
                self.pointer,
                lib.EVP_get_cipherbyname(b"aes-256-cbc"),
                ffi.from_buffer("char[]", secret),
                len(secret),
                ffi.NULL,
                ffi.NULL,
            )
            == 1,
        )
        return crypto.drain(out)


@dataclass(frozen=True)
class Authority:
    """Who issues: its key and its own certificate."""

    key: IssuedKey
    certificate: Certificate

    @classmethod
    def self_signed(
        cls, subject: Sequence[tuple[str, str]], *, kind: str = "gost2012_256", days: int = 3650
    ) -> Authority:
        """A root, five years old already. subject: pairs such as `("CN", "…")`, `("ОГРН", "…")`, in order."""
        key = IssuedKey.generate(kind)
        now = datetime.now(UTC)
        begun = now - timedelta(days=_ROOT_AGE_DAYS)
        return cls(key, _certificate(subject, key, None, begun, now + timedelta(days=days), authority=True))

    def issue(
        self,
        subject: Sequence[tuple[str, str]],
        key: IssuedKey,
        *,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        authority: bool = False,
    ) -> Certificate:
        """A certificate for `key`; valid from an hour ago for 365 days unless said otherwise (aware datetimes)."""
        now = datetime.now(UTC)
        return _certificate(
            subject,
            key,
            self,
            not_before or now - timedelta(hours=1),
            not_after or now + timedelta(days=365),
            authority=authority,
        )

    def revocation_list(
        self, revoked: Iterable[Certificate], *, issued: datetime | None = None, days: int = 30
    ) -> bytes:
        """A CRL in DER that names these certificates; `issued` (aware, default now) and for `days` days."""
        crypto = libcrypto()
        ffi, lib = crypto.ffi, crypto.lib
        moment = issued or datetime.now(UTC) - timedelta(minutes=1)
        crl = ffi.gc(lib.X509_CRL_new(), lib.X509_CRL_free)
        ours = crypto.x509(self.certificate.der)
        begin, end = _time(crypto, moment), _time(crypto, moment + timedelta(days=days))
        _must(crypto, lib.X509_CRL_set_version(crl, _CRL_V2) == 1)
        _must(crypto, lib.X509_CRL_set_issuer_name(crl, lib.X509_get_subject_name(ours)) == 1)
        _must(crypto, lib.X509_CRL_set1_lastUpdate(crl, begin) == 1 and lib.X509_CRL_set1_nextUpdate(crl, end) == 1)
        for certificate in revoked:
            entry = lib.X509_REVOKED_new()
            theirs = crypto.x509(certificate.der)
            lib.X509_REVOKED_set_serialNumber(entry, lib.X509_get_serialNumber(theirs))
            lib.X509_REVOKED_set_revocationDate(entry, begin)
            _must(crypto, lib.X509_CRL_add0_revoked(crl, entry) == 1)
        lib.X509_CRL_sort(crl)
        _must(crypto, lib.X509_CRL_sign(crl, self.key.pointer, _md(crypto, self.key.kind)) > 0)
        return crypto.der(lib.i2d_X509_CRL, crl)


def _certificate(
    subject: Sequence[tuple[str, str]],
    key: IssuedKey,
    issuer: Authority | None,
    not_before: datetime,
    not_after: datetime,
    *,
    authority: bool,
) -> Certificate:
    crypto = libcrypto()
    ffi, lib = crypto.ffi, crypto.lib
    made = ffi.gc(lib.X509_new(), lib.X509_free)
    parent = crypto.x509(issuer.certificate.der) if issuer else made
    lib.X509_set_version(made, _X509_V3)
    lib.ASN1_INTEGER_set_uint64(lib.X509_get_serialNumber(made), secrets.randbits(63) | 1)
    name = lib.X509_get_subject_name(made)
    for field_name, value in subject:
        oid = _NUMERIC_OIDS.get(field_name)
        octets = value.encode()
        _must(
            crypto,
            lib.X509_NAME_add_entry_by_txt(
                name,
                (oid or field_name).encode(),
                _NUMERIC_STRING if oid else _MBSTRING_UTF8,
                octets,
                len(octets),
                -1,
                0,
            )
            == 1,
        )
    lib.X509_set_issuer_name(made, lib.X509_get_subject_name(parent))
    lib.ASN1_TIME_set_string(lib.X509_getm_notBefore(made), _stamp(not_before))
    lib.ASN1_TIME_set_string(lib.X509_getm_notAfter(made), _stamp(not_after))
    _must(crypto, lib.X509_set_pubkey(made, key.pointer) == 1)
    context = ffi.new("unsigned char[]", _CONTEXT_BYTES)
    lib.X509V3_set_ctx(context, parent, made, ffi.NULL, ffi.NULL, 0)
    extensions = [
        ("basicConstraints", "critical,CA:TRUE" if authority else "critical,CA:FALSE"),
        ("keyUsage", "critical,keyCertSign,cRLSign" if authority else "critical,digitalSignature,nonRepudiation"),
        ("subjectKeyIdentifier", "hash"),
        ("authorityKeyIdentifier", "keyid:always"),
    ]
    for extension, value in extensions:
        made_extension = lib.X509V3_EXT_conf(ffi.NULL, context, extension.encode(), value.encode())
        _must(crypto, made_extension != ffi.NULL)
        lib.X509_add_ext(made, made_extension, -1)
        lib.X509_EXTENSION_free(made_extension)
    signer = issuer.key if issuer else key
    _must(crypto, lib.X509_sign(made, signer.pointer, _md(crypto, signer.kind)) > 0)
    return Certificate.from_der(crypto.der(lib.i2d_X509, made))


def _md(crypto: Libcrypto, kind: str) -> Any:
    return crypto.lib.ENGINE_get_digest(crypto.require_gost(), crypto.lib.OBJ_txt2nid(_KINDS[kind][0]))


def _stamp(moment: datetime) -> bytes:
    utc = moment.astimezone(UTC)
    return f"{utc:%y%m%d%H%M%SZ}".encode() if utc.year < 2050 else f"{utc:%Y%m%d%H%M%SZ}".encode()


def _time(crypto: Libcrypto, moment: datetime) -> Any:
    made = crypto.ffi.gc(crypto.lib.ASN1_TIME_new(), crypto.lib.ASN1_TIME_free)
    crypto.lib.ASN1_TIME_set_string(made, _stamp(moment))
    return made


def _must(crypto: Libcrypto, good: bool) -> None:
    if not good:
        raise ConfigError(
            "OpenSSL не создал сертификат или ключ: переустановите libengine-gost-openssl.", detail=crypto.error()
        )
