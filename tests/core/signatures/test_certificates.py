"""Certificates and trust: what is read, whom we trust, and the reason in words for everybody else."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from core.errors import ConfigError, SignatureRejected
from core.signatures import certificates as certificates_module
from core.signatures.certificates import Certificate, TrustStore, expiring
from core.signatures.demo_keys import DemoKeys, as_pem
from core.signatures.issuing import Authority, IssuedKey

pytestmark = pytest.mark.feature("SMEV-04")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.self_signed([("CN", "Проверочный УЦ")])


@pytest.fixture(scope="module")
def leaf(authority: Authority) -> Certificate:
    return authority.issue([("CN", "Лист"), ("ОГРН", "1020000000009")], IssuedKey.generate())


def of(demo_keys: DemoKeys, name: str) -> Certificate:
    return Certificate.from_pem(demo_keys.certificate(name).read_bytes())


def partner_certificate(
    key: object, *, signer: object = None, issuer: str = "Корень", subject: str = "Корень", authority: bool = True
) -> Certificate:
    """A certificate outside of ГОСТ; signer: the issuer's key (default: self-signed)."""
    now = datetime.now(UTC)
    public = key.public_key() if hasattr(key, "public_key") else key
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=90))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(signer or key, hashes.SHA256())
    )
    return Certificate.from_der(made.public_bytes(Encoding.DER))


def test_a_certificate_tells_who_and_until_when(demo_keys: DemoKeys) -> None:
    certificate = of(demo_keys, "fund")
    assert certificate.subject == (
        "CN=ИС ТФОМС (демо), O=Территориальный фонд ОМС Демонстрационной области, ОГРН=1020000000001, ИНН=000000000101"
    )
    assert certificate.issuer.startswith("CN=Демонстрационный УЦ")
    assert certificate.common_name == "ИС ТФОМС (демо)"
    assert certificate.key_title == "ГОСТ Р 34.10-2012, 256 бит"
    assert len(certificate.fingerprint) == 64
    assert certificate.serial == f"{certificate.x509.serial_number:x}"
    assert certificate.days_left() == 364
    assert certificate.days_left(certificate.not_after + timedelta(days=2)) == -2
    assert certificate.public_key_der.startswith(b"\x30")
    assert "Демонстрационной" not in repr(certificate) or len(repr(certificate)) < 300


def test_validity_is_told_in_words(leaf: Certificate) -> None:
    assert leaf.validity() == ""
    assert "истёк" in leaf.validity(leaf.not_after + timedelta(seconds=1))
    assert "часы" in leaf.validity(leaf.not_before - timedelta(seconds=1))


def test_those_that_end_within_thirty_days_are_known_the_soonest_first(authority: Authority) -> None:
    now = datetime.now(UTC)
    made = [
        authority.issue([("CN", f"На {days}")], IssuedKey.generate(), not_after=now + timedelta(days=days, hours=1))
        for days in (40, 29, 30, 1)
    ]
    assert [item.common_name for item in expiring(made)] == ["На 1", "На 29"]
    assert [item.common_name for item in expiring(made, 365)] == ["На 1", "На 29", "На 30", "На 40"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"\x30\x03\x02\x01\x01",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----",
    ],
)
def test_what_is_not_a_certificate_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(SignatureRejected, match="не читается"):
        Certificate.from_pem(data)


def test_every_cut_and_every_flip_of_a_certificate_is_read_or_refused(leaf: Certificate) -> None:
    for position in range(0, len(leaf.der), 7):
        with pytest.raises(SignatureRejected):
            Certificate.from_der(leaf.der[:position])
        flipped = bytearray(leaf.der)
        flipped[position] ^= 0xFF
        try:
            certificate = Certificate.from_der(bytes(flipped))
        except SignatureRejected:
            continue
        assert not TrustStore([leaf]).check(certificate).trusted


