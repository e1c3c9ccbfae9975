"""Who wants to be told of what: rows of bus.webhook, and what people may do to them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Final

from core import audit
from core.database import Database, Driver, driver, storable
from core.errors import ConfigError
from core.webhooks import signing, targets
from core.webhooks.feed import TYPES, ends

if TYPE_CHECKING:
    from core.bus import Bus

MOST: Final = 50
"""Subscriptions of a bus: each reads the journal by itself."""
NAMES_MOST: Final = 100
ATTEMPTS_KEPT: Final = 200
"""Attempts of each subscription that are kept."""
_SALT_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscription. state: active, paused by a person, failed (switched off by the bus; `reason` says why).

    queues, kinds  () means all       told  events in all       failing_since  of the row of failures that lasts
    """

    id: int
    title: str
    url: str
    events: tuple[str, ...]
    queues: tuple[str, ...]
    kinds: tuple[str, ...]
    state: str
    reason: str
    attempts: int
    failing_since: datetime | None
    due_at: datetime
    told_at: datetime | None
    told: int
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One POST. status: of HTTP, None when nobody answered."""

    id: int
    at: datetime
    delivery: str
    events: int
    attempt: int
    status: int | None
    note: str
    duration_ms: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person enters."""

    title: str
    url: str
    events: tuple[str, ...]
    queues: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()


def create(bus: Bus, wanted: Wanted, *, actor: str) -> tuple[int, str]:
    """The id and the secret, which is shown this once. It is told of what happens from now on. Raises ConfigError."""
    _check(bus, wanted)
    key = signing.key_of(bus.settings)
    salt = secrets.token_bytes(_SALT_BYTES)
    with bus.database.transaction() as connection:
        db = driver(connection)
        db.execute("LOCK TABLE bus.webhook IN SHARE ROW EXCLUSIVE MODE")
        row = db.execute("SELECT count(*) FROM bus.webhook").fetchone()
        assert row is not None
        if row[0] >= MOST:
            raise ConfigError(f"Подписок уже {MOST}: удалите ненужную")
        events, changes = ends(db)
        made = db.execute(
            "INSERT INTO bus.webhook (title, url, events, queues, kinds, salt, key_mark, event_seq, change_seq, "
            "created_by) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id",
            (*_values(wanted), salt, signing.mark(key), events, changes, actor),
        ).fetchone()
        assert made is not None
        _audit(db, actor, "webhook.created", made[0], f"Создана подписка «{wanted.title}»")
    return int(made[0]), signing.secret(key, salt)


def change(bus: Bus, webhook_id: int, wanted: Wanted, *, actor: str) -> None:
    """Another title, address or choice; what it was told already stays told. Raises ConfigError."""
    _check(bus, wanted)
    with bus.database.transaction() as connection:
        db = driver(connection)
        _update(
            db,
            webhook_id,
            "title = %s, url = %s, events = %s, queues = %s, kinds = %s, attempts = 0, failing_since = NULL, "
            "due_at = clock_timestamp(), event_to = NULL, change_to = NULL",
            _values(wanted),
        )
        _audit(db, actor, "webhook.changed", webhook_id, f"Изменена подписка «{wanted.title}»")


def pause(bus: Bus, webhook_id: int, *, actor: str) -> None:
    """Tell it nothing for now; what happens meanwhile is told after `resume`. Raises ConfigError."""
    with bus.database.transaction() as connection:
        db = driver(connection)
        _update(db, webhook_id, "state = 'paused', reason = ''", ())
        _audit(db, actor, "webhook.paused", webhook_id, f"Подписка {webhook_id} на паузе")


def resume(bus: Bus, webhook_id: int, *, skip: bool = False, actor: str) -> None:
    """Go on at once: after a pause, a failure, or before the next attempt is due (that is "retry").

    skip: leave out what has happened so far. Raises ConfigError.
    """
    with bus.database.transaction() as connection:
        db = driver(connection)
        assignment = (
            "state = 'active', reason = '', attempts = 0, failing_since = NULL, due_at = clock_timestamp(), "
            "key_mark = %s"
        )
        values: tuple[object, ...] = (signing.mark(signing.key_of(bus.settings)),)
        if skip:
            assignment += ", event_seq = greatest(event_seq, %s), change_seq = greatest(change_seq, %s), "
            assignment += "event_to = NULL, change_to = NULL"
            values += ends(db)
        _update(db, webhook_id, assignment, values)
        note = f"Подписка {webhook_id} продолжена" + (", накопившееся пропущено" if skip else "")
        _audit(db, actor, "webhook.resumed", webhook_id, note)


