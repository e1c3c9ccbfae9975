"""The provider of RSA (PKCS#1 v1.5) and ECDSA, for partners outside of ГОСТ and for tests: over `cryptography`."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from core.errors import ConfigError, SignatureRejected
from core.signatures.libcrypto import libcrypto, read_private_key
from core.signatures.provider import OID_EC, OID_RSA, SignatureMethod

if TYPE_CHECKING:
    from core.signatures.certificate import Certificate

_HASHES: Final = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}


class RsaEcdsa:
    """Provider of RSA and ECDSA with SHA-2."""

    name = "cryptography"

    def digest(self, hash_name: str, data: bytes) -> bytes:
        """The hash of `data`."""
        return hashlib.new(hash_name, data).digest()

    def verify(self, method: SignatureMethod, certificate: Certificate, data: bytes, signature: bytes) -> bool:
        """True when `signature` (RSA octets, or r‖s for ECDSA) of `data` is by the certificate's key."""
        try:
            key = certificate.x509.public_key()
        except (ValueError, UnsupportedAlgorithm) as error:
            raise SignatureRejected(
                "Открытый ключ сертификата не читается: получите у отправителя другой сертификат.", detail=str(error)
            ) from None
        try:
            if isinstance(key, rsa.RSAPublicKey) and method.key_oid == OID_RSA:
                key.verify(signature, data, padding.PKCS1v15(), _HASHES[method.hash])
                return True
            if isinstance(key, ec.EllipticCurvePublicKey) and method.key_oid == OID_EC:
                size = (key.key_size + 7) // 8
                if len(signature) != 2 * size:
                    return False
                r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
                key.verify(encode_dss_signature(r, s), data, ec.ECDSA(_HASHES[method.hash]))
                return True
        except InvalidSignature:
            return False
        return False

    def load_key(self, data: bytes, password: str | None) -> RsaEcdsaKey:
        """A private key from PEM or DER octets. Raises ConfigError."""
        secret = password.encode() if password else None
        load = serialization.load_pem_private_key if b"-----BEGIN" in data else serialization.load_der_private_key
        try:
            key = load(data, secret)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ConfigError(
                "Закрытый ключ не прочитан: проверьте пароль и файл (нужен PKCS#8 в PEM).", detail=str(error)
            ) from None
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise ConfigError("Закрытый ключ этого вида не поддерживается: нужен ГОСТ, RSA или ECDSA.")
        return RsaEcdsaKey(key)


class RsaEcdsaKey:
    """A private RSA or ECDSA key."""

    def __init__(self, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self.oid = OID_RSA if isinstance(key, rsa.RSAPrivateKey) else OID_EC
        self.bits = key.key_size

    def sign(self, method: SignatureMethod, data: bytes) -> bytes:
        """RSA octets, or r‖s for ECDSA."""
        if method.key_oid != self.oid:
            raise ConfigError("Ключ не подходит к алгоритму подписи.")
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(data, padding.PKCS1v15(), _HASHES[method.hash])
        size = (self._key.key_size + 7) // 8
        r, s = decode_dss_signature(self._key.sign(data, ec.ECDSA(_HASHES[method.hash])))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    def matches(self, certificate: Certificate) -> bool:
        """True when the certificate is for this key."""
        return bool(certificate.x509.public_key() == self._key.public_key())

    def native(self) -> Any:
        """A copy of the key inside the system libcrypto."""
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return read_private_key(libcrypto(), pem, None)
