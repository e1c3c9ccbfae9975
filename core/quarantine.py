"""What is in quarantine, grouped by reason: one defect, one group, however many messages it caught.

Two reasons are one when they differ in ids, digests and numbers only (`bus.reason_form` of migration 0008), have the
same class of error and stand in the same queue. Every look is a dive into the index `entry_reason`: its cost grows with
the groups, never with the journal.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from core.database import Database, driver, storable
from core.errors import ConfigError
from core.reading import MESSAGE_COLUMNS, MessageRow

GROUPS_MOST: Final = 200
COUNT_MOST: Final = 10_000
"""Messages counted in all for a list of groups; of one group for its page."""
COUNT_EACH: Final = 100
"""Messages of a group that are counted even when the others used all of COUNT_MOST."""
_ALL: Final = 2**63 - 1

ADVICE: Final = {
    "MalformedXml": "Содержимое не читается как XML. Исправьте его правкой или отклоните и попросите прислать заново.",
    "SchemaViolation": "Документ не по схеме. Исправьте его правкой или отклоните и попросите прислать заново.",
    "SignatureRejected": "Подпись не принята. Проверьте сертификат и часы отправителя; без верной подписи отклоните.",
    "UnknownKind": "Этого шина не знает. Подключите вид сведений и отправьте повторно, либо отклоните.",
    "IdReused": "Под одним идентификатором два содержимых. Выясните верное: одно отправьте, другое отклоните.",
    "Permanent": "Повтор без изменений не поможет: устраните причину, затем отправьте повторно.",
    "ConfigError": "Исправьте настройки, затем отправьте повторно.",
    "Retryable": "Повторы закончились. Когда причина устранена, отправьте повторно.",
    "Unavailable": "Другая сторона долго не отвечала. Когда она доступна, отправьте повторно.",
}
"""Class of an error → what to do about a whole group."""
_DEFECT: Final = (
    "Ошибка в программе обработки: передайте разработчику. После исправления отправьте повторно все сообщения группы."
)


@dataclass(frozen=True, slots=True)
class Group:
    """Messages in quarantine for one reason.

    reason     as it stands at the newest of them           name    with the queue it names the group
    kind       of the newest one                            many    how many; `is_more`: at least so many
    first, last  sequence numbers; oldest_at, newest_at: when the first and the last of them were accepted
    """

    queue: str
    name: str
    error: str
    reason: str
    kind: str
    many: int
    is_more: bool
    first: int
    last: int
    oldest_at: datetime
    newest_at: datetime

    @property
    def advice(self) -> str:
        return ADVICE.get(self.error, _DEFECT)


@dataclass(frozen=True, slots=True)
class Chosen:
    """All messages of a group: what a job may be started over."""

    queue: str
    group: str


def groups(database: Database, queue: str = "") -> list[Group]:
    """The groups of one queue or of all, the largest first; at most GROUPS_MOST of the whole quarantine."""
    with database.transaction() as connection:
        rows = driver(connection).execute(_GROUPS, (GROUPS_MOST, COUNT_MOST, COUNT_EACH)).fetchall()
    found = [Group(*row) for row in rows if queue in ("", row[0])]
    return sorted(found, key=lambda one: (-one.many, one.queue, one.name))


def group(database: Database, queue: str, name: str) -> Group:
    """Raises ConfigError when nothing is in quarantine for this reason any more."""
    with database.transaction() as connection:
        row = driver(connection).execute(_GROUP, (storable(queue), storable(name), COUNT_MOST)).fetchone()
    if row is None:
        raise ConfigError("По этой причине в карантине больше ничего нет: посмотрите весь карантин")
    return Group(*row)


def messages(database: Database, queue: str, name: str, limit: int, *, before: int | None = None) -> list[MessageRow]:
    """One page of a group, the newest first; the next one is `before` the last row's seq."""
    before = max(0, min(before or _ALL, _ALL))
    with database.transaction() as connection:
        rows = driver(connection).execute(_MESSAGES, (storable(queue), storable(name), before, limit))
        return [MessageRow(*row) for row in rows]


def ids(database: Database, chosen: Chosen, limit: int) -> list[UUID]:
    """The messages of a group, the newest first."""
    with database.transaction() as connection:
        rows = driver(connection).execute(
            "SELECT message_id FROM bus.quarantined(%s, %s, %s, %s)",
            (storable(chosen.queue), storable(chosen.group), _ALL, limit),
        )
        return [row[0] for row in rows]


_COLUMNS: Final = (
    "g.queue, g.reason, e.error, e.reason, n.kind, g.many, g.is_more, g.first, g.last, o.accepted_at, n.accepted_at"
)
_JOINS: Final = (
    "JOIN bus.entry e ON e.seq = g.last JOIN bus.message n ON n.seq = g.last JOIN bus.message o ON o.seq = g.first"
)
_GROUPS: Final = f"SELECT {_COLUMNS} FROM bus.quarantine(%s, %s, %s) AS g {_JOINS}"
_GROUP: Final = f"SELECT {_COLUMNS} FROM bus.quarantine_of(%s, %s, %s) AS g {_JOINS}"
_MESSAGES: Final = f"""
SELECT {MESSAGE_COLUMNS} FROM bus.quarantined(%s, %s, %s, %s) AS q
JOIN bus.entry e USING (seq) JOIN bus.message m USING (seq) ORDER BY e.seq DESC
"""
