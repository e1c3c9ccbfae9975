"""The system's OpenSSL, `libcrypto.so.3`, and its ГОСТ engine, reached by cffi in ABI mode (no compiler).

This is the one module that knows C: declarations, loading, and the three habits that every caller needs
(`error`, `read_bio`, `gc`-owned pointers). Every call through cffi releases the GIL. Nothing is loaded at import.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from cffi import FFI

from core.errors import ConfigError

LIBRARY: Final = "libcrypto.so.3"
ENGINE_ID: Final = "gost"
_ENGINE_METHOD_ALL: Final = 0xFFFF

_DECLARATIONS: Final = """
typedef ... ENGINE; typedef ... EVP_MD; typedef ... EVP_MD_CTX; typedef ... EVP_PKEY; typedef ... EVP_PKEY_CTX;
typedef ... EVP_CIPHER; typedef ... BIO; typedef ... BIO_METHOD; typedef ... X509; typedef ... X509_NAME;
typedef ... X509_CRL; typedef ... X509_STORE; typedef ... X509_STORE_CTX; typedef ... X509_VERIFY_PARAM;
typedef ... OPENSSL_STACK; typedef ... CMS_ContentInfo; typedef ... CMS_SignerInfo; typedef ... PKCS12;
typedef ... ASN1_INTEGER; typedef ... ASN1_TIME; typedef ... X509_EXTENSION; typedef ... X509_REVOKED;
typedef ... X509_PUBKEY;

unsigned long ERR_get_error(void); void ERR_clear_error(void); void ERR_error_string_n(unsigned long, char *, size_t);
void CRYPTO_free(void *, const char *, int); void ENGINE_load_builtin_engines(void);
ENGINE *ENGINE_by_id(const char *); int ENGINE_init(ENGINE *); int ENGINE_set_default(ENGINE *, unsigned int);
const EVP_MD *ENGINE_get_digest(ENGINE *, int); int OBJ_txt2nid(const char *); const char *OBJ_nid2ln(int);
const char *OBJ_nid2sn(int);

int EVP_Digest(const void *, size_t, unsigned char *, unsigned int *, const EVP_MD *, ENGINE *);
EVP_MD_CTX *EVP_MD_CTX_new(void); void EVP_MD_CTX_free(EVP_MD_CTX *);
int EVP_DigestInit_ex(EVP_MD_CTX *, const EVP_MD *, ENGINE *);
int EVP_DigestUpdate(EVP_MD_CTX *, const void *, size_t);
int EVP_DigestFinal_ex(EVP_MD_CTX *, unsigned char *, unsigned int *);
const EVP_MD *EVP_get_digestbyname(const char *); const EVP_CIPHER *EVP_get_cipherbyname(const char *);

EVP_PKEY_CTX *EVP_PKEY_CTX_new(EVP_PKEY *, ENGINE *); EVP_PKEY_CTX *EVP_PKEY_CTX_new_id(int, ENGINE *);
void EVP_PKEY_CTX_free(EVP_PKEY_CTX *); int EVP_PKEY_CTX_ctrl_str(EVP_PKEY_CTX *, const char *, const char *);
int EVP_PKEY_keygen_init(EVP_PKEY_CTX *); int EVP_PKEY_keygen(EVP_PKEY_CTX *, EVP_PKEY **);
int EVP_PKEY_sign_init(EVP_PKEY_CTX *);
int EVP_PKEY_sign(EVP_PKEY_CTX *, unsigned char *, size_t *, const unsigned char *, size_t);
int EVP_PKEY_verify_init(EVP_PKEY_CTX *);
int EVP_PKEY_verify(EVP_PKEY_CTX *, const unsigned char *, size_t, const unsigned char *, size_t);
void EVP_PKEY_free(EVP_PKEY *); int EVP_PKEY_up_ref(EVP_PKEY *); int EVP_PKEY_eq(const EVP_PKEY *, const EVP_PKEY *);
int EVP_PKEY_get_bits(const EVP_PKEY *); int EVP_PKEY_get_base_id(const EVP_PKEY *);

