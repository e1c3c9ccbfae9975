"""Reading the audit: filters, pages, the export."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core import audit, deeds, trail
from core.database import Database, driver
from core.errors import ConfigError
from core.trail import Wanted


def record(database: Database, actor: str, action: str, kind: str, name: str, *, via: str = "cli", **more: Any) -> None:
    with database.transaction() as connection, audit.acting_from(via):
        audit.record(driver(connection), actor, action, kind, name, **more)


@pytest.fixture
def filled(database: Database) -> Database:
    for number in range(5):
        record(database, "ivanova", "queue.paused", "queue", f"q{number}")
    record(database, "petrov", "message.viewed", "message", "m1", via="console")
    record(database, "petrov", "registry.viewed", "erz.person", "7", via="console")
    record(database, "petrov", "message.resent", "message", "m1", via="api")
    return database


def names(database: Database, wanted: Wanted, most: int = 50) -> list[str]:
    return [f"{one.action}:{one.object_id}" for one in trail.rows(database, wanted, most)]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(actor="petrov"), ["message.resent:m1", "registry.viewed:7", "message.viewed:m1"]),
        (Wanted(action="message.resent"), ["message.resent:m1"]),
        (Wanted(object_kind="message", object_id="m1"), ["message.resent:m1", "message.viewed:m1"]),
        (Wanted(via="console"), ["registry.viewed:7", "message.viewed:m1"]),
        (Wanted(looks=True), ["registry.viewed:7", "message.viewed:m1"]),
        (Wanted(looks=True, actor="ivanova"), []),
        (Wanted(looks=True, action="message.viewed"), ["message.viewed:m1"]),
        (Wanted(looks=True, action="queue.paused"), []),
        (Wanted(actor="petrov", via="api"), ["message.resent:m1"]),
        (Wanted(actor="\x00'; --"), []),
    ],
    ids=lambda value: "" if isinstance(value, list) else repr(value)[:60],
)
@pytest.mark.feature("SMEV-11")
def test_rows_are_found_by_what_they_say(filled, wanted: Wanted, found: list[str]) -> None:
    assert names(filled, wanted) == found


def test_pages_go_down_and_up_again(filled) -> None:
    first = trail.rows(filled, Wanted(), 3)
    second = trail.rows(filled, Wanted(before=first[-1].seq), 3)
    third = trail.rows(filled, Wanted(before=second[-1].seq), 3)
    every = trail.rows(filled, Wanted(), 50)
    assert [*first, *second, *third] == every
    assert trail.rows(filled, Wanted(after=second[0].seq), 3) == first
    assert trail.rows(filled, Wanted(after=third[0].seq), 2) == second[1:]
    looks = trail.rows(filled, Wanted(looks=True), 50)
    assert trail.rows(filled, Wanted(looks=True, after=looks[1].seq), 5) == looks[:1]


def test_a_period_has_its_begin_and_not_its_end(database) -> None:
    now = datetime.now(UTC)
    record(database, "ivanova", "queue.paused", "queue", "q")
    hour = timedelta(hours=1)
    assert names(database, Wanted(since=now - hour, until=now + hour)) == ["queue.paused:q"]
    assert names(database, Wanted(since=now + hour)) == []
    assert names(database, Wanted(until=now - hour)) == []
    at = trail.rows(database, Wanted())[0].at
    assert names(database, Wanted(since=at)) == ["queue.paused:q"]
    assert names(database, Wanted(until=at)) == []


def test_who_has_acted_is_known_without_nobody(filled) -> None:
    record(filled, "", "session.refused", "account", "")
    assert trail.actors(filled) == ["ivanova", "petrov"]


def test_an_empty_audit_has_no_rows_and_no_actors(database) -> None:
    assert trail.rows(database, Wanted(since=datetime.now(UTC))) == []
    assert trail.actors(database) == []


def test_a_search_that_takes_too_long_is_given_up(filled, monkeypatch) -> None:
    monkeypatch.setattr(trail, "_where", lambda db, wanted: ("pg_sleep(1) IS NOT NULL", {}))
    monkeypatch.setattr(trail, "LOOK_MOST_S", 0.1)
    with pytest.raises(ConfigError, match="период короче"):
        trail.rows(filled, Wanted())


@pytest.mark.feature("BUS-14")
def test_an_export_is_audited_before_its_first_row_and_does_not_hold_itself(filled) -> None:
    wanted = Wanted(looks=True, since=datetime(2020, 1, 1, tzinfo=UTC))
    found = trail.export(filled, wanted, actor="auditor", form="csv")
    [row] = trail.rows(filled, Wanted(action="audit.exported"))
    assert (row.actor, row.detail) == ("auditor", {"looks": True, "since": "2020-01-01T00:00:00+00:00"})
    assert [one.action for one in found] == ["registry.viewed", "message.viewed"]
    every = list(trail.export(filled, Wanted(), actor="auditor", form="csv"))
    assert len(every) == 9
    assert every[0].action == "audit.exported", "the first export, not this one"


def test_an_export_goes_on_over_its_pages_and_ends_at_its_limit(filled, monkeypatch) -> None:
    monkeypatch.setattr(trail, "_EXPORT_PAGE", 3)
    every = [one.seq for one in trail.rows(filled, Wanted(), 50)]
    assert [one.seq for one in trail.export(filled, Wanted(), actor="a", form="csv")] == every
    assert [one.seq for one in trail.export(filled, Wanted(actor="ivanova"), actor="a", form="csv", most=4)] == every[
        3:7
    ]


def test_a_row_of_an_export_is_in_russian(database) -> None:
    record(
        database, "admin", "account.roles", "account", "ivanova", note="Изменены роли", detail={"added": ["operator"]}
    )
    [row] = trail.rows(database, Wanted())
    cells = trail.cells(row, row.at)
    assert len(cells) == len(trail.HEADINGS)
    assert cells[2:] == (
        "admin",
        "командная строка",
        "",
        "Пользователь: изменены роли",
        "Пользователь",
        "ivanova",
        "Изменены роли",
        "добавлено: «Оператор»",
    )


def test_sign_ins_of_one_account_are_told_and_nothing_else(database) -> None:
    for action in ("session.began", "session.refused", "account.roles"):
        record(database, "ivanova", action, "account", "ivanova")
    record(database, "petrov", "session.began", "account", "petrov")
    assert [one.action for one in trail.sign_ins(database, "ivanova")] == ["session.refused", "session.began"]
    assert set(deeds.SIGN_INS) >= {"session.refused", "session.began"}


@pytest.mark.parametrize("statement", ["UPDATE bus.audit SET note = ''", "DELETE FROM bus.audit", "TRUNCATE bus.audit"])
@pytest.mark.feature("SMEV-11")
def test_the_audit_is_never_changed_or_removed(filled, statement: str) -> None:
    import psycopg

    with pytest.raises(psycopg.errors.RaiseException, match="append-only"), filled.transaction() as connection:
        driver(connection).execute(statement)  # type: ignore[arg-type]
    assert len(trail.rows(filled, Wanted())) == 8
