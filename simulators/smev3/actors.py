"""Scripted participants at work: providers answer, consumers collect their answers and send made-up requests.

Each step is one transaction, so a crash in the middle repeats it whole.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from simulators.smev3 import queues
from simulators.smev3.clock import Clock
from simulators.smev3.outbox import Order, Outbox
from simulators.smev3.payloads import ANSWERS, make_request
from simulators.smev3.scripts import ANSWER, chosen_rule
from simulators.smev3.settings import Rule, Script, Settings
from simulators.smev3.store import Connection, Row, Store
from simulators.smev3.validation import payload_of
from simulators.smev3.versions import VERSIONS

STEP_MESSAGES = 20
_ANSWERS = ("response", "status")


class Actors:
    """`step` does a little of everything and says how much it did; participants that are down do nothing."""

    def __init__(self, settings: Settings, clock: Clock, store: Store, outbox: Outbox) -> None:
        self._settings = settings
        self._clock = clock
        self._store = store
        self._outbox = outbox
        self._next_at: dict[int, datetime] = {}
        self.down: set[str] = set()

    def step(self) -> int:
        """One round over all scripts. Returns the number of messages handled."""
        done = 0
        at_work = [(n, one) for n, one in enumerate(self._settings.scripts) if one.participant not in self.down]
        with self._store.transaction() as conn:
            waiting = queues.waiting_for(conn, [one.participant for _n, one in at_work], self._clock.now())
        for number, script in at_work:
            for version in VERSIONS:
                if script.role == "provider" and (script.participant, "request", version) in waiting:
                    done += self._serve_some(script, version)
                elif script.role == "consumer" and any((script.participant, q, version) in waiting for q in _ANSWERS):
                    with self._store.transaction() as conn:
                        done += self._collect(conn, script.participant, version)
            if script.role == "consumer" and script.every_s > 0:
                with self._store.transaction() as conn:
                    done += self._originate(conn, number, script)
        return done

    def _serve_some(self, script: Script, version: str) -> int:
        for done in range(STEP_MESSAGES):
            with self._store.transaction() as conn:
                if not self._serve(conn, script, version):
                    return done
        return STEP_MESSAGES

    def _serve(self, conn: Connection, script: Script, version: str) -> int:
        row = self._claim(conn, script.participant, "request", version, [script.kind])
        if row is None:
            return 0
        rule = chosen_rule(conn, self._settings, row) or ANSWER
        if rule.action == "reject":
            self._reject(conn, script.participant, row, rule.code or "FAILURE", rule.text, rule.delay_s)
        elif rule.action == "status":
            status = {"code": int(rule.code or 0), "text": rule.text or "Запрос в обработке", "parameters": {}}
            self._outbox.send_response(conn, script.participant, row, status=status)
            self._answer(conn, script.participant, row, rule)
        elif rule.action == "answer":
            self._answer(conn, script.participant, row, rule)
        queues.acknowledge(conn, script.participant, row["message_id"], True, self._clock.now())
        return 1

    def _answer(self, conn: Connection, participant: str, row: Row, rule: Rule) -> None:
        make = ANSWERS.get(row["kind"])
        document = payload_of(row)
        if make is None or document is None:
            text = "Имитатор не умеет отвечать на этот вид сведений"
            self._reject(conn, participant, row, "UNKNOWN_REQUEST_DESCRIPTION", text, rule.delay_s)
            return
        self._outbox.send_response(conn, participant, row, payload=make(document), delay_s=rule.delay_s)

    def _reject(self, conn: Connection, participant: str, row: Row, code: str, text: str, delay_s: float) -> None:
        rejection = {"code": code, "text": text or "Отказ поставщика сведений"}
        self._outbox.send_response(conn, participant, row, rejections=[rejection], delay_s=delay_s)

    def _collect(self, conn: Connection, participant: str, version: str) -> int:
        """Take answers and statuses, acknowledge them; what they said stays in the tables."""
        done = 0
        for queue in _ANSWERS:
            while done < STEP_MESSAGES and (row := self._claim(conn, participant, queue, version, None)) is not None:
                queues.acknowledge(conn, participant, row["message_id"], True, self._clock.now())
                done += 1
        return done

    def _claim(
        self, conn: Connection, participant: str, queue: str, version: str, kinds: list[str] | None
    ) -> Row | None:
        row = queues.claim(
            conn, recipient=participant, queue=queue, version=version, now=self._clock.now(),
            reserve_s=self._settings.behaviour.redelivery_s, kinds=kinds, any_node=True,
        )  # fmt: skip
        if row is not None:
            queues.set_status(conn, row["message_id"], VERSIONS[version].delivered_status)
        return row

    def _originate(self, conn: Connection, number: int, script: Script) -> int:
        now = self._clock.now()
        if self._next_at.setdefault(number, now) > now:
            return 0
        self._next_at[number] = now + timedelta(seconds=script.every_s)
        tag = f"script-{number}"
        sent = conn.execute("select count(*) as n from sim_smev.message where tag = %s", (tag,)).fetchone()
        count = int(sent["n"]) if sent else 0
        if script.limit and count >= script.limit:
            return 0
        payload = make_request(script.kind, number * 1_000_000 + count, script.records)
        self._outbox.send_request(
            conn, Order(sender=script.participant, payload=payload, version=script.version, tag=tag)
        )
        return 1
