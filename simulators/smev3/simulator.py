"""The simulator put together: a call in octets, an answer in octets, and the work that goes on by itself.

One unit of work is one database transaction: what the call does, and the record of both envelopes. The answer leaves
only after the commit.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from typing import Any

import psycopg

from core.errors import BusError
from simulators.smev3 import contract, damage, envelopes, incoming, multipart
from simulators.smev3.actors import Actors
from simulators.smev3.clock import Clock
from simulators.smev3.damage import Answer
from simulators.smev3.faults import SmevFault, ValidationError
from simulators.smev3.handout import Handout
from simulators.smev3.identities import Identities
from simulators.smev3.mischief import Luck, Mischief
from simulators.smev3.operations import Operations, Reply
from simulators.smev3.outbox import Outbox
from simulators.smev3.settings import Settings
from simulators.smev3.store import Connection, Store, record_envelope
from simulators.smev3.validation import Validation
from simulators.smev3.versions import Version

IDLE_S = 0.05
EXPIRY_EVERY_S = 1.0
_DAMAGE = {
    "malformed": damage.malformed,
    "not_utf8": damage.not_utf8,
    "dtd": damage.with_dtd,
    "entity_bomb": damage.entity_bomb,
    "broken_multipart": damage.broken_multipart,
}

log = logging.getLogger("simulators.smev3")


class Simulator:
    """Everything behind the HTTP door. `open` before use; `close` stops the threads and the pool."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store(settings.database_url)
        self.clock = Clock()
        self.identities = Identities(settings)
        self.mischief = Mischief(self.store)
        self.outbox = Outbox(settings, self.clock, self.identities)
        self.actors = Actors(settings, self.clock, self.store, self.outbox)
        self._handout = Handout(settings, self.clock, self.identities)
        self._operations = Operations(settings, self.clock, self.identities, self._handout)
        self._validation = Validation(settings, self.clock, self._handout, self.mischief)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def open(self) -> None:
        """Make or find the schema, recall what a restart must not forget, start the background work."""
        contract.warm_up()
        self.store.open()
        self.mischief.load()
        self.clock.offset_s = float(self.store.load_state("clock_offset_s", 0.0))
        self.actors.down = set(self.store.load_state("down", []))
        for name, work in (("validation", self._validate_forever), ("actors", self._act_forever)):
            thread = threading.Thread(target=work, name=f"smev-{name}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def close(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=10)
        self.store.close()

    def handle(self, version: Version, content_type: str, soap_action: str, body: bytes) -> Answer:
        """One SOAP call. Never raises: whatever goes wrong inside is an SMEVFailure."""
        call: incoming.Call | SmevFault
        try:
            call = incoming.read(
                version, content_type, soap_action, body,
                header_required=self.settings.behaviour.soap_header_required,
            )  # fmt: skip
        except SmevFault as refusal:
            call = refusal
        operation = call.operation if isinstance(call, incoming.Call) else soap_action.strip('"').removeprefix("urn:")
        luck = self.mischief.for_call(operation[:40] or "unknown", version.number)
        if (late := luck.take("latency")) is not None:
            time.sleep(float(late.params.get("seconds", 1.0)))
        received = call.octets if isinstance(call, incoming.Call) else body
        try:
            with self.store.transaction() as conn, conn.transaction():
                answer = self._before(luck) or self._answer(conn, version, call, luck)
                came_multipart = isinstance(call, incoming.Call) and call.is_multipart
                self._record(conn, version, luck, received, answer, came_multipart)
            return answer
        except psycopg.Error:
            log.exception("the database of the simulator failed")
            problem = SmevFault("SMEVFailure")
            return damage.plain(envelopes.fault(version, problem), self.settings.behaviour.fault_http_status)

    def _before(self, luck: Luck) -> Answer | None:
        """Faults of the wire that hit before anything is done."""
        if luck.take("drop_before") is not None:
            return damage.DROPPED
        if luck.take("http_503") is not None:
            return damage.UNAVAILABLE
        return None

    def _answer(self, conn: Connection, version: Version, call: incoming.Call | SmevFault, luck: Luck) -> Answer:
        gateway = luck.take("html_504")
        if gateway is not None and not gateway.params.get("accepted", False):
            return damage.GATEWAY_TIMEOUT
        reply = self._reply(conn, version, call, luck)
        answer = self._dress(version, reply)
        return damage.GATEWAY_TIMEOUT if gateway is not None else self._after(luck, answer)

    def _reply(self, conn: Connection, version: Version, call: incoming.Call | SmevFault, luck: Luck) -> Reply:
        """The operation in a savepoint of its own, so that a refusal leaves nothing behind."""
        try:
            with conn.transaction():
                if isinstance(call, SmevFault):
                    raise call
                luck.caller = self.identities.caller(call, self.clock.now())
                self._refuse_on_purpose(luck)
                return self._operations.perform(conn, call, luck.caller, luck)
        except SmevFault as refusal:
            bare = refusal.injected and not refusal.errors
            return Reply(envelopes.fault(version, refusal, with_errors=not bare), fault=True)
        except (BusError, ValueError, AssertionError, LookupError):
            log.exception("the simulator failed on a call of %s", luck.operation)
            return Reply(envelopes.fault(version, SmevFault("SMEVFailure")), fault=True)

    def _refuse_on_purpose(self, luck: Luck) -> None:
        order = luck.take("fault")
        if order is None:
            return
        params = order.params
        name = str(params["name"])
        errors: tuple[ValidationError, ...] = ()
        if name == "InvalidContent" and not params.get("bare", False):
            errors = (ValidationError("cvc-elt.1: Отказ вызван имитатором."),)
        children = {str(key): str(value) for key, value in dict(params.get("children", {})).items()}
        raise SmevFault(name, str(params.get("text", "")), children, errors, injected=True)

    def _dress(self, version: Version, reply: Reply) -> Answer:
        """Plain or multipart, as the settings say for the version."""
        status = self.settings.behaviour.fault_http_status if reply.fault else 200
        mode = self.settings.behaviour.multipart.get(version.number, "attachments")
        parts = tuple(one for one in reply.contents if one.cid)
        if mode == "always" or (mode == "attachments" and parts):
            content_type, body = multipart.build(reply.envelope, parts)
            return Answer(status, content_type, body, reply.envelope, is_multipart=True)
        return damage.plain(reply.envelope, status)

    def _after(self, luck: Luck, answer: Answer) -> Answer:
        """Faults of the wire that spoil an answer that was already decided."""
        if luck.take("drop_after") is not None:
            return damage.DROPPED
        if luck.take("truncated") is not None:
            return Answer(
                answer.http_status, answer.content_type, answer.body, answer.envelope[: len(answer.envelope) // 2],
                answer.is_multipart, cut_at=len(answer.body) // 2,
            )  # fmt: skip
        if luck.take("empty_body") is not None:
            return Answer(200, multipart.XML_TYPE, b"")
        if (deep := luck.take("deep_nesting")) is not None:
            return damage.deep_nesting(int(deep.params.get("depth", 10_000)))
        if (huge := luck.take("huge_text")) is not None:
            return damage.huge_text(int(huge.params.get("size", 200 * 1024 * 1024)))
        for name, spoil in _DAMAGE.items():
            if luck.take(name) is not None:
                return spoil(answer)
        return answer

    def _record(
        self, conn: Connection, version: Version, luck: Luck, received: bytes, answer: Answer, is_multipart: bool
    ) -> None:
        if not self.settings.behaviour.record_envelopes:
            return
        exchange, at = uuid.uuid4(), self.clock.now()
        common: dict[str, Any] = {
            "exchange": exchange, "at": at, "version": version.number, "operation": luck.operation,
            "caller": luck.caller, "injected": luck.fired,
        }  # fmt: skip
        record_envelope(conn, direction="in", body=received, multipart=is_multipart, **common)
        if not answer.drop:
            record_envelope(
                conn, direction="out", body=answer.envelope, multipart=answer.is_multipart,
                http_status=answer.http_status, **common,
            )  # fmt: skip

    def _validate_forever(self) -> None:
        expire_at = 0.0
        while not self._stopping.is_set():
            moved = 0
            try:
                with self.store.transaction() as conn:
                    moved = self._validation.work(conn)
                if time.monotonic() >= expire_at:
                    expire_at = time.monotonic() + EXPIRY_EVERY_S
                    with self.store.transaction() as conn:
                        moved += self._validation.expire(conn)
            except Exception:
                log.exception("asynchronous validation of the simulator failed, it goes on")
                self._stopping.wait(1.0)
            if not moved:
                self._stopping.wait(IDLE_S)

    def _act_forever(self) -> None:
        while not self._stopping.is_set():
            done = 0
            try:
                done = self.actors.step()
            except Exception:
                log.exception("scripted participants of the simulator failed, they go on")
                self._stopping.wait(1.0)
            if not done:
                self._stopping.wait(IDLE_S)