BIO *BIO_new_mem_buf(const void *, int); BIO *BIO_new(const BIO_METHOD *); const BIO_METHOD *BIO_s_mem(void);
BIO *BIO_new_file(const char *, const char *); int BIO_read(BIO *, void *, int); size_t BIO_ctrl_pending(BIO *);
int BIO_free(BIO *); BIO *BIO_push(BIO *, BIO *);
EVP_PKEY *PEM_read_bio_PrivateKey(BIO *, EVP_PKEY **, void *, void *);
int PEM_write_bio_PKCS8PrivateKey(BIO *, EVP_PKEY *, const EVP_CIPHER *, char *, int, void *, void *);
EVP_PKEY *d2i_AutoPrivateKey(EVP_PKEY **, const unsigned char **, long); PKCS12 *d2i_PKCS12_bio(BIO *, PKCS12 **);
void PKCS12_free(PKCS12 *); int PKCS12_parse(PKCS12 *, const char *, EVP_PKEY **, X509 **, OPENSSL_STACK **);

X509 *X509_new(void); void X509_free(X509 *); int X509_up_ref(X509 *);
X509 *d2i_X509(X509 **, const unsigned char **, long); int i2d_X509(X509 *, unsigned char **);
EVP_PKEY *X509_get_pubkey(X509 *); EVP_PKEY *X509_get0_pubkey(const X509 *);
X509_NAME *X509_get_subject_name(const X509 *); X509_NAME *X509_get_issuer_name(const X509 *);
int X509_set_version(X509 *, long); ASN1_INTEGER *X509_get_serialNumber(X509 *);
int ASN1_INTEGER_set_uint64(ASN1_INTEGER *, uint64_t); int X509_set_issuer_name(X509 *, X509_NAME *);
int X509_set_subject_name(X509 *, X509_NAME *); int X509_set_pubkey(X509 *, EVP_PKEY *);
ASN1_TIME *X509_getm_notBefore(const X509 *); ASN1_TIME *X509_getm_notAfter(const X509 *);
ASN1_TIME *ASN1_TIME_new(void); void ASN1_TIME_free(ASN1_TIME *); int ASN1_TIME_set_string(ASN1_TIME *, const char *);
int X509_NAME_add_entry_by_txt(X509_NAME *, const char *, int, const unsigned char *, int, int, int);
X509_EXTENSION *X509V3_EXT_conf(void *, void *, const char *, const char *);
void X509_EXTENSION_free(X509_EXTENSION *); void X509V3_set_ctx(void *, X509 *, X509 *, void *, X509_CRL *, int);
int X509_add_ext(X509 *, X509_EXTENSION *, int);
X509_PUBKEY *X509_get_X509_PUBKEY(const X509 *); int i2d_X509_PUBKEY(X509_PUBKEY *, unsigned char **);
int X509_sign(X509 *, EVP_PKEY *, const EVP_MD *);
int X509_verify(X509 *, EVP_PKEY *);

X509_CRL *X509_CRL_new(void); void X509_CRL_free(X509_CRL *);
X509_CRL *d2i_X509_CRL(X509_CRL **, const unsigned char **, long); int i2d_X509_CRL(X509_CRL *, unsigned char **);
int X509_CRL_verify(X509_CRL *, EVP_PKEY *); int X509_CRL_set_version(X509_CRL *, long);
int X509_CRL_set_issuer_name(X509_CRL *, X509_NAME *); int X509_CRL_set1_lastUpdate(X509_CRL *, const ASN1_TIME *);
int X509_CRL_set1_nextUpdate(X509_CRL *, const ASN1_TIME *); X509_REVOKED *X509_REVOKED_new(void);
int X509_REVOKED_set_serialNumber(X509_REVOKED *, ASN1_INTEGER *);
int X509_REVOKED_set_revocationDate(X509_REVOKED *, ASN1_TIME *);
int X509_CRL_add0_revoked(X509_CRL *, X509_REVOKED *); int X509_CRL_sort(X509_CRL *);
int X509_CRL_sign(X509_CRL *, EVP_PKEY *, const EVP_MD *);

