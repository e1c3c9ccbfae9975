"""Our own signing identity: a private key from a file, its certificate, and the password that opens it.

Keys come from files (PKCS#8 or PKCS#12), passwords from the environment or a secret file; neither is ever
kept in the database, printed or logged.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import ConfigError, SignatureRejected
from core.signatures.certificate import Certificate, certificates_in
from core.signatures.libcrypto import libcrypto
from core.signatures.provider import PrivateKey, SignatureMethod, provider_of, signing_method


@dataclass(frozen=True)
class Identity:
    """A certificate and the right to sign with its key. chain: intermediate certificates to send along."""

    certificate: Certificate
    method: SignatureMethod
    key: PrivateKey = field(repr=False)
    chain: tuple[Certificate, ...] = ()

    @property
    def algorithm(self) -> str:
        """The SignatureMethod URI of XMLDSig with which this identity signs."""
        return self.method.uri

    def sign(self, data: bytes) -> bytes:
        """The signature of `data` in XMLDSig order (ГОСТ: s‖r big-endian)."""
        return self.key.sign(self.method, data)


def load_identity(key_file: Path, certificate_file: Path | None = None, password: str | None = None) -> Identity:
    """An identity from a key file and a certificate file (PEM or DER; further certificates become `chain`).

    key_file: PKCS#8 (PEM, usually encrypted) or PKCS#12 (*.p12, *.pfx: then certificate_file may be None).
    Raises ConfigError naming the file and the remedy: file missing, wrong password, certificate of another key.
    """
    data = _read(key_file)
    if key_file.suffix.lower() in (".p12", ".pfx"):
        data, certificates = _unpack(data, password, key_file)
        password = None
    elif certificate_file is None:
        raise ConfigError(f"Для ключа {key_file} не указан файл сертификата: укажите его.")
    else:
        certificates = []
    if certificate_file is not None:
        certificates = read_certificates(certificate_file)
    certificate = certificates[0]
    try:
        method = signing_method(certificate.key_oid, certificate.key_bits)
        key = provider_of(certificate.key_oid).load_key(data, password)
    except SignatureRejected as error:
        raise ConfigError(error.reason, detail=f"{key_file}: {error.detail}") from None
    except ConfigError as error:
        raise ConfigError(f"{error.reason} Файл: {key_file}", detail=error.detail) from None
    if not key.matches(certificate):
        raise ConfigError(
            f"Сертификат {certificate_file or key_file} выпущен не на ключ {key_file}: "
            "укажите пару из одного комплекта."
        )
    return Identity(certificate, method, key, tuple(certificates[1:]))


def read_password(env_name: str | None = None, secret_file: Path | None = None) -> str | None:
    """A password from the environment variable, else from the first line of the secret file, else None.

    Raises ConfigError when the named file cannot be read.
    """
    if env_name and (value := os.environ.get(env_name)) is not None:
        return value
    if secret_file is None:
        return None
    lines = _read(secret_file).decode("utf-8-sig", "replace").splitlines()
    return lines[0] if lines else ""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"Файл {path} не читается: проверьте путь и права.", detail=str(error)) from None


def read_certificates(path: Path) -> list[Certificate]:
    """The certificates of a PEM or DER file, our own first. Raises ConfigError naming the file."""
    try:
        return certificates_in(_read(path))
    except SignatureRejected as error:
        raise ConfigError(f"{error.reason} Файл: {path}", detail=error.detail) from None


def _unpack(data: bytes, password: str | None, path: Path) -> tuple[bytes, list[Certificate]]:
    """The key (PKCS#8 PEM, in memory only) and the certificates of a PKCS#12 container."""
    crypto = libcrypto()
    ffi, lib = crypto.ffi, crypto.lib
    bio, _keep = crypto.bio(data)
    container = lib.d2i_PKCS12_bio(bio, ffi.NULL)
    if container == ffi.NULL:
        raise ConfigError(f"Файл {path} не является контейнером PKCS#12.", detail=crypto.error())
    container = ffi.gc(container, lib.PKCS12_free)
    key, x509, others = ffi.new("EVP_PKEY **"), ffi.new("X509 **"), ffi.new("OPENSSL_STACK **")
    if not lib.PKCS12_parse(container, (password or "").encode(), key, x509, others):
        raise ConfigError(f"Контейнер {path} не открыт: проверьте пароль.", detail=crypto.error())
    certificates: list[Certificate] = []
    try:
        if key[0] == ffi.NULL or x509[0] == ffi.NULL:
            raise ConfigError(f"В контейнере {path} нет ключа с сертификатом.")
        certificates.append(Certificate.from_der(crypto.der(lib.i2d_X509, x509[0])))
        for index in range(max(lib.OPENSSL_sk_num(others[0]), 0)):
            certificates.append(
                Certificate.from_der(
                    crypto.der(lib.i2d_X509, ffi.cast("X509 *", lib.OPENSSL_sk_value(others[0], index)))
                )
            )
        out = crypto.sink()
        if not lib.PEM_write_bio_PKCS8PrivateKey(out, key[0], ffi.NULL, ffi.NULL, 0, ffi.NULL, ffi.NULL):
            raise ConfigError(f"Ключ контейнера {path} не читается.", detail=crypto.error())
        return crypto.drain(out), certificates
    finally:
        lib.EVP_PKEY_free(key[0])
        lib.X509_free(x509[0])
        for index in range(max(lib.OPENSSL_sk_num(others[0]), 0)):
            lib.X509_free(ffi.cast("X509 *", lib.OPENSSL_sk_value(others[0], index)))
        lib.OPENSSL_sk_free(others[0])
