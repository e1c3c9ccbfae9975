"""Processes on one database: refused at the start, or ended visibly, when they must not work together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core import cluster, discovery, neighbours
from core.cluster import Membership
from core.database import revisions
from core.errors import ConfigError
from core.neighbours import guard_migration
from core.route import Format, Route

BEAT_S = 0.05


@pytest.fixture
def beat_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "BEAT_S", BEAT_S)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Put this machine's clock so many seconds off."""

    def put(off_s: float) -> None:
        monkeypatch.setattr(cluster, "now", lambda: time.time() + off_s)

    return put


@pytest.fixture
def strict(bus_of: Any) -> Any:
    """A bus like those of production: no update is under way."""
    return lambda *parts, **settings: bus_of(*parts, **({"rolling": False} | settings))


def _everything(look: Any) -> list[Any]:
    return [
        sorted(look.rows(f"SELECT t::text FROM {table} t"))
        for table in ("bus.queue", "bus.schedule", "bus.migration", "bus.message", "bus.event")
    ]


# ── two configurations ───────────────────────────────────────────────────────────────────────────────────────────────

DIFFERENCES = [
    ("a connector's address", {"connectors": {"far": {"url": "http://b"}}}, "connectors.far.url"),
    ("a number of a route", {"routes": {"t.work": {"attempts": 3}}}, "routes.t.work.attempts"),
    ("a schedule", {"schedules": {"s": {"cron": "0 1 * * *", "queue": "t.work"}}}, "schedules.s.cron"),
    ("a broker", {"broker_url": "memory://"}, "broker_url"),
]


@pytest.mark.feature("BUS-12")
@pytest.mark.parametrize(("changed", "named"), [one[1:] for one in DIFFERENCES], ids=[one[0] for one in DIFFERENCES])
def test_another_configuration_is_refused_with_what_differs_and_changes_nothing(
    strict: Any, working: Any, far: Any, look: Any, changed: dict[str, Any], named: str
) -> None:
    same = {"connectors": {"far": {"url": "http://a"}}, "schedules": {"s": {"cron": "0 0 * * *", "queue": "t.work"}}}
    strict([working()], [far], **same).start(intake=False, work=True, schedule=False)
    before = _everything(look)
    with pytest.raises(ConfigError) as refused:
        strict([working()], [far], **(same | changed))
    text = refused.value.reason
    assert "worker на " in text
    assert named in text
    assert "OMSBUS_ROLLING=true" in text
    assert "http://" not in text, "values are nobody's business"
    assert _everything(look) == before
    assert look.one("SELECT count(*) FROM bus.process") == 1


@pytest.mark.feature("BUS-12")
def test_another_set_of_routes_is_refused_and_says_where_each_is(strict: Any, working: Any) -> None:
    strict([working(), working(name="t.old")])
    with pytest.raises(ConfigError) as refused:
        strict([working(), working(name="t.new")])
    assert "маршрут t.old: программа (только там)" in refused.value.reason
    assert "маршрут t.new: программа (только тут)" in refused.value.reason
    assert "t.work" not in refused.value.reason


@pytest.mark.feature("BUS-12")
def test_what_belongs_to_a_machine_may_differ(strict: Any, working: Any, far: Any, look: Any, tmp_path: Path) -> None:
    secret = {"url": "http://a", "key_file": "/a/key.pem", "password_env": "A_PASSWORD", "password": "тайна"}
    strict([working()], [far], connectors={"far": secret})
    other = {"url": "http://a", "key_file": "/b/key.pem", "password_env": "B_PASSWORD", "password": "другая"}
    strict([working()], [far], connectors={"far": other}, workers=7, log_level="DEBUG", data_dir=tmp_path / "b")
    assert look.one("SELECT count(*) FROM bus.live_process") == 2
    assert "password" not in look.rows("SELECT configuration::text FROM bus.process")[0][0]


@pytest.mark.feature("BUS-12")
def test_another_schema_file_is_another_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from core import configuration

    monkeypatch.setattr(configuration, "HOUSE", tmp_path)
    file = tmp_path / "schemas" / "t" / "a.xsd"
    file.parent.mkdir(parents=True)
    found = []
    for text in ("<a/>", "<b/>"):
        file.write_text(text)
        configuration._tree.cache_clear()
        configuration._content.cache_clear()
        found.append(configuration._parts_of(Route("t", title="T", formats=[Format("1", root="a", schema="t/a.xsd")])))
    assert {name for name in found[0] if found[0][name] != found[1][name]} == {"маршрут t: схемы и преобразования"}