X509_STORE *X509_STORE_new(void); void X509_STORE_free(X509_STORE *); int X509_STORE_add_cert(X509_STORE *, X509 *);
X509_STORE_CTX *X509_STORE_CTX_new(void); void X509_STORE_CTX_free(X509_STORE_CTX *);
int X509_STORE_CTX_init(X509_STORE_CTX *, X509_STORE *, X509 *, OPENSSL_STACK *);
int X509_verify_cert(X509_STORE_CTX *); void X509_STORE_CTX_set_time(X509_STORE_CTX *, unsigned long, long);
void X509_STORE_CTX_set_flags(X509_STORE_CTX *, unsigned long); int X509_STORE_CTX_get_error(const X509_STORE_CTX *);
int X509_STORE_CTX_get_error_depth(const X509_STORE_CTX *);
OPENSSL_STACK *X509_STORE_CTX_get0_chain(const X509_STORE_CTX *); const char *X509_verify_cert_error_string(long);
X509_VERIFY_PARAM *X509_STORE_CTX_get0_param(const X509_STORE_CTX *);
void X509_VERIFY_PARAM_set_depth(X509_VERIFY_PARAM *, int);
void X509_VERIFY_PARAM_set_auth_level(X509_VERIFY_PARAM *, int); OPENSSL_STACK *OPENSSL_sk_new_null(void);
int OPENSSL_sk_push(OPENSSL_STACK *, const void *); int OPENSSL_sk_num(const OPENSSL_STACK *);
void *OPENSSL_sk_value(const OPENSSL_STACK *, int); void OPENSSL_sk_free(OPENSSL_STACK *);

