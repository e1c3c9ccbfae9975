"""A cluster lock is held by one process for as long as its connection lives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core.database import Database
from core.locks import ClusterLocks


@pytest.fixture
def process(database_url: str) -> Iterator[Callable[[], ClusterLocks]]:
    made: list[tuple[Database, ClusterLocks]] = []

    def begin() -> ClusterLocks:
        database = Database(database_url, pool_size=1)
        locks = ClusterLocks(database)
        made.append((database, locks))
        return locks

    yield begin
    for database, locks in made:
        locks.close()
        database.close()


def test_one_process_holds_a_name_until_it_lets_go(process: Any, eventually: Any) -> None:
    first, second = process(), process()
    assert first.hold("a")
    assert first.hold("a")
    assert not second.hold("a")
    assert second.hold("b")
    first.close()
    eventually(lambda: second.hold("a"))


def test_a_lost_connection_frees_the_name_and_its_holder_notices(process: Any, look: Any, eventually: Any) -> None:
    first, second = process(), process()
    assert first.hold("a")
    look.do("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")  # fmt: skip
    eventually(lambda: second.hold("a"))
    assert not first.hold("a"), "it notices that its connection is gone"
    assert not first.hold("a"), "and that another process has the name now"
    second.close()
    eventually(lambda: first.hold("a"))


def test_while_the_database_is_away_nobody_holds_anything() -> None:
    database = Database("postgresql://postgres@127.0.0.1:1/nowhere")
    assert not ClusterLocks(database).hold("a")
    database.close()
