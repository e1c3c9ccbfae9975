"""Packages that somebody made to deceive or to break the checker: always sentences, never an exception."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from core import evidence

pytestmark = pytest.mark.feature("BUS-11")


def check(file: Any) -> list[str]:
    """The problems."""
    opened = io.BytesIO(file) if isinstance(file, bytes) else file
    verdict = evidence.check(opened)
    assert verdict.ok is not bool(verdict.problems)
    return verdict.problems


def test_each_file_that_is_changed_is_found(case: Any, zip_of: Any) -> None:
    octets = case.package()
    for name in zip_of(octets).files:
        package = zip_of(octets)
        content = package.files[name]
        package.files[name] = content[:-1] + bytes([content[-1] ^ 1]) if content else b"x"
        assert check(package.bytes()), name


def test_each_file_that_is_missing_is_found(case: Any, zip_of: Any) -> None:
    octets = case.package()
    for name in zip_of(octets).files:
        package = zip_of(octets)
        del package.files[name]
        assert check(package.bytes()), name
        if name != "manifest.json" and name != "FORMAT.md" and not name.startswith(("kind/", "signatures/")):
            assert check(package.agreed().bytes()), f"{name}, with a manifest that agrees"


def test_a_file_that_is_added_is_found(case: Any, zip_of: Any) -> None:
    package = zip_of(case.package())
    package.files["contents/other"] = b"x"
    assert check(package.bytes()) == ["Файла contents/other нет в описи: он подложен"]
    assert check(package.agreed().bytes()) == ["Файл contents/other не назван ни одной строкой журнала"]


def edit_row(package: Any) -> None:
    name = next(one for one in package.files if one.startswith("rows/event-"))
    package.put(name, package.files[name].replace("создана запись 17".encode(), "создана запись 18".encode()))


def edit_body(package: Any) -> None:
    package.put("contents/body", b"<forged/>")


def edit_summary(package: Any) -> None:
    package.put("summary.html", package.files["summary.html"].replace("запись 17".encode(), "запись 18".encode()))


def edit_signatures(package: Any) -> None:
    found = package.json("signatures.json")
    found["signatures"][0]["ok"] = False
    package.put("signatures.json", found)


def drop_a_signature(package: Any) -> None:
    found = package.json("signatures.json")
    del found["signatures"][1]
    package.put("signatures.json", found)


def edit_outgoing(package: Any) -> None:
    package.put("contents/outgoing", b"<another/>")


def edit_attachment(package: Any) -> None:
    package.put("contents/attachment-1", b"another")


def edit_block(package: Any) -> None:
    proof = package.json("proof/proof.json")
    proof["blocks"][0]["sealed_at"] = "2020-01-01T00:00:00.000000Z"
    package.put("proof/proof.json", proof)


def cut_the_chain(package: Any) -> None:
    proof = package.json("proof/proof.json")
    del proof["blocks"][1]
    package.put("proof/proof.json", proof)


def foreign_row(package: Any) -> None:
    name = next(one for one in package.files if one.startswith("rows/event-"))
    row = package.json(name)
    row["message_id"] = "00000000-0000-0000-0000-000000000001"
    package.put(name, row)


def unsealed_row(package: Any) -> None:
    proof = package.json("proof/proof.json")
    proof["rows"] = []
    package.put("proof/proof.json", proof)


def other_head(package: Any) -> None:
    manifest = package.json("manifest.json")
    manifest["head"] = "1:" + "00" * 32
    package.put("manifest.json", manifest)


FORGERIES = [
    edit_row, edit_body, edit_summary, edit_signatures, drop_a_signature, edit_outgoing, edit_attachment, edit_block,
    cut_the_chain, foreign_row, unsealed_row, other_head,]  # fmt: skip


@pytest.mark.parametrize("edit", FORGERIES, ids=lambda one: one.__name__)
def test_a_forgery_with_a_manifest_that_agrees_is_found(
    kept: Any, hostile: Any, zip_of: Any, edit: Callable[[Any], None]
) -> None:
    hostile(b"", "x")
    package = zip_of(kept["octets"])
    edit(package)
    assert check(package.agreed().bytes())


SHAPES: list[Any] = [None, 1, "x", [], {}, [[]], {"format": "omsbus-evidence/1"}, [{"a": 1}], -1, 1e400, True]


@pytest.mark.parametrize("place", range(len(SHAPES)))
@pytest.mark.parametrize(
    "name",
    ["manifest.json", "proof/proof.json", "signatures.json", "family.json", "kind.json", "contents/attachments.json"],
)
def test_files_of_another_shape_are_refused(hostile: Any, name: str, place: int) -> None:
    package = hostile(SHAPES[place], name)
    assert check(package)


@pytest.fixture(scope="module")
def kept() -> dict[str, bytes]:
    """A package, made once."""
    return {}


@pytest.fixture
def hostile(kept: dict[str, bytes], request: pytest.FixtureRequest, zip_of: Any) -> Callable[[Any, str], Any]:
    """A package with one file of another shape."""
    if not kept:
        kept["octets"] = request.getfixturevalue("case").package()

    def make(value: Any, name: str) -> Any:
        package = zip_of(kept["octets"]).put(name, value)
        return (package if name == "manifest.json" else package.agreed()).bytes()

    return make


@pytest.mark.parametrize("key", ["blocks", "rows", "head", "unsealed"])
@pytest.mark.parametrize("place", range(len(SHAPES)))
def test_a_proof_with_a_part_of_another_shape_is_refused(
    kept: Any, zip_of: Any, hostile: Any, key: str, place: int
) -> None:
    package = zip_of(kept["octets"])
    proof = {**package.json("proof/proof.json"), key: SHAPES[place]}
    problems = check(package.put("proof/proof.json", proof).agreed().bytes())
    assert problems or (key == "unsealed" and SHAPES[place] in ([], {}))


def test_deep_and_long_json_is_refused(hostile: Any) -> None:
    for octets in (b"[" * 100_000, b'{"a":' * 100_000, b"9" * 100_000, b"\xff\xfe", b""):
        for name in ("manifest.json", "proof/proof.json"):
            assert check(hostile(octets, name))


def test_a_truncated_package_is_refused(hostile: Any, kept: Any) -> None:
    octets = kept["octets"] if kept else hostile(b"", "x").getvalue()
    for end in (0, 1, 4, 100, len(octets) // 2, len(octets) - 1):
        assert check(octets[:end]) == ["Файл — не архив zip или обрывается: получите доказательный пакет заново"]


def zip_with(*names: str, octets: bytes = b"x", **attributes: Any) -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        for name in names:
            entry = zipfile.ZipInfo(name)
            for key, value in attributes.items():
                setattr(entry, key, value)
            package.writestr(entry, octets)
    out.seek(0)
    return out


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "/etc/passwd",
        "a/../../b",
        "a\\b",
        "C:evil",
        "a//b",
        "с",
        "a/",
        ".hidden",
        "-rf",
        "a" * 300,
        "a\nb",
    ],
)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    [problem] = check(zip_with(name, "manifest.json"))
    assert "имен" in problem or "Опись" in problem
    assert "\n" not in problem


def test_a_name_with_a_hidden_end_is_refused() -> None:
    octets = zip_with("manifest.jsonX", octets=b"{}").getvalue().replace(b"manifest.jsonX", b"manifest.jso\x00X")
    assert "недопустимым именем" in check(octets)[0]


def test_a_name_twice_is_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        made = zip_with("manifest.json", "manifest.json")
    assert check(made) == ["В архиве два файла manifest.json: неясно, какой из них настоящий"]


@pytest.mark.parametrize("attributes", [{"external_attr": 0o120777 << 16}, {"compress_type": zipfile.ZIP_LZMA}])
def test_links_and_odd_compression_are_refused(attributes: dict[str, int]) -> None:
    assert "ссылка" in check(zip_with("manifest.json", **attributes))[0]


def test_an_encrypted_entry_is_refused() -> None:
    octets = bytearray(zip_with("manifest.json").getvalue())
    place = octets.find(b"PK\x01\x02")
    struct.pack_into("<H", octets, place + 8, 1)
    assert "зашифрован" in check(bytes(octets))[0]


def test_a_bomb_costs_nothing(case: Any, zip_of: Any) -> None:
    """Gigabytes that pack to kilobytes: as the manifest, as a row, under a size that is a lie."""
    bomb = b"\x00" * (40 * 1024 * 1024)
    assert "больше, чем бывает" in check(zip_with("manifest.json", octets=bomb))[0]
    package = zip_of(case.package())
    package.files["rows/event-1.json"] = bomb * 2
    assert check(package.agreed().bytes())
    octets = bytearray(zip_with("manifest.json", octets=b'{"a": "' + b"x" * 1_000_000).getvalue())
    place = octets.find(b"PK\x01\x02")
    struct.pack_into("<I", octets, place + 24, 5)
    assert check(bytes(octets))


def test_what_unpacks_to_more_than_allowed_is_not_unpacked(kept: Any, hostile: Any) -> None:
    hostile(b"", "x")
    verdict = evidence.check(io.BytesIO(kept["octets"]), most_bytes=1000)
    assert "--most-gb" in verdict.problems[0]


def test_a_great_many_files_are_refused() -> None:
    octets = bytearray(zip_with("manifest.json").getvalue())
    place = octets.find(b"PK\x05\x06")
    entry = bytes(octets[octets.find(b"PK\x01\x02") : place])
    many = 60_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, many, many, len(entry) * many, octets.find(b"PK\x01\x02"), 0)
    made = bytes(octets[: octets.find(b"PK\x01\x02")]) + entry * many + end
    assert "больше 50000 файлов" in check(made)[0]


def test_a_package_of_a_later_format_is_told(hostile: Any, kept: Any, zip_of: Any) -> None:
    hostile(b"", "x")
    package = zip_of(kept["octets"])
    manifest = {**package.json("manifest.json"), "format": "omsbus-evidence/2"}
    assert "обновите" in check(package.put("manifest.json", manifest).bytes())[0]


def test_any_octets_at_all_get_an_answer(kept: Any, hostile: Any) -> None:
    hostile(b"", "x")
    octets = kept["octets"]
    for place in range(0, len(octets), max(1, len(octets) // 150)):
        changed = octets[:place] + bytes([octets[place] ^ 0xFF]) + octets[place + 1 :]
        assert isinstance(check(changed), list)
    assert json.dumps(evidence.check(io.BytesIO(b"PK")).plain())
