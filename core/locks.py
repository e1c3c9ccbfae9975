"""One of a cluster: a named advisory lock held for as long as its connection lives."""

from __future__ import annotations

import contextlib
import hashlib
import threading

import psycopg

from core.database import Database, Driver


class ClusterLocks:
    """Names this process holds alone among all processes of the bus. A crash frees them at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Driver | None = None
        self._held: set[str] = set()
        self._guard = threading.Lock()

    def hold(self, name: str) -> bool:
        """Try to take or confirm the lock; False when another process has it or the database is away."""
        with self._guard:
            try:
                if self._connection is None:
                    self._connection = self._database.dedicated()
                    self._held.clear()
                if name in self._held:
                    self._connection.execute("SELECT 1")
                    return True
                row = self._connection.execute("SELECT pg_try_advisory_lock(%s)", (_number(name),)).fetchone()
                if row and row[0]:
                    self._held.add(name)
                return name in self._held
            except psycopg.Error:
                self._forget()
                return False

    def close(self) -> None:
        with self._guard:
            self._forget()

    def _forget(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
        self._connection = None
        self._held.clear()


def holder(db: Driver, name: str) -> str:
    """application_name of the connection that holds the lock; "" when nobody does, or a nameless one."""
    number = _number(name) & 0xFFFF_FFFF_FFFF_FFFF
    row = db.execute(
        "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' "
        "AND l.granted AND l.objsubid = 1 AND l.classid = %s::oid AND l.objid = %s::oid "
        "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        (number >> 32, number & 0xFFFF_FFFF),
    ).fetchone()
    return str(row[0]) if row else ""


def _number(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"omsbus:{name}".encode(), digest_size=8).digest(), "big", signed=True)
