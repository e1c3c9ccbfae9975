"""Whom we trust: a directory with CA certificates, revocation lists and pinned certificates.

A trust store directory (README of the operator says who fills it):

    *.pem *.crt *.cer   CA certificates; each one is an anchor, be it a root or the authority that issues
    *.crl               revocation lists (DER or PEM), looked up by issuer
    pinned/             end certificates trusted as they are, without a chain (dates still count)

The chain is built and checked by OpenSSL (`X509_verify_cert`) for ГОСТ, RSA and ECDSA alike; revocation is
looked up here. A list that is out of date fails closed unless the store was told otherwise. Answers are
remembered for a minute, and the directory is read again when it has changed: a new list needs no restart.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from core.errors import BusError, ConfigError
from core.signatures.certificate import Certificate, certificates_in, expiring
from core.signatures.libcrypto import Libcrypto, libcrypto

CACHE_S: Final = 60.0
MAX_CHAIN: Final = 8
_CACHED_ANSWERS: Final = 4096
_CERTIFICATE_SUFFIXES: Final = frozenset({".pem", ".crt", ".cer"})
_PARTIAL_CHAIN: Final = 0x80000
_log = logging.getLogger(__name__)

# X509_V_ERR_* of <openssl/x509_vfy.h>
_WORDS: Final = {
    7: "Подпись удостоверяющего центра на сертификате неверна: сертификат подделан или испорчен.",
    9: "Один из сертификатов цепочки ещё не действует: проверьте часы сервера.",
    10: "Срок действия одного из сертификатов цепочки истёк: нужен новый сертификат.",
    18: "Сертификат самоподписанный и не внесён в хранилище доверия.",
    22: "Цепочка сертификатов слишком длинная.",
    24: "Сертификат выпущен тем, кто не является удостоверяющим центром.",
    32: "Сертификату издателя запрещено выпускать другие сертификаты.",
    34: "В сертификате есть критическое расширение, которое мы не понимаем.",
    66: "Ключ сертификата слишком слабый.",
    67: "Ключ удостоверяющего центра слишком слабый.",
    68: "Подпись удостоверяющего центра сделана слишком слабым алгоритмом.",
    79: "Сертификат выпущен тем, кто не является удостоверяющим центром.",
}
_UNKNOWN_ISSUER: Final = (
    "Издатель сертификата не внесён в хранилище доверия: добавьте сертификат его УЦ, если доверяете ему."
)


@dataclass(frozen=True, slots=True)
class Trust:
    """The answer: trusted or not, why (Russian), and whether a pin rather than a chain decided."""

    trusted: bool
    reason: str
    pinned: bool = False


@dataclass(frozen=True)
class _Contents:
    """What one reading of the directory gave. `store` is an X509_STORE with every anchor in it."""

    authorities: tuple[Certificate, ...]
    pinned: frozenset[str]
    lists: tuple[x509.CertificateRevocationList, ...]
    store: Any = field(repr=False)


class TrustStore:
    """Whom we trust. Safe for many threads."""

    def __init__(
        self,
        authorities: Iterable[Certificate] = (),
        *,
        revocation_lists: Iterable[bytes] = (),
        pinned: Iterable[Certificate] = (),
        accept_stale_lists: bool = False,
    ) -> None:
        """revocation_lists: DER or PEM octets. accept_stale_lists: go on with a list past its nextUpdate."""
        self.accept_stale_lists = accept_stale_lists
        self._directory: Path | None = None
        self._seen: tuple[tuple[str, int, int], ...] = ()
        self._lock = threading.Lock()
        self._answers: dict[tuple[str, ...], tuple[float, Trust]] = {}
        self._looked = time.monotonic()
        self._contents = _contents(authorities, [_read_list(item, "") for item in revocation_lists], pinned)

    @classmethod
    def from_directory(cls, directory: Path, *, accept_stale_lists: bool = False) -> TrustStore:
        """Read a trust store directory. Raises ConfigError naming the file that cannot be read."""
        if not directory.is_dir():
            raise ConfigError(f"Нет каталога хранилища доверия {directory}: создайте его и положите сертификаты УЦ.")
        made = cls(accept_stale_lists=accept_stale_lists)
        made._directory, made._seen = directory, _listing(directory)
        made._contents = _read_directory(directory)
        return made

    @property
    def authorities(self) -> tuple[Certificate, ...]:
        """The anchors."""
        return self._contents.authorities

    def check(
        self, certificate: Certificate, *, intermediates: Sequence[Certificate] = (), at: datetime | None = None
    ) -> Trust:
        """Is this end certificate to be trusted?

        intermediates: further certificates the sender enclosed (used to build the chain, never trusted by themselves);
        at: the moment of judgement (aware), default now. Never raises for a bad certificate.
        """
        if at is not None:
            return self._judge(certificate, intermediates, at)
        now = time.monotonic()
        if now - self._looked > CACHE_S:
            self._look_again(now)
        key = (certificate.fingerprint, *(item.fingerprint for item in intermediates))
        known = self._answers.get(key)
        if known is not None and now - known[0] < CACHE_S:
            return known[1]
        answer = self._judge(certificate, intermediates, datetime.now(UTC))
        with self._lock:
            if len(self._answers) >= _CACHED_ANSWERS:
                self._answers.clear()
            self._answers[key] = now, answer
        return answer

    def _look_again(self, now: float) -> None:
        with self._lock:
            self._looked = now
            if self._directory is None or (listing := _listing(self._directory)) == self._seen:
                return
            try:
                self._contents, self._seen = _read_directory(self._directory), listing
                self._answers.clear()
            except ConfigError as error:
                # A file may be half copied: what we had still stands, the next look is a minute away.
                _log.warning("trust store not reloaded: %s", error.reason)

    def _judge(self, certificate: Certificate, intermediates: Sequence[Certificate], at: datetime) -> Trust:
        if words := certificate.validity(at):
            return Trust(False, words)
        contents = self._contents
        if certificate.fingerprint in contents.pinned:
            return Trust(True, "Сертификат закреплён в хранилище доверия.", pinned=True)
        if words := _usage(certificate):
            return Trust(False, words)
        chain, words = _chain(contents, certificate, intermediates, at)
        if not words:
            words = self._revoked(contents, chain, at)
        return Trust(False, words) if words else Trust(True, "Цепочка до доверенного УЦ построена.")

    def _revoked(self, contents: _Contents, chain: Sequence[Certificate], at: datetime) -> str:
        """Why a revocation list forbids the chain (leaf first, anchor last), or an empty string."""
        for certificate, issuer in pairwise(chain):
            for found in contents.lists:
                if found.issuer != certificate.x509.issuer or not _list_is_by(found, issuer):
                    continue
                entry = found.get_revoked_certificate_by_serial_number(certificate.x509.serial_number)
                if entry is not None and entry.revocation_date_utc <= at:
                    return f"Сертификат отозван {entry.revocation_date_utc:%d.%m.%Y}: нужен новый сертификат."
                ends = found.next_update_utc
                if ends is not None and ends < at and not self.accept_stale_lists:
                    return (
                        f"Список отзыва УЦ «{issuer.common_name}» устарел {ends:%d.%m.%Y}: положите свежий "
                        "в хранилище доверия."
                    )
        return ""


def _contents(
    authorities: Iterable[Certificate], lists: Iterable[x509.CertificateRevocationList], pinned: Iterable[Certificate]
) -> _Contents:
    crypto = libcrypto()
    store = crypto.ffi.gc(crypto.lib.X509_STORE_new(), crypto.lib.X509_STORE_free)
    anchors = tuple(authorities)
    for item in anchors:
        crypto.lib.X509_STORE_add_cert(store, crypto.x509(item.der))
    crypto.lib.ERR_clear_error()
    return _Contents(anchors, frozenset(item.fingerprint for item in pinned), tuple(lists), store)


def _listing(directory: Path) -> tuple[tuple[str, int, int], ...]:
    try:
        files = [*directory.iterdir(), *((directory / "pinned").iterdir() if (directory / "pinned").is_dir() else ())]
        return tuple(
            sorted((str(item), item.stat().st_mtime_ns, item.stat().st_size) for item in files if item.is_file())
        )
    except OSError:
        return ()


def _read_directory(directory: Path) -> _Contents:
    anchors: list[Certificate] = []
    pinned: list[Certificate] = []
    lists: list[x509.CertificateRevocationList] = []
    for name, _, _ in _listing(directory):
        path = Path(name)
        suffix = path.suffix.lower()
        try:
            if suffix in _CERTIFICATE_SUFFIXES:
                (pinned if path.parent.name == "pinned" else anchors).extend(certificates_in(path.read_bytes()))
            elif suffix == ".crl":
                lists.append(_read_list(path.read_bytes(), f" Файл: {path}"))
        except OSError as error:
            raise ConfigError(
                f"Файл {path} хранилища доверия не читается: проверьте права.", detail=str(error)
            ) from None
        except ConfigError:
            raise
        except BusError as error:
            raise ConfigError(f"{error.reason} Файл: {path}", detail=error.detail) from None
    return _contents(anchors, lists, pinned)


def _read_list(data: bytes, where: str) -> x509.CertificateRevocationList:
    try:
        return x509.load_pem_x509_crl(data) if b"-----BEGIN" in data else x509.load_der_x509_crl(data)
    except (ValueError, x509.InvalidVersion) as error:
        raise ConfigError(f"Список отзыва не читается: нужен CRL в DER или PEM.{where}", detail=str(error)) from None


def _usage(certificate: Certificate) -> str:
    """Refuse a certificate whose own words forbid signatures (RFC 5280, 4.2.1.3)."""
    try:
        usage = certificate.x509.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return ""
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return "Расширения сертификата не читаются: нужен другой сертификат."
    if usage.digital_signature or usage.content_commitment:
        return ""
    return "Сертификат не предназначен для подписи (keyUsage): нужен сертификат подписи."


def _chain(
    contents: _Contents, certificate: Certificate, intermediates: Sequence[Certificate], at: datetime
) -> tuple[list[Certificate], str]:
    """The chain from leaf to anchor, or the reason why there is none."""
    crypto = libcrypto()
    ffi, lib = crypto.ffi, crypto.lib
    context = ffi.gc(lib.X509_STORE_CTX_new(), lib.X509_STORE_CTX_free)
    others = ffi.gc(lib.OPENSSL_sk_new_null(), lib.OPENSSL_sk_free)
    leaf = crypto.x509(certificate.der)
    keep = [item for item in (crypto.x509(other.der) for other in intermediates) if item is not None]
    for item in keep:
        lib.OPENSSL_sk_push(others, item)
    if leaf is None or lib.X509_STORE_CTX_init(context, contents.store, leaf, others) != 1:
        lib.ERR_clear_error()
        return [], "Сертификат не читается: нужен другой сертификат."
    lib.X509_STORE_CTX_set_flags(context, _PARTIAL_CHAIN)
    lib.X509_STORE_CTX_set_time(context, 0, int(at.timestamp()))
    lib.X509_VERIFY_PARAM_set_depth(lib.X509_STORE_CTX_get0_param(context), MAX_CHAIN)
    good = lib.X509_verify_cert(context) == 1
    lib.ERR_clear_error()
    if not good:
        return [], _WORDS.get(int(lib.X509_STORE_CTX_get_error(context)), _UNKNOWN_ISSUER)
    return _as_certificates(crypto, lib.X509_STORE_CTX_get0_chain(context)), ""


def _as_certificates(crypto: Libcrypto, stack: Any) -> list[Certificate]:
    return [
        Certificate.from_der(
            crypto.der(crypto.lib.i2d_X509, crypto.ffi.cast("X509 *", crypto.lib.OPENSSL_sk_value(stack, index)))
        )
        for index in range(crypto.lib.OPENSSL_sk_num(stack))
    ]


def _list_is_by(found: x509.CertificateRevocationList, issuer: Certificate) -> bool:
    """True when the list carries the issuer's own signature."""
    crypto = libcrypto()
    ffi, lib = crypto.ffi, crypto.lib
    der = found.public_bytes(Encoding.DER)
    pointer = ffi.new("const unsigned char **", ffi.cast("const unsigned char *", ffi.from_buffer(der)))
    crl = ffi.gc(lib.d2i_X509_CRL(ffi.NULL, pointer, len(der)), lib.X509_CRL_free)
    holder = crypto.x509(issuer.der)
    good = bool(crl != ffi.NULL and lib.X509_CRL_verify(crl, lib.X509_get0_pubkey(holder)) == 1)
    lib.ERR_clear_error()
    return good


__all__ = ["Certificate", "Trust", "TrustStore", "certificates_in", "expiring"]
