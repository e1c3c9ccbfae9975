"""Claims with a million messages waiting, against claims with a thousand waiting: same table, same run, in turns.

Every case has two queues, one with few and one with many waiting messages. A claim takes 64, finishes and commits;
the short queue is filled up after each claim. Only the time inside `Queues.claim` counts, and of the claims the
median: on a busy machine a few of them wait for a core.
"""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.harness import Result, result, scratch_bus
from core.bus import Bus
from core.database import Driver, driver

NAME: Final = "claims"
FEW: Final = 1_000
MANY: Final = 1_000_000
LIMIT: Final = 64
CLAIMS: Final = 150
"""Of each queue and worker; the first tenth is a warm-up."""
MIN_RATIO: Final = 0.8
GOAL: Final = "1 000 000 сообщений в очереди: выборка не медленнее 80 % от выборки при 1 000"


@dataclass(frozen=True, slots=True)
class Case:
    """key: of the messages, SQL over `seq`. blocked: behind a key that another worker has, all but the last."""

    name: str
    key: str
    workers: int = 1
    blocked: bool = False


CASES: Final = (
    Case("no keys", "''"),
    Case("all keys distinct", "seq::text"),
    Case("1,000 keys", "mod(seq, 1000)::text"),
    Case("1,000 keys, two workers", "mod(seq, 1000)::text", workers=2),
    Case("behind one key of another worker", "'busy'", blocked=True),
)


def run(many: int = MANY, claims: int = CLAIMS) -> Result:
    """Messages a second taken by the claims of a worker; the ratio is the rate at `many` to the rate at FEW."""
    ratios: dict[str, float] = {}
    rates: dict[str, Any] = {}
    with scratch_bus([]) as bus:
        _messages(bus, many + FEW + 6 * claims * LIMIT)
        for case in CASES:
            few, much = _measure(bus, case, many, claims)
            ratios[case.name] = much / few
            rates[f"{case.name}: messages a second at {FEW} and at {many}"] = f"{few:.0f}, {much:.0f}"
        rates["8 keys, 10,000 waiting: ms a claim"] = round(_eight_keys(bus), 2)
        plan = _plan(bus, many)
    return result(
        NAME,
        GOAL,
        ratios,
        min(ratios.values()) >= MIN_RATIO,
        waiting=many,
        claim_of=LIMIT,
        **rates,
        plan=plan,
        database="embedded, fsync on",
    )


class _Queue:
    """One of the two queues of a case, and what its claims took. `spare`: numbers of the messages that fill it up."""

    def __init__(self, bus: Bus, case: Case, name: str, spare: range, *, refilled: bool) -> None:
        self.name = f"bench.{name}"
        self.refilled = refilled
        self._bus = bus
        self._case = case
        self._spare = iter(range(spare.start, spare.stop, LIMIT))
        self._message_s: list[float] = []

    @property
    def rate(self) -> float:
        """Messages a second."""
        return 1 / statistics.median(self._message_s)

    def fill(self, db: Driver, first: int, waiting: int, claims: int) -> None:
        """`waiting` messages from the number `first` on; behind the blocked ones, some that may be claimed."""
        _entries(db, self.name, self._case.key, first, waiting)
        if self._case.blocked:
            for _ in range(claims if not self.refilled else FEW // LIMIT):
                _entries(db, self.name, "seq::text", next(self._spare), LIMIT)

    def claim(self, *, counts: bool) -> None:
        """Claim, finish, fill up, commit."""
        with _transaction(self._bus) as db:
            began = time.perf_counter()
            claimed = self._bus.queues.claim(db, self.name, LIMIT)
            spent_s = time.perf_counter() - began
            self._bus.queues.finish(db, self.name, claimed, "handled")
            if self.refilled:
                key = "seq::text" if self._case.blocked else self._case.key
                _entries(db, self.name, key, next(self._spare), LIMIT)
        if counts and claimed:
            self._message_s.append(spent_s / len(claimed))


def _measure(bus: Bus, case: Case, many: int, claims: int) -> tuple[float, float]:
    per_queue = 2 * claims * LIMIT + FEW
    few = _Queue(bus, case, "few", range(many + FEW, many + FEW + per_queue), refilled=True)
    much = _Queue(bus, case, "many", range(many + FEW + per_queue, many + FEW + 2 * per_queue), refilled=False)
    with _transaction(bus) as db:
        db.execute("TRUNCATE bus.entry")
        much.fill(db, 0, many, claims)
        few.fill(db, many, FEW, claims)
    with bus.database.dedicated() as db:  # a million messages did not come this very moment
        db.execute("VACUUM ANALYZE bus.entry")
        db.execute("CHECKPOINT")

    def work() -> None:
        for turn in range(claims // case.workers):
            for queue in (few, much) if turn % 2 else (much, few):
                queue.claim(counts=turn >= claims // 10)

    with contextlib.ExitStack() as others:
        if case.blocked:  # the other worker: it has the key and is at work
            db = others.enter_context(_transaction(bus))
            for queue in (few, much):
                assert bus.queues.claim(db, queue.name, LIMIT)
        threads = [threading.Thread(target=work) for _ in range(case.workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return few.rate, much.rate


def _eight_keys(bus: Bus) -> float:
    """For orientation: milliseconds a claim where few keys have long runs."""
    with _transaction(bus) as db:
        db.execute("TRUNCATE bus.entry")
        _entries(db, "bench.few", "mod(seq, 8)::text", 0, 10_000)
    queue = _Queue(bus, Case("", "''"), "few", range(0), refilled=False)
    for turn in range(60):
        queue.claim(counts=turn >= 10)
    return LIMIT * 1000 / queue.rate


def _plan(bus: Bus, many: int) -> str:
    """The plan of the look with which every claim begins, at `many` waiting."""
    with _transaction(bus) as db:
        db.execute("TRUNCATE bus.entry")
        _entries(db, "bench.many", "''", 0, many)
    with bus.database.dedicated() as db:
        db.execute("VACUUM bus.entry")
        db.execute("LOAD 'auto_explain'")
        db.execute("SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on")
        db.execute("SET auto_explain.log_analyze = on; SET auto_explain.log_timing = off")
        db.execute("SET auto_explain.log_level = notice; SET client_min_messages = notice")
        said: list[str] = []
        db.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
        db.execute("SELECT * FROM bus.near('bench.many', %s)", (4 * LIMIT + 64,))
    return next(one for one in said if "entry_ready" in one)


def _messages(bus: Bus, number: int) -> None:
    with _transaction(bus) as db:
        db.execute(
            "INSERT INTO bus.message (id, kind, version, key, source, external_id, fingerprint, outcome, in_reply_to, "
            "replies_to, headers, attachments, body) SELECT gen_random_uuid(), 'bench', '', '', 'bench', n::text, '', "
            "'request', '', '', '{}', '[]', 'x' FROM generate_series(1, %s) n",
            (number,),
        )


def _entries(db: Driver, queue: str, key: str, first: int, number: int) -> None:
    """Entries in the state "ready" for the messages first+1 … first+number."""
    db.execute(
        f"INSERT INTO bus.entry (seq, message_id, queue, key, state) SELECT seq, id, %s, {key}, 'ready' "
        "FROM bus.message m WHERE seq > %s AND seq <= %s ORDER BY m.seq",
        (queue, first, first + number),
    )


@contextlib.contextmanager
def _transaction(bus: Bus) -> Iterator[Driver]:
    with bus.database.transaction() as connection:
        yield driver(connection)
