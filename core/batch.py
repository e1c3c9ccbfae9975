"""What became of the messages of one claim, gathered until it is written down in a few statements."""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Callable
from typing import Any

import psycopg
import sqlalchemy as sa

from core.errors import BusError, ConfigError, Retryable
from core.journal import Addressed, Event
from core.queues import Claimed
from core.route import Retry


class Batch:
    """One per claim and thread. `made`: seq of a message → what its stages made."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self.made: dict[int, Any] = {}
        self.done: list[Claimed] = []
        self.emitted: list[Addressed] = []
        self.failed: list[tuple[Claimed, Exception]] = []
        self.events: list[Event] = []
        self.stopped: ConfigError | None = None
        self.queues: set[str] = set()
        self._blocked_keys: set[str] = set()
        self._began = time.monotonic()

    def attempt(self, one: Claimed, work: Callable[[Claimed], Any], *, keep: bool = True) -> bool:
        """Run `work`; on failure put the message aside, and with it what follows under the same key."""
        if one.message.key in self._blocked_keys:
            return False
        try:
            if one.problem:
                raise one.problem
            made = work(one)
        except psycopg.errors.OperationalError as error:
            self._fail(one, _as_retryable(error))
        except sa.exc.OperationalError as error:
            self._fail(one, _as_retryable(error))
        except Exception as error:
            self._fail(one, error)
        else:
            if keep:
                self.made[one.seq] = made
            return True
        return False

    def _fail(self, one: Claimed, error: Exception) -> None:
        self.failed.append((one, error))
        if one.message.key:
            self._blocked_keys.add(one.message.key)

    def add(self, one: Claimed, emitted: list[Addressed], notes: list[str]) -> None:
        """A handler succeeded."""
        self.done.append(one)
        self.emitted += emitted
        self.queues |= {a.queue for a in emitted if a.state == "ready"}
        taken_ms = (time.monotonic() - self._began) * 1000
        body = self.made[one.seq]
        note = "; ".join(notes)
        self.events.append(Event(one.message.id, "handled", note, "", one.attempts + 1, "", taken_ms, body.output))


def failed(claimed: Claimed, stage: str, reason: str, error: Exception, attempt: int) -> Event:
    """The event of a failed attempt, with the traceback of what is no error of the bus."""
    detail = error.detail if isinstance(error, BusError) else "".join(traceback.format_exception(error))
    answer = error.answer if isinstance(error, BusError) else b""
    return Event(claimed.message.id, stage, reason, detail, attempt, output=answer or None)


def _as_retryable(error: Exception) -> Retryable:
    """A deadlock, a lock that was not given in time: the database asks us to try again."""
    return Retryable("База данных прервала операцию (блокировка или отмена); шина повторит", detail=str(error))


def pause(retry: Retry, attempt: int, error: Exception) -> float:
    """Seconds until the next attempt: what the error asks for, else exponential with jitter."""
    if isinstance(error, Retryable) and error.pause_s is not None:
        return error.pause_s
    try:
        steady = min(retry.first_s * retry.factor ** (attempt - 1), retry.most_s)
    except OverflowError:  # after days of attempts
        steady = retry.most_s
    return steady * random.uniform(1 - retry.jitter, 1 + retry.jitter)
