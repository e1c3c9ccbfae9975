"""The database of the simulator: connections, the schema `sim_smev`, small state, recorded envelopes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

Row = dict[str, Any]
Connection = psycopg.Connection[Row]

_SCHEMA = Path(__file__).parent / "schema.sql"
_SCHEMA_LOCK = 0x534D4556
_TABLES = ("acknowledgement", "envelope", "fault", "poll", "state")
POOL_SIZE = 12
RESET_ATTEMPTS = 5


class Store:
    """A pool over one PostgreSQL database. `open` makes the schema; use `transaction` for one unit of work."""

    def __init__(self, url: str) -> None:
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            url.replace("postgresql+psycopg://", "postgresql://"),
            min_size=2,
            max_size=POOL_SIZE,
            open=False,
            kwargs={"row_factory": dict_row, "application_name": "omsbus-simulator-smev"},
        )

    def open(self) -> None:
        self._pool.open(wait=True, timeout=30)
        with self.transaction() as conn:
            conn.execute("select pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
            conn.execute("set local client_min_messages = warning")
            conn.execute(_SCHEMA.read_text(encoding="utf-8"))

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Commits at the end, rolls back on an exception."""
        with self._pool.connection() as conn:
            yield conn

    def forget_everything(self) -> None:
        """Empty every table. Deletes rather than truncates: it must not wait for readers, nor they for it.

        Work in progress locks entries before messages, this the other way round: a deadlock is tried again.
        """
        for attempt in range(RESET_ATTEMPTS):
            try:
                with self.transaction() as conn:
                    conn.execute("delete from sim_smev.message")
                    for table in _TABLES:
                        conn.execute(f"delete from sim_smev.{table}")
                return
            except psycopg.errors.DeadlockDetected:
                if attempt == RESET_ATTEMPTS - 1:
                    raise

    def load_state(self, name: str, default: Any) -> Any:
        with self.transaction() as conn:
            row = conn.execute("select value from sim_smev.state where name = %s", (name,)).fetchone()
        return default if row is None else row["value"]

    def save_state(self, name: str, value: Any) -> None:
        with self.transaction() as conn:
            conn.execute(
                "insert into sim_smev.state values (%s, %s) on conflict (name) do update set value = excluded.value",
                (name, Jsonb(value)),
            )


def record_envelope(
    conn: Connection,
    *,
    exchange: uuid.UUID,
    at: datetime,
    direction: str,
    version: str,
    operation: str,
    caller: str,
    body: bytes,
    http_status: int | None = None,
    multipart: bool = False,
    injected: list[str] | None = None,
) -> None:
    """Keep one SOAP envelope as it went over the wire (of a multipart message its root part)."""
    conn.execute(
        "insert into sim_smev.envelope (exchange, at, direction, version, operation, caller, http_status, multipart,"
        " injected, body) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (exchange, at, direction, version, operation, caller, http_status, multipart, injected or [], body),
    )


def envelopes_after(conn: Connection, after: int, limit: int) -> list[Row]:
    """Recorded envelopes with a number greater than `after`, in the order of recording."""
    return conn.execute(
        "select * from sim_smev.envelope where seq > %s order by seq limit %s", (after, limit)
    ).fetchall()
