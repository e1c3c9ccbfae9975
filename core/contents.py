"""What a message carries, shown to a person: the look is in the journal and in the audit before anything is shown.

Whoever lacks `personal.read` gets it masked (core.masking). Everyone who shows a body, an envelope, an output, a detail
or headers asks here: pages, the REST API, exports.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from io import BufferedIOBase, BytesIO
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from core import masking, operations
from core.access.person import Person
from core.connector import plain_of
from core.database import Driver, driver
from core.errors import Permanent
from core.message import Outcome
from core.payloads import PIECE_BYTES, REMOVED, unpacked
from core.route import Route

if TYPE_CHECKING:
    from core.bus import Bus

SHOWN_MOST_BYTES: Final = 1024 * 1024
"""Of each part; the whole is downloaded."""
PERSONAL: Final = "personal.read"
PARTS: Final[Mapping[str, str]] = {
    "body": "тело",
    "received": "конверт",
    "outputs": "результаты этапов",
    "detail": "подробности",
    "headers": "заголовки",
}
"""What can be looked at → what the journal calls it."""
_OWN_HEADERS: Final = frozenset({"corrected", "correction", "corrected_by", "approved_by", "signature_of"})
"""Of the bus itself: core.corrections."""
_REPLY_FIELDS: Final = frozenset({"outcome", "codes"})


@dataclass(frozen=True, slots=True)
class Contents:
    """The parts that were asked for; of the others nothing. None: never there, or removed after its term.

    outputs  (stage, octets) of everything that the stages made, what was prepared for sending last
    details  (stage, text) of the events that have one
    cut      name of a part, `outputs:<place>` for an output → its whole length, where only the beginning is here
    """

    masked: bool
    body: bytes | None = field(default=None, repr=False)
    received: bytes | None = field(default=None, repr=False)
    outputs: list[tuple[str, bytes]] = field(default_factory=list, repr=False)
    details: list[tuple[str, str]] = field(default_factory=list, repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    cut: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Download:
    """A content as a file. `pieces` is read once; memory does not grow with the content."""

    name: str
    media_type: str
    pieces: Iterator[bytes]
    size_bytes: int | None = None


def look(
    bus: Bus, message_id: UUID, parts: Collection[str], person: Person, *, most_bytes: int = SHOWN_MOST_BYTES
) -> Contents:
    """The parts (names of PARTS) of a message, at most `most_bytes` of each, masked unless the person may see all.

    Raises Permanent when there is no such message.
    """
    found = _find(bus, message_id)
    wanted = [words for name, words in PARTS.items() if name in parts]
    if not wanted:
        return Contents(masked=not person.may(PERSONAL))
    _note(bus, message_id, f"Просмотр: {', '.join(wanted)}", person)
    reading = _Reading(bus, found, person, most_bytes)
    with bus.database.transaction() as connection:
        db = driver(connection)
        return Contents(
            masked=reading.masked,
            body=reading.part(db, "body", found.body, found.body_payload, found.plain) if "body" in parts else None,
            received=reading.part(db, "received", found.received, found.received_payload, found.envelope_plain)
            if "received" in parts
            else None,
            outputs=reading.outputs(db) if "outputs" in parts else [],
            details=reading.details(db) if "detail" in parts else [],
            headers=reading.headers() if "headers" in parts else {},
            cut=reading.cut,
        )


@dataclass(frozen=True, slots=True)
class Examined:
    """What a message carries, whole and unmasked: for whoever derives from it what is not personal."""

    accepted_at: datetime
    headers: dict[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    received: bytes | None = field(repr=False)


def examined(bus: Bus, message_id: UUID, person: Person, what: str) -> Examined:
    """Audited as a look at `what`. Parts longer than masking.MASKED_MOST_BYTES are None. Raises Permanent."""
    found = _find(bus, message_id)
    _note(bus, message_id, f"Просмотр: {what}", person)
    with bus.database.transaction() as connection:
        db = driver(connection)
        whole = []
        for inline, payload in ((found.body, found.body_payload), (found.received, found.received_payload)):
            gone = (inline is None and not payload) or (payload or "").startswith(REMOVED)
            is_long = not gone and _size(db, inline, payload) > masking.MASKED_MOST_BYTES
            whole.append(None if gone or is_long else bus.payloads.join(db, inline, payload))
    return Examined(found.accepted_at, found.headers, *whole)


def download(bus: Bus, message_id: UUID, part: str, person: Person) -> Download:
    """`body`, `received`, `outputs:<place>` or `attachment:<place>` (places from 0) as a file.

    Raises Permanent: no such message or part, removed after its term, an attachment for who must not see it.
    """
    found = _find(bus, message_id)
    name, _, place = part.partition(":")
    masked = not person.may(PERSONAL)
    with bus.database.transaction() as connection:
        db = driver(connection)
        if name == "attachment":
            file, inline, payload, plain = _attachment(found, place, masked=masked)
        elif name == "outputs":
            rows = _outputs(db, message_id)
            if not place.isdecimal() or int(place) >= len(rows):
                raise _no_part()
            stage, inline, payload = rows[int(place)]
            file, plain = (f"{found.seq}-{stage}", ""), found.plain | found.envelope_plain
        elif name in ("body", "received"):
            inline, payload = (
                (found.body, found.body_payload) if name == "body" else (found.received, found.received_payload)
            )
            file = (str(found.seq) if name == "body" else f"{found.seq}-envelope", "")
            plain = found.plain if name == "body" else found.envelope_plain
        else:
            raise _no_part()
        if (inline is None and not payload) or (payload or "").startswith(REMOVED):
            raise _no_part()
        size = _size(db, inline, payload)
    words = "вложение" if name == "attachment" else PARTS[name]
    _note(bus, message_id, f"Скачано: {words}", person)
    with bus.database.transaction() as connection:
        stream = _stream(bus, driver(connection), inline, payload)
    if masked:
        with stream:
            octets = stream.read(masking.MASKED_MOST_BYTES + 1)
        shown = masking.masked_body(octets, plain)
        return Download(_named(file, shown), _media_type(file[1], shown), iter([shown]), len(shown))
    begin = stream.read(64)
    return Download(_named(file, begin), _media_type(file[1], begin), _pieces(begin, stream), size)


def family_of(bus: Bus, kind: str, queue: str) -> Route | None:
    """The route whose kind this is, or to whose family it belongs: what goes out has no route of its own, its kind
    begins with the name of one."""
    by_name = bus.routes.by_name
    route = by_name.get(queue) or by_name.get(kind)
    if route is None and kind in bus.routes.by_root:
        route = bus.routes.by_root[kind][0]
    family = kind
    while route is None and "." in family:
        family = family.rpartition(".")[0]
        route = by_name.get(family)
    return route


def plain_names(bus: Bus, kind: str, queue: str) -> frozenset[str]:
    """Names that hold nothing personal in the documents of this kind, as its route says."""
    route = family_of(bus, kind, queue)
    return route.plain if route else frozenset()


def plain_of_envelopes(bus: Bus) -> frozenset[str]:
    """Names of headers and envelopes that hold nothing personal, of all connectors."""
    return _OWN_HEADERS | {name for line in bus.lines.values() for name in plain_of(line.connector)}


@dataclass(frozen=True, slots=True)
class _Found:
    seq: int
    message_id: UUID
    plain: frozenset[str]
    envelope_plain: frozenset[str]
    accepted_at: datetime
    headers: dict[str, str] = field(repr=False)
    attachments: list[dict[str, Any]] = field(repr=False)
    body: bytes | None = field(repr=False)
    body_payload: str | None
    received: bytes | None = field(repr=False)
    received_payload: str | None


def _find(bus: Bus, message_id: UUID) -> _Found:
    with bus.database.transaction() as connection:
        row = driver(connection).execute(_FIND, (message_id,)).fetchone()
    if row is None:
        raise Permanent(f"Нет сообщения {message_id}. Посмотрите список: omsbus message list")
    seq, kind, outcome, queue, *rest = row
    plain = plain_names(bus, kind, queue)
    if outcome not in (Outcome.REQUEST, Outcome.ANSWER):
        plain |= _REPLY_FIELDS
    return _Found(seq, message_id, plain, plain | plain_of_envelopes(bus), *rest)


@dataclass(slots=True)
class _Reading:
    """Reads parts of one message for one person."""

    bus: Bus
    found: _Found
    person: Person
    most_bytes: int
    cut: dict[str, int] = field(default_factory=dict)

    @property
    def masked(self) -> bool:
        return not self.person.may(PERSONAL)

    def part(
        self, db: Driver, name: str, inline: bytes | None, payload: str | None, plain: frozenset[str]
    ) -> bytes | None:
        if (inline is None and not payload) or (payload or "").startswith(REMOVED):
            return None
        most = masking.MASKED_MOST_BYTES if self.masked else self.most_bytes
        with _stream(self.bus, db, inline, payload) as stream:
            octets = stream.read(most + 1)
        if self.masked:
            octets = masking.masked_body(octets, plain)
            whole = len(octets)
        else:
            whole = _size(db, inline, payload)
        if whole > self.most_bytes:
            self.cut[name] = whole
        return octets[: self.most_bytes]

    def outputs(self, db: Driver) -> list[tuple[str, bytes]]:
        plain = self.found.plain | self.found.envelope_plain
        made = []
        for place, (stage, inline, payload) in enumerate(_outputs(db, self.found.message_id)):
            octets = self.part(db, f"outputs:{place}", inline, payload, plain)
            if octets is not None:
                made.append((stage, octets))
        return made

    def details(self, db: Driver) -> list[tuple[str, str]]:
        rows = db.execute(_DETAILS, (self.found.message_id,)).fetchall()
        return [(stage, masking.mask(detail) if self.masked else detail) for stage, detail in rows]

    def headers(self) -> dict[str, str]:
        if not self.masked:
            return self.found.headers
        hidden = masking.masked_values(self.found.headers, self.found.envelope_plain)
        for name, value in self.found.headers.items():
            if name.endswith("_subject"):  # the owner of a certificate
                hidden[name] = masking.masked_subject(value)
        return hidden


def _note(bus: Bus, message_id: UUID, what: str, person: Person) -> None:
    hidden = "" if person.may(PERSONAL) else " (персональные данные скрыты)"
    operations.viewed(bus, message_id, what + hidden, actor=person.login)


def _outputs(db: Driver, message_id: UUID) -> list[tuple[str, bytes | None, str | None]]:
    """(stage, inline, payload) of what is still there."""
    rows: list[tuple[str, bytes | None, str | None]] = db.execute(_OUTPUTS, {"id": message_id}).fetchall()
    return [row for row in rows if not (row[2] or "").startswith(REMOVED)]


def _stream(bus: Bus, db: Driver, inline: bytes | None, payload: str | None) -> BufferedIOBase:
    return bus.payloads.open(db, payload) if payload else BytesIO(unpacked(bytes(inline or b"")))


def _size(db: Driver, inline: bytes | None, payload: str | None) -> int:
    if not payload:
        return len(unpacked(bytes(inline or b"")))
    row = db.execute("SELECT size_bytes FROM bus.payload WHERE sha256 = %s", (payload,)).fetchone()
    return int(row[0]) if row else 0


def _attachment(
    found: _Found, place: str, *, masked: bool
) -> tuple[tuple[str, str], bytes | None, str | None, frozenset[str]]:
    if not place.isdecimal() or int(place) >= len(found.attachments):
        raise _no_part()
    if masked:
        raise Permanent("Вложение нельзя показать с маской: нужно право «Персональные данные без маски»")
    one = found.attachments[int(place)]
    return (str(one["name"]), str(one["media_type"])), None, str(one["payload"]), frozenset()


def _no_part() -> Permanent:
    return Permanent("Этого содержимого нет: его не было или оно удалено по сроку хранения")


def _named(file: tuple[str, str], begin: bytes) -> str:
    name, media_type = file
    if media_type:
        return name.replace("\\", "/").rpartition("/")[2] or "file"
    return name + {"<": ".xml", "{": ".json", "[": ".json"}.get(_first(begin), ".bin")


def _media_type(media_type: str, begin: bytes) -> str:
    """Never one that a browser would run."""
    if media_type:
        return "application/octet-stream"
    return {"<": "application/xml", "{": "application/json", "[": "application/json"}.get(
        _first(begin), "application/octet-stream"
    )


def _first(begin: bytes) -> str:
    return begin.removeprefix(b"\xef\xbb\xbf").lstrip()[:1].decode("latin-1")


def _pieces(begin: bytes, stream: BufferedIOBase) -> Iterator[bytes]:
    with stream:
        yield begin
        while piece := stream.read(PIECE_BYTES):
            yield piece


_FIND: Final = """
SELECT m.seq, m.kind, m.outcome, coalesce(e.queue, ''), m.accepted_at, m.headers, m.attachments, m.body,
       m.body_payload, m.received, m.received_payload
FROM bus.message m LEFT JOIN bus.entry e USING (seq) WHERE m.id = %s
"""
_OUTPUTS: Final = """
SELECT stage, output, output_payload FROM (
    SELECT seq, stage, output, output_payload FROM bus.event
    WHERE message_id = %(id)s AND (output IS NOT NULL OR output_payload IS NOT NULL)
    UNION ALL
    SELECT 9223372036854775807, 'prepared', body, body_payload FROM bus.outgoing
    WHERE message_id = %(id)s AND (octet_length(body) > 0 OR body_payload IS NOT NULL)) AS made
ORDER BY seq
"""
_DETAILS: Final = f"""
SELECT stage, detail FROM bus.event
WHERE message_id = %s AND detail <> '' AND NOT starts_with(detail, '{REMOVED}') ORDER BY seq
"""
