"""The database: one pool, transactions, and migrations (one PostgreSQL schema a subsystem)."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from core.errors import ConfigError, Unavailable

Row = tuple[Any, ...]
Driver = psycopg.Connection[Row]

CONNECT_TIMEOUT_S = 10
_LINE: dict[str, Any] = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    # A machine that vanished says no goodbye: we give its connection up after half a minute …
    "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4, "tcp_user_timeout": 30_000,
    # … and the server ours, with the locks and claims that hang on it.
    "options": "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=4",
}  # fmt: skip
"""What a URL may change."""
_MIGRATION_LOCK = 0x6F6D7301
_AWAY = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError, psycopg.OperationalError)
"""The server is away or has ended the transaction; or every connection of the pool is in use."""
_READ_ONLY = (sa.exc.InternalError, psycopg.errors.ReadOnlySqlTransaction)


class Database:
    """A pool of connections to one PostgreSQL. Thread-safe.

    url  as libpq reads it, so it may name several hosts of which one is written to:
         postgresql://bus@one,two/omsbus?target_session_attrs=read-write. Raises ConfigError when libpq cannot read it.
    """

    def __init__(self, url: str, *, pool_size: int = 16) -> None:
        self.url = url
        self._own = threading.local()
        self._opened: list[Driver] = []
        self._guard = threading.Lock()
        try:
            self._connect_to = make_conninfo(**(_LINE | conninfo_to_dict(url)))
        except psycopg.ProgrammingError as error:
            raise ConfigError(
                "Адрес базы данных не читается: проверьте OMSBUS_DATABASE_URL "
                "(postgresql://пользователь:пароль@узел:5432/база)",
                detail=str(error),
            ) from None
        self.engine = sa.create_engine(
            "postgresql+psycopg://",
            creator=lambda: psycopg.connect(self._connect_to),
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_pre_ping=True,
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
        except (*_AWAY, *_READ_ONLY) as error:
            raise Unavailable(_why(error), detail=str(error)) from error

    @contextlib.contextmanager
    def at_once(self) -> Iterator[Driver]:
        """This thread's own connection, on which each statement is a transaction and one round trip.

        Raises Unavailable when the server is away, or was: the statement may have been carried out all the same. The
        next use connects anew.
        """
        connection: Driver | None = getattr(self._own, "connection", None)
        try:
            if connection is None:
                connection = self._own.connection = self.dedicated()
                with self._guard:
                    self._opened.append(connection)
            yield connection
        except (*_AWAY, *_READ_ONLY) as error:
            self._own.connection = None
            if connection is not None:
                connection.close()
                with self._guard:
                    self._opened.remove(connection)
            raise Unavailable(_why(error), detail=str(error)) from error

    def dedicated(self) -> Driver:
        """A connection outside the pool, in autocommit mode: for advisory locks and LISTEN."""
        return psycopg.connect(self._connect_to, autocommit=True)

    def close(self) -> None:
        with self._guard:
            while self._opened:
                self._opened.pop().close()
            self._own = threading.local()
        self.engine.dispose()


def driver(connection: sa.Connection) -> Driver:
    """The psycopg connection below: the hot path speaks to it directly, in the same transaction."""
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return raw


def _why(error: Exception) -> str:
    """What happened and what to do. Raises what is neither."""
    cause = getattr(error, "orig", error)
    if isinstance(cause, psycopg.errors.DiskFull) or "No space left on device" in str(cause):
        return "На диске базы данных кончилось место: освободите его (omsbus retention status); шина продолжит сама"
    if isinstance(cause, psycopg.errors.ReadOnlySqlTransaction):
        return (
            "База данных не принимает запись (только чтение): проверьте, та ли это база и есть ли место на её диске; "
            "шина продолжит сама"
        )
    if isinstance(error, sa.exc.InternalError):
        raise error
    return "База данных недоступна или прервала транзакцию; шина повторит сама"


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
                if not sa.inspect(connection).has_schema(schema):  # else a read-only database could not be opened
                    connection.execute(sa.text(f'CREATE SCHEMA "{schema}"'))
                _upgrade(connection, schema, folder)


def revisions(folders: Iterable[tuple[str, Path]]) -> dict[str, list[str]]:
    """Schema → the revisions that this program knows, the head first."""
    return {schema: [one.revision for one in _script(folder)[1].walk_revisions()] for schema, folder in folders}


def _script(folder: Path) -> tuple[Config, ScriptDirectory]:
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("version_locations", str(folder))
    config.set_main_option("path_separator", "os")
    return config, ScriptDirectory.from_config(config)


def _upgrade(connection: sa.Connection, schema: str, folder: Path) -> None:
    config, script = _script(folder)

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
