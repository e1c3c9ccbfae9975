"""The engine under random histories (hypothesis, real PostgreSQL): whatever the order of events, it keeps its word."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from core import operations
from core.errors import ConfigError, Permanent, Retryable, Unavailable
from core.message import Message
from core.route import Context, Retry, Route

STATES = {"ready", "held", "retry", "quarantined", "handled", "sent", "dropped"}
UNFINISHED = {"ready", "held", "retry", "quarantined"}


KEYS = st.sampled_from(["a", "b", ""])


class Crash(BaseException):
    """The process dies here, as far as the engine can tell."""


TROUBLES = {
    "none": None,
    "retry": Retryable("Позже", pause_s=0.0),
    "permanent": Permanent("Нет"),
    "config": ConfigError("Настройте"),
    "defect": KeyError("defect"),
    "crash": Crash(),
}
WAY_OUT = {**TROUBLES, "away": Unavailable("Нет связи"), "renew": Retryable("Заново", renew=True)}
EACH = [(one, "none") for one in TROUBLES] + [("none", one) for one in WAY_OUT]


@pytest.mark.timeout(600)  # a failure is shrunk to the shortest history that shows it
@pytest.mark.feature("BUS-02", "BUS-03")
def test_whatever_happens_nothing_is_lost_doubled_or_overtaken(
    bus_of: Any, far: Any, look: Any, effects: Any, sweep: Any, make_due: Any
) -> None:
    trouble: dict[bytes, str] = {}
    way_out: dict[bytes, str] = {}
    must_not_run: set[str] = set()
    next_ids: dict[Any, tuple[str, bool]] = {}
    violations: list[str] = []

    def note(queue: str, error: BaseException | None) -> None:
        """A settings error stops a queue, a far side that is away rests it: nobody may touch it then."""
        if queue in must_not_run:
            violations.append(f"{queue} ran though it was stopped or resting")
        if isinstance(error, ConfigError | Unavailable):
            stopping.add(queue)

    stopping: set[str] = set()

    def handle(_body: Any, context: Context) -> Any:
        message = context.message
        effects.write(context, str(message.id))
        yield Message(kind="out", queue="far", body=b"out:" + message.body, key=message.key)
        error = TROUBLES[trouble.get(message.body, "none")]
        if isinstance(error, Crash):
            trouble[message.body] = "none"
        note("t.work", error)
        if error:
            raise error

    route = Route("t.work", title="Работа", retry=Retry(attempts=3), key=lambda m: m.body.decode().partition("/")[0])
    route.handler(handle)
    arrived: list[tuple[str, bytes]] = []

    def send(message: Message, prepared: Any, *, repeated: bool) -> Any:
        error = WAY_OUT[way_out.get(message.body, "none")]
        if isinstance(error, Crash):
            way_out[message.body] = "none"
        note("far", error)
        before, renewed = next_ids.get(message.id, (prepared.external_id, False))
        if (prepared.external_id == before) == renewed:
            violations.append(f"{message.body!r} sent under {prepared.external_id} after {before}")
        next_ids[message.id] = prepared.external_id, isinstance(error, Retryable) and error.renew
        if error is None or isinstance(error, Crash):
            arrived.append((prepared.external_id, message.body))
        if error:
            raise error
        return receipt

    receipt = far.send(Message(kind="", body=b""), far.prepare(Message(kind="", body=b"")), repeated=False)
    far.send = send
    bus = bus_of([route], [far])

    class Histories(RuleBasedStateMachine):
        accepted: Bundle[Any] = Bundle("accepted")

        @initialize()
        def empty(self) -> None:
            look.do(
                # as a replica does: without the triggers that keep the journal
                "SET LOCAL session_replication_role = replica; "
                "TRUNCATE bus.message, bus.entry, bus.event, bus.outgoing, t.effect"
            )
            look.do("UPDATE bus.queue SET state = 'running', rest_until = NULL, failures = 0")
            trouble.clear()
            way_out.clear()
            arrived.clear()
            must_not_run.clear()
            stopping.clear()
            next_ids.clear()
            violations.clear()
            far.acked.clear()
            self.number = 0
            self.dropped: set[Any] = set()
            self.copies: Counter[bytes] = Counter()
            self.originals: dict[Any, bytes] = {}

        # ── what may happen ──────────────────────────────────────────────────────────────────────────────────────

        @rule(target=accepted, key=KEYS, trouble=st.sampled_from(EACH))
        def one_is_accepted_and_worked_on(self, key: str, trouble: tuple[str, str]) -> Any:
            return self._worked_on(self._offer(key, *trouble))

        def _worked_on(self, offer: Any) -> Any:
            bus.engine.accept([offer])
            self.originals[offer.message.id] = offer.message.body
            self.a_worker_comes("t.work", 6)
            self.a_worker_comes("far", 6)
            return offer

        @rule(
            target=accepted, batch=st.lists(st.tuples(KEYS, st.sampled_from(sorted(TROUBLES))), min_size=1, max_size=5)
        )
        def some_are_accepted(self, batch: list[tuple[str, str]]) -> Any:
            offers = [self._offer(key, name, "none") for key, name in batch]
            bus.engine.accept(offers)
            self.originals |= {one.message.id: one.message.body for one in offers}
            return multiple(*offers)

        def _offer(self, key: str, name: str, way: str) -> Any:
            self.number += 1
            body = f"{key}/{self.number}".encode()
            trouble[body] = name
            way_out[b"out:" + body] = way
            return far.offer(str(self.number), body)

        @rule(offer=accepted)
        def it_comes_again(self, offer: Any) -> None:
            again = far.offer(offer.message.external_id, offer.message.body)
            [found] = bus.engine.accept([again])
            assert (found.repeated, found.message_id) == (True, offer.message.id)

        @rule(offer=accepted)
        def its_id_is_used_for_another_body(self, offer: Any) -> None:
            body = offer.message.body + b"!"
            [found] = bus.engine.accept([far.offer(offer.message.external_id, body)])
            self.originals[found.message_id] = body

        @rule(queue=st.sampled_from(["t.work", "far"]), limit=st.integers(1, 6))
        def a_worker_comes(self, queue: str, limit: int) -> None:
            stopping.clear()
            with contextlib.suppress(Crash):
                bus.engine.drain(queue, limit)
                must_not_run.update(stopping)  # a crash before the commit leaves no trace of it

        @rule(offer=accepted)
        def its_trouble_ends(self, offer: Any) -> None:
            trouble[offer.message.body] = "none"
            way_out[b"out:" + offer.message.body] = "none"

        @rule(later=st.booleans())
        def the_sweep_runs(self, later: bool) -> None:
            if later:
                make_due()
                if look.one("SELECT state FROM bus.queue WHERE name = 'far'") == "running":
                    must_not_run.discard("far")
            sweep(bus)
            orphans = look.rows(
                "SELECT e.seq FROM bus.entry e WHERE e.state = 'held' AND NOT EXISTS (SELECT 1 FROM bus.entry b "
                "WHERE b.queue = e.queue AND b.key = e.key AND b.seq < e.seq "
                "AND b.state IN ('ready', 'held', 'retry', 'quarantined'))"
            )
            assert not orphans, "held behind nothing"
            self.a_worker_comes("t.work", 6)
            self.a_worker_comes("far", 6)

        @rule(offer=accepted)
        def an_operator_resends(self, offer: Any) -> None:
            if self._state(offer.message.id) not in UNFINISHED:
                self.copies[offer.message.body] += 1
                trouble[offer.message.body] = "none"
            operations.resend(bus, [offer.message.id], actor="x")

        @rule(offer=accepted)
        def an_operator_drops(self, offer: Any) -> None:
            if operations.drop(bus, [offer.message.id], actor="x", reason="x"):
                self.dropped.add(offer.message.id)

        @rule(queue=st.sampled_from(["t.work", "far"]), state=st.sampled_from(["running", "running", "paused"]))
        def an_operator_turns_a_queue(self, queue: str, state: str) -> None:
            operations.set_state(bus, queue, state, actor="x")
            if state == "running":
                must_not_run.discard(queue)

        # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────

        @invariant()
        def nothing_acknowledged_is_lost(self) -> None:
            if not hasattr(self, "originals"):
                return
            rows = look.rows("SELECT message_id, state FROM bus.entry")
            assert {state for _, state in rows} <= STATES
            found = {message_id for message_id, _ in rows}
            assert self.originals.keys() <= found

        @invariant()
        def an_effect_stands_exactly_where_handled_stands_and_once(self) -> None:
            handled = Counter(
                str(row[0]) for row in look.rows("SELECT message_id FROM bus.entry WHERE state='handled'")
            )
            assert Counter(effects.texts()) == handled
            emitted = look.one("SELECT count(*) FROM bus.message WHERE kind = 'out'")
            assert emitted == len(effects.texts())

        @invariant()
        def nothing_overtakes_within_its_key(self) -> None:
            by_key = defaultdict(list)
            for key, seq in look.rows(
                "SELECT e.key, e.seq FROM t.effect f JOIN bus.entry e ON e.message_id::text = f.text "
                "WHERE e.key <> '' ORDER BY f.n"
            ):
                by_key[key].append(seq)
            assert all(seqs == sorted(seqs) for seqs in by_key.values())

        @invariant()
        def nothing_is_sent_under_two_ids_unless_renewed(self) -> None:
            ids = defaultdict(set)
            for external_id, body in arrived:
                ids[body].add(external_id)
            sent = Counter(look.rows("SELECT m.body FROM bus.entry e JOIN bus.message m USING (seq) "
                                     "WHERE e.queue = 'far'"))  # fmt: skip
            assert all(len(found) <= sent[(body,)] for body, found in ids.items())

        @invariant()
        def what_must_not_happen_did_not(self) -> None:
            assert not violations

        def teardown(self) -> None:
            """In the end everything that nobody dropped has its effect, once, and has been sent."""
            if not hasattr(self, "originals"):
                return
            trouble.clear()
            way_out.clear()
            must_not_run.clear()
            for _ in range(3):
                for queue in ("t.work", "far"):
                    operations.set_state(bus, queue, "running", actor="x")
                waiting = [row[0] for row in look.rows("SELECT message_id FROM bus.entry WHERE state = 'quarantined'")]
                operations.resend(bus, waiting, actor="x")
                make_due()
                sweep(bus)
                for queue in ("t.work", "far"):
                    while bus.engine.drain(queue, 64):
                        pass
            self.nothing_acknowledged_is_lost()
            self.an_effect_stands_exactly_where_handled_stands_and_once()
            self.nothing_overtakes_within_its_key()
            self.nothing_is_sent_under_two_ids_unless_renewed()
            assert not violations
            states = Counter(row[0] for row in look.rows("SELECT state FROM bus.entry"))
            assert not states.keys() & UNFINISHED
            done = Counter(row[0] for row in look.rows("SELECT m.body FROM t.effect f JOIN bus.message m ON m.id::text "
                                                       "= f.text"))  # fmt: skip
            wanted = Counter(body for one, body in self.originals.items() if one not in self.dropped) + self.copies
            assert done == wanted
            assert {body for _, body in arrived} == {b"out:" + body for body in wanted}

        def _state(self, message_id: Any) -> str:
            return str(look.one("SELECT state FROM bus.entry WHERE message_id = %s", message_id))

    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
