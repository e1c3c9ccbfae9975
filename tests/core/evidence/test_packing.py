"""What is in a package, for whom, and that its own checker and its own arithmetic agree with it."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import pytest

from core import evidence
from core.access.person import Person
from core.database import driver
from core.errors import ConfigError, Permanent
from core.removal import permit, take_bodies
from core.seals import blocks
from core.seals.heads import Head
from core.seals.sealing import seal_all
from core.signatures.certificates import TrustStore

pytestmark = pytest.mark.feature("BUS-11", "BUS-14")


def check(octets: bytes, **how: Any) -> evidence.Verdict:
    return evidence.check(io.BytesIO(octets), **how)


def test_a_package_has_everything_and_proves_it(case: Any, zip_of: Any) -> None:
    octets = case.package()
    verdict = check(octets)
    assert verdict.ok, verdict.problems
    package = zip_of(octets)
    row = package.json(next(name for name in package.files if name.startswith("rows/message-")))
    assert hashlib.sha256(package.files["contents/body"]).hexdigest() == row["body"]
    assert hashlib.sha256(package.files["contents/received"]).hexdigest() == row["received"]
    assert package.files["contents/attachment-1"] == b"scan of a paper " * 500
    assert package.files["contents/outgoing"] == package.files["contents/received"]
    assert package.json("contents/headers.json")["smev.sender_signature"] == "valid"
    assert [one["stage"] for name, one in rows(package) if one["stream"] == "event"] == [
        "handled", "prepared", "sent", "viewed",
    ]  # fmt: skip
    assert package.json("outgoing.json")["external_id"] == "out-1"
    family = package.json("family.json")
    assert (len(family["causes"]), len(family["effects"])) == (1, 1)
    [form] = [one for one in package.json("kind.json")["formats"] if one["applies"]]
    assert form["schemas"]
    assert all(name in package.files for name in form["schemas"])
    assert verdict.sealed == 6
    assert verdict.unsealed == 0
    page = package.files["summary.html"].decode()
    assert "<script" not in page
    assert "создана запись 17" in page
    assert "Иванова" not in page


def rows(package: Any) -> list[tuple[str, Any]]:
    return [(name, package.json(name)) for name in sorted(package.files) if name.startswith("rows/")]


def test_signatures_are_checked_and_explained(case: Any, zip_of: Any) -> None:
    octets = case.package()
    package = zip_of(octets)
    found = package.json("signatures.json")
    assert [(one["file"], one["ok"]) for one in found["signatures"]] == [
        ("contents/received", True), ("contents/outgoing", True), ("contents/attachment-1", True),
    ]  # fmt: skip
    assert "ЗАГС" in found["signatures"][0]["subject"]
    assert package.files["signatures/received-1.cer"] == case.keys.identity("zags").certificate.der
    store = TrustStore.from_directory(case.keys.directory / "trust")
    assert [one["trusted"] for one in check(octets, trust=store).signatures] == [True, True, True]
    assert [one["trusted"] for one in check(octets, trust=TrustStore()).signatures] == [False, False, False]


def test_without_the_right_to_personal_data_there_is_none(case: Any, zip_of: Any, people: Any) -> None:
    octets = case.package(people[1])
    package = zip_of(octets)
    everything = b"".join(package.files.values()).decode("utf-8", "replace")
    for secret in ("Вымышленников", "CN=Кто-то", "scan of a paper", "SignaturePKCS7"):
        assert secret not in everything
    assert not [name for name in package.files if name.startswith("contents/") and "audit" not in name]
    assert not [name for name in package.files if name.startswith("signatures/")]
    manifest = package.json("manifest.json")
    assert manifest["contents"] == "withheld"
    [row] = [one for _, one in rows(package) if one["stream"] == "message"]
    assert {"name": "contents/body", "sha256": row["body"]} in manifest["withheld"]
    verdict = check(octets)
    assert verdict.ok, verdict.problems
    assert verdict.sealed == 6


def test_who_may_not_make_packages_gets_none_and_nothing_is_noted(case: Any) -> None:
    out = io.BytesIO()
    with pytest.raises(Permanent, match="Нужно право"):
        evidence.pack(case.bus, case.id, Person("x", "x", frozenset({"personal.read"})), out)
    assert not out.getvalue()


def test_making_is_in_the_audit_and_in_the_next_package(case: Any, zip_of: Any) -> None:
    case.package()
    seal_all(case.bus.database)
    package = zip_of(case.package())
    deeds = [(one["actor"], one["action"]) for _, one in rows(package) if one["stream"] == "audit"]
    assert deeds == [("petrov", "message.viewed"), ("ivanova", "message.viewed"), ("ivanova", "evidence.made")]


def test_rows_that_are_not_sealed_yet_are_named(case: Any) -> None:
    case.package()
    verdict = check(case.package())
    assert verdict.ok, verdict.problems
    assert (verdict.sealed, verdict.unsealed) == (6, 3)
    assert any("Ещё не опечатано" in one for one in verdict.said)


def test_a_chain_that_has_nothing_yet_is_said(case: Any) -> None:
    case.tamper("DELETE FROM bus.seal")
    verdict = check(case.package())
    assert verdict.ok, verdict.problems
    assert verdict.sealed == 0


def test_a_head_that_was_kept_confirms_or_refutes(case: Any) -> None:
    with case.bus.database.transaction() as connection:
        head = blocks.head(driver(connection))
    assert head
    kept = Head(head.number, head.hash.hex())
    for _ in range(5):
        case.package()
        seal_all(case.bus.database)
    now = case.package()
    assert check(now, kept=[Head(99, "00" * 32)]).head_known is False
    assert not check(now, kept=[Head(99, "00" * 32)]).ok
    then = case.package(up_to=head.number)
    verdict = check(then, kept=[kept])
    assert verdict.ok, verdict.problems
    assert verdict.head_known is True
    assert verdict.unsealed > 0
    assert not check(then, kept=[Head(head.number, "00" * 32)]).ok
    with pytest.raises(ConfigError, match="нет блока 999"):
        case.package(up_to=999)


def test_a_long_chain_has_a_short_proof(case: Any, zip_of: Any) -> None:
    for number in range(70):
        case.tamper(
            "INSERT INTO bus.audit (actor, via, action, object_kind, object_id) VALUES ('x', 'cli', 'x', 'x', %s)",
            (str(number),),
        )
        seal_all(case.bus.database)
    octets = case.package()
    verdict = check(octets)
    assert verdict.ok, verdict.problems
    proof = zip_of(octets).json("proof/proof.json")
    assert proof["head"].startswith("73:")
    assert len(proof["blocks"]) < 30


def test_contents_taken_away_by_retention_are_named_and_the_proof_holds(case: Any, zip_of: Any) -> None:
    with case.bus.database.transaction() as connection:
        db = driver(connection)
        permit(db)
        take_bodies(db, [case.id])
    octets = case.package()
    verdict = check(octets)
    assert verdict.ok, verdict.problems
    package = zip_of(octets)
    gone = {one["name"] for one in package.json("manifest.json")["removed"]}
    assert {"contents/body", "contents/received", "contents/attachment-1", "contents/outgoing"} <= gone
    assert "contents/body" not in package.files
    assert "Вымышленников" not in package.files["rows/message-2.json"].decode()


def test_a_row_that_was_tampered_with_has_no_proof(case: Any) -> None:
    case.tamper("UPDATE bus.event SET note = 'иначе' WHERE stage = 'handled'")
    verdict = check(case.package())
    assert any("не та, что опечатана" in one for one in verdict.problems)


def test_a_content_that_was_damaged_in_the_store_is_told(case: Any) -> None:
    case.tamper("UPDATE bus.payload SET data = overlay(data PLACING 'xx' FROM 20), blob = NULL")
    case.tamper("UPDATE bus.payload SET data = 'nonsense' WHERE data IS NULL")
    verdict = check(case.package())
    assert any("повреждён" in one for one in verdict.problems)


def test_the_same_message_gives_the_same_files_in_the_same_order(case: Any, zip_of: Any) -> None:
    with case.bus.database.transaction() as connection:
        number = blocks.head(driver(connection)).number  # type: ignore[union-attr]
    first, second = (list(zip_of(case.package(up_to=number)).files) for _ in range(2))
    assert [name for name in second if name in first] == first
    assert first[-1] == "manifest.json"


def test_a_preview_says_what_would_be_in_it(case: Any) -> None:
    found = evidence.preview(case.bus, case.id)
    assert (found.events, found.deeds, found.attachments, found.sealed, found.unsealed) == (4, 1, 2, 6, 0)
    assert found.contents_bytes > len(b"scan of a paper " * 500)
    with pytest.raises(Permanent, match="Нет сообщения"):
        evidence.preview(case.bus, type(case.id)(int=1))


def test_a_package_can_be_checked_by_its_published_format_alone(case: Any, zip_of: Any) -> None:
    """With hashlib and json only, as a stranger would after reading docs/evidence.md."""
    package = zip_of(case.package())
    for one in package.json("manifest.json")["files"]:
        assert hashlib.sha256(package.files[one["name"]]).hexdigest() == one["sha256"]
    proof = package.json("proof/proof.json")
    headers = {one["number"]: one for one in proof["blocks"]}
    for one in proof["blocks"]:
        text = json.dumps({k: v for k, v in one.items() if k != "hash"}, ensure_ascii=False, separators=(",", ":"))
        assert hashlib.sha256(text.encode()).hexdigest() == one["hash"]
    for one in proof["rows"]:
        made = hashlib.sha256(b"\x00" + package.files[one["name"]]).digest()
        place, count, path = one["place"], headers[one["block"]]["count"], [bytes.fromhex(x) for x in one["path"]]
        while count > 1:
            if place ^ 1 < count:
                step = path.pop(0)
                pair = step + made if place & 1 else made + step
                made = hashlib.sha256(b"\x01" + pair).digest()
            place, count = place // 2, (count + 1) // 2
        assert made.hex() == headers[one["block"]]["root"]
