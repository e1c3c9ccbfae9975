"""A job over many messages: resend or drop them at a pace, stop after too many errors, pause, go on, cancel.

    job = bulk.start(bus, quarantine.Chosen("erz", group), "resend", rate_per_s=20, errors_most=5, actor="smirnova")

What was chosen is frozen at the start, a row a message. core.bulk_work does it: one process of the cluster, one
transaction for a message's deed and its row, so that no crash sends anything twice. An item has succeeded when its
message was handled or sent, failed when it came to quarantine again (or could not be sent again at all).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from core import audit, printing, quarantine
from core.database import Database, Driver, driver, storable
from core.errors import ConfigError, Permanent
from core.quarantine import Chosen
from core.reading import Wanted
from core.search import finding

if TYPE_CHECKING:
    from core.bus import Bus

CHOSEN_MOST: Final = 100_000
"""Messages of one job."""
RATE_MOST_PER_S: Final = 1000.0
RATE_PER_S: Final = 20.0
ERRORS_MOST: Final = 10
"""What a job begins with unless a person says otherwise."""
TITLE_MOST: Final = 300
"""Characters."""
KEPT_DAYS: Final = 365
"""A finished job and its rows are forgotten after so long; the journal of each message keeps what was done."""

ACTIONS: Final = {"resend": "Отправить повторно", "drop": "Отклонить"}
STATES: Final = {
    "planned": "ждёт начала", "running": "выполняется", "paused": "на паузе", "done": "выполнено",
    "cancelled": "отменено", "stopped": "остановлено из-за ошибок",
}  # fmt: skip
ITEM_STATES: Final = {
    "waiting": "ещё не отправлено", "under_way": "в работе", "succeeded": "успешно", "failed": "ошибка",
    "skipped": "не понадобилось",
}  # fmt: skip
CHANGES: Final = {
    "pause": (("planned", "running"), "paused", "bulk.paused", "поставлено на паузу"),
    "continue": (("paused", "stopped"), "running", "bulk.continued", "продолжено"),
    "cancel": (("planned", "running", "paused", "stopped"), "cancelled", "bulk.cancelled", "отменено"),
}
"""What a person may do: from which states, to which, under which name in the audit, in words."""


@dataclass(frozen=True, slots=True)
class Job:
    """A row of bus.bulk. total = waiting + under_way + succeeded + failed + skipped.

    errors_most  stops after so many errors, counted from the last time that a person let it go on; 0: never
    note         why it was stopped            reason  why the messages are dropped
    """

    id: int
    action: str
    title: str
    reason: str
    rate_per_s: float
    errors_most: int
    errors_before: int
    state: str
    note: str
    total: int
    waiting: int
    under_way: int
    succeeded: int
    failed: int
    skipped: int
    created_at: datetime
    created_by: str
    started_at: datetime | None
    finished_at: datetime | None
    changed_at: datetime
    changed_by: str

    @property
    def sent(self) -> int:
        """How many were sent (or dropped, or tried to)."""
        return self.total - self.waiting

    @property
    def over(self) -> bool:
        """Nothing will change any more."""
        return self.state in ("done", "cancelled") and not self.under_way


@dataclass(frozen=True, slots=True)
class Item:
    """A message of a job. went_id: what was sent, itself or a copy. seq, kind, queue: None when its record is gone."""

    place: int
    message_id: UUID
    was: str
    state: str
    went_id: UUID | None
    note: str
    changed_at: datetime | None
    seq: int | None
    kind: str | None
    queue: str | None


def start(
    bus: Bus,
    chosen: Sequence[UUID] | Wanted | Chosen,
    action: str,
    *,
    actor: str,
    rate_per_s: float = RATE_PER_S,
    errors_most: int = ERRORS_MOST,
    reason: str = "",
    title: str = "",
) -> int:
    """Freeze what is chosen and begin; the number of the job.

    title: what was chosen, in words, where no filter and no group says it.

    A filter chooses only what is in quarantine or waits for a retry. Raises ConfigError for numbers or a filter that
    make no sense, Permanent when nothing is chosen, too much, or an id is unknown.
    """
    _check(chosen, action, rate_per_s, errors_most, reason)
    with bus.database.transaction() as connection:
        db = driver(connection)
        row = db.execute(
            "INSERT INTO bus.bulk (action, title, reason, rate_per_s, errors_most, total, waiting, created_by, "
            "changed_by) VALUES (%s, %s, %s, %s, %s, 0, 0, %s, %s) RETURNING id",
            (
                action,
                storable(printing.short(title or _title(bus.database, chosen), TITLE_MOST)),
                storable(reason),
                rate_per_s,
                errors_most,
                actor,
                actor,
            ),
        ).fetchone()
        assert row
        total = _freeze(db, row[0], chosen)
        db.execute("UPDATE bus.bulk SET total = %s, waiting = %s WHERE id = %s", (total, total, row[0]))
        note = f"Задание № {row[0]} начато: {ACTIONS[action].lower()}, сообщений: {total}"
        detail = {"action": action, "total": total, "rate_per_s": rate_per_s, "errors_most": errors_most}
        audit.record(db, actor, "bulk.started", "bulk", str(row[0]), note, detail)
    _wake(bus)
    return int(row[0])


def change(bus: Bus, job_id: int, what: str, *, actor: str) -> None:
    """what: pause, continue, cancel. Raises ConfigError for a job that is unknown, Permanent when it is too late."""
    if what not in CHANGES:
        raise ConfigError(f"Нет действия «{what}». Есть: {', '.join(CHANGES)}")
    sources, state, action, words = CHANGES[what]
    with bus.database.transaction() as connection:
        db = driver(connection)
        now = locked(db, job_id)
        if now.state not in sources:
            raise Permanent(f"Задание № {job_id} не может быть {words}: оно {STATES[now.state]}")
        db.execute(
            "UPDATE bus.bulk SET state = %(state)s, note = '', changed_at = clock_timestamp(), changed_by = %(actor)s, "
            "errors_before = CASE WHEN %(state)s = 'running' THEN failed ELSE errors_before END, "
            "finished_at = CASE WHEN %(state)s = 'cancelled' THEN clock_timestamp() END WHERE id = %(id)s",
            {"state": state, "actor": actor, "id": job_id},
        )
        audit.record(db, actor, action, "bulk", str(job_id), f"Задание № {job_id} {words}")
    _wake(bus)


def jobs(database: Database, before: int | None = None, limit: int = 50) -> list[Job]:
    """One page, the newest first; the next one is `before` the last job's id."""
    with database.transaction() as connection:
        rows = driver(connection).execute(
            f"SELECT {_COLUMNS} FROM bus.bulk WHERE id < %s ORDER BY id DESC LIMIT %s", (before or 2**63 - 1, limit)
        )
        return [Job(*row) for row in rows]


