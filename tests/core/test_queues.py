"""Claims cost what they take, however many messages wait: counted in pages that are touched, not in time."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core import operations, queues
from core.database import Driver, driver
from core.errors import Permanent
from core.queues import Failed

QUEUE = "t.work"
MANY = 20_000


@pytest.fixture
def waiting(look: Any) -> Callable[..., None]:
    """Puts so many messages into the queue; key and state are SQL over `n`, which begins after `first`."""

    def fill(number: int, key: str = "''", state: str = "'ready'", *, first: int = 0, queue: str = QUEUE) -> None:
        look.do(
            f"""
            WITH added AS (
                INSERT INTO bus.message (id, kind, version, key, source, external_id, fingerprint, outcome,
                    in_reply_to, replies_to, headers, attachments, body)
                SELECT gen_random_uuid(), %s, '', '', 't', %s || n, '', 'request', '', '', '{{}}', '[]',
                    convert_to({key} || '/' || n, 'UTF8') FROM generate_series(%s::int + 1, %s::int) n
                RETURNING seq, id, split_part(external_id, ':', 2)::int AS n)
            INSERT INTO bus.entry (seq, message_id, queue, key, state, due_at)
            SELECT seq, id, %s, {key}, {state}, now() - interval '1 hour' FROM added
            """,
            QUEUE,
            f"{queue}:",
            first,
            first + number,
            queue,
        )

    return fill


@pytest.fixture
def bus(bus_of: Any, working: Any) -> Any:
    return bus_of([working()])


class Pages:
    """A driver that counts the pages its statements touch, and remembers their plans."""

    def __init__(self, db: Driver) -> None:
        self._db = db
        self.touched = 0
        self.plans: list[str] = []

    def execute(self, sql: str, values: Any = None) -> Any:
        [[[explained]]] = self._db.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", values).fetchall()  # type: ignore[arg-type]
        plan = explained["Plan"]
        self.touched += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        self.plans.append(str(plan))
        return self._db.execute(sql, values)  # type: ignore[arg-type]


def _claim(bus: Any, limit: int = 64, queue: str = QUEUE) -> list[str]:
    """Bodies of one claim, finished at once."""
    with bus.database.transaction() as connection:
        claimed = bus.queues.claim(driver(connection), queue, limit)
        bus.queues.finish(driver(connection), queue, claimed, "handled")
    return [one.message.body.decode() for one in claimed]


def _sweep(bus: Any, times: int = 1) -> None:
    for _ in range(times):
        with bus.database.transaction() as connection:
            bus.queues.sweep(driver(connection))


# What the planner believes, against what is.
STATISTICS = {
    "none": "VACUUM bus.entry",
    "true": "ANALYZE bus.entry, bus.message",
    "all were ready": """
        UPDATE bus.entry SET state = 'ready'; ANALYZE bus.entry;
        UPDATE bus.entry e SET state = o.state FROM was o WHERE o.seq = e.seq AND o.state <> 'ready'""",
    "none was ready": """
        UPDATE bus.entry SET state = 'handled', key = 'one'; ANALYZE bus.entry;
        UPDATE bus.entry e SET state = o.state, key = o.key FROM was o WHERE o.seq = e.seq""",
}


def _believe(db: Driver, sql: str) -> None:
    for one in [*sql.split(";"), "VACUUM bus.entry"]:  # dead entries are another matter
        db.execute(one)  # type: ignore[arg-type]


@pytest.mark.feature("BUS-03")
@pytest.mark.parametrize("key", ["''", "n::text", "(n %% 100)::text", "'busy'"], ids=["none", "distinct", "100", "one"])
def test_a_claim_touches_as_many_pages_with_many_waiting_as_with_few_whatever_the_statistics_say(
    bus: Any, waiting: Any, look: Any, key: str
) -> None:
    waiting(1_000, key, queue="t.few")
    waiting(MANY // 4, key, "'handled'")
    waiting(MANY, key, first=MANY // 4)
    look.do("CREATE TABLE was AS SELECT seq, key, state FROM bus.entry")
    for name, sql in STATISTICS.items():
        with bus.database.dedicated() as outside:
            _believe(outside, sql)
        for mode in ("force_custom_plan", "force_generic_plan"):
            touched = []
            for queue in ("t.few", QUEUE):
                with bus.database.transaction() as connection:
                    connection.exec_driver_sql(f"SET LOCAL plan_cache_mode = {mode}")
                    for _ in range(2):  # the first one reads the catalogue
                        counting = Pages(driver(connection))
                        claimed = bus.queues.claim(counting, queue, 64)
                    assert len(claimed) == 64
                    assert not any("Seq Scan" in plan for plan in counting.plans)
                    touched.append(counting.touched)
                    connection.rollback()
            few, many = touched
            assert many < 2 * few, (name, mode)


def test_every_look_is_served_by_its_own_index_and_sorts_nothing(bus: Any, waiting: Any, look: Any) -> None:
    waiting(MANY, "'k' || n %% 50", "CASE WHEN n <= 100 THEN 'retry' WHEN n <= 200 THEN 'held' ELSE 'ready' END")
    look.do("CREATE TABLE was AS SELECT seq, key, state FROM bus.entry")
    looks = {
        "SELECT * FROM bus.near('t.work', 320)": "entry_ready",
        "SELECT * FROM bus.lock_keyless('t.work', 0, null, 64)": "entry_ready_key",
        "SELECT * FROM bus.next_keys('t.work', 'k1', 64)": "entry_ready_key",
        "SELECT * FROM bus.unfinished('t.work', '{k1,k2}', '{30000,30000}', 8)": "entry_ready_key",
        "SELECT bus.ready_behind('t.work', 'k7', 1000, 8)": "entry_ready_key",
        "SELECT * FROM bus.first_stuck('t.work', '{k1,k2}')": "entry_stuck_key",
        "SELECT * FROM bus.next_stuck('', '', 10)": "entry_stuck_key",
        "SELECT bus.due(10)": "entry_retry",
    }
    with bus.database.dedicated() as db:
        db.execute("LOAD 'auto_explain'")
        db.execute("SET auto_explain.log_nested_statements = on; SET auto_explain.log_level = notice")
        said: list[str] = []
        db.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
        for name, statistics in STATISTICS.items():
            db.execute("SET auto_explain.log_min_duration = -1")
            _believe(db, statistics)
            db.execute("SET auto_explain.log_min_duration = 0; SET client_min_messages = notice")
            for sql, index in looks.items():
                said.clear()
                db.execute(sql)  # type: ignore[arg-type]
                plans = [one for one in said if "bus.entry" in one and "Scan" in one]
                assert plans, sql
                for plan in plans:
                    assert f"using {index} on" in plan, (name, plan)
                    assert "Seq Scan" not in plan, (name, plan)
                    assert "Bitmap" not in plan, (name, plan)
                    assert "Sort" not in plan or "unnest" in plan, (name, plan)  # of a handful, a key


@pytest.fixture
def another_worker(bus: Any) -> Iterator[Callable[[int], list[str]]]:
    """Claims and goes on working until the test is over."""
    with bus.database.transaction() as connection:
        yield lambda limit: [one.message.body.decode() for one in bus.queues.claim(driver(connection), QUEUE, limit)]


@pytest.mark.feature("BUS-03")
def test_others_are_claimed_from_behind_thousands_of_one_key_that_another_worker_has(
    bus: Any, waiting: Any, another_worker: Any
) -> None:
    waiting(2_000, "'busy'")
    waiting(10, "'free' || n", first=2_000)
    waiting(3, "''", first=2_010)
    assert len(another_worker(5)) == 5
    assert sorted(_claim(bus)) == sorted(
        [*(f"free{n}/{n}" for n in range(2_001, 2_011)), *(f"/{n}" for n in range(2_011, 2_014))]
    )
    assert _claim(bus) == []


def test_a_worker_passes_over_the_keys_that_others_have(bus: Any, waiting: Any, another_worker: Any) -> None:
    waiting(300, "n::text")
    assert another_worker(200) == [f"{n}/{n}" for n in range(1, 201)]
    assert _claim(bus, 100) == [f"{n}/{n}" for n in range(201, 301)]


def test_hops_over_the_keys_go_on_where_the_last_claim_ended(
    bus: Any, waiting: Any, another_worker: Any, monkeypatch: Any
) -> None:
    """More keys than one claim looks at are blocked: the free one behind them is found by a later claim."""
    monkeypatch.setattr(queues, "HOPS_MOST", 1)
    waiting(500, "'a'")
    waiting(80, "'b' || n %% 40", "CASE WHEN n <= 540 THEN 'quarantined' ELSE 'ready' END", first=500)
    waiting(1, "'z'", first=580)
    assert another_worker(1) == ["a/1"]
    assert _claim(bus, 4) == []
    found = [body for _ in range(12) for body in _claim(bus, 4)]
    assert found == ["z/581"]


@pytest.mark.feature("BUS-03")
def test_keys_take_turns_in_a_claim(bus: Any, waiting: Any) -> None:
    waiting(30, "'long'")
    waiting(1, "'short'", first=30)
    assert _claim(bus, 4) == ["long/1", "long/2", "short/31"]


def test_messages_with_and_without_a_key_are_claimed_in_the_order_of_acceptance(bus: Any, waiting: Any) -> None:
    waiting(60, "CASE WHEN n %% 2 = 0 THEN '' ELSE n::text END")
    assert sorted(int(body.partition("/")[2]) for body in _claim(bus, 20)) == list(range(1, 21))


@pytest.mark.feature("BUS-03")
def test_a_failure_holds_those_behind_it_in_slices_and_none_of_them_overtakes(
    bus: Any, waiting: Any, look: Any
) -> None:
    behind = queues.HOLD_MOST * 2 + 100
    waiting(behind + 1, "'a'")
    waiting(1, "'b'", first=behind + 1)
    with bus.database.transaction() as connection:
        db = driver(connection)
        first = bus.queues.claim(db, QUEUE, 1)[0]
        bus.queues.fail(db, QUEUE, [Failed(first, "quarantined", "Permanent", "Нет")])
    held = "SELECT count(*) FROM bus.entry WHERE state = 'held'"
    assert look.one(held) == queues.HOLD_MOST
    assert _claim(bus) == [f"b/{behind + 2}"]
    assert _claim(bus) == []
    _sweep(bus)
    assert look.one(held) == queues.HOLD_MOST * 2
    _sweep(bus, 2)
    assert look.one(held) == behind
    operations.drop(bus, [first.message.id], actor="иванов", reason="ошибочно")
    found = []
    while some := _claim(bus, 200):
        found += some
    assert found == [f"a/{n}" for n in range(2, behind + 2)]


@pytest.mark.parametrize("follow", [True, False])
def test_a_key_whose_messages_are_held_flows_on_without_the_sweep(
    bus: Any, waiting: Any, look: Any, follow: bool
) -> None:
    """A sink takes one message of a key at a time: each that is finished makes the next one ready."""
    waiting(20, "'a'", "CASE WHEN n = 1 THEN 'quarantined' ELSE 'held' END")
    operations.resend(bus, [look.one("SELECT message_id FROM bus.entry WHERE state = 'quarantined'")], actor="x")
    found = []
    for _ in range(20):
        with bus.database.transaction() as connection:
            claimed = bus.queues.claim(driver(connection), QUEUE, 4, follow=follow)
            bus.queues.finish(driver(connection), QUEUE, claimed, "sent")
        found += [one.message.body.decode() for one in claimed]
    assert found == [f"a/{n}" for n in range(1, 21)]


def test_the_sweep_goes_round_all_keys_that_failed(bus: Any, waiting: Any, look: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(queues, "STUCK_KEYS_MOST", 30)
    waiting(100, "n::text", "'quarantined'")
    waiting(100, "(n - 100)::text", first=100)
    waiting(20, "'z' || n", "'held'", first=200)
    _sweep(bus, 5)
    assert dict(look.rows("SELECT state, count(*) FROM bus.entry GROUP BY state")) == {
        "quarantined": 100,
        "held": 100,
        "ready": 20,
    }


def test_the_sweep_leaves_a_key_alone_that_a_worker_has(bus: Any, waiting: Any, look: Any) -> None:
    waiting(1, "'a'", "'retry'")
    look.do("UPDATE bus.entry SET due_at = now() + interval '1 hour'")
    with bus.database.transaction() as connection:
        driver(connection).execute(queues._OWN_KEYS, (["a"], QUEUE, 1))
        waiting(1, "'a'", first=1)
        _sweep(bus)
        assert look.one("SELECT count(*) FROM bus.entry WHERE state = 'ready'") == 1
    _sweep(bus)
    assert look.one("SELECT count(*) FROM bus.entry WHERE state = 'ready'") == 0


def test_due_retries_come_back_in_slices(bus: Any, waiting: Any, look: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(queues, "DUE_MOST", 40)
    waiting(100, "n::text", "'retry'")
    _sweep(bus)
    assert look.one("SELECT count(*) FROM bus.entry WHERE state = 'ready'") == 40
    _sweep(bus, 2)
    assert look.one("SELECT count(*) FROM bus.entry WHERE state = 'ready'") == 100


@pytest.mark.parametrize("state", ["retry", "quarantined", "held"])
def test_the_sweep_touches_few_pages_however_many_are_put_aside(bus: Any, waiting: Any, look: Any, state: str) -> None:
    waiting(MANY, "'a'" if state == "held" else "n::text", f"CASE WHEN n = 1 THEN 'retry' ELSE '{state}' END")
    look.do("UPDATE bus.entry SET due_at = now() + interval '1 hour'")
    with bus.database.transaction() as connection:
        counting = Pages(driver(connection))
        bus.queues.sweep(counting)
        assert bus.queues.waiting(counting) == []
    assert counting.touched < 12 * queues.STUCK_KEYS_MOST + 500


@pytest.mark.feature("BUS-03")
def test_two_workers_never_have_one_key_at_once(bus: Any, waiting: Any) -> None:
    waiting(600, "(n %% 7)::text")
    lock = threading.Lock()
    at_work: Counter[str] = Counter()
    seen: dict[str, list[int]] = {}
    together: list[str] = []

    def work() -> None:
        while True:
            with bus.database.transaction() as connection:
                claimed = bus.queues.claim(driver(connection), QUEUE, 9)
                keys = {one.message.key for one in claimed}
                with lock:
                    together.extend(key for key in keys if at_work[key])
                    at_work.update(keys)
                    for one in claimed:
                        seen.setdefault(one.message.key, []).append(one.seq)
                bus.queues.finish(driver(connection), QUEUE, claimed, "handled")
                with lock:
                    at_work.subtract(keys)
            if not claimed:
                return

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while _claim(bus):
        pass
    assert not together
    assert all(seqs == sorted(set(seqs)) for seqs in seen.values())


def test_a_claim_of_a_message_whose_fate_was_decided_meanwhile_leaves_it_alone(
    bus: Any, waiting: Any, look: Any
) -> None:
    waiting(3, "'a'")
    operations.drop(bus, [look.one("SELECT message_id FROM bus.entry ORDER BY seq LIMIT 1")], actor="x", reason="x")
    with bus.database.transaction() as connection:
        db = driver(connection)
        claimed = bus.queues.claim(db, QUEUE, 2)
        bus.queues.fail(db, QUEUE, [Failed(claimed[0], "quarantined", Permanent.__name__, "Нет")])
    assert [row[0] for row in look.rows("SELECT state FROM bus.entry ORDER BY seq")] == [
        "dropped",
        "quarantined",
        "held",
    ]
