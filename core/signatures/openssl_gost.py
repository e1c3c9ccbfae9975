"""The built-in ГОСТ provider: OpenSSL's `gost` engine over the system libcrypto.

2012-256 and 2012-512 sign and verify, 2001 verifies; Streebog-256, Streebog-512 and ГОСТ Р 34.11-94.
The engine reads the hash little-endian and writes s‖r big-endian, which is exactly the order of XMLDSig
(FACTS §3.3, checked with a real signed message of СМЭВ), so octets pass through unchanged.
Safe for many threads; every call into OpenSSL releases the GIL.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from core.errors import ConfigError, SignatureRejected
from core.signatures.libcrypto import Libcrypto, libcrypto, read_private_key
from core.signatures.provider import (
    GOST_94,
    OID_GOST_2001,
    OID_GOST_2012_256,
    OID_GOST_2012_512,
    STREEBOG_256,
    STREEBOG_512,
    SignatureMethod,
)

if TYPE_CHECKING:
    from core.signatures.certificate import Certificate

_ENGINE_DIGESTS: Final = {STREEBOG_256: b"md_gost12_256", STREEBOG_512: b"md_gost12_512", GOST_94: b"md_gost94"}
_DIGEST_BYTES: Final = {STREEBOG_256: 32, STREEBOG_512: 64, GOST_94: 32}
_SIGNATURE_BYTES: Final = {OID_GOST_2001: 64, OID_GOST_2012_256: 64, OID_GOST_2012_512: 128}
_CACHED_KEYS: Final = 512
# The engine fills its table of curves on the first use of each; two threads must not do it at once.
_CURVES: Final = threading.Lock()


class OpensslGost:
    """Provider of ГОСТ algorithms. Raises ConfigError when the engine is not installed."""

    name = "openssl-gost"

    def __init__(self) -> None:
        self._digests: dict[str, Any] = {}
        self._public_keys: OrderedDict[str, Any] = OrderedDict()

    def digest(self, hash_name: str, data: bytes) -> bytes:
        """The hash of `data` in natural order."""
        crypto = libcrypto()
        out = crypto.ffi.new("unsigned char[64]")
        if not crypto.lib.EVP_Digest(
            crypto.ffi.from_buffer(data), len(data), out, crypto.ffi.NULL, self._md(crypto, hash_name), crypto.gost
        ):
            raise ConfigError(
                "Модуль ГОСТ не вычислил хеш: переустановите libengine-gost-openssl.", detail=crypto.error()
            )
        return bytes(crypto.ffi.buffer(out, _DIGEST_BYTES[hash_name]))

    def verify(self, method: SignatureMethod, certificate: Certificate, data: bytes, signature: bytes) -> bool:
        """True when `signature` (s‖r) of `data` is by the certificate's key."""
        if len(signature) != _SIGNATURE_BYTES[method.key_oid]:
            return False
        crypto = libcrypto()
        key = self._public_key(crypto, certificate)
        hashed = self.digest(method.hash, data)
        context = crypto.lib.EVP_PKEY_CTX_new(key, crypto.gost)
        try:
            good = bool(
                context != crypto.ffi.NULL
                and crypto.lib.EVP_PKEY_verify_init(context) == 1
                and crypto.lib.EVP_PKEY_verify(context, signature, len(signature), hashed, len(hashed)) == 1
            )
        finally:
            crypto.lib.EVP_PKEY_CTX_free(context)
        if not good:
            crypto.lib.ERR_clear_error()
        return good

    def load_key(self, data: bytes, password: str | None) -> OpensslKey:
        """A private key from PKCS#8 (PEM, encrypted or not) or DER octets."""
        crypto = libcrypto()
        crypto.require_gost()
        with _CURVES:
            pointer = read_private_key(crypto, data, password)
        return OpensslKey(self, pointer)

    def _md(self, crypto: Libcrypto, hash_name: str) -> Any:
        md = self._digests.get(hash_name)
        if md is None:
            nid = crypto.lib.OBJ_txt2nid(_ENGINE_DIGESTS[hash_name])
            md = self._digests[hash_name] = crypto.lib.ENGINE_get_digest(crypto.require_gost(), nid)
        return md

    def _public_key(self, crypto: Libcrypto, certificate: Certificate) -> Any:
        key = self._public_keys.get(certificate.fingerprint)
        if key is None:
            crypto.require_gost()
            with _CURVES:
                key = public_key(crypto, certificate.der)
                self._public_keys[certificate.fingerprint] = key
                while len(self._public_keys) > _CACHED_KEYS:
                    self._public_keys.popitem(last=False)
        return key


class OpensslKey:
    """A private ГОСТ key inside OpenSSL."""

    def __init__(self, provider: OpensslGost, pointer: Any) -> None:
        crypto = libcrypto()
        self._provider = provider
        self._pointer = pointer
        self.oid = {
            "gost2012_256": OID_GOST_2012_256,
            "gost2012_512": OID_GOST_2012_512,
            "gost2001": OID_GOST_2001,
        }.get(short_name(crypto, pointer), "")
        self.bits = int(crypto.lib.EVP_PKEY_get_bits(pointer))

    def sign(self, method: SignatureMethod, data: bytes) -> bytes:
        """s‖r of `data`. Raises ConfigError when OpenSSL refuses (a key of another algorithm)."""
        if method.key_oid != self.oid or not method.may_sign:
            raise ConfigError("Ключ не подходит к алгоритму подписи: нужен ключ ГОСТ Р 34.10-2012.")
        crypto = libcrypto()
        hashed = self._provider.digest(method.hash, data)
        out = crypto.ffi.new("unsigned char[128]")
        size = crypto.ffi.new("size_t *", 128)
        context = crypto.lib.EVP_PKEY_CTX_new(self._pointer, crypto.gost)
        try:
            good = (
                context != crypto.ffi.NULL
                and crypto.lib.EVP_PKEY_sign_init(context) == 1
                and crypto.lib.EVP_PKEY_sign(context, out, size, hashed, len(hashed)) == 1
            )
        finally:
            crypto.lib.EVP_PKEY_CTX_free(context)
        if not good:
            raise ConfigError("OpenSSL не подписал этим ключом: проверьте файл ключа.", detail=crypto.error())
        return bytes(crypto.ffi.buffer(out, size[0]))

    def matches(self, certificate: Certificate) -> bool:
        """True when the certificate is for this key."""
        crypto = libcrypto()
        with _CURVES:
            public = public_key(crypto, certificate.der)
        return bool(crypto.lib.EVP_PKEY_eq(self._pointer, public) == 1)

    def native(self) -> Any:
        """The key itself: it lives in libcrypto."""
        return self._pointer


def short_name(crypto: Libcrypto, key: Any) -> str:
    """OpenSSL's short name of a key's algorithm."""
    return str(crypto.ffi.string(crypto.lib.OBJ_nid2sn(crypto.lib.EVP_PKEY_get_base_id(key))).decode())


def public_key(crypto: Libcrypto, der: bytes) -> Any:
    """The public key of a certificate as an owned EVP_PKEY. Raises SignatureRejected."""
    x509 = crypto.x509(der)
    key = crypto.lib.X509_get_pubkey(x509) if x509 is not None else crypto.ffi.NULL
    if key == crypto.ffi.NULL:
        raise SignatureRejected(
            "Открытый ключ сертификата не читается: получите у отправителя другой сертификат.", detail=crypto.error()
        )
    return crypto.ffi.gc(key, crypto.lib.EVP_PKEY_free)
