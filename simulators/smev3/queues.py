"""Messages and queues in SQL: accept, claim, acknowledge, expire. Every function works inside the caller's transaction.

A queue is (recipient, request | response | status, version): a message signed in the namespace of one version
cannot be delivered in another without breaking its signature. Inside it entries stand oldest first; a claim
reserves an entry until its acknowledgement or until the reservation lapses.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from simulators.smev3.store import Connection, Row


@dataclass
class Sent:
    """A message as accepted from its sender; fields are the columns of sim_smev.message."""

    message_id: str
    what: str
    message_type: str
    version: str
    sender: str
    recipient: str | None
    kind: str
    namespace: str
    root: str
    content: str
    sent_at: datetime
    status: str
    data: bytes
    signature: bytes = b""
    details: str = ""
    node: str | None = None
    original_message_id: str | None = None
    reference_id: str | None = None
    transaction_code: str | None = None
    reply_to: str = ""
    eol: datetime | None = None
    validate_at: datetime | None = None
    checks_payload: bool = True
    scripted: bool = False
    tag: str = ""
    refs: list[str] = field(default_factory=list)
    attachment_bytes: int = 0


@dataclass(frozen=True)
class Place:
    """Where a message goes: the recipient's queue, the types that a selector may name, the node or None."""

    recipient: str
    queue: str
    types: list[str]
    node: str | None = None


def type_name(namespace: str, root: str) -> str:
    return f"{{{namespace}}}{root}"


def accept(conn: Connection, sent: Sent, places: list[Place]) -> bool:
    """Store the message and stand it in its queues. False when its id is known already (nothing is changed)."""
    values = asdict(sent) | {"refs": Jsonb(sent.refs)}
    columns = sql.SQL(", ").join(map(sql.Identifier, values))
    marks = sql.SQL(", ").join(map(sql.Placeholder, values))
    inserted = conn.execute(
        sql.SQL(
            "insert into sim_smev.message ({}) values ({}) on conflict (message_id) do nothing returning seq"
        ).format(columns, marks),
        values,
    ).fetchone()
    if inserted is None:
        return False
    for place in places:
        conn.execute(
            "insert into sim_smev.entry (message_id, recipient, queue, version, types, node, visible_at)"
            " values (%s, %s, %s, %s, %s, %s, %s)",
            (
                sent.message_id, place.recipient, place.queue, sent.version, place.types, place.node,
                "infinity" if sent.validate_at is not None else sent.sent_at,
            ),
        )  # fmt: skip
    return True


def keep_attachments(conn: Connection, message_id: str, parts: list[tuple[str, str, bytes]]) -> None:
    """Store MTOM contents: (contentId, MIME type, bytes)."""
    for content_id, mime_type, body in parts:
        conn.execute(
            "insert into sim_smev.attachment values (%s, %s, %s, %s)", (message_id, content_id, mime_type, body)
        )


def attachments_of(conn: Connection, message_id: str) -> list[Row]:
    return conn.execute(
        "select content_id, mime_type, body from sim_smev.attachment where message_id = %s order by content_id",
        (message_id,),
    ).fetchall()


def message(conn: Connection, message_id: str) -> Row | None:
    return conn.execute("select * from sim_smev.message where message_id = %s", (message_id,)).fetchone()


def waiting(conn: Connection, recipient: str, queue: str, limit: int) -> int:
    """How many messages wait in the queue, counted up to `limit`."""
    row = conn.execute(
        "select count(*) as n from (select 1 from sim_smev.entry"
        " where recipient = %s and queue = %s and closed_at is null limit %s) as found",
        (recipient, queue, limit),
    ).fetchone()
    return int(row["n"]) if row else 0


def attachment_bytes_in_use(conn: Connection, sender: str) -> int:
    row = conn.execute(
        "select coalesce(sum(attachment_bytes), 0) as n from sim_smev.message where sender = %s"
        " and attachment_bytes > 0",
        (sender,),
    ).fetchone()
    return int(row["n"]) if row else 0


def claim(
    conn: Connection,
    *,
    recipient: str,
    queue: str,
    version: str,
    now: datetime,
    reserve_s: float,
    reserve_per_mib: float = 0.0,
    selector: str | None = None,
    node: str | None = None,
    kinds: list[str] | None = None,
    newest_first: bool = False,
    any_node: bool = False,
) -> Row | None:
    """Hand out the oldest free entry with its message, reserved until its acknowledgement; None = empty queue.

    selector: `{namespace}root` or None for any type. node: only that node's entries; None = only the common queue.
    """
    conditions = [
        "e.recipient = %(recipient)s and e.queue = %(queue)s and e.version = %(version)s and e.closed_at is null",
        "e.visible_at <= %(now)s and (m.eol is null or m.eol > %(now)s)",
    ]
    if not any_node:
        conditions.append("e.node is not distinct from %(node)s")
    if selector is not None:
        conditions.append("%(selector)s = any(e.types)")
    if kinds is not None:
        conditions.append("m.kind = any(%(kinds)s)")
    found = conn.execute(
        "select e.seq, m.attachment_bytes from sim_smev.entry e join sim_smev.message m using (message_id) where "
        + " and ".join(conditions)
        + f" order by e.seq {'desc' if newest_first else 'asc'} limit 1 for update of e skip locked",
        {
            "recipient": recipient, "queue": queue, "version": version, "now": now, "node": node,
            "selector": selector, "kinds": kinds,
        },
    ).fetchone()  # fmt: skip
    if found is None:
        return None
    until = now + timedelta(seconds=reserve_s * (1 + reserve_per_mib * found["attachment_bytes"] / 1024 / 1024))
    entry = conn.execute(
        "update sim_smev.entry set deliveries = deliveries + 1, reserved_until = %s, visible_at = %s,"
        " first_delivered_at = coalesce(first_delivered_at, %s), last_delivered_at = %s where seq = %s returning *",
        (until, until, now, now, found["seq"]),
    ).fetchone()
    assert entry is not None
    body = message(conn, entry["message_id"])
    assert body is not None
    return body | {"entry": entry}


