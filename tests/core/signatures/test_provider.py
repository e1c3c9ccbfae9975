"""The providers behind their seam: published hash vectors, ГОСТ 2001, oracles from the command line, registration."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from core.errors import ConfigError, SignatureRejected
from core.signatures import libcrypto as libcrypto_module
from core.signatures import provider
from core.signatures.certificate import Certificate
from core.signatures.demo_keys import DemoKeys
from core.signatures.issuing import Authority, IssuedKey
from core.signatures.keys import Identity
from core.signatures.libcrypto import Libcrypto, libcrypto
from core.signatures.openssl_gost import OpensslGost
from core.signatures.provider import GOST_94, OID_GOST_2001, STREEBOG_256, STREEBOG_512, digest

pytestmark = pytest.mark.feature("SMEV-03")

FIRST = b"012345678901234567890123456789012345678901234567890123456789012"
SECOND = bytes.fromhex(
    "d1e520e2e5f2f0e82c20d1f2f0e8e1eee6e820e2edf3f6e82c20e2e5fef2fa20f120eceef0ff20"
    "f1f2f0e5ebe0ece820ede020f5f0e0e1f0fbff20efebfaeafb20c8e3eef0e5e2fb"
)

# ГОСТ Р 34.11-2012, appendix A (RFC 6986, 10.1 and 10.2), in octet order; RFC 4357 parameters for ГОСТ Р 34.11-94
VECTORS = [
    (STREEBOG_256, FIRST, "9d151eefd8590b89daa6ba6cb74af9275dd051026bb149a452fd84e5e57b5500"),
    (
        STREEBOG_512,
        FIRST,
        "1b54d01a4af5b9d5cc3d86d68d285462b19abc2475222f35c085122be4ba1ffa"
        "00ad30f8767b3a82384c6574f024c311e2a481332b08ef7f41797891c1646f48",
    ),
    (STREEBOG_256, SECOND, "9dd2fe4e90409e5da87f53976d7405b0c0cac628fc669a741d50063c557e8f50"),
    (
        STREEBOG_512,
        SECOND,
        "1e88e62226bfca6f9994f1f2d51569e0daf8475a3b0fe61a5300eee46d961376"
        "035fe83549ada2b8620fcd7c496ce5b33f0cb9dddc2b6460143b03dabac9fb28",
    ),
    (STREEBOG_256, b"", "3f539a213e97c802cc229d474c6aa32a825a360b2a933a949fd925208d9ce1bb"),
    (
        STREEBOG_512,
        b"",
        "8e945da209aa869f0455928529bcae4679e9873ab707b55315f56ceb98bef0a7"
        "362f715528356ee83cda5f2aac4c6ad2ba3a715c1bcd81cb8e9f90bf4c1c1a8a",
    ),
    (GOST_94, b"a", "e74c52dd282183bf37af0079c9f78055715a103f17e3133ceff1aacf2f403011"),
    (GOST_94, b"abc", "b285056dbf18d7392d7677369524dd14747459ed8143997e163b2986f92fd42c"),
]


@pytest.mark.parametrize(("name", "data", "expected"), VECTORS)
def test_a_published_hash_vector_is_met(name: str, data: bytes, expected: str) -> None:
    assert digest(name, data).hex() == expected


def test_the_sha2_hashes_are_those_of_python() -> None:
    for name in ("sha256", "sha384", "sha512"):
        assert digest(name, b"x") == hashlib.new(name, b"x").digest()


def test_gost_2001_is_verified() -> None:
    authority = Authority.self_signed([("CN", "УЦ 2001")], kind="gost2001")
    key = IssuedKey.generate("gost2001")
    certificate = authority.issue([("CN", "Лист 2001")], key)
    assert certificate.key_oid == OID_GOST_2001
    hashed = digest(GOST_94, b"data")
    crypto = libcrypto()
    out, size = crypto.ffi.new("unsigned char[64]"), crypto.ffi.new("size_t *", 64)
    context = crypto.ffi.gc(crypto.lib.EVP_PKEY_CTX_new(key.pointer, crypto.gost), crypto.lib.EVP_PKEY_CTX_free)
    assert crypto.lib.EVP_PKEY_sign_init(context) == 1
    assert crypto.lib.EVP_PKEY_sign(context, out, size, hashed, len(hashed)) == 1
    signature = bytes(crypto.ffi.buffer(out, size[0]))
    for method in provider.SIGNATURES.values():
        if method.key_oid == OID_GOST_2001:
            assert OpensslGost().verify(method, certificate, b"data", signature)
            assert not OpensslGost().verify(method, certificate, b"date", signature)


def test_the_signature_is_the_one_openssl_verifies(demo_keys: DemoKeys, fund: Identity, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command")
    (tmp_path / "data").write_bytes(b"to be signed")
    # OpenSSL's own order of the engine is that of XMLDSig: s‖r
    (tmp_path / "signature").write_bytes(fund.sign(b"to be signed"))
    public = subprocess.run(
        ["openssl", "x509", "-engine", "gost", "-in", demo_keys.certificate("fund"), "-noout", "-pubkey"],
        capture_output=True,
        check=True,
    ).stdout
    (tmp_path / "public.pem").write_bytes(public)
    done = subprocess.run(
        [
            "openssl",
            "dgst",
            "-engine",
            "gost",
            "-md_gost12_256",
            "-verify",
            tmp_path / "public.pem",
            "-signature",
            tmp_path / "signature",
            tmp_path / "data",
        ],
        capture_output=True,
        check=False,
    )
    assert b"Verified OK" in done.stdout


def test_a_missing_engine_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    crypto = libcrypto()
    bare = Libcrypto(crypto.ffi, crypto.lib, None)
    monkeypatch.setattr(libcrypto_module, "_load", lambda: bare)
    with pytest.raises(ConfigError, match="apt-get install libengine-gost-openssl"):
        OpensslGost().digest(STREEBOG_256, b"")
    with pytest.raises(ConfigError, match="apt-get install libengine-gost-openssl"):
        IssuedKey.generate()


def test_a_missing_library_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libcrypto_module, "LIBRARY", "libcrypto-that-is-not-here.so")
    with pytest.raises(ConfigError, match="apt-get install"):
        libcrypto_module._load.__wrapped__()


def test_a_provider_registered_later_answers_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    class Jcp(OpensslGost):
        name = "cryptopro-jcp"

    digest(STREEBOG_256, b"")  # the built-in ones are there
    monkeypatch.setattr(provider, "_PROVIDERS", dict(provider._PROVIDERS))
    provider.register(Jcp(), key_oids=[provider.OID_GOST_2012_256])
    assert provider.provider_of(provider.OID_GOST_2012_256).name == "cryptopro-jcp"
    assert provider.provider_of(STREEBOG_256).name == "openssl-gost"


def test_what_nobody_does_is_refused_in_words() -> None:
    with pytest.raises(SignatureRejected, match="не поддерживается"):
        provider.provider_of("1.2.3")
    with pytest.raises(SignatureRejected, match="Алгоритм подписи"):
        provider.signature_method("http://www.w3.org/2000/09/xmldsig#hmac-sha1")
    with pytest.raises(SignatureRejected, match="Алгоритм хеша"):
        provider.digest_method("http://www.w3.org/2000/09/xmldsig#sha1")


def test_a_key_does_not_sign_for_another_algorithm(fund: Identity) -> None:
    other = provider.signing_method(provider.OID_GOST_2012_512, 512)
    with pytest.raises(ConfigError, match="не подходит"):
        fund.key.sign(other, b"x")


def test_a_certificate_is_read_whatever_its_form(demo_keys: DemoKeys) -> None:
    pem = demo_keys.certificate("fund").read_bytes()
    certificate = Certificate.from_pem(pem)
    assert Certificate.from_der(certificate.der) is certificate
    assert Certificate.from_pem(certificate.der) == certificate
