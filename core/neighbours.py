"""What the other processes on this database are: read from bus.process and the schemas' versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql

from core import printing
from core.database import Database, Driver, driver
from core.errors import ConfigError
from core.message import Message


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """A process as an operator sees it. alive: it beats; clock_off_s: its clock minus the database's."""

    id: int
    role: str
    host: str
    pid: int
    version: str
    fingerprint: str
    rolling: bool
    started_at: datetime
    beat_at: datetime
    clock_off_s: float
    state: str
    reason: str
    alive: bool


def heads(db: Driver, schemas: Sequence[str]) -> dict[str, str]:
    """Schema → the revision in which it is; a schema that does not exist is left out."""
    made = db.execute(
        "SELECT nspname FROM pg_namespace WHERE nspname = ANY(%s) "
        "AND to_regclass(quote_ident(nspname) || '.migration') IS NOT NULL ORDER BY 1",
        (list(schemas),),
    ).fetchall()
    if not made:
        return {}
    one = sql.SQL("SELECT {}, version_num FROM {}")
    parts = [one.format(sql.Literal(name), sql.Identifier(name, "migration")) for (name,) in made]
    return dict(sorted(db.execute(sql.SQL(" UNION ALL ").join(parts)).fetchall()))


def guard_migration(database: Database, known: Callable[[], Mapping[str, Sequence[str]]], *, rolling: bool) -> None:
    """Refuse to migrate below the feet of live processes. known: schema → revisions of this program, the head first.

    Raises ConfigError, Unavailable. A database newer than this program is for `migrate` to refuse.
    """
    with database.transaction() as connection:
        db = driver(connection)
        made = db.execute("SELECT to_regclass('bus.live_process') IS NOT NULL").fetchone()
        if rolling or made != (True,):
            return
        row = db.execute(
            "SELECT role, host, pid, started_at FROM bus.live_process ORDER BY started_at LIMIT 1"
        ).fetchone()
        if row is None:
            return
        revisions = known()
        stand = heads(db, list(revisions))
        if not any(stand.get(name) in (None, *older) for name, (_, *older) in revisions.items()):
            return
    raise ConfigError(
        f"Программа хочет обновить схему базы, а с базой ещё работает {named(row)}. Остановите все процессы шины и "
        "запустите снова; при обновлении без остановки задайте OMSBUS_ROLLING=true (прежние процессы тогда "
        "остановятся сами)"
    )


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where a message goes that this process does not serve, and what it is there."""

    queue: str
    kind: str
    version: str


def served_elsewhere(db: Driver, message: Message) -> Elsewhere | None:
    """Who takes the message among the live processes, when this one does not; None when nobody does."""
    if message.queue:
        sought = "SELECT 1 FROM bus.live_process WHERE serves -> 'queues' ? %s LIMIT 1"
        found = db.execute(sought, (message.queue,)).fetchone()
        return Elsewhere(message.queue, message.kind, message.version) if found else None
    for (serves,) in db.execute(
        "SELECT serves FROM bus.live_process WHERE serves -> 'queues' ? %(kind)s OR serves -> 'roots' ? %(kind)s "
        "ORDER BY started_at DESC LIMIT 1",
        {"kind": message.kind},
    ):
        queue, version = serves["roots"].get(message.kind, (message.kind, message.version))
        return Elsewhere(queue, queue, version)
    return None


def processes(database: Database) -> list[ProcessRow]:
    """Every process that is known, the living first."""
    with database.transaction() as connection:
        rows = driver(connection).execute(
            "SELECT p.id, p.role, p.host, p.pid, p.version, p.fingerprint, p.rolling, p.started_at, p.beat_at, "
            "p.clock_off_s, p.state, p.reason, l.id IS NOT NULL FROM bus.process p "
            "LEFT JOIN bus.live_process l ON l.id = p.id ORDER BY l.id IS NULL, p.host, p.role, p.id"
        )
        return [ProcessRow(*row) for row in rows]


def named(row: Sequence[Any]) -> str:
    return f"{row[0] or 'процесс'} на {row[1]} (pid {row[2]}, с {printing.date(row[3])})"