@pytest.mark.feature("BUS-12")
def test_a_process_that_no_longer_beats_or_has_left_refuses_nobody(strict: Any, working: Any, look: Any) -> None:
    strict([working()]).membership.leave()
    assert look.one("SELECT count(*) FROM bus.process") == 0
    strict([working(name="t.other")])
    look.do("UPDATE bus.process SET beat_at = now() - interval '61 seconds'")
    strict([working(name="t.third")])
    assert look.one("SELECT count(*) FROM bus.live_process") == 1


@pytest.mark.feature("BUS-12")
def test_a_process_whose_connection_is_gone_counts_as_dead_at_once(
    strict: Any, working: Any, look: Any, eventually: Any
) -> None:
    strict([working()])
    look.do("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1869443842")
    eventually(lambda: look.one("SELECT count(*) FROM bus.live_process") == 0)
    strict([working(name="t.other")])


@pytest.mark.feature("BUS-12")
def test_a_member_that_lost_its_connection_is_back_at_its_next_beat(
    strict: Any, working: Any, look: Any, eventually: Any, beat_fast: None
) -> None:
    bus = strict([working()])
    bus.start(intake=False, work=False, schedule=False)
    [(number,)] = look.rows("SELECT id FROM bus.process")
    look.do("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1869443842")
    look.do("DELETE FROM bus.process")
    eventually(lambda: look.rows("SELECT id, state FROM bus.live_process") == [(number, "running")])
    assert bus.healthy()


@pytest.mark.feature("BUS-12")
def test_of_two_that_found_each_other_late_the_younger_ends_visibly(
    strict: Any, working: Any, look: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "BEAT_S", 3600.0)
    older = strict([working()])
    older.start(intake=False, work=False, schedule=False)
    look.do("UPDATE bus.process SET beat_at = now() - interval '1 hour'")
    monkeypatch.setattr(cluster, "BEAT_S", BEAT_S)
    younger = strict([working(name="t.other")])
    younger.start(intake=False, work=True, schedule=False)
    look.do("UPDATE bus.process SET beat_at = clock_timestamp()")
    with pytest.raises(ConfigError, match="другой настройкой"):
        younger.until(threading.Event())
    assert not younger.healthy()
    assert older.healthy()
    assert look.rows("SELECT state FROM bus.process ORDER BY id") == [("running",), ("stopped",)]


# ── an update under way ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.feature("BUS-12", "BUS-02")
@pytest.mark.parametrize("by", ["queue", "kind", "root"])
def test_a_message_of_a_queue_that_only_another_process_serves_waits_for_it(
    bus_of: Any, working: Any, look: Any, put: Any, run_dry: Any, effects: Any, by: str
) -> None:
    route = working(name="t.new", keyed=False)
    route.formats = (Format("2.0", root="{urn:t}new"),)
    old, new = bus_of([working()]), bus_of([working(), route])
    named = {"queue": {"kind": "t.any", "queue": "t.new"}, "kind": {"kind": "t.new"}, "root": {"kind": "{urn:t}new"}}
    put(old, '<new xmlns="urn:t"/>', **named[by])
    assert look.states("t.new") == {'<new xmlns="urn:t"/>': "ready"}
    if by == "root":
        assert look.rows("SELECT kind, version FROM bus.message") == [("t.new", "2.0")]
    assert run_dry(old, "t.new") == 0
    run_dry(new, "t.new")
    assert look.states("t.new") == {'<new xmlns="urn:t"/>': "handled"}


@pytest.mark.feature("BUS-12")
def test_a_queue_that_nobody_serves_any_more_takes_messages_into_quarantine(
    bus_of: Any, working: Any, look: Any, put: Any
) -> None:
    old, new = bus_of([working()]), bus_of([working(), working(name="t.new")])
    new.membership.leave()
    put(old, "a", kind="t.any", queue="t.new")
    assert look.states("t.new") == {"a": "quarantined"}


# ── schema ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.feature("BUS-12")
def test_a_process_ends_when_another_one_migrates_further(
    strict: Any, working: Any, look: Any, beat_fast: None, put: Any, effects: Any, database: Any
) -> None:
    bus = strict([working()])
    bus.start(intake=True, work=True, schedule=True, push=True)
    look.do("UPDATE bus.migration SET version_num = 'bus_9999'")
    with pytest.raises(ConfigError, match="Обновите программу на этой машине"):
        bus.until(threading.Event())
    assert not bus.healthy()
    assert not bus._parts
    bus.membership.leave()
    [row] = neighbours.processes(database)
    assert (row.state, row.alive) == ("stopped", False)
    assert "Обновите программу" in row.reason, "it stays for people to see"


