"""A request under a key is carried out once: the second one with the same key gets the answer of the first.

The key lives in the database, so it holds across processes and crashes. While a request is under way its key is held by
an advisory lock of a transaction; a crash frees it. What the crash left is a row that began and did not end: a request
that may be carried out twice without harm (`repeatable`) is carried out again, any other is refused, because nobody
knows whether it had its effect.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from typing import Final

from core.database import Database, Driver, driver
from core.errors import BusError

KEPT_H: Final = 24
KEY_MOST: Final = 255
_FORGET_AT_ONCE: Final = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered: HTTP status, and the body without secrets."""

    status: int
    body: bytes


class KeyRefused(BusError):
    """Ключ занят: другим запросом, или тем же, который ещё выполняется, или исход которого неизвестен.

    kind: other | running | unknown
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class Once:
    """One request under its key: `begin`, then `finish` or `forget` or `leave`. Not thread-safe.

    actor   who calls; keys of others are other keys
    digest  `fingerprint` of the request
    """

    def __init__(self, database: Database, actor: str, key: str, digest: bytes) -> None:
        self._database = database
        self._actor = actor
        self._key = key
        self._digest = digest
        self._held = contextlib.ExitStack()
        self._db: Driver | None = None

    def begin(self, *, repeatable: bool) -> Answer | None:
        """The stored answer; None: carry it out now. Raises KeyRefused, Unavailable."""
        with contextlib.ExitStack() as stack:
            db = driver(stack.enter_context(self._database.transaction()))
            found = self._look(db, repeatable=repeatable)
            if found is None:
                self._db, self._held = db, stack.pop_all()
        return found

    def finish(self, answer: Answer) -> None:
        """It was carried out, and this was answered."""
        assert self._db is not None, "begin comes first"
        self._db.execute(
            "UPDATE bus.idempotency SET status = %s, body = %s WHERE actor = %s AND key = %s",
            (answer.status, answer.body, self._actor, self._key),
        )
        self._held.close()

    def forget(self) -> None:
        """It was refused without an effect: the key is free."""
        assert self._db is not None, "begin comes first"
        self._db.execute("DELETE FROM bus.idempotency WHERE actor = %s AND key = %s", (self._actor, self._key))
        self._held.close()

    def leave(self) -> None:
        """Nobody knows how it ended."""
        self._held.close()

    def _look(self, db: Driver, *, repeatable: bool) -> Answer | None:
        row = db.execute("SELECT pg_try_advisory_xact_lock(%s)", (_number(self._actor, self._key),)).fetchone()
        if row is None or not row[0]:
            raise KeyRefused("running", "Запрос с этим ключом ещё выполняется: повторите его немного позже")
        found = db.execute(
            "SELECT fingerprint, status, body FROM bus.idempotency WHERE actor = %s AND key = %s "
            "AND began_at > clock_timestamp() - make_interval(hours => %s)",
            (self._actor, self._key, KEPT_H),
        ).fetchone()
        if found is None:
            self._note()
            return None
        digest, status, body = found
        if bytes(digest) != self._digest:
            raise KeyRefused("other", "С этим ключом уже был другой запрос: для нового запроса нужен новый ключ")
        if status is not None:
            return Answer(status, bytes(body))
        if not repeatable:
            raise KeyRefused(
                "unknown",
                "Прежний запрос с этим ключом прервался, и неизвестно, выполнен ли он: проверьте и, если нужно, "
                "повторите с новым ключом",
            )
        return None

    def _note(self) -> None:
        """In a transaction of its own: it must be there after a crash."""
        with self._database.transaction() as connection:
            db = driver(connection)
            db.execute(
                "DELETE FROM bus.idempotency WHERE ctid = ANY(ARRAY(SELECT ctid FROM bus.idempotency "
                "WHERE began_at <= clock_timestamp() - make_interval(hours => %s) ORDER BY began_at LIMIT %s "
                "FOR UPDATE SKIP LOCKED))",
                (KEPT_H, _FORGET_AT_ONCE),
            )
            db.execute(
                "INSERT INTO bus.idempotency (actor, key, fingerprint) VALUES (%s, %s, %s) ON CONFLICT (actor, key) "
                "DO UPDATE SET fingerprint = EXCLUDED.fingerprint, began_at = clock_timestamp(), status = NULL, "
                "body = NULL",
                (self._actor, self._key, self._digest),
            )


def fingerprint(method: str, target: str, body: bytes) -> bytes:
    """Tells one request from another. target: path with its query."""
    made = hashlib.sha256()
    for part in (method.encode(), target.encode(), body):
        made.update(len(part).to_bytes(8, "big"))
        made.update(part)
    return made.digest()


def _number(actor: str, key: str) -> int:
    digest = hashlib.blake2b(f"omsbus:idempotency:{actor}\x00{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
