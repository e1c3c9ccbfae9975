"""Detached CMS (PKCS#7) signatures of files, such as `SignaturePKCS7` of an attachment (FACTS §3.3).

Data may be octets or a file path; a file is read by OpenSSL in pieces, so memory does not grow with it.
Signing and checking go through the system libcrypto for ГОСТ, RSA and ECDSA keys alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from core.errors import ConfigError, SignatureRejected
from core.signatures.certificate import Certificate
from core.signatures.keys import Identity
from core.signatures.libcrypto import Libcrypto, as_path, libcrypto

MAX_CMS_BYTES: Final = 4 * 1024 * 1024
MAX_SIGNERS: Final = 20
MAX_CERTIFICATES: Final = 100
"""Every signer is compared with every certificate: a megabyte of thousands of both would cost a minute."""
# CMS_* flags of <openssl/cms.h>
_DETACHED: Final = 0x40
_BINARY: Final = 0x80
_NO_SMIME_CAPABILITIES: Final = 0x200
_NO_SIGNER_CERT_VERIFY: Final = 0x20


@dataclass(frozen=True)
class CmsReport:
    """What a detached signature says. ok: it is over this data and by `signers`; trust is another question.

    signers: their certificates; certificates: all that came along; reason: Russian, empty when ok.
    """

    ok: bool
    signers: tuple[Certificate, ...]
    reason: str
    certificates: tuple[Certificate, ...] = field(default=(), repr=False)


def sign_detached(data: bytes | Path, identity: Identity) -> bytes:
    """A detached CMS SignedData in DER, with signed attributes and the signer's certificate inside.

    Raises ConfigError when the key refuses or the file cannot be read.
    """
    crypto = libcrypto()
    ffi, lib = crypto.ffi, crypto.lib
    signer = crypto.x509(identity.certificate.der)
    with _others(crypto, identity.chain) as others, _source(crypto, data) as bio:
        made = lib.CMS_sign(signer, identity.key.native(), others, bio, _DETACHED | _BINARY | _NO_SMIME_CAPABILITIES)
    if made == ffi.NULL:
        raise ConfigError("Файл не подписан: проверьте ключ и сертификат.", detail=crypto.error())
    made = ffi.gc(made, lib.CMS_ContentInfo_free)
    return crypto.der(lib.i2d_CMS_ContentInfo, made)


def verify_detached(data: bytes | Path, cms: bytes) -> CmsReport:
    """Check a detached signature (DER) over `data`.

    Never raises for a bad signature: see the report. Raises SignatureRejected when `cms` is not CMS SignedData at all,
    ConfigError when the file cannot be read.
    """
    crypto = libcrypto()
    ffi, lib = crypto.ffi, crypto.lib
    if len(cms) > MAX_CMS_BYTES:
        raise SignatureRejected("Подпись файла больше 4 МБ: такая не принимается.")
    pointer = ffi.new("const unsigned char **", ffi.cast("const unsigned char *", ffi.from_buffer(cms)))
    info = lib.d2i_CMS_ContentInfo(ffi.NULL, pointer, len(cms))
    if info == ffi.NULL:
        raise SignatureRejected(
            "Это не подпись CMS (PKCS#7) в DER: получите файл подписи у отправителя заново.", detail=crypto.error()
        )
    info = ffi.gc(info, lib.CMS_ContentInfo_free)
    infos = lib.CMS_get0_SignerInfos(info)
    if infos == ffi.NULL or lib.OPENSSL_sk_num(infos) < 1:
        lib.ERR_clear_error()
        raise SignatureRejected("В файле подписи нет ни одной подписи: нужен CMS SignedData.")
    if lib.OPENSSL_sk_num(infos) > MAX_SIGNERS:
        raise SignatureRejected(f"В файле больше {MAX_SIGNERS} подписей: такой не принимается.")
    if lib.CMS_is_detached(info) != 1:
        return CmsReport(False, (), "Подпись содержит данные внутри себя: нужна открепленная подпись.")
    enclosed = _enclosed(crypto, info)
    with _source(crypto, data) as bio:
        good = lib.CMS_verify(info, ffi.NULL, ffi.NULL, bio, ffi.NULL, _NO_SIGNER_CERT_VERIFY | _BINARY) == 1
    detail = crypto.error()
    signers = tuple(
        certificate
        for index in range(lib.OPENSSL_sk_num(infos))
        for certificate in enclosed
        if _signed(crypto, infos, index, certificate)
    )
    if good:
        return CmsReport(True, signers, "", enclosed)
    if not signers:
        reason = "В подписи нет сертификата подписавшего: попросите отправителя включить его."
    elif "content verify error" in detail:
        reason = "Содержимое файла изменено после подписания, или подписан другой файл."
    else:
        reason = "Подпись файла неверна: она повреждена или сделана другим ключом."
    return CmsReport(False, signers, reason, enclosed)


def _signed(crypto: Libcrypto, infos: Any, index: int, certificate: Certificate) -> bool:
    info = crypto.ffi.cast("CMS_SignerInfo *", crypto.lib.OPENSSL_sk_value(infos, index))
    return bool(crypto.lib.CMS_SignerInfo_cert_cmp(info, crypto.x509(certificate.der)) == 0)


def _enclosed(crypto: Libcrypto, info: Any) -> tuple[Certificate, ...]:
    """The certificates inside of the container. Raises SignatureRejected for an absurd key, before any arithmetic."""
    ffi, lib = crypto.ffi, crypto.lib
    stack = lib.CMS_get1_certs(info)
    if stack == ffi.NULL:
        return ()
    pointers = [
        ffi.gc(ffi.cast("X509 *", lib.OPENSSL_sk_value(stack, index)), lib.X509_free)
        for index in range(lib.OPENSSL_sk_num(stack))
    ]
    lib.OPENSSL_sk_free(stack)
    if len(pointers) > MAX_CERTIFICATES:
        raise SignatureRejected(f"В файле подписи больше {MAX_CERTIFICATES} сертификатов: такой не принимается.")
    return tuple(Certificate.from_der(crypto.der(lib.i2d_X509, pointer)) for pointer in pointers)


@contextmanager
def _source(crypto: Libcrypto, data: bytes | Path) -> Iterator[Any]:
    """A BIO that reads the data from memory or from a file."""
    if isinstance(data, bytes):
        bio, keep = crypto.bio(data)
        yield bio
        del keep
        return
    opened = crypto.lib.BIO_new_file(as_path(data), b"rb")
    if opened == crypto.ffi.NULL:
        raise ConfigError(f"Файл {data} не читается: проверьте путь и права.", detail=crypto.error())
    yield crypto.ffi.gc(opened, crypto.lib.BIO_free)


@contextmanager
def _others(crypto: Libcrypto, chain: tuple[Certificate, ...]) -> Iterator[Any]:
    stack = crypto.ffi.gc(crypto.lib.OPENSSL_sk_new_null(), crypto.lib.OPENSSL_sk_free)
    keep = [crypto.x509(item.der) for item in chain]
    for item in keep:
        crypto.lib.OPENSSL_sk_push(stack, item)
    yield stack
    del keep
