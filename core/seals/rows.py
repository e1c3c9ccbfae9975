"""Rows of the four sealed streams: their canonical text, and the leaf of each.

The canonical text is one JSON object, its keys in a fixed order, without a space between them (docs/evidence.md).
Contents (bodies, envelopes, outputs, details, headers, attachments) stand in it by their sha256: retention, which puts
`removed:<sha256>` in their place, changes no leaf, and a text shows nothing personal.

PostgreSQL makes texts and leaves; only what is packed (core.payloads) is unpacked and hashed here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from core.database import Database, Driver, driver
from core.errors import Permanent
from core.payloads import ZSTD_MAGIC, unpacked
from core.seals import merkle

PAGE_ROWS: Final = 250
"""Rows read at once: with two inline bodies of 64 KiB each that is 32 MiB at most."""
LOWEST: Final = -(2**63)


@dataclass(frozen=True, slots=True)
class Stream:
    """A table whose rows are sealed in the order of `seq`.

    head  SQL of the canonical text up to the contents; the table has the alias r
    contents  (key, SQL of the bytes, SQL of the payload's name), which end the text
    """

    name: str
    title: str
    head: str
    contents: tuple[tuple[str, str, str], ...] = ()

    @property
    def moment(self) -> str:
        """Column that tells when a row was written."""
        return "accepted_at" if self.name == "message" else "at"

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(key for key, _, _ in self.contents)


def _text(*names: str) -> str:
    """SQL of `,"name":<JSON text>` for columns of text."""
    return " || ".join(f"""',"{name}":' || to_json(r.{name})::text""" for name in names)


def _moment(name: str) -> str:
    moment = f"""to_char(r.{name} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
    return f"""',"{name}":"' || {moment} || '"'"""


def _optional(name: str) -> str:
    """SQL of `,"name":"text"` or null, for values whose text needs no escaping."""
    return f"""',"{name}":' || coalesce('"' || r.{name}::text || '"', 'null')"""


def _digest(name: str, text: str) -> str:
    return f"""',"{name}":"' || encode(sha256(convert_to({text}, 'UTF8')), 'hex') || '"'"""


_MARK: Final = "^removed:[0-9a-f]{64}$"
ATTACHMENTS: Final = f"""
CASE WHEN strpos(r.attachments::text, '"removed:') = 0 THEN r.attachments::text ELSE (
    SELECT jsonb_agg(CASE WHEN one.value->>'payload' ~ '{_MARK}'
        THEN jsonb_set(one.value, '{{payload}}', to_jsonb(substr(one.value->>'payload', 9))) ELSE one.value END
        ORDER BY one.ordinality)::text
    FROM jsonb_array_elements(r.attachments) WITH ORDINALITY AS one) END
"""
"""SQL of the attachments as they were before retention."""
_DETAIL: Final = f"""
',"detail":"' || CASE WHEN r.detail = '' THEN '' WHEN starts_with(r.detail, 'removed:') AND r.detail ~ '{_MARK}'
    THEN substr(r.detail, 9) ELSE encode(sha256(convert_to(r.detail, 'UTF8')), 'hex') END || '"'
"""

STREAMS: Final = {
    one.name: one
    for one in (
        Stream(
            "message",
            "Сообщения",
            " || ".join(
                (
                    _optional("id"),
                    _text("kind", "version", "key", "source", "external_id", "fingerprint", "outcome"),
                    _optional("cause"),
                    _text("in_reply_to", "replies_to"),
                    _optional("reply_within_s"),
                    _moment("accepted_at"),
                    _digest("headers", "r.headers::text"),
                    _digest("attachments", ATTACHMENTS),
                )
            ),
            (("body", "r.body", "r.body_payload"), ("received", "r.received", "r.received_payload")),
        ),
        Stream(
            "event",
            "События сообщений",
            " || ".join(
                (
                    _optional("message_id"),
                    _moment("at"),
                    _text("stage"),
                    _optional("attempt"),
                    _text("actor", "note"),
                    _DETAIL,
                    _optional("duration_ms"),
                )
            ),
            (("output", "r.output", "r.output_payload"),),
        ),
        Stream(
            "audit",
            "Аудит действий",
            " || ".join(
                (
                    _moment("at"),
                    _text("actor", "via", "address", "action", "object_kind", "object_id", "note"),
                    _digest("detail", "r.detail::text"),
                )
            ),
        ),
        Stream(
            "removal",
            "Удаления по сроку хранения",
            " || ".join((_moment("at"), _text("stream"), _optional("numbers"), _optional("count"))).replace(
                '"stream":', '"of":'
            ),
        ),
    )
}
"""Stream → what it is; the table is bus.<name>."""

_MAGIC: Final = f"'\\x{ZSTD_MAGIC.hex()}'::bytea"


def _select(stream: Stream, condition: str) -> str:
    """(seq, head, a digest a content, packed bytes a content): packed ones have no digest yet."""
    columns = [f"""'{{"stream":"{stream.name}","seq":' || r.seq || {stream.head} AS head"""]
    for key, octets, payload in stream.contents:
        columns.append(
            f"CASE WHEN {octets} IS NULL THEN CASE WHEN starts_with({payload}, 'removed:') THEN substr({payload}, 9) "
            f"ELSE {payload} END WHEN substring({octets} FROM 1 FOR 4) <> {_MAGIC} "
            f"THEN encode(sha256({octets}), 'hex') END AS {key}"
        )
    for key, octets, _ in stream.contents:
        columns.append(f"CASE WHEN substring({octets} FROM 1 FOR 4) = {_MAGIC} THEN {octets} END AS packed_{key}")
    return f"SELECT r.seq, {', '.join(columns)} FROM bus.{stream.name} r WHERE {condition}"


def _leaves(stream: Stream) -> str:
    """(seq, leaf or NULL, head where there is no leaf, digests, packed bytes)."""
    inner = _select(stream, "r.seq > %s AND r.seq <= %s ORDER BY r.seq LIMIT %s")
    packed = " OR ".join(f"p.packed_{key} IS NOT NULL" for key in stream.keys) or "false"
    ends = [f"""',"{key}":' || coalesce('"' || p.{key} || '"', 'null')""" for key in stream.keys]
    text = " || ".join(["p.head", *ends, "'}'"])
    values = "".join(f", p.{key}" for key in stream.keys) + "".join(f", p.packed_{key}" for key in stream.keys)
    return (
        f"SELECT p.seq, CASE WHEN {packed} THEN NULL ELSE sha256('\\x00'::bytea || convert_to({text}, 'UTF8')) END, "
        f"CASE WHEN {packed} THEN p.head END{values} FROM ({inner}) p ORDER BY p.seq"
    )


_LEAVES: Final = {name: _leaves(stream) for name, stream in STREAMS.items()}


def steady(db: Driver) -> None:
    """For the rest of the transaction: no setting of a role or a database changes a text."""
    db.execute("SET LOCAL search_path = pg_catalog")
    db.execute("SET LOCAL extra_float_digits = 1")


def leaves(database: Database, stream: str, after: int, last: int, limit: int) -> Iterator[list[tuple[int, bytes]]]:
    """(seq, leaf) of the first `limit` rows above `after` up to `last`, a page at a time, in order of seq."""
    while limit > 0:
        wanted = min(limit, PAGE_ROWS)
        with database.transaction(durable=False) as connection:
            db = driver(connection)
            steady(db)
            rows = db.execute(_LEAVES[stream], (after, last, wanted), binary=True).fetchall()
        if rows:
            yield [_leaf_of(STREAMS[stream], row) for row in rows]
        if len(rows) < wanted:
            return
        limit -= wanted
        after = rows[-1][0]


def texts(db: Driver, stream: str, condition: str, values: Sequence[Any]) -> list[tuple[int, bytes]]:
    """(seq, canonical text in UTF-8) of the rows r for which `condition` holds, in order of seq. See `steady`."""
    kind = STREAMS[stream]
    rows = db.execute(f"{_select(kind, condition)} ORDER BY r.seq", values, binary=True).fetchall()
    return [(row[0], _whole(kind, row[1], row[2:])) for row in rows]


def _leaf_of(stream: Stream, row: tuple[Any, ...]) -> tuple[int, bytes]:
    if row[1] is not None:
        return row[0], bytes(row[1])
    return row[0], merkle.leaf(_whole(stream, row[2], row[3:]))


def _whole(stream: Stream, head: str, contents: Sequence[Any]) -> bytes:
    """The head with the digests of its contents: those given, then the packed bytes."""
    count = len(stream.contents)
    for key, digest, packed in zip(stream.keys, contents[:count], contents[count:], strict=True):
        found = digest if packed is None else _of_packed(bytes(packed))
        head += f',"{key}":"{found}"' if found is not None else f',"{key}":null'
    return (head + "}").encode()


def _of_packed(octets: bytes) -> str:
    try:
        return hashlib.sha256(unpacked(octets)).hexdigest()
    except Permanent:  # damaged: of what is there, as core.removal does
        return hashlib.sha256(octets).hexdigest()
