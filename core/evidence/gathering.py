"""What belongs to one message, read from the journal for its package. Contents are named here, not read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from lxml import etree

from core import cards, xml
from core.configuration import version
from core.database import Database, Driver
from core.errors import BusError, Permanent
from core.evidence.proof import Row
from core.payloads import REMOVED
from core.reading import MessageRow
from core.route import Format, Route
from core.seals import rows
from core.settings import HOUSE

if TYPE_CHECKING:
    from core.bus import Bus

ROWS_MOST: Final = 5000
"""Events, and rows of the audit, of one message that go into a package."""
_LOCATION: Final = ("schemaLocation", "href")


@dataclass(frozen=True, slots=True)
class Content:
    """A content that a row names. name: of its file; sha256: "" where the row has none; octets or payload: where it is.

    personal  only for who may see personal data
    """

    name: str
    sha256: str
    octets: bytes | None = field(default=None, repr=False)
    payload: str = ""
    personal: bool = True

    @property
    def removed(self) -> bool:
        """Taken away by retention."""
        return self.octets is None and not self.payload


@dataclass(frozen=True, slots=True)
class Gathered:
    """All of it."""

    rows: list[Row]
    contents: list[Content]
    attachments: list[dict[str, Any]]
    headers: dict[str, str]
    outgoing: dict[str, Any] | None
    cut: list[str]


def gather(db: Driver, message_id: UUID) -> Gathered:
    """The rows of a message and what they name. Raises Permanent when there is no such message."""
    rows.steady(db)
    found: list[Row] = []
    cut = []
    for stream, condition, value in (
        ("message", "r.id = %s", message_id),
        ("event", "r.message_id = %s", message_id),
        ("audit", "r.object_kind = 'message' AND r.object_id = %s", str(message_id)),
    ):
        table = f"(SELECT seq FROM bus.{stream} r WHERE {condition} ORDER BY seq LIMIT {ROWS_MOST + 1})"
        texts = rows.texts(db, stream, f"r.seq IN {table}", [value])
        if len(texts) > ROWS_MOST:
            cut.append(stream)
        found += [Row(f"rows/{stream}-{seq}.json", stream, seq, text) for seq, text in texts[:ROWS_MOST]]
    if not found or found[0].stream != "message":
        raise Permanent(f"Нет сообщения {message_id}. Посмотрите список: omsbus message list")
    message = db.execute(_MESSAGE, (found[0].seq,)).fetchone()
    assert message is not None
    headers, attachments, *bodies = message
    contents = [
        Content("contents/headers.json", "", headers.encode()),
        Content("contents/attachments.json", "", attachments.encode()),
        *_pair("contents/body", *bodies[:2]),
        *_pair("contents/received", *bodies[2:]),
    ]
    named: list[dict[str, Any]] = json.loads(attachments)
    still = {one["payload"] for one in db.execute(_STILL_THERE, (found[0].seq,)).fetchone()[0]}  # type: ignore[index]
    for number, one in enumerate(named, 1):
        if one["payload"]:
            kept = one["payload"] if one["payload"] in still else ""
            contents.append(Content(f"contents/attachment-{number}", one["payload"], None, kept))
    for seq, detail, output, payload in db.execute(_EVENTS, ([row.seq for row in found if row.stream == "event"],)):
        if detail:
            gone = detail.startswith(REMOVED) and len(detail) == len(REMOVED) + 64
            contents.append(Content(f"contents/event-{seq}.detail.txt", "", None if gone else detail.encode()))
        contents += _pair(f"contents/event-{seq}.output", output, payload)
    for seq, detail in db.execute(_AUDIT, ([row.seq for row in found if row.stream == "audit"],)):
        contents.append(Content(f"contents/audit-{seq}.detail.json", "", detail.encode(), personal=False))
    outgoing = _outgoing(db, message_id)
    if outgoing:
        contents += _pair("contents/outgoing", *outgoing.pop("contents"))
        contents.append(Content("contents/outgoing-headers.json", "", outgoing.pop("headers").encode()))
    return Gathered(found, contents, named, json.loads(headers), outgoing, cut)


def _pair(name: str, octets: bytes | None, payload: str | None) -> list[Content]:
    if octets is not None:
        return [Content(name, "", bytes(octets))]
    if not payload:
        return []
    if payload.startswith(REMOVED):
        return [Content(name, payload.removeprefix(REMOVED))]
    return [Content(name, payload, None, payload)]


def _outgoing(db: Driver, message_id: UUID) -> dict[str, Any] | None:
    row = db.execute(_OUTGOING, (message_id,)).fetchone()
    if row is None:
        return None
    *values, headers, body, payload = row
    plain = {
        name: value.isoformat() if hasattr(value, "isoformat") else value
        for name, value in zip(_DEPARTURE, values, strict=True)
    }
    return {**plain, "headers": headers, "contents": (body, payload)}


def family(database: Database, message_id: UUID) -> dict[str, Any]:
    """What caused the message and what came of it: ids and heads, no contents."""
    card = cards.card(database, message_id)

    def plain(row: MessageRow) -> dict[str, Any]:
        return {
            "id": str(row.id),
            "number": row.seq,
            "kind": row.kind,
            "outcome": row.outcome,
            "queue": row.queue,
            "state": row.state,
            "source": row.source,
            "external_id": row.external_id,
            "accepted_at": row.accepted_at.isoformat(),
        }

    return {
        "message": {**plain(card.row), "reason": card.row.reason, "attempts": card.row.attempts},
        "causes": [plain(one) for one in card.causes],
        "effects": [{**plain(one.row), "depth": one.depth, "cause": str(one.cause)} for one in card.effects],
    }


def kind(bus: Bus, row: Mapping[str, Any], queue: str, body: bytes) -> tuple[dict[str, Any], list[tuple[str, bytes]]]:
    """(kind.json, the files of the format that this document has) as they are in the house now."""
    by_name = bus.routes.by_name
    route = by_name.get(queue) or by_name.get(row["kind"])
    if route is None and row["kind"] in bus.routes.by_root:
        route = bus.routes.by_root[row["kind"]][0]
    made: dict[str, Any] = {
        "kind": row["kind"],
        "version": row["version"],
        "program": version(),
        "route": route.name if route else None,
        "title": route.title if route else "",
        "formats": [],
    }
    files: dict[str, bytes] = {}
    chosen = _format_of(route, body, row["version"]) if route else None
    for form in route.formats if route else ():
        applies = form is chosen
        one: dict[str, Any] = {"version": form.version, "root": form.root, "applies": applies}
        for place, name in (("schemas", form.schema), ("transformers", form.transform)):
            one[place] = []
            for path, octets in _closure(HOUSE / place, name).items() if applies and name else ():
                files[f"kind/{place}/{path}"] = octets
                one[place].append(f"kind/{place}/{path}")
        made["formats"].append(one)
    return made, sorted(files.items())


def _format_of(route: Route, body: bytes, told: str) -> Format | None:
    try:
        root = str(xml.parse(body).tag) if body else ""
    except BusError:
        root = ""
    by_root = [form for form in route.formats if form.root == root]
    by_version = [form for form in route.formats if form.version == told]
    return next(iter(by_root or by_version), None)


def _closure(folder: Any, name: str) -> dict[str, bytes]:
    """A file with those of our own that it refers to, by path below the folder."""
    found: dict[str, bytes] = {}
    waiting = [folder / name]
    while waiting:
        path = waiting.pop().resolve()
        if not path.is_relative_to(folder) or not path.is_file():
            continue
        inside = path.relative_to(folder).as_posix()
        if inside in found:
            continue
        found[inside] = path.read_bytes()
        if path.suffix in (".xsd", ".xsl", ".xslt"):
            waiting += [path.parent / one for one in _references(found[inside])]
    return found


def _references(octets: bytes) -> Sequence[str]:
    root = etree.fromstring(octets, etree.XMLParser(no_network=True, load_dtd=False, resolve_entities=False))
    return [
        value
        for element in root.iter("{*}import", "{*}include", "{*}redefine")
        for value in map(element.get, _LOCATION)
        if value and ":" not in value
    ]


_MESSAGE: Final = f"""
SELECT r.headers::text, {rows.ATTACHMENTS}, r.body, r.body_payload, r.received, r.received_payload
FROM bus.message r WHERE r.seq = %s
"""
_STILL_THERE: Final = "SELECT attachments FROM bus.message WHERE seq = %s"
_EVENTS: Final = "SELECT seq, detail, output, output_payload FROM bus.event WHERE seq = ANY(%s) ORDER BY seq"
_AUDIT: Final = "SELECT seq, detail::text FROM bus.audit WHERE seq = ANY(%s) ORDER BY seq"
_DEPARTURE: Final = (
    "sink",
    "external_id",
    "replies_to",
    "sends",
    "prepared_at",
    "confirmed_at",
    "answer_due_at",
    "answered_at",
    "answer",
)
_OUTGOING: Final = (
    f"SELECT {', '.join(_DEPARTURE)}, headers::text, body, body_payload FROM bus.outgoing WHERE message_id = %s"
)
