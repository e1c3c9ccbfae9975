"""Identities for the signature tests: one demo set a session, RSA and ECDSA pairs, an envelope to sign."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from core.signatures.demo_keys import DemoKeys, make_demo_keys
from core.signatures.keys import Identity, load_identity

SHARED = Path(__file__).parents[4] / "shared" / "smev3"


@pytest.fixture(scope="session")
def demo_keys(tmp_path_factory: pytest.TempPathFactory) -> DemoKeys:
    return make_demo_keys(tmp_path_factory.mktemp("keys"), "пароль demo")


@pytest.fixture(scope="session")
def fund(demo_keys: DemoKeys) -> Identity:
    return demo_keys.identity("fund")


@pytest.fixture(scope="session")
def real_message() -> bytes:
    path = SHARED / "messages" / "smev-signed-SendRequestResponse-1.2.xml"
    if not path.is_file():
        pytest.skip("../shared is not here")
    return path.read_bytes()


@pytest.fixture(scope="session", params=["rsa", "ec256", "ec384", "ec521"])
def partner(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Identity:
    """An identity outside of ГОСТ, loaded from files like any other."""
    return foreign_identity(request.param, tmp_path_factory.mktemp("partner"))


def foreign_identity(kind: str, directory: Path) -> Identity:
    curves = {"ec256": ec.SECP256R1(), "ec384": ec.SECP384R1(), "ec521": ec.SECP521R1()}
    key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(curves[kind])
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"Партнёр {kind}")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=90))
        .sign(key, hashes.SHA256())
    )
    (directory / "p.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (directory / "p.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    )
    return load_identity(directory / "p.key", directory / "p.pem", "secret")
