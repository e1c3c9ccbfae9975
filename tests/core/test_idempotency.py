"""A request under a key is carried out once, whatever process or crash comes in between."""

from __future__ import annotations

import pytest

from core.database import Database, driver
from core.idempotency import Answer, KeyRefused, Once, fingerprint

ONE, OTHER = fingerprint("POST", "/a", b"1"), fingerprint("POST", "/a", b"2")


def once(database: Database, digest: bytes = ONE, *, actor: str = "token:a", key: str = "k") -> Once:
    return Once(database, actor, key, digest)


@pytest.mark.feature("SMEV-07")
def test_the_second_request_gets_the_answer_of_the_first(database: Database) -> None:
    first = once(database)
    assert first.begin(repeatable=False) is None
    first.finish(Answer(201, b'{"id": 1}'))
    assert once(database).begin(repeatable=False) == Answer(201, b'{"id": 1}')


def test_another_request_under_the_key_is_refused(database: Database) -> None:
    first = once(database)
    first.begin(repeatable=False)
    first.finish(Answer(200, b""))
    with pytest.raises(KeyRefused) as refused:
        once(database, OTHER).begin(repeatable=True)
    assert refused.value.kind == "other"


def test_a_key_of_somebody_else_is_another_key(database: Database) -> None:
    first = once(database)
    first.begin(repeatable=False)
    first.finish(Answer(200, b""))
    theirs = once(database, OTHER, actor="token:b")
    assert theirs.begin(repeatable=False) is None
    theirs.leave()


def test_while_the_first_is_under_way_the_second_waits_for_later(database: Database) -> None:
    first = once(database)
    first.begin(repeatable=True)
    with pytest.raises(KeyRefused) as refused:
        once(database).begin(repeatable=True)
    assert refused.value.kind == "running"
    first.finish(Answer(200, b"done"))
    assert once(database).begin(repeatable=True) == Answer(200, b"done")


@pytest.mark.parametrize("repeatable", [True, False])
def test_after_a_crash_only_what_may_be_repeated_is_carried_out_again(database: Database, repeatable: bool) -> None:
    once(database).begin(repeatable=repeatable)
    with database.dedicated() as admin:  # the process is gone, and its connection with it
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction' "
            "AND datname = current_database()"
        )
    again = once(database)
    if repeatable:
        assert again.begin(repeatable=True) is None
        again.finish(Answer(200, b"second"))
        assert once(database).begin(repeatable=True) == Answer(200, b"second")
    else:
        with pytest.raises(KeyRefused) as refused:
            again.begin(repeatable=False)
        assert refused.value.kind == "unknown"


def test_a_refused_request_leaves_its_key_free(database: Database) -> None:
    first = once(database)
    first.begin(repeatable=False)
    first.forget()
    corrected = once(database, OTHER)
    assert corrected.begin(repeatable=False) is None
    corrected.leave()


def test_keys_are_forgotten_after_a_day(database: Database) -> None:
    for key in ("old", "older"):
        first = once(database, key=key)
        first.begin(repeatable=False)
        first.finish(Answer(200, b""))
    with database.transaction() as connection:
        driver(connection).execute("UPDATE bus.idempotency SET began_at = began_at - interval '25 hours'")
    again = once(database, OTHER, key="old")
    assert again.begin(repeatable=False) is None
    again.finish(Answer(200, b"new"))
    with database.transaction() as connection:
        rows = driver(connection).execute("SELECT key FROM bus.idempotency").fetchall()
    assert rows == [("old",)]


def test_the_parts_of_a_request_do_not_run_together() -> None:
    assert fingerprint("POST", "/a", b"b") != fingerprint("POST", "/ab", b"")