def test_an_absurd_key_is_refused_before_any_arithmetic() -> None:
    signer = rsa.generate_private_key(65537, 2048)
    huge = rsa.RSAPublicNumbers(65537, (1 << 12_000) + 1).public_key()
    with pytest.raises(SignatureRejected, match="от 2048 до 8192"):
        partner_certificate(huge, signer=signer)
    slow = rsa.RSAPublicNumbers((1 << 64) + 1, signer.public_key().public_numbers().n).public_key()
    with pytest.raises(SignatureRejected, match="Показатель"):
        partner_certificate(slow, signer=signer)
    weak = rsa.generate_private_key(65537, 1024)
    with pytest.raises(SignatureRejected, match="от 2048"):
        partner_certificate(weak)
    with pytest.raises(SignatureRejected, match="больше 64 КБ"):
        Certificate.from_der(b"\x30" * 70_000)


def test_a_certificate_of_our_authority_is_trusted_and_others_are_not(demo_keys: DemoKeys) -> None:
    store = TrustStore.from_directory(demo_keys.trust)
    assert store.check(of(demo_keys, "fund")).trusted
    foreign = store.check(of(demo_keys, "foreign"))
    assert not foreign.trusted
    assert "не внесён" in foreign.reason
    expired = store.check(of(demo_keys, "expired"))
    assert not expired.trusted
    assert "истёк" in expired.reason
    assert store.check(of(demo_keys, "expired"), at=datetime.now(UTC) - timedelta(days=60)).trusted


def test_a_forged_certificate_is_not_trusted(authority: Authority, leaf: Certificate) -> None:
    forged = Certificate.from_der(leaf.der.replace(b"1020000000009", b"1020000000008"))
    answer = TrustStore([authority.certificate]).check(forged)
    assert not answer.trusted
    assert "подделан" in answer.reason


def test_the_real_certificate_of_the_operator_is_judged_and_not_trusted(real_message: bytes) -> None:
    from core.signatures.xmldsig import verify_all

    (verified,) = verify_all(real_message)
    assert "истёк 05.12.2020" in TrustStore().check(verified.certificate).reason
    then = datetime(2020, 5, 20, tzinfo=UTC)
    assert "не внесён" in TrustStore().check(verified.certificate, at=then).reason


def test_a_chain_is_built_over_what_the_sender_enclosed(authority: Authority) -> None:
    key = IssuedKey.generate("gost2012_512")
    middle = Authority(key, authority.issue([("CN", "Промежуточный УЦ")], key, authority=True))
    end = middle.issue([("CN", "Лист")], IssuedKey.generate())
    store = TrustStore([authority.certificate])
    assert not store.check(end).trusted
    assert store.check(end, intermediates=[middle.certificate]).trusted
    assert TrustStore([middle.certificate]).check(end).trusted


def test_an_end_certificate_cannot_issue(authority: Authority) -> None:
    key = IssuedKey.generate()
    impostor = Authority(key, authority.issue([("CN", "Не УЦ")], key))
    end = impostor.issue([("CN", "Лист")], IssuedKey.generate())
    answer = TrustStore([authority.certificate]).check(end, intermediates=[impostor.certificate])
    assert not answer.trusted
    assert "удостоверяющим центром" in answer.reason or "запрещено" in answer.reason


def test_an_authority_does_not_sign_messages(authority: Authority) -> None:
    assert "keyUsage" in TrustStore([authority.certificate]).check(authority.certificate).reason


def test_what_the_sender_encloses_is_never_an_anchor(leaf: Certificate, authority: Authority) -> None:
    stranger = Authority.self_signed([("CN", "Проверочный УЦ")])
    end = stranger.issue([("CN", "Лист")], IssuedKey.generate())
    assert not TrustStore([authority.certificate]).check(end, intermediates=[stranger.certificate]).trusted


def test_a_revoked_certificate_is_not_trusted(authority: Authority, leaf: Certificate) -> None:
    other = authority.issue([("CN", "Другой")], IssuedKey.generate())
    issued = datetime.now(UTC) - timedelta(minutes=30)
    store = TrustStore([authority.certificate], revocation_lists=[authority.revocation_list([leaf], issued=issued)])
    assert "отозван" in store.check(leaf).reason
    assert store.check(other).trusted
    assert store.check(leaf, at=issued - timedelta(minutes=5)).trusted


