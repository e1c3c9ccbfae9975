"""Detached CMS: ours by `openssl cms`, theirs by us, and what is wrong told in words."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from core.errors import ConfigError, SignatureRejected
from core.signatures.cms import sign_detached, verify_detached
from core.signatures.demo_keys import DemoKeys
from core.signatures.keys import Identity

pytestmark = pytest.mark.feature("SMEV-03")

DATA = "Вложение\r\nс переводами строк\n".encode() * 500


def openssl(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", "cms", "-engine", "gost", *map(str, arguments)], capture_output=True, check=False)


def test_our_signature_is_verified_by_openssl(fund: Identity, demo_keys: DemoKeys, tmp_path: Path) -> None:
    (tmp_path / "d").write_bytes(DATA)
    (tmp_path / "s").write_bytes(sign_detached(DATA, fund))
    done = openssl(
        "-verify",
        "-inform",
        "DER",
        "-in",
        tmp_path / "s",
        "-content",
        tmp_path / "d",
        "-binary",
        "-CAfile",
        demo_keys.ca,
        "-out",
        tmp_path / "out",
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_bytes() == DATA


@pytest.mark.parametrize("options", [(), ("-noattr",), ("-nosmimecap",), ("-cades",)])
def test_the_signature_of_openssl_is_verified_by_us(
    demo_keys: DemoKeys, tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "d").write_bytes(DATA)
    done = openssl(
        "-sign",
        "-binary",
        *options,
        "-in",
        tmp_path / "d",
        "-signer",
        demo_keys.certificate("smev"),
        "-inkey",
        demo_keys.key("smev"),
        "-passin",
        f"pass:{demo_keys.password}",
        "-outform",
        "DER",
        "-out",
        tmp_path / "s",
    )
    assert done.returncode == 0, done.stderr
    report = verify_detached(tmp_path / "d", (tmp_path / "s").read_bytes())
    assert report.ok
    assert [item.common_name for item in report.signers] == ["СМЭВ (демо)"]


def test_octets_and_file_give_the_same(fund: Identity, tmp_path: Path) -> None:
    (tmp_path / "d").write_bytes(DATA)
    assert verify_detached(DATA, sign_detached(tmp_path / "d", fund)).ok
    assert verify_detached(tmp_path / "d", sign_detached(DATA, fund)).ok
    assert verify_detached(b"", sign_detached(b"", fund)).ok


def test_partners_sign_files_too(partner: Identity) -> None:
    report = verify_detached(DATA, sign_detached(DATA, partner))
    assert report.ok
    assert report.signers == (partner.certificate,)


def test_another_file_and_a_broken_signature_are_told_apart(fund: Identity) -> None:
    made = sign_detached(DATA, fund)
    assert "изменено" in verify_detached(DATA + b"x", made).reason
    broken = bytearray(made)
    broken[-2] ^= 1
    report = verify_detached(DATA, bytes(broken))
    assert not report.ok
    assert "повреждена" in report.reason


def test_a_signature_with_the_data_inside_or_without_the_certificate_is_refused(
    demo_keys: DemoKeys, tmp_path: Path
) -> None:
    (tmp_path / "d").write_bytes(DATA)
    for option, words in (("-nodetach", "открепленная"), ("-nocerts", "нет сертификата")):
        openssl(
            "-sign",
            "-binary",
            option,
            "-in",
            tmp_path / "d",
            "-signer",
            demo_keys.certificate("smev"),
            "-inkey",
            demo_keys.key("smev"),
            "-passin",
            f"pass:{demo_keys.password}",
            "-outform",
            "DER",
            "-out",
            tmp_path / "s",
        )
        report = verify_detached(DATA, (tmp_path / "s").read_bytes())
        assert not report.ok
        assert words in report.reason


@pytest.mark.parametrize("junk", [b"", b"junk", b"\x30\x80\x00\x00", b"0" * 5_000_000])
def test_what_is_not_cms_is_refused_in_words(junk: bytes) -> None:
    with pytest.raises(SignatureRejected):
        verify_detached(DATA, junk)


def test_other_kinds_of_cms_are_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "d").write_bytes(DATA)
    openssl("-data_create", "-in", tmp_path / "d", "-outform", "DER", "-out", tmp_path / "s")
    with pytest.raises(SignatureRejected, match="ни одной подписи"):
        verify_detached(DATA, (tmp_path / "s").read_bytes())


def test_every_cut_of_a_signature_is_refused_and_never_crashes(fund: Identity) -> None:
    made = sign_detached(DATA, fund)
    for cut in range(0, len(made), 5):
        with pytest.raises(SignatureRejected):
            verify_detached(DATA, made[:cut])


def test_every_flip_of_a_signature_is_noticed(fund: Identity) -> None:
    made = sign_detached(b"x", fund)
    survived = 0
    for position in range(0, len(made), 3):
        flipped = bytearray(made)
        flipped[position] ^= 0x55
        try:
            survived += verify_detached(b"x", bytes(flipped)).ok
        except SignatureRejected:
            continue
    # octets of the certificate that are outside of its key are the trust store's business, not ours
    assert survived < len(made) // 3 * 0.8


def test_a_missing_file_is_named(fund: Identity, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing"):
        sign_detached(tmp_path / "missing", fund)
    with pytest.raises(ConfigError, match="missing"):
        verify_detached(tmp_path / "missing", sign_detached(DATA, fund))