def order_repeat(conn: Connection, entry_seq: int, times: int) -> None:
    """After its acknowledgement the entry comes again `times` times, as if the acknowledgement had been lost."""
    conn.execute("update sim_smev.entry set repeats = repeats + %s where seq = %s", (times, entry_seq))


def acknowledge(conn: Connection, caller: str, message_id: str, accepted: bool | None, now: datetime) -> bool:
    """Close the reserved entry. False when nothing of that id awaits the caller's acknowledgement."""
    entry = conn.execute(
        "select seq, repeats from sim_smev.entry where message_id = %s and recipient = %s and closed_at is null"
        " and reserved_until > %s for update",
        (message_id, caller, now),
    ).fetchone()
    conn.execute(
        "insert into sim_smev.acknowledgement (at, caller, message_id, accepted, found) values (%s, %s, %s, %s, %s)",
        (now, caller, message_id, accepted, entry is not None),
    )
    if entry is None:
        return False
    if entry["repeats"] > 0:
        conn.execute(
            "update sim_smev.entry set repeats = repeats - 1, reserved_until = null, visible_at = %s where seq = %s",
            (now, entry["seq"]),
        )
    else:
        close(conn, entry["seq"], "ack", now, accepted)
    return True


def close(conn: Connection, entry_seq: int, by: str, now: datetime, accepted: bool | None = None) -> None:
    conn.execute(
        "update sim_smev.entry set closed_at = %s, closed_by = %s, accepted = %s where seq = %s",
        (now, by, accepted, entry_seq),
    )


def due_for_validation(conn: Connection, now: datetime, limit: int) -> list[Row]:
    """Messages whose asynchronous validation is due, locked for this transaction."""
    return conn.execute(
        "select * from sim_smev.message where validate_at <= %s order by seq limit %s for update skip locked",
        (now, limit),
    ).fetchall()


def validated(conn: Connection, message_id: str, status: str, visible_at: datetime | None) -> None:
    """End of validation: the entries become visible, or leave the queue when `visible_at` is None."""
    conn.execute(
        "update sim_smev.message set validate_at = null, status = %s where message_id = %s", (status, message_id)
    )
    if visible_at is None:
        conn.execute("delete from sim_smev.entry where message_id = %s", (message_id,))
    else:
        conn.execute("update sim_smev.entry set visible_at = %s where message_id = %s", (visible_at, message_id))


def set_status(conn: Connection, message_id: str, status: str) -> None:
    conn.execute(
        "update sim_smev.message set status = %s where message_id = %s and status <> %s", (status, message_id, status)
    )


def expired(conn: Connection, now: datetime, limit: int) -> list[Row]:
    """Requests whose life ended while they stood in a queue unreserved."""
    return conn.execute(
        "select m.*, e.seq as entry_seq from sim_smev.entry e join sim_smev.message m using (message_id)"
        " where e.closed_at is null and m.eol <= %s and (e.reserved_until is null or e.reserved_until <= %s)"
        " order by e.seq limit %s for update of e skip locked",
        (now, now, limit),
    ).fetchall()


def statistics(conn: Connection, recipient: str, node: str | None, version: str) -> list[Row]:
    """Waiting messages by queue, for GetIncomingQueueStatistics."""
    return conn.execute(
        "select queue, count(*) as waiting from sim_smev.entry where recipient = %s and version = %s"
        " and closed_at is null and visible_at < 'infinity' and (%s::text is null or node = %s)"
        " group by queue order by queue",
        (recipient, version, node, node),
    ).fetchall()


def mean_poll_interval_s(conn: Connection, caller: str, queue: str, now: datetime, window: int) -> float | None:
    """Mean pause between the last `window` polls, this one included; None until there are so many."""
    row = conn.execute(
        "select count(*) as n, min(at) as first from (select at from sim_smev.poll"
        " where caller = %s and queue = %s order by seq desc limit %s) as last",
        (caller, queue, window - 1),
    ).fetchone()
    if row is None or row["n"] < window - 1:
        return None
    first: Any = row["first"]
    return float((now - first).total_seconds()) / (window - 1)


def note_poll(conn: Connection, caller: str, queue: str, now: datetime) -> None:
    conn.execute("insert into sim_smev.poll (caller, queue, at) values (%s, %s, %s)", (caller, queue, now))


def waiting_for(conn: Connection, recipients: list[str], now: datetime) -> set[tuple[str, str, str]]:
    """(recipient, queue, version) of these recipients' queues that have something to take now."""
    rows = conn.execute(
        "select distinct recipient, queue, version from sim_smev.entry"
        " where recipient = any(%s) and closed_at is null and visible_at <= %s",
        (recipients, now),
    ).fetchall()
    return {(row["recipient"], row["queue"], row["version"]) for row in rows}
