"""Transactions and migrations."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from core import discovery
from core.database import Database, driver, migrate, storable, storable_json
from core.errors import ConfigError, Unavailable

BUS = [one for one in discovery.migrations() if one[0] == "bus"]
REVISION = """
from alembic import op
revision = "{name}"
down_revision = {before!r}
def upgrade():
    op.execute("{sql}")
"""


@pytest.fixture
def empty(server_url: str, database_url: str) -> Iterator[Database]:
    """A database without anything in it."""
    name = urlsplit(database_url).path[1:] + "_empty"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        database = Database(urlsplit(server_url)._replace(path=f"/{name}").geturl())
        yield database
        database.close()
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


def _tables(database: Database, schema: str) -> set[str]:
    with database.transaction() as connection:
        rows = driver(connection).execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (schema,))
        return {row[0] for row in rows}


def test_a_transaction_ends_with_all_or_nothing(database: Database, look: Any) -> None:
    look.do("CREATE TABLE x (n int)")

    def fail() -> None:
        with database.transaction() as connection:
            driver(connection).execute("INSERT INTO x VALUES (1)")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert look.one("SELECT count(*) FROM x") == 0


def test_only_notes_may_be_committed_before_the_disk_has_them(database: Database) -> None:
    for durable, wanted in ((True, "on"), (False, "off"), (True, "on")):
        with database.transaction(durable=durable) as connection:
            assert driver(connection).execute("SHOW synchronous_commit").fetchone() == (wanted,)


def test_a_server_that_is_not_there_is_unavailable() -> None:
    database = Database("postgresql://postgres@127.0.0.1:1/nowhere")
    with pytest.raises(Unavailable, match="База данных недоступна"), database.transaction():
        pass
    database.close()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("Ёж", "Ёж"), ("a\x00b", "ab"), ("\udcffфайл", "\\udcffфайл"), ("\\u0000", "\\u0000"), ("", "")],
)
def test_any_text_can_be_stored(text: str, wanted: str, look: Any) -> None:
    assert storable(text) == wanted
    assert look.one("SELECT %s::text", storable(text)) == wanted
    assert look.one("SELECT %s::jsonb", storable_json({text: text, "n": 1})) == {wanted: wanted, "n": 1}


# ── migrations ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_migrating_twice_changes_nothing(empty: Database) -> None:
    migrate(empty, BUS)
    tables = _tables(empty, "bus")
    assert {"message", "entry", "event", "outgoing", "queue", "schedule", "payload"} <= tables
    migrate(empty, BUS)
    assert _tables(empty, "bus") == tables


def test_a_database_newer_than_the_program_is_refused(empty: Database) -> None:
    migrate(empty, BUS)
    with empty.transaction() as connection:
        driver(connection).execute("UPDATE bus.migration SET version_num = 'bus_9999'")
    with pytest.raises(ConfigError, match="База данных новее этой программы: схема bus в версии bus_9999"):
        migrate(empty, BUS)


def test_processes_that_start_at_once_migrate_once(empty: Database) -> None:
    failures: list[BaseException] = []

    def start() -> None:
        database = Database(empty.url, pool_size=2)
        try:
            migrate(database, BUS)
        except BaseException as error:
            failures.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert "message" in _tables(empty, "bus")


def test_a_migration_that_fails_leaves_its_schema_as_it_was(empty: Database, tmp_path: Path) -> None:
    (tmp_path / "0001.py").write_text(REVISION.format(name="x_1", before=None, sql="CREATE TABLE x.a (n int)"))
    migrate(empty, [("x", tmp_path)])
    (tmp_path / "0002.py").write_text(
        REVISION.format(name="x_2", before="x_1", sql="CREATE TABLE x.b (n int); SELECT 1/0")
    )
    with pytest.raises(Exception, match="division by zero"):
        migrate(empty, [("x", tmp_path)])
    assert _tables(empty, "x") == {"a", "migration"}


@pytest.mark.parametrize("schema", [name for name, _ in discovery.migrations()])
def test_every_subsystem_keeps_its_tables_in_its_own_schema(new_database: Any, schema: str) -> None:
    database = Database(new_database(), pool_size=1)
    assert "migration" in _tables(database, schema)
    assert _tables(database, "public") == set()
    database.close()


@pytest.mark.feature("BUS-12")
def test_of_several_hosts_the_one_that_takes_writes_is_found(database_url: str) -> None:
    """As after a failover: the first host of the URL is gone."""
    parts = conninfo_to_dict(database_url)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        gone = taken.getsockname()[1]
    hosts = f"host=127.0.0.1,{parts['host']}&port={gone},{parts.get('port', 5432)}"
    database = Database(f"postgresql:///{parts['dbname']}?user={parts['user']}&{hosts}&target_session_attrs=read-write")
    try:
        with database.transaction() as connection:
            assert driver(connection).execute("SELECT 1").fetchone() == (1,)
        with database.dedicated() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        database.close()


@pytest.mark.parametrize("url", ["postgresql://one:5432,two:5433/omsbus", "postgresql://u:p@one,two:5433/omsbus"])
def test_a_url_with_several_hosts_is_taken_as_libpq_takes_it(url: str) -> None:
    Database(url).close()


def test_a_url_that_nobody_can_read_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigError) as error:
        Database("postgres://u:s3cret@/omsbus?nosuch=1")
    assert "OMSBUS_DATABASE_URL" in error.value.reason
    assert "s3cret" not in error.value.reason + error.value.detail
