"""What the far side knows: every message with its deliveries, acknowledgements and answers; counts by kind."""

from __future__ import annotations

from typing import Any

from simulators.smev3.store import Connection, Row

_MESSAGES = """
select m.seq, m.message_id, m.what, m.message_type, m.version, m.sender, m.recipient, m.kind, m.namespace, m.root,
       m.content, m.details, m.node, m.original_message_id, m.reference_id, m.transaction_code, m.sent_at, m.eol,
       m.status, m.validate_at is not null as validation_pending, m.scripted, m.tag, length(m.data) as data_bytes,
       m.attachment_bytes,
       coalesce((select jsonb_agg(jsonb_build_object(
                     'recipient', e.recipient, 'queue', e.queue, 'deliveries', e.deliveries,
                     'first_delivered_at', e.first_delivered_at, 'last_delivered_at', e.last_delivered_at,
                     'reserved_until', e.reserved_until, 'closed_at', e.closed_at, 'closed_by', e.closed_by,
                     'accepted', e.accepted) order by e.seq)
                 from sim_smev.entry e where e.message_id = m.message_id), '[]') as entries,
       coalesce((select jsonb_agg(jsonb_build_object(
                     'at', a.at, 'caller', a.caller, 'accepted', a.accepted, 'found', a.found) order by a.seq)
                 from sim_smev.acknowledgement a where a.message_id = m.message_id), '[]') as acknowledgements,
       coalesce((select jsonb_agg(jsonb_build_object(
                     'message_id', r.message_id, 'sender', r.sender, 'content', r.content, 'details', r.details,
                     'at', r.sent_at, 'status', r.status) order by r.seq)
                 from sim_smev.message r
                 where r.original_message_id = m.message_id and m.what = 'request'), '[]') as answers
from sim_smev.message m
"""

_QUEUES = """
with acks as (
    select message_id, caller, count(*) filter (where accepted) as yes, count(*) filter (where not accepted) as no
    from sim_smev.acknowledgement where found group by message_id, caller)
select m.kind, e.queue, m.sender, e.recipient, count(*) as sent,
       count(*) filter (where e.deliveries > 0) as delivered,
       coalesce(sum(greatest(e.deliveries - 1, 0)), 0)::bigint as redelivered,
       count(*) filter (where coalesce(a.yes, 0) > 0) as acked_true,
       count(*) filter (where coalesce(a.no, 0) > 0) as acked_false,
       count(*) filter (where e.closed_at is null) as open
from sim_smev.entry e join sim_smev.message m using (message_id)
left join acks a on a.message_id = e.message_id and a.caller = e.recipient
group by m.kind, e.queue, m.sender, e.recipient order by m.kind, e.queue, m.sender, e.recipient
"""

_ANSWERS = """
with requests as (select message_id, kind, sender, status from sim_smev.message where what = 'request'),
answers as (
    select original_message_id as message_id, sender,
           count(*) filter (where content in ('content', 'rejected') and status not like '%RejectedBySmev') as final,
           count(*) filter (where content = 'status') as intermediate,
           count(*) filter (where content = 'async') as asynchronous
    from sim_smev.message where original_message_id is not null and what <> 'status'
    group by original_message_id, sender)
select q.kind, q.sender, count(distinct q.message_id) as requests,
       count(distinct q.message_id) filter (where a.final > 0) as answered,
       coalesce(sum(a.final), 0)::bigint as answers,
       count(*) filter (where a.final > 1) as doubled,
       coalesce(sum(a.intermediate), 0)::bigint as intermediate,
       count(distinct q.message_id) filter (where q.status like '%RejectedBySmev') as rejected_by_smev
from requests q left join answers a using (message_id)
group by q.kind, q.sender order by q.kind, q.sender
"""


def messages(conn: Connection, filters: dict[str, str], after: int, limit: int) -> list[Row]:
    """Messages with seq greater than `after`. Filters by equality: kind, sender, recipient, what, content, status,
    tag, version, message_id, original_message_id. ValueError (Russian) for another filter."""
    allowed = {
        "kind", "sender", "recipient", "what", "content", "status", "tag", "version", "message_id",
        "original_message_id",
    }  # fmt: skip
    if strange := set(filters) - allowed:
        raise ValueError(f"Неизвестный отбор: {', '.join(sorted(strange))}. Есть: {', '.join(sorted(allowed))}")
    conditions = ["m.seq > %(after)s"]
    for name in filters:
        if name == "recipient":
            conditions.append(
                "(m.recipient = %(recipient)s or exists (select 1 from sim_smev.entry e"
                " where e.message_id = m.message_id and e.recipient = %(recipient)s))"
            )
        else:
            conditions.append(f"m.{name} = %({name})s")
    return conn.execute(
        _MESSAGES + " where " + " and ".join(conditions) + " order by m.seq limit %(limit)s",
        filters | {"after": after, "limit": limit},
    ).fetchall()


def data_of(conn: Connection, message_id: str) -> Row | None:
    """The signed octets of one message and its signature."""
    return conn.execute(
        "select message_id, data, signature from sim_smev.message where message_id = %s", (message_id,)
    ).fetchone()


def summary(conn: Connection) -> dict[str, Any]:
    """`queues`: by kind, queue, sender and recipient; `requests`: how requests were answered, by kind and sender."""
    totals = conn.execute(
        "select (select count(*) from sim_smev.message) as messages,"
        " (select count(*) from sim_smev.message where validate_at is not null) as pending_validation,"
        " (select count(*) from sim_smev.entry where closed_at is null) as open_entries,"
        " (select count(*) from sim_smev.envelope) as envelopes,"
        " (select count(*) from sim_smev.acknowledgement where not found) as late_acknowledgements"
    ).fetchone()
    return {
        "totals": totals,
        "queues": conn.execute(_QUEUES).fetchall(),
        "requests": conn.execute(_ANSWERS).fetchall(),
    }