CMS_ContentInfo *CMS_sign(X509 *, EVP_PKEY *, OPENSSL_STACK *, BIO *, unsigned int);
void CMS_ContentInfo_free(CMS_ContentInfo *); int i2d_CMS_ContentInfo(CMS_ContentInfo *, unsigned char **);
CMS_ContentInfo *d2i_CMS_ContentInfo(CMS_ContentInfo **, const unsigned char **, long);
int CMS_verify(CMS_ContentInfo *, OPENSSL_STACK *, X509_STORE *, BIO *, BIO *, unsigned int);
OPENSSL_STACK *CMS_get0_SignerInfos(CMS_ContentInfo *); OPENSSL_STACK *CMS_get1_certs(CMS_ContentInfo *);
int CMS_SignerInfo_cert_cmp(CMS_SignerInfo *, X509 *); int CMS_is_detached(CMS_ContentInfo *);
"""


@dataclass(frozen=True, slots=True)
class Libcrypto:
    """The loaded library. `gost` is the engine or None when it is not installed."""

    ffi: Any
    lib: Any
    gost: Any

    def require_gost(self) -> Any:
        """The engine pointer; raises ConfigError naming the package when there is none."""
        if self.gost is None:
            raise ConfigError(
                "Нет модуля ГОСТ для OpenSSL: установите его командой `apt-get install libengine-gost-openssl`."
            )
        return self.gost

    def error(self) -> str:
        """What OpenSSL complained of in this thread, oldest first (the queue is emptied), or an empty string."""
        found = []
        while code := self.lib.ERR_get_error():
            buffer = self.ffi.new("char[256]")
            self.lib.ERR_error_string_n(code, buffer, 256)
            found.append(self.ffi.string(buffer).decode("utf-8", "replace"))
        return "; ".join(found)

    def bio(self, data: bytes) -> tuple[Any, Any]:
        """A read-only memory BIO over `data` and the buffer that must outlive it."""
        buffer = self.ffi.from_buffer(data)
        return self.ffi.gc(self.lib.BIO_new_mem_buf(buffer, len(data)), self.lib.BIO_free), buffer

    def sink(self) -> Any:
        """An empty memory BIO to write into."""
        return self.ffi.gc(self.lib.BIO_new(self.lib.BIO_s_mem()), self.lib.BIO_free)

    def drain(self, bio: Any) -> bytes:
        """Everything written into a memory BIO."""
        size = int(self.lib.BIO_ctrl_pending(bio))
        buffer = self.ffi.new("unsigned char[]", max(size, 1))
        read = self.lib.BIO_read(bio, buffer, size) if size else 0
        return bytes(self.ffi.buffer(buffer, max(read, 0)))

    def x509(self, der: bytes) -> Any:
        """An owned X509 of DER octets, or None when they are not a certificate."""
        buffer = self.ffi.from_buffer(der)
        pointer = self.ffi.new("const unsigned char **", self.ffi.cast("const unsigned char *", buffer))
        certificate = self.lib.d2i_X509(self.ffi.NULL, pointer, len(der))
        if certificate == self.ffi.NULL:
            self.lib.ERR_clear_error()
            return None
        return self.ffi.gc(certificate, self.lib.X509_free)

    def der(self, function: Any, pointer: Any) -> bytes:
        """The DER octets that an `i2d_*` function writes for `pointer`."""
        size = function(pointer, self.ffi.NULL)
        buffer = self.ffi.new("unsigned char[]", size)
        out = self.ffi.new("unsigned char **", buffer)
        function(pointer, out)
        return bytes(self.ffi.buffer(buffer, size))


_LOADING: Final = threading.Lock()


def libcrypto() -> Libcrypto:
    """The library, loaded on first use. Raises ConfigError when the system has no OpenSSL 3."""
    with _LOADING:
        return _load()


@lru_cache(maxsize=1)
def _load() -> Libcrypto:
    ffi = FFI()
    ffi.cdef(_DECLARATIONS)
    try:
        lib = ffi.dlopen(LIBRARY)
    except OSError as error:
        raise ConfigError(
            "Нет системной библиотеки libcrypto.so.3: установите её командой "
            "`apt-get install libssl3 libengine-gost-openssl`.",
            detail=str(error),
        ) from None
    lib.ENGINE_load_builtin_engines()
    engine = lib.ENGINE_by_id(ENGINE_ID.encode())
    if engine == ffi.NULL or not lib.ENGINE_init(engine) or not lib.ENGINE_set_default(engine, _ENGINE_METHOD_ALL):
        engine = None
    lib.ERR_clear_error()
    return Libcrypto(ffi, lib, engine)


def as_path(path: Path) -> bytes:
    """A path as the octets that C expects."""
    return str(path).encode()


def read_private_key(crypto: Libcrypto, data: bytes, password: str | None) -> Any:
    """An owned EVP_PKEY from PKCS#8 PEM (password or not) or unencrypted DER. Raises ConfigError."""
    ffi, lib = crypto.ffi, crypto.lib
    bio, _keep = crypto.bio(data)
    secret = ffi.new("char[]", (password or "").encode())
    key = lib.PEM_read_bio_PrivateKey(bio, ffi.NULL, ffi.NULL, secret)
    if key == ffi.NULL:
        buffer = ffi.from_buffer(data)
        pointer = ffi.new("const unsigned char **", ffi.cast("const unsigned char *", buffer))
        key = lib.d2i_AutoPrivateKey(ffi.NULL, pointer, len(data)) if not data.lstrip().startswith(b"--") else ffi.NULL
    if key == ffi.NULL:
        raise ConfigError(
            "Закрытый ключ не прочитан: проверьте пароль и файл (нужен PKCS#8 в PEM).", detail=crypto.error()
        )
    lib.ERR_clear_error()
    return ffi.gc(key, lib.EVP_PKEY_free)
