"""Collection of payloads that nobody names any more, and of files that no payload names.

Why nothing that is named can be lost: a candidate's row is locked first, skipping what somebody holds
(`PayloadStore.put` and `keep` hold it until their transaction ends), and only then, by a new statement with a new
view, is it looked whether anybody names it. Whoever named it before has committed by then and is seen; whoever wants
it after waits for our commit, does not find it and stores it anew, in a file of another name. Files go after the
commit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from core.blobs import Blobs
from core.database import Database, Driver, driver

WINDOW: Final = 500
"""Payloads looked at in one transaction."""
GRACE: Final = timedelta(hours=1)
ORPHAN_AGE: Final = timedelta(hours=24)
"""A file that no payload names belongs to a transaction under way, or was left by a crash and is older than this."""


@dataclass(slots=True)
class Collected:
    """Payloads and files that went; packed bytes of both."""

    payloads: int = 0
    files: int = 0
    packed_bytes: int = 0


def collect(
    database: Database,
    blobs: Blobs,
    pause: Callable[[float], bool] = lambda _worked_s: False,
    *,
    grace: timedelta = GRACE,
    orphan_age: timedelta = ORPHAN_AGE,
) -> Collected:
    """Go through all payloads, then all files. `pause` is told the seconds of each step; True ends it.

    Raises Unavailable.
    """
    done = Collected()
    last = ""
    while True:
        began = time.monotonic()
        with database.transaction(durable=False) as connection:
            db = driver(connection)
            window, unnamed = _window(db, last, grace)
            gone = _take(db, unnamed) if unnamed else []
        for blob, packed_bytes in gone:
            if blob:
                blobs.delete(blob)
            done.packed_bytes += packed_bytes
        done.payloads += len(gone)
        if len(window) < WINDOW or pause(time.monotonic() - began):
            break
        last = window[-1]
    _orphans(database, blobs, datetime.now(UTC) - orphan_age, pause, done)
    return done


def _window(db: Driver, last: str, grace: timedelta) -> tuple[list[str], list[str]]:
    """(the next payloads, those among them that seem to be named by nobody)."""
    # Each look must be one dive into an index, however the statistics stand.
    db.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")
    rows = db.execute(_WINDOW, {"last": last, "window": WINDOW, "grace": grace}).fetchall()
    return [row[0] for row in rows], [row[0] for row in rows if row[1]]


def _take(db: Driver, unnamed: Sequence[str]) -> list[tuple[str | None, int]]:
    """Lock, look again, delete; (file, packed bytes) of each that went."""
    held = db.execute(
        "SELECT sha256 FROM bus.payload WHERE sha256 = ANY(%s) FOR UPDATE SKIP LOCKED", (list(unnamed),)
    ).fetchall()
    return db.execute(_TAKE, ([row[0] for row in held],)).fetchall()


def _orphans(
    database: Database, blobs: Blobs, before: datetime, pause: Callable[[float], bool], done: Collected
) -> None:
    for files in blobs.older_than(before):
        began = time.monotonic()
        with database.transaction(durable=False) as connection:
            rows = driver(connection).execute(
                "SELECT blob FROM bus.payload WHERE blob IS NOT NULL AND blob = ANY(%s)", ([path for path, _ in files],)
            )
            named = {row[0] for row in rows}
        for path, packed_bytes in files:
            if path not in named:
                blobs.delete(path)
                done.files += 1
                done.packed_bytes += packed_bytes
        if pause(time.monotonic() - began):
            return


# `length = 64` is what the partial indexes say: they leave out the marks of what was taken away.
_NAMED: Final = """(
    EXISTS (SELECT 1 FROM bus.message m WHERE m.body_payload = p.sha256 AND length(m.body_payload) = 64)
    OR EXISTS (SELECT 1 FROM bus.message m WHERE m.received_payload = p.sha256 AND length(m.received_payload) = 64)
    OR EXISTS (SELECT 1 FROM bus.message m WHERE m.attachments <> '[]'
               AND m.attachments @> jsonb_build_array(jsonb_build_object('payload', p.sha256)))
    OR EXISTS (SELECT 1 FROM bus.event v WHERE v.output_payload = p.sha256 AND length(v.output_payload) = 64)
    OR EXISTS (SELECT 1 FROM bus.outgoing o WHERE o.body_payload = p.sha256 AND length(o.body_payload) = 64)
    OR EXISTS (SELECT 1 FROM bus.correction c WHERE c.body_payload = p.sha256 AND length(c.body_payload) = 64)
)"""
_WINDOW: Final = f"""
SELECT p.sha256, p.stored_at < clock_timestamp() - %(grace)s AND NOT {_NAMED}
FROM (SELECT sha256, stored_at FROM bus.payload WHERE sha256 > %(last)s ORDER BY sha256 LIMIT %(window)s) AS p
ORDER BY p.sha256
"""
_TAKE: Final = f"""
DELETE FROM bus.payload p WHERE p.sha256 = ANY(%s) AND NOT {_NAMED} RETURNING p.blob, p.packed_bytes
"""