@pytest.mark.feature("BUS-12")
def test_the_schema_is_not_migrated_below_the_feet_of_a_live_process(strict: Any, working: Any, database: Any) -> None:
    bus = strict([working()])
    known = {"bus": ["bus_9999", *revisions(discovery.migrations())["bus"]]}
    with pytest.raises(ConfigError, match=r"хочет обновить схему базы.*pid.*OMSBUS_ROLLING=true"):
        guard_migration(database, lambda: known, rolling=False)
    guard_migration(database, lambda: known, rolling=True)
    bus.membership.leave()
    guard_migration(database, lambda: known, rolling=False)


def test_a_new_subsystem_counts_as_a_migration_and_a_newer_database_does_not(
    strict: Any, working: Any, database: Any, look: Any
) -> None:
    strict([working()])
    with pytest.raises(ConfigError):
        guard_migration(database, lambda: {"brandnew": ["n_1"]}, rolling=False)
    look.do("UPDATE bus.migration SET version_num = 'bus_9999'")
    guard_migration(database, lambda: {"bus": ["bus_0002", "bus_0001"]}, rolling=False)


# ── clocks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.feature("BUS-07", "BUS-12")
@pytest.mark.parametrize(("off_s", "words"), [(3600, "спешат на 1 ч"), (-3600, "отстают на 1 ч")])
def test_a_clock_an_hour_off_is_refused_with_the_remedy(
    strict: Any, working: Any, look: Any, clock: Any, off_s: float, words: str
) -> None:
    before = _everything(look)
    clock(off_s)
    with pytest.raises(ConfigError) as refused:
        strict([working()])
    assert f"Часы этой машины {words}" in refused.value.reason
    assert "chrony" in refused.value.reason
    assert _everything(look) == before
    assert look.one("SELECT count(*) FROM bus.process") == 0


@pytest.mark.feature("BUS-12")
def test_a_clock_within_the_limit_is_let_in_and_shown(strict: Any, working: Any, database: Any, clock: Any) -> None:
    clock(30)
    strict([working()])
    [row] = neighbours.processes(database)
    assert row.clock_off_s == pytest.approx(30, abs=5)


@pytest.mark.feature("BUS-07", "BUS-12")
def test_a_clock_that_goes_away_while_running_ends_the_process_visibly(
    strict: Any, working: Any, clock: Any, beat_fast: None, database: Any
) -> None:
    bus = strict([working()])
    bus.start(intake=True, work=True, schedule=True)
    clock(3600)
    with pytest.raises(ConfigError, match="спешат на 1 ч"):
        bus.until(threading.Event())
    assert not bus.healthy()
    [row] = neighbours.processes(database)
    assert (row.state, row.alive) == ("stopped", False)


def test_a_slow_answer_of_the_database_is_no_wrong_clock(
    strict: Any, working: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(1_000))
    monkeypatch.setattr(cluster, "now", lambda: time.time() + 300.0 * (next(calls) % 2))
    strict([working()])


# ── the cost of it, and the worst days ───────────────────────────────────────────────────────────────────────────────


def test_a_full_disk_does_not_keep_a_process_from_starting(
    strict: Any, working: Any, look: Any, eventually: Any, beat_fast: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = Membership._insert
    full = [True]

    def refuse(self: Membership, db: Any) -> None:
        if full[0]:
            raise psycopg.errors.DiskFull("no space left")
        insert(self, db)

    monkeypatch.setattr(Membership, "_insert", refuse)
    bus = strict([working()])
    bus.start(intake=False, work=True, schedule=False)
    assert bus.healthy()
    assert look.one("SELECT count(*) FROM bus.process") == 0
    full[0] = False
    eventually(lambda: look.rows("SELECT role, state FROM bus.live_process") == [("worker", "running")])


def test_nothing_of_a_member_is_left_when_it_has_gone(strict: Any, working: Any, look: Any) -> None:
    bus = strict([working()])
    bus.start(intake=False, work=False, schedule=False)
    bus.stop()
    bus.membership.leave()
    bus.membership.leave()
    assert look.one("SELECT count(*) FROM bus.process") == 0
    assert not [thread for thread in threading.enumerate() if thread.name == "cluster"]