def job(database: Database, job_id: int) -> Job:
    """Raises ConfigError when there is none."""
    with database.transaction() as connection:
        return _job(driver(connection), job_id, "")


def locked(db: Driver, job_id: int) -> Job:
    """The same, held until the caller's transaction ends."""
    return _job(db, job_id, "FOR UPDATE")


def items(database: Database, job_id: int, after: int = 0, limit: int = 50, state: str = "") -> list[Item]:
    """One page in the order of acceptance; the next one is `after` the last row's place.

    Raises ConfigError when there is no such job or state.
    """
    if state and state not in ITEM_STATES:
        raise ConfigError(f"Нет состояния «{state}». Бывают: {', '.join(ITEM_STATES)}")
    with database.transaction() as connection:
        db = driver(connection)
        _job(db, job_id, "")
        rows = db.execute(
            "SELECT i.place, i.message_id, i.was, i.state, i.went_id, i.note, i.changed_at, m.seq, m.kind, e.queue "
            "FROM bus.bulk_item i LEFT JOIN bus.message m ON m.id = i.message_id "
            "LEFT JOIN bus.entry e ON e.message_id = i.message_id WHERE i.bulk_id = %(id)s AND i.place > %(after)s "
            + ("AND i.state = %(state)s " if state else "")
            + "ORDER BY i.place LIMIT %(limit)s",
            {"id": job_id, "after": after, "limit": limit, "state": state},
        )
        return [Item(*row) for row in rows]


