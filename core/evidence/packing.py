"""Makes an evidence package: one zip with everything about one message and the proof of it (docs/evidence.md)."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final
from uuid import UUID

from core import audit, masking, operations
from core.access.permissions import PERMISSIONS
from core.access.person import Person
from core.configuration import version
from core.database import Driver, driver
from core.errors import ConfigError, Permanent
from core.evidence import gathering, proof, signatures, summary
from core.evidence.archive import MANIFEST, SMALL_MOST_BYTES, Writer
from core.evidence.gathering import Content, Gathered
from core.payloads import PIECE_BYTES, unpacked
from core.seals import blocks
from core.settings import HOUSE

if TYPE_CHECKING:
    from core.bus import Bus

FORMAT: Final = "omsbus-evidence/1"
MAKE: Final = "evidence.make"
PERSONAL: Final = "personal.read"
SIGNED: Final = ("contents/received", "contents/body", "contents/outgoing")
_ATTACHMENT: Final = "contents/attachment-"


@dataclass(frozen=True, slots=True)
class Preview:
    """What a package made now would hold.

    contents  of those that are there: how many         removed  taken away by retention
    sealed, unsealed  rows under the chain, and those that still wait
    """

    contents: int
    contents_bytes: int
    removed: int
    attachments: int
    events: int
    deeds: int
    sealed: int
    unsealed: int
    head: str


def pack(bus: Bus, message_id: UUID, person: Person, out: IO[bytes], *, up_to: int | None = None) -> None:
    """Write the package of a message to `out`. The making is in the audit before the first octet is written.

    Whoever lacks `personal.read` gets no contents: they are named by their sha256, and the proof holds all the same.
    up_to  number of the block to prove against (a head that the receiver has kept); default: the last one
    Raises Permanent (no such message, no right), ConfigError (no such block), Unavailable.
    """
    if not person.may(MAKE):
        raise Permanent(f"Нужно право «{PERMISSIONS[MAKE]}»: его даёт администратор")
    full = person.may(PERSONAL)
    with bus.database.transaction() as connection:
        db = driver(connection)
        _read_only(db)
        found = gathering.gather(db, message_id)
        if up_to is not None and blocks.one(db, up_to) is None:
            raise ConfigError(f"В цепочке нет блока {up_to}: посмотрите omsbus audit head")
        proved = proof.make(db, found.rows, up_to)
    _audited(bus, message_id, person, full=full)
    _Packing(bus, message_id, person, found, proved, Writer(out), full=full).run()


def preview(bus: Bus, message_id: UUID) -> Preview:
    """What `pack` would put into a package, without reading it. Raises Permanent when there is no such message."""
    with bus.database.transaction() as connection:
        db = driver(connection)
        _read_only(db)
        found = gathering.gather(db, message_id)
        proved = proof.make(db, found.rows)
        sizes = db.execute(
            "SELECT coalesce(sum(size_bytes), 0) FROM bus.payload WHERE sha256 = ANY(%s)",
            ([one.payload for one in found.contents if one.payload],),
        ).fetchone()
    there = [one for one in found.contents if not one.removed]
    inline = sum(len(unpacked(one.octets)) for one in there if one.octets is not None)
    return Preview(
        contents=len(there),
        contents_bytes=inline + int(sizes[0] if sizes else 0),
        removed=len(found.contents) - len(there),
        attachments=len(found.attachments),
        events=sum(row.stream == "event" for row in found.rows),
        deeds=sum(row.stream == "audit" for row in found.rows),
        sealed=len(proved["rows"]),
        unsealed=len(proved["unsealed"]),
        head=proved["head"],
    )


def _read_only(db: Driver) -> None:
    """One view of everything: rows, contents and blocks belong together."""
    db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def _audited(bus: Bus, message_id: UUID, person: Person, *, full: bool) -> None:
    if full:
        operations.viewed(bus, message_id, "Доказательный пакет: всё содержимое", actor=person.login)
    with bus.database.transaction() as connection:
        audit.record(
            driver(connection),
            person.login,
            "evidence.made",
            "message",
            str(message_id),
            "Доказательный пакет с содержимым" if full else "Доказательный пакет без содержимого",
            {"contents": "full" if full else "withheld"},
        )


@dataclass(slots=True)
class _Packing:
    """One package under way."""

    bus: Bus
    message_id: UUID
    person: Person
    found: Gathered
    proved: dict[str, Any]
    writer: Writer
    full: bool
    withheld: list[dict[str, str]] = field(default_factory=list)
    removed: list[dict[str, str]] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    small: dict[str, bytes] = field(default_factory=dict)
    """What the summary is made of."""

    def run(self) -> None:
        for row in self.found.rows:
            self._note(row.name, row.text)
        self._json("proof/proof.json", self.proved)
        documents = self._contents()
        self._signatures(documents)
        message = json.loads(self.found.rows[0].text)
        relations = gathering.family(self.bus.database, self.message_id)
        self._json("family.json", relations)
        if self.found.outgoing is not None:
            self._json("outgoing.json", self.found.outgoing)
        body = documents.get("contents/body") or self._octets("contents/body") or b""
        described, files = gathering.kind(self.bus, message, relations["message"]["queue"], body)
        self._json("kind.json", described)
        for name, octets in files:
            self.writer.add(name, octets)
        form = HOUSE / "docs" / "evidence.md"
        if form.is_file():
            self.writer.add("FORMAT.md", form.read_bytes())
        self._end()

    def _end(self) -> None:
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "program": version(),
            "message": str(self.message_id),
            "made_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "made_by": self.person.login,
            "contents": "full" if self.full else "withheld",
            "head": self.proved["head"],
            "withheld": self.withheld,
            "removed": self.removed,
            "damaged": self.damaged,
            "cut": self.found.cut,
        }
        text, page = summary.render(manifest, self.small)
        self.writer.add("summary.txt", text)
        self.writer.add("summary.html", page)
        self._json(MANIFEST, {**manifest, "files": [asdict(one) for one in self.writer.files]})
        self.writer.close()

    def _note(self, name: str, octets: bytes) -> None:
        self.small[name] = octets
        self.writer.add(name, octets)

    def _json(self, name: str, value: Any) -> None:
        self._note(name, json.dumps(value, ensure_ascii=False, indent=1).encode())

    def _contents(self) -> dict[str, bytes]:
        """Write what may be written; the documents that may have signatures."""
        documents = {}
        for one in self.found.contents:
            if one.removed:
                self.removed.append({"name": one.name, "sha256": one.sha256})
            elif one.personal and not self.full:
                self.withheld.append({"name": one.name, "sha256": self._sha256(one)})
            else:
                self._content(one)
            if one.name in SIGNED and (octets := self._octets(one.name)) is not None:
                documents[one.name] = octets
        return documents

    def _sha256(self, one: Content) -> str:
        if one.payload:
            return one.payload
        try:
            with self._open(one) as stream:
                return hashlib.sha256(stream.read()).hexdigest()
        except Permanent:
            return ""

    def _content(self, one: Content) -> None:
        try:
            with self._open(one) as stream:
                self.writer.stream(one.name, stream)
        except Permanent:
            if one.name not in {written.name for written in self.writer.files}:
                self.writer.add(one.name, b"")
            self.damaged.append(one.name)

    def _open(self, one: Content) -> BufferedIOBase:
        if one.octets is not None:
            return BytesIO(unpacked(one.octets) if one.name in _PACKED or one.name.endswith(".output") else one.octets)
        with self.bus.database.transaction() as connection:
            return self.bus.payloads.open(driver(connection), one.payload)

    def _octets(self, name: str) -> bytes | None:
        """A document in memory; None when it is not there, is too long or damaged."""
        found = next((one for one in self.found.contents if one.name == name and not one.removed), None)
        if found is None:
            return None
        try:
            with self._open(found) as stream:
                octets = stream.read(SMALL_MOST_BYTES + 1)
        except Permanent:
            return None
        return octets if len(octets) <= SMALL_MOST_BYTES else None

    def _signatures(self, documents: dict[str, bytes]) -> None:
        found = [one for name, octets in documents.items() for one in signatures.in_document(name, octets)]
        if self.full:
            found += self._of_attachments()
        self._json("signatures.json", {"signatures": self._described(found), "recorded": self._recorded()})
        if self.full:
            for one in found:
                if one.certificates:
                    self.writer.add(signatures.certificate_name(one), one.certificates[0].der)

    def _described(self, found: Sequence[signatures.Found]) -> list[dict[str, Any]]:
        made = []
        for one in found:
            facts = dict(one.facts)
            if self.full and one.certificates:
                facts["certificate"] = signatures.certificate_name(one)
            elif "subject" in facts:
                facts["subject"] = masking.masked_subject(facts["subject"])
            made.append(facts)
        return made

    def _recorded(self) -> dict[str, str]:
        """What the bus noted of signatures when the message came in."""
        noted = {name: value for name, value in self.found.headers.items() if "sign" in name}
        if self.full:
            return noted
        return {name: value.partition(":")[0] for name, value in noted.items() if name.endswith("signature")}

    def _of_attachments(self) -> list[signatures.Found]:
        made = []
        written = {one.name for one in self.writer.files} - set(self.damaged)
        for number, one in enumerate(self.found.attachments, 1):
            name = f"{_ATTACHMENT}{number}"
            content = next((item for item in self.found.contents if item.name == name), None)
            if content and name in written and signatures.is_signed(one["headers"]):
                with tempfile.NamedTemporaryFile() as file:
                    with self._open(content) as stream:
                        while piece := stream.read(PIECE_BYTES):
                            file.write(piece)
                    file.flush()
                    made += signatures.of_attachment(name, Path(file.name), one["headers"])
        return made


_PACKED: Final = ("contents/body", "contents/received", "contents/outgoing")
