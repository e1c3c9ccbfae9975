"""Identities from files: every form of key, and every way to get it wrong, told with the remedy."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from core.errors import ConfigError
from core.signatures.certificate import Certificate
from core.signatures.demo_keys import PARTICIPANTS, DemoKeys, as_pem, make_demo_keys
from core.signatures.issuing import Authority, IssuedKey
from core.signatures.keys import Identity, load_identity, read_password

pytestmark = pytest.mark.feature("SMEV-03")


def test_every_demo_participant_can_sign(demo_keys: DemoKeys) -> None:
    for name in PARTICIPANTS:
        identity = demo_keys.identity(name)
        assert len(identity.sign(b"x")) == 64
        assert identity.algorithm == identity.method.uri


def test_the_demo_files_are_for_the_owner_only_and_the_keys_are_encrypted(demo_keys: DemoKeys) -> None:
    files = [path for path in demo_keys.directory.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {
        "ca.pem",
        "password",
        *(f"{name}.{suffix}" for name in PARTICIPANTS for suffix in ("key", "pem")),
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    for name in PARTICIPANTS:
        assert b"ENCRYPTED PRIVATE KEY" in demo_keys.key(name).read_bytes()
    assert (demo_keys.trust / "ca.pem").read_bytes() == demo_keys.ca.read_bytes()


def test_demo_keys_are_not_replaced_unless_asked(tmp_path: Path) -> None:
    first = make_demo_keys(tmp_path, "p").ca.read_bytes()
    with pytest.raises(ConfigError, match="--force"):
        make_demo_keys(tmp_path, "p")
    assert make_demo_keys(tmp_path, "q", force=True).ca.read_bytes() != first
    with pytest.raises(ConfigError, match="пуст"):
        make_demo_keys(tmp_path / "x", "")


def test_a_demo_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file"):
        make_demo_keys(tmp_path / "file" / "keys", "p")


@pytest.mark.parametrize("password", ["неверный", "", None])
def test_a_wrong_password_is_told_and_not_repeated(demo_keys: DemoKeys, password: str | None) -> None:
    with pytest.raises(ConfigError, match="пароль") as caught:
        load_identity(demo_keys.key("fund"), demo_keys.certificate("fund"), password)
    assert "fund.key" in caught.value.reason
    assert "неверный" not in str(caught.value) + caught.value.detail


def test_a_certificate_of_another_key_is_told(demo_keys: DemoKeys) -> None:
    with pytest.raises(ConfigError, match="не на ключ"):
        load_identity(demo_keys.key("fund"), demo_keys.certificate("smev"), demo_keys.password)


def test_files_that_are_missing_or_wrong_are_named(demo_keys: DemoKeys, tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_bytes(b"junk")
    for key, certificate, words in (
        (tmp_path / "no.key", demo_keys.certificate("fund"), "no.key"),
        (demo_keys.key("fund"), tmp_path / "no.pem", "no.pem"),
        (demo_keys.key("fund"), junk, "junk.pem"),
        (junk, demo_keys.certificate("fund"), "junk.pem"),
        (demo_keys.key("fund"), None, "сертификат"),
    ):
        with pytest.raises(ConfigError, match=words):
            load_identity(key, certificate, demo_keys.password)


def test_a_key_without_encryption_and_in_der_is_read(demo_keys: DemoKeys, fund: Identity, tmp_path: Path) -> None:
    for form in ("PEM", "DER"):
        out = tmp_path / f"plain.{form}"
        subprocess.run(
            [
                "openssl",
                "pkcs8",
                "-engine",
                "gost",
                "-topk8",
                "-nocrypt",
                "-in",
                demo_keys.key("fund"),
                "-passin",
                f"pass:{demo_keys.password}",
                "-outform",
                form,
                "-out",
                out,
            ],
            check=True,
            capture_output=True,
        )
        assert load_identity(out, demo_keys.certificate("fund")).certificate == fund.certificate


def test_a_gost_container_of_pkcs12_is_read(demo_keys: DemoKeys, tmp_path: Path) -> None:
    out = tmp_path / "fund.p12"
    subprocess.run(
        [
            "openssl",
            "pkcs12",
            "-engine",
            "gost",
            "-export",
            "-inkey",
            demo_keys.key("fund"),
            "-in",
            demo_keys.certificate("fund"),
            "-certfile",
            demo_keys.ca,
            "-passin",
            f"pass:{demo_keys.password}",
            "-passout",
            "pass:box",
            "-out",
            out,
        ],
        check=True,
        capture_output=True,
    )
    identity = load_identity(out, password="box")
    assert identity.certificate.common_name == "ИС ТФОМС (демо)"
    assert [item.common_name for item in identity.chain] == ["Демонстрационный УЦ"]
    assert len(identity.sign(b"x")) == 64
    with pytest.raises(ConfigError, match="пароль"):
        load_identity(out, password="wrong")
    out.write_bytes(b"junk")
    with pytest.raises(ConfigError, match="PKCS#12"):
        load_identity(out, password="box")


def test_a_container_of_a_partner_is_read(partner: Identity, tmp_path: Path) -> None:
    out = tmp_path / "p.pfx"
    out.write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"p",
            partner.key._key,
            partner.certificate.x509,
            None,  # type: ignore[attr-defined]
            BestAvailableEncryption(b"box"),
        )
    )
    assert load_identity(out, password="box").certificate == partner.certificate


def test_further_certificates_of_the_file_travel_along(tmp_path: Path) -> None:
    authority = Authority.self_signed([("CN", "УЦ")])
    key = IssuedKey.generate()
    certificate = authority.issue([("CN", "Лист")], key)
    (tmp_path / "k").write_bytes(key.pem("p"))
    (tmp_path / "c").write_bytes(as_pem(certificate) + as_pem(authority.certificate))
    identity = load_identity(tmp_path / "k", tmp_path / "c", "p")
    assert identity.chain == (authority.certificate,)


def test_an_old_key_is_refused_for_signing(tmp_path: Path) -> None:
    authority = Authority.self_signed([("CN", "УЦ")], kind="gost2001")
    (tmp_path / "k").write_bytes(authority.key.pem("p"))
    (tmp_path / "c").write_bytes(as_pem(authority.certificate))
    with pytest.raises(ConfigError, match="2012"):
        load_identity(tmp_path / "k", tmp_path / "c", "p")


def test_the_password_comes_from_the_environment_or_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text("из файла\nвторая строка\n")
    monkeypatch.delenv("KEY_PASSWORD", raising=False)
    assert read_password("KEY_PASSWORD", None) is None
    assert read_password("KEY_PASSWORD", secret) == "из файла"
    monkeypatch.setenv("KEY_PASSWORD", "из окружения")
    assert read_password("KEY_PASSWORD", secret) == "из окружения"
    with pytest.raises(ConfigError, match="missing"):
        read_password(None, tmp_path / "missing")


def test_an_identity_shows_no_key(fund: Identity) -> None:
    assert "OpensslKey" not in repr(fund)
    assert isinstance(fund.certificate, Certificate)
