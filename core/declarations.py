"""bus.queue: what the configuration declares, and what nobody serves any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from core.cluster import JOIN_LOCK
from core.configuration import Queue
from core.database import Database, driver

ORPHANED: Final = (
    "Ни один процесс больше не обслуживает эту очередь. Верните маршрут или коннектор, и она пойдёт сама; либо "
    "переведите её сообщения в другую (omsbus queue move) или отклоните (omsbus queue drop)"
)

# A bus that is switched off serves nothing and has no orphans.
_GONE = """
SELECT q.name FROM bus.queue q
WHERE NOT EXISTS (SELECT 1 FROM bus.live_process p WHERE p.serves -> 'queues' ? q.name)
  AND EXISTS (SELECT 1 FROM bus.live_process)
FOR UPDATE OF q
"""
# One look an index: `state IN (…)` would make the planner read all that was ever handled.
_WAITING = """
SELECT name FROM unnest(%s::text[]) AS name
WHERE EXISTS (SELECT 1 FROM bus.entry WHERE queue = name AND state = 'ready')
   OR EXISTS (SELECT 1 FROM bus.entry WHERE queue = name AND state = 'held')
   OR EXISTS (SELECT 1 FROM bus.entry WHERE queue = name AND state = 'quarantined')
   OR EXISTS (SELECT 1 FROM bus.entry WHERE queue = name AND state = 'retry')
"""


def declare(database: Database, queues: Sequence[Queue], *, first: bool) -> None:
    """Make these queues known.

    One that an error had stopped gets another chance when its own settings changed, when it was served by nobody, or
    when this is the first process to start: not whenever one more worker starts. A pause stays.
    """
    with database.transaction() as connection:
        db = driver(connection)
        db.execute("SELECT pg_advisory_xact_lock(%s)", (JOIN_LOCK,))
        db.cursor().executemany(
            "INSERT INTO bus.queue (name, side, title, settings) VALUES (%(name)s, %(side)s, %(title)s, %(settings)s) "
            "ON CONFLICT (name) DO UPDATE SET side = EXCLUDED.side, title = EXCLUDED.title, "
            "settings = EXCLUDED.settings, "
            "state = CASE WHEN queue.state = 'stopped' AND (%(first)s OR queue.settings <> EXCLUDED.settings) "
            "THEN 'running' ELSE queue.state END, "
            "reason = CASE WHEN queue.state = 'stopped' AND (%(first)s OR queue.settings <> EXCLUDED.settings) "
            "OR queue.reason = %(orphaned)s THEN '' ELSE queue.reason END",
            [
                {
                    "name": one.name,
                    "side": one.side,
                    "title": one.title,
                    "settings": one.settings,
                    "first": first,
                    "orphaned": ORPHANED,
                }
                for one in queues
            ],
        )


def look_around(database: Database, queues: Sequence[Queue]) -> None:
    """Find orphans; take back those of ours that somebody found while this process could not beat."""
    with database.transaction(durable=False) as connection:
        row = (
            driver(connection)
            .execute(
                "SELECT count(*) FROM bus.queue WHERE name = ANY(%s) AND settings <> ''",
                ([one.name for one in queues],),
            )
            .fetchone()
        )
    if row != (len(queues),):
        declare(database, queues, first=False)
    look_for_orphans(database)


def look_for_orphans(database: Database) -> None:
    """Stop, with a reason, the queues that no live process serves and that have unfinished messages; forget those that
    have none (the journal keeps their names), unless a person paused them."""
    with database.transaction(durable=False) as connection:
        db = driver(connection)
        db.execute("SELECT pg_advisory_xact_lock(%s)", (JOIN_LOCK,))
        gone = [row[0] for row in db.execute(_GONE)]
        if not gone:
            return
        waiting = [row[0] for row in db.execute(_WAITING, (gone,))]
        db.execute(
            "UPDATE bus.queue SET state = CASE WHEN state = 'paused' THEN state ELSE 'stopped' END, reason = %s, "
            "settings = '', rest_until = NULL, failures = 0, changed_at = clock_timestamp(), changed_by = '' "
            "WHERE name = ANY(%s) AND reason <> %s",
            (ORPHANED, waiting, ORPHANED),
        )
        db.execute(
            "DELETE FROM bus.queue WHERE name = ANY(%s) AND NOT name = ANY(%s) AND state <> 'paused'", (gone, waiting)
        )
