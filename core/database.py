"""The database: one pool, transactions, and migrations (one PostgreSQL schema a subsystem)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from core.errors import ConfigError, Unavailable

Row = tuple[Any, ...]
Driver = psycopg.Connection[Row]

CONNECT_TIMEOUT_S = 10
_MIGRATION_LOCK = 0x6F6D7301
_AWAY = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError, psycopg.OperationalError)
"""The server is away or has ended the transaction; or every connection of the pool is in use."""


class Database:
    """A pool of connections to one PostgreSQL. Thread-safe."""

    def __init__(self, url: str, *, pool_size: int = 16) -> None:
        self.url = url
        self.engine = sa.create_engine(
            url.replace("postgresql://", "postgresql+psycopg://", 1),
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
        )

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sa.Connection]:
        """One transaction: committed at the end, rolled back by an exception.

        `durable=False` lets the commit return before the disk has it: only for notes whose loss costs nothing.
        Raises Unavailable when the server is away.
        """
        try:
            with self.engine.begin() as connection:
                if not durable:
                    driver(connection).execute("SET LOCAL synchronous_commit TO off")
                yield connection
        except _AWAY as error:
            raise Unavailable(
                "База данных недоступна или прервала транзакцию; шина повторит сама", detail=str(error)
            ) from error

    def dedicated(self) -> Driver:
        """A connection outside the pool, in autocommit mode: for advisory locks and LISTEN."""
        return psycopg.connect(self.url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S)

    def close(self) -> None:
        self.engine.dispose()


def driver(connection: sa.Connection) -> Driver:
    """The psycopg connection below: the hot path speaks to it directly, in the same transaction."""
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return raw


def storable(text: str) -> str:
    """The text as PostgreSQL can keep it: no NUL, no lone surrogate (file names that are not UTF-8 have them)."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", "").encode("utf-8", "backslashreplace").decode()


def encodable(text: str) -> bool:
    """Free of lone surrogates."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def storable_json(values: Mapping[str, Any]) -> str:
    """JSON of a flat mapping, fit for a jsonb column."""
    clean = {storable(name): storable(value) if isinstance(value, str) else value for name, value in values.items()}
    return json.dumps(clean, ensure_ascii=False)


def migrate(database: Database, folders: Iterable[tuple[str, Path]]) -> None:
    """Bring every (schema, folder of Alembic revisions) to its head; one process at a time.

    Raises ConfigError when the database is newer than this code.
    """
    with database.dedicated() as lock:
        lock.execute("SELECT pg_advisory_lock(%s)", (_MIGRATION_LOCK,))
        for schema, folder in folders:
            with database.engine.begin() as connection:
                connection.execute(sa.text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
                _upgrade(connection, schema, folder)


def _upgrade(connection: sa.Connection, schema: str, folder: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("version_locations", str(folder))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)

    def steps(revision: Any, _context: Any) -> Any:
        known = {one.revision for one in script.walk_revisions()}
        current = revision if isinstance(revision, tuple) else (revision,) if revision else ()
        if unknown := [one for one in current if one not in known]:
            raise ConfigError(
                f"База данных новее этой программы: схема {schema} в версии {unknown[0]}. "
                "Обновите программу на этой машине и запустите снова"
            )
        return script._upgrade_revs("heads", revision)

    environment = EnvironmentContext(config, script, fn=steps)
    with environment:
        environment.configure(connection=connection, version_table="migration", version_table_schema=schema)
        environment.run_migrations()