def renew_secret(bus: Bus, webhook_id: int, *, actor: str) -> str:
    """Another secret instead of the old one, which does not work any more. Raises ConfigError."""
    key = signing.key_of(bus.settings)
    salt = secrets.token_bytes(_SALT_BYTES)
    with bus.database.transaction() as connection:
        db = driver(connection)
        _update(db, webhook_id, "salt = %s, key_mark = %s", (salt, signing.mark(key)))
        _audit(db, actor, "webhook.secret_renewed", webhook_id, f"Секрет подписки {webhook_id} заменён")
    return signing.secret(key, salt)


def remove(bus: Bus, webhook_id: int, *, actor: str) -> None:
    """Raises ConfigError when there is none."""
    with bus.database.transaction() as connection:
        db = driver(connection)
        if db.execute("DELETE FROM bus.webhook WHERE id = %s RETURNING id", (webhook_id,)).fetchone() is None:
            raise _missing(webhook_id)
        db.execute("DELETE FROM bus.change WHERE NOT EXISTS (SELECT 1 FROM bus.webhook)")
        _audit(db, actor, "webhook.removed", webhook_id, f"Удалена подписка {webhook_id}")


def listed(database: Database) -> list[Subscription]:
    """All of them, the oldest first."""
    with database.transaction(durable=False) as connection:
        rows = driver(connection).execute(f"SELECT {COLUMNS} FROM bus.webhook ORDER BY id").fetchall()
    return [of_row(row) for row in rows]


def get(database: Database, webhook_id: int) -> Subscription:
    """Raises ConfigError when there is none."""
    with database.transaction(durable=False) as connection:
        row = driver(connection).execute(f"SELECT {COLUMNS} FROM bus.webhook WHERE id = %s", (webhook_id,)).fetchone()
    if row is None:
        raise _missing(webhook_id)
    return of_row(row)


def attempts(database: Database, webhook_id: int, limit: int) -> list[Attempt]:
    """The last POSTs, the newest first."""
    with database.transaction(durable=False) as connection:
        rows = driver(connection).execute(
            "SELECT id, at, delivery, events, attempt, status, note, duration_ms FROM bus.webhook_attempt "
            "WHERE webhook_id = %s ORDER BY id DESC LIMIT %s",
            (webhook_id, limit),
        )
        return [Attempt(*row) for row in rows]


def of_row(row: Sequence[object]) -> Subscription:
    """A row of COLUMNS."""
    values = [tuple(one) if isinstance(one, list) else one for one in row]
    return Subscription(*values)  # type: ignore[arg-type]


def _check(bus: Bus, wanted: Wanted) -> None:
    targets.check(wanted.url, bus.settings.webhooks.allow)
    if not wanted.title.strip():
        raise ConfigError("Назовите подписку: по названию её узнают другие")
    if not wanted.events:
        raise ConfigError("Выберите хотя бы одно событие")
    if unknown := [one for one in wanted.events if one not in TYPES]:
        raise ConfigError(f"Нет события {unknown[0]}. Бывают: {', '.join(TYPES)}")
    if max(len(wanted.queues), len(wanted.kinds)) > NAMES_MOST:
        raise ConfigError(f"Очередей и видов — не больше {NAMES_MOST}: оставьте список пустым, чтобы получать все")


def _values(wanted: Wanted) -> tuple[object, ...]:
    names = [sorted({storable(one) for one in given}) for given in (wanted.queues, wanted.kinds)]
    return storable(wanted.title.strip()), wanted.url, sorted(set(wanted.events)), *names


def _update(db: Driver, webhook_id: int, assignment: str, values: tuple[object, ...]) -> None:
    row = db.execute(
        f"UPDATE bus.webhook SET {assignment}, changed_at = clock_timestamp() WHERE id = %s RETURNING id",
        (*values, webhook_id),
    ).fetchone()
    if row is None:
        raise _missing(webhook_id)


def _audit(db: Driver, actor: str, action: str, webhook_id: int, note: str) -> None:
    audit.record(db, actor, action, "webhook", str(webhook_id), note)


def _missing(webhook_id: int) -> ConfigError:
    return ConfigError(f"Нет подписки {webhook_id}: посмотрите список подписок")


COLUMNS: Final = ", ".join(one.name for one in fields(Subscription))