def _check(
    chosen: Sequence[UUID] | Wanted | Chosen, action: str, rate_per_s: float, errors_most: int, reason: str
) -> None:
    if action not in ACTIONS:
        raise ConfigError(f"Нет действия «{action}». Есть: {', '.join(ACTIONS)}")
    if action == "drop" and not reason.strip():
        raise ConfigError("Напишите, почему сообщения отклоняются: причина останется в журнале каждого")
    if not (math.isfinite(rate_per_s) and 0.01 <= rate_per_s <= RATE_MOST_PER_S):
        raise ConfigError(f"Скорость — от 0,01 до {RATE_MOST_PER_S:.0f} сообщений в секунду")
    if not 0 <= errors_most <= CHOSEN_MOST:
        raise ConfigError(f"Число ошибок до остановки — от 0 (не останавливать) до {CHOSEN_MOST}")
    if isinstance(chosen, Wanted) and chosen.state not in ("quarantined", "retry"):
        raise ConfigError("Отбором повторяют и отклоняют только карантин (quarantined) и ждущие повтора (retry)")


def _freeze(db: Driver, job_id: int, chosen: Sequence[UUID] | Wanted | Chosen) -> int:
    """Write a row for each message; how many there are."""
    values: dict[str, Any] = {"id": job_id, "most": CHOSEN_MOST + 1}
    if isinstance(chosen, Chosen):
        of = "FROM bus.quarantined(%(queue)s, %(group)s, 9223372036854775807, %(most)s) q JOIN bus.entry e USING (seq)"
        values |= {"queue": storable(chosen.queue), "group": storable(chosen.group)}
    elif isinstance(chosen, Wanted):
        conditions, more = finding.conditions_of(db, chosen)
        of = f"FROM bus.entry e JOIN bus.message m USING (seq) WHERE {' AND '.join(conditions)} LIMIT %(most)s"
        values |= more
    else:
        of = "FROM bus.entry e WHERE e.message_id = ANY(%(ids)s) LIMIT %(most)s"
        values["ids"] = list(dict.fromkeys(chosen))
    made = db.execute(
        "INSERT INTO bus.bulk_item (bulk_id, place, message_id, was) SELECT %(id)s, row_number() OVER (ORDER BY seq), "
        f"message_id, state FROM (SELECT e.seq, e.message_id, e.state {of}) AS chosen",
        values,
    ).rowcount
    if made > CHOSEN_MOST:
        raise Permanent(f"Выбрано больше {printing.number(CHOSEN_MOST)} сообщений: сузьте отбор")
    if "ids" in values and made < len(values["ids"]):
        known = {row[0] for row in db.execute("SELECT message_id FROM bus.bulk_item WHERE bulk_id = %s", (job_id,))}
        missing = next(one for one in values["ids"] if one not in known)
        raise Permanent(f"Нет сообщения {missing}. Посмотрите список: omsbus message list")
    if not made:
        raise Permanent("Ничего не выбрано: таких сообщений больше нет, обновите страницу")
    return made


def _title(database: Database, chosen: Sequence[UUID] | Wanted | Chosen) -> str:
    if isinstance(chosen, Chosen):
        return f"{chosen.queue}: {quarantine.group(database, chosen.queue, chosen.group).reason}"
    if isinstance(chosen, Wanted):
        words = [("очередь", chosen.queue), ("вид", chosen.kind), ("причина содержит", chosen.reason_like)]
        named = ", ".join(f"{name} «{value}»" for name, value in words if value)
        return f"По отбору: {printing.STATES[chosen.state]}" + (f", {named}" if named else "")
    return "Выбранные сообщения"


def _job(db: Driver, job_id: int, lock: str) -> Job:
    row = db.execute(f"SELECT {_COLUMNS} FROM bus.bulk WHERE id = %s {lock}", (job_id,)).fetchone()
    if row is None:
        raise ConfigError(f"Нет задания № {job_id}. Посмотрите список заданий")
    return Job(*row)


def _wake(bus: Bus) -> None:
    """At once when this process does the jobs; another one sees it at its next look."""
    if bus.bulk is not None:
        bus.bulk.wake()


_COLUMNS: Final = ", ".join(field.name for field in fields(Job))
