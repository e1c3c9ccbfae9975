"""The part that tells subscribers: one leader of the cluster, a few threads, a cursor a subscription.

What it promises: every event that a subscriber wants reaches it at least once and in order. The cursor moves after the
receiver has said yes, so a crash costs a repeat. One that is away is tried again with a growing pause and delays nobody
else; after `pause_after_h` it is switched off and an alert says so: nothing is lost, its cursor stands. Without an
active subscription nothing is done but one look in a few seconds.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import structlog

from core import audit
from core.database import Database, Driver, driver, storable
from core.errors import BusError, ConfigError, Permanent, Retryable
from core.locks import ClusterLocks
from core.settings import Settings
from core.webhooks import feed, signing, targets
from core.webhooks.feed import Choice, Happened, Horizon, Place
from core.webhooks.subscriptions import ATTEMPTS_KEPT, Attempt

if TYPE_CHECKING:
    from core.bus import Bus

LOCK: Final = "webhooks"
LOOK_S: Final = 1.0
IDLE_LOOK_S: Final = 5.0
THREADS: Final = 4
TURN_S: Final = 5.0
"""After so long a subscription with a backlog lets the others have the thread."""
PAUSE_S: Final = 5.0
PAUSE_MOST_S: Final = 3600.0
"""After the first failure, and at most."""
TIDY_S: Final = 600.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Post:
    """One POST to be made."""

    webhook_id: int
    url: str
    salt: bytes
    delivery: str
    events: list[dict[str, Any]]


class Courier:
    """Runs until `stop`."""

    def __init__(
        self, database: Database, settings: Settings, *, look_s: float = LOOK_S, idle_look_s: float = IDLE_LOOK_S
    ) -> None:
        self._database = database
        self._settings = settings
        self._look_s = look_s
        self._idle_look_s = idle_look_s
        self._locks = ClusterLocks(database)
        self._horizon = Horizon()
        self._under_way: dict[int, Future[None]] = {}
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="webhooks")
        self._tidied_at = float("-inf")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._locks.close()

    def _run(self) -> None:
        pause_s = self._look_s
        while not self._stopping.wait(pause_s):
            try:
                pause_s = self._look_s if self._look() else self._idle_look_s
            except BusError as error:
                _log.warning("webhooks", reason=error.reason)
            except Exception:  # whatever it is, the next look comes
                _log.exception("webhooks")

    def _look(self) -> bool:
        """Give every subscription that has something new to a thread; False when there is nobody to tell."""
        with self._database.transaction(durable=False) as connection:
            rows = driver(connection).execute(_ACTIVE).fetchall()
        if not rows:
            return False
        if not self._locks.hold(LOCK):
            return True
        until = self._horizon.look(self._database)
        self._under_way = {one: future for one, future in self._under_way.items() if not future.done()}
        for id_, events, changes, is_due in rows:
            news = until.events > events or until.changes > changes
            if is_due and news and id_ not in self._under_way:
                self._under_way[id_] = self._pool.submit(self._tell, id_, until)
        if time.monotonic() - self._tidied_at > TIDY_S:
            self._tidied_at = time.monotonic()
            with self._database.transaction() as connection:
                feed.forget(driver(connection))
        return True

    def _tell(self, webhook_id: int, until: Place) -> None:
        """Deliver batches until all is told, one fails, or the turn is over."""
        ends = time.monotonic() + TURN_S
        try:
            while not self._stopping.is_set() and time.monotonic() < ends and self._batch(webhook_id, until):
                pass
        except BusError as error:
            _log.warning("webhook", webhook=webhook_id, reason=error.reason)
        except Exception:  # its cursor stands; the next look tries again
            _log.exception("webhook", webhook=webhook_id)

    def _batch(self, webhook_id: int, until: Place) -> bool:
        """One stretch of the journal: read, post, note. False when there is nothing more to do now."""
        with self._database.transaction(durable=False) as connection:
            db = driver(connection)
            row = db.execute(_ONE, (webhook_id,)).fetchone()
            if row is None:
                return False
            url, salt, key_mark, types, queues, kinds, attempts, *cursor = row
            place, again = Place(cursor[0], cursor[1]), cursor[2] is not None
            # A batch that failed is repeated as it was, under its id.
            until = Place(cursor[2], cursor[3]) if again else until
            if until.events <= place.events and until.changes <= place.changes:
                return False
            choice = Choice(tuple(types), tuple(queues), tuple(kinds))
            happened, reached = feed.read(db, place, until, choice, self._settings.webhooks.batch_most)
        if not happened:
            return self._move(webhook_id, place, reached, None)
        delivery = f"{webhook_id}-{place.events}-{reached.events}-{place.changes}-{reached.changes}"
        made = _Post(webhook_id, url, bytes(salt), delivery, [one.document() for one in happened])
        attempt = _posted(self._settings, made, attempts + 1, bytes(key_mark))
        if attempt.status is not None and 200 <= attempt.status < 300:
            return self._move(webhook_id, place, reached, attempt)
        self._failed(webhook_id, place, reached, attempt)
        return False

    def _move(self, webhook_id: int, place: Place, reached: Place, attempt: Attempt | None) -> bool:
        """The cursor goes on, unless somebody has moved it meanwhile."""
        with self._database.transaction(durable=attempt is not None) as connection:
            db = driver(connection)
            told = attempt.events if attempt else 0
            values = {"id": webhook_id, "told": told, "event": place.events, "change": place.changes}
            moved = db.execute(_MOVE, values | {"event_to": reached.events, "change_to": reached.changes}).rowcount == 1
            if attempt:
                _note(db, webhook_id, attempt)
        return moved

    def _failed(self, webhook_id: int, place: Place, reached: Place, attempt: Attempt) -> None:
        pause_s = min(PAUSE_S * 2 ** min(attempt.attempt - 1, 20), PAUSE_MOST_S)
        _log.warning("webhook not delivered", webhook=webhook_id, reason=attempt.note, again_s=pause_s)
        with self._database.transaction() as connection:
            db = driver(connection)
            _note(db, webhook_id, attempt)
            row = db.execute(
                _FAILED,
                {
                    "id": webhook_id,
                    "pause_s": pause_s,
                    "event": place.events,
                    "change": place.changes,
                    "event_to": reached.events,
                    "change_to": reached.changes,
                    "most_h": self._settings.webhooks.pause_after_h,
                    "gone": attempt.status == 410,
                    "reason": storable(attempt.note),
                },
            ).fetchone()
            if row is not None and row[0] == "failed":
                note = f"Подписка «{row[1]}» выключена шиной: {attempt.note}"
                with audit.acting_from("bus"):
                    audit.record(db, "", "webhook.failed", "webhook", str(webhook_id), note)


def send_test(bus: Bus, webhook_id: int, *, actor: str) -> Attempt:
    """Post one event of the type `test` now, whatever state the subscription is in. Raises ConfigError."""
    with bus.database.transaction() as connection:
        db = driver(connection)
        row = db.execute(
            "SELECT url, salt, key_mark, clock_timestamp() FROM bus.webhook WHERE id = %s", (webhook_id,)
        ).fetchone()
        if row is None:
            raise ConfigError(f"Нет подписки {webhook_id}: посмотрите список подписок")
        audit.record(db, actor, "webhook.tested", "webhook", str(webhook_id), f"Проверка подписки {webhook_id}")
    url, salt, key_mark, now = row
    event = Happened(f"test-{uuid.uuid4()}", "test", now, "", "", None, {})
    made = _Post(webhook_id, url, bytes(salt), event.id, [event.document()])
    attempt = _posted(bus.settings, made, 1, bytes(key_mark))
    with bus.database.transaction() as connection:
        _note(driver(connection), webhook_id, attempt)
    return attempt


def _posted(settings: Settings, made: _Post, number: int, key_mark: bytes) -> Attempt:
    """Make the POST; what became of it."""
    began = time.monotonic()
    status: int | None = None
    try:
        key = signing.key_of(settings)
        if signing.mark(key) != key_mark:
            raise ConfigError(
                "Ключ подписи на этой машине не тот, с которым создана подписка: задайте один key_env или key_file на "
                "всех узлах и продолжите подписку"
            )
        body = json.dumps({"delivery": made.delivery, "webhook": made.webhook_id, "events": made.events}).encode()
        signed = signing.headers(signing.secret(key, made.salt), made.delivery, int(time.time()), body)
        usual = {"Content-Type": "application/json", "User-Agent": "omsbus", "Connection": "close"}
        wanted = settings.webhooks
        status = targets.post(
            made.url, body, usual | signed, allow=wanted.allow, ca_file=wanted.ca_file, timeout_s=wanted.timeout_s
        )
        note = f"Принято, ответ {status}"
    except Permanent as error:
        status, note = 410, error.reason
    except Retryable as error:
        status, note = int(error.detail) if error.detail else None, error.reason
    except ConfigError as error:
        note = error.reason
    spent_ms = (time.monotonic() - began) * 1000
    return Attempt(0, datetime.now().astimezone(), made.delivery, len(made.events), number, status, note, spent_ms)


def _note(db: Driver, webhook_id: int, attempt: Attempt) -> None:
    """Keep the attempt, and only the last ones."""
    if db.execute("SELECT 1 FROM bus.webhook WHERE id = %s FOR KEY SHARE", (webhook_id,)).fetchone() is None:
        return  # removed meanwhile
    db.execute(
        "INSERT INTO bus.webhook_attempt (webhook_id, delivery, events, attempt, status, note, duration_ms) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (
            webhook_id,
            attempt.delivery,
            attempt.events,
            attempt.attempt,
            attempt.status,
            storable(attempt.note),
            attempt.duration_ms,
        ),
    )
    db.execute(
        "DELETE FROM bus.webhook_attempt WHERE webhook_id = %(id)s AND id <= (SELECT id FROM bus.webhook_attempt "
        "WHERE webhook_id = %(id)s ORDER BY id DESC OFFSET %(kept)s LIMIT 1)",
        {"id": webhook_id, "kept": ATTEMPTS_KEPT},
    )


_ACTIVE: Final = """
SELECT id, event_seq, change_seq, due_at <= clock_timestamp() FROM bus.webhook WHERE state = 'active' ORDER BY due_at
"""
_ONE: Final = """
SELECT url, salt, key_mark, events, queues, kinds, attempts, event_seq, change_seq, event_to, change_to
FROM bus.webhook WHERE id = %s AND state = 'active'
"""
_MOVE: Final = """
UPDATE bus.webhook SET event_seq = %(event_to)s, change_seq = %(change_to)s, event_to = NULL, change_to = NULL,
    told = told + %(told)s, attempts = 0, failing_since = NULL, reason = '',
    told_at = CASE WHEN %(told)s > 0 THEN clock_timestamp() ELSE told_at END
WHERE id = %(id)s AND event_seq = %(event)s AND change_seq = %(change)s
"""
_FAILED: Final = """
UPDATE bus.webhook SET attempts = attempts + 1, failing_since = coalesce(failing_since, clock_timestamp()),
    due_at = clock_timestamp() + make_interval(secs => %(pause_s)s), reason = %(reason)s,
    event_to = %(event_to)s, change_to = %(change_to)s,
    state = CASE WHEN %(gone)s OR failing_since < clock_timestamp() - make_interval(secs => %(most_h)s * 3600)
                 THEN 'failed' ELSE state END
WHERE id = %(id)s AND event_seq = %(event)s AND change_seq = %(change)s AND state = 'active'
RETURNING state, title
"""