def test_a_revocation_list_out_of_date_fails_closed_unless_told_otherwise(
    authority: Authority, leaf: Certificate
) -> None:
    stale = authority.revocation_list([], issued=datetime.now(UTC) - timedelta(days=40), days=10)
    assert "устарел" in TrustStore([authority.certificate], revocation_lists=[stale]).check(leaf).reason
    assert TrustStore([authority.certificate], revocation_lists=[stale], accept_stale_lists=True).check(leaf).trusted


def test_a_revocation_list_of_somebody_else_says_nothing(authority: Authority, leaf: Certificate) -> None:
    namesake = Authority.self_signed([("CN", "Проверочный УЦ")])
    forged = namesake.revocation_list([leaf])
    assert TrustStore([authority.certificate], revocation_lists=[forged]).check(leaf).trusted


def test_a_pinned_certificate_needs_no_chain_but_its_dates_count(demo_keys: DemoKeys) -> None:
    foreign, expired = of(demo_keys, "foreign"), of(demo_keys, "expired")
    store = TrustStore(pinned=[foreign, expired])
    assert store.check(foreign).pinned
    assert not store.check(expired).trusted


def test_rsa_and_ecdsa_chains_are_built_like_any_other() -> None:
    for root_key in (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())):
        root = partner_certificate(root_key)
        end = partner_certificate(
            ec.generate_private_key(ec.SECP384R1()), signer=root_key, subject="Лист", authority=False
        )
        assert TrustStore([root]).check(end).trusted
        assert not TrustStore([partner_certificate(ec.generate_private_key(ec.SECP256R1()))]).check(end).trusted


def test_a_key_of_another_kind_is_not_trusted_and_does_not_crash() -> None:
    key = dsa.generate_private_key(2048)
    made = partner_certificate(key)
    assert not TrustStore().check(made).trusted


def test_the_directory_holds_authorities_lists_and_pins(
    tmp_path: Path, authority: Authority, leaf: Certificate, demo_keys: DemoKeys
) -> None:
    (tmp_path / "pinned").mkdir()
    (tmp_path / "a.pem").write_bytes(as_pem(authority.certificate))
    (tmp_path / "b.CRT").write_bytes(of(demo_keys, "smev").der)
    (tmp_path / "notes.txt").write_text("не сертификат")
    (tmp_path / "a.crl").write_bytes(authority.revocation_list([leaf]))
    (tmp_path / "pinned" / "x.cer").write_bytes(of(demo_keys, "foreign").der)
    store = TrustStore.from_directory(tmp_path)
    assert len(store.authorities) == 2
    assert "отозван" in store.check(leaf).reason
    assert store.check(of(demo_keys, "foreign")).pinned


@pytest.mark.parametrize("name", ["broken.pem", "broken.crl"])
def test_a_broken_file_in_the_directory_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"junk")
    with pytest.raises(ConfigError, match=name):
        TrustStore.from_directory(tmp_path)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        TrustStore.from_directory(tmp_path / "nowhere")


def test_a_list_put_into_the_directory_is_seen_without_a_restart(
    tmp_path: Path, authority: Authority, leaf: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.pem").write_bytes(as_pem(authority.certificate))
    store = TrustStore.from_directory(tmp_path)
    assert store.check(leaf).trusted
    (tmp_path / "a.crl").write_bytes(authority.revocation_list([leaf], issued=datetime.now(UTC) - timedelta(hours=1)))
    assert store.check(leaf).trusted, "an answer is remembered for a minute"
    now = time.monotonic()
    monkeypatch.setattr(certificates_module.time, "monotonic", lambda: now + 120)
    assert "отозван" in store.check(leaf).reason
    (tmp_path / "half.pem").write_bytes(b"half a fi")
    monkeypatch.setattr(certificates_module.time, "monotonic", lambda: now + 240)
    assert "отозван" in store.check(leaf).reason, "what we had still stands"
