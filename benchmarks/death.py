"""The whole way of a death notification, against what its cryptography and XML alone allow.

Both readings are of the same signed envelopes in one run: first a bare loop (verify, validate, transform, bind; no
database), then the bus: accept, split, validate, transform, register in the registry, answer journaled, commit.
"""

from __future__ import annotations

import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

from benchmarks.harness import Result, count, result, scratch_bus, start, wait_for
from connectors.smev3.deliveries import Reading, read_delivery
from core import operations, stages
from core.database import driver
from core.errors import Permanent
from core.message import Message
from core.route import Context
from core.signatures.demo_keys import DemoKeys, make_demo_keys
from routes.zags import death
from routes.zags.registry import split
from simulators.payloads import zags
from simulators.smev3 import envelopes
from simulators.smev3.versions import VERSIONS

NAME: Final = "death"
MIN_RATE: Final = 400.0
MIN_SHARE: Final = 0.5
GOAL: Final = (
    "извещение о смерти целиком (подпись, XSD, XSLT, реестр, фиксация): не менее 400 в секунду "
    "и не менее 50 % того, что дают одни подпись и XML в том же прогоне"
)
THREADS: Final = 2
BATCH: Final = 32
NO_SESSION: Final = cast(Any, None)


def run(messages: int = 2000) -> Result:
    """Rates in notifications a second."""
    with tempfile.TemporaryDirectory(prefix="omsbus-bench-") as folder:
        keys = make_demo_keys(Path(folder) / "keys", "bench")
        octets = [_envelope(keys, number) for number in range(messages)]
    reading = Reading("smev", lambda *_: "", lambda *_: "", sender_signature="record")
    bare = max(_bare(octets[: messages // 2], reading, threads) for threads in (1, THREADS))
    bus = _through_the_bus(octets, reading)
    return result(
        NAME,
        GOAL,
        {"notifications a second": bus, "share of the bare loop": bus / bare},
        bus >= MIN_RATE and bus / bare >= MIN_SHARE,
        messages=messages,
        envelope_bytes=sum(map(len, octets)) // len(octets),
        bare_loop_per_second=round(bare),
        bare_loop_threads="1 or 2, the better",
        bus=f"{THREADS} pollers, one child process with {THREADS} threads",
        sender_signature="verified too",
        database="embedded, fsync on",
    )


def _envelope(keys: DemoKeys, number: int) -> bytes:
    """A GetRequestResponse 1.3 with one death record of some 13 KB, signed by sender and СМЭВ."""
    version = VERSIONS["1.3"]
    message_id = str(uuid.uuid1())
    data, signature = envelopes.request_data(
        version,
        keys.identity("zags"),
        message_id=message_id,
        payload=zags.death_notice(number, 1, large=True),
        element_id="SIGNED_BY_CONSUMER",
    )
    party = envelopes.Party("ZAGS01", "ЕГР ЗАГС")
    now = "2026-11-20T10:00:00.000+03:00"
    metadata = envelopes.Metadata(message_id, "REQUEST", party, party, now, "messageIsDelivered", now)
    delivery = envelopes.Delivery("Request", metadata, data, signature, reply_to="bench")
    return envelopes.delivered(version, delivery, keys.identity("smev"))


def _bare(octets: Sequence[bytes], reading: Reading, threads: int) -> float:
    """Verify, validate, transform and bind, nothing else."""
    parts = [octets[place::threads] for place in range(threads)]

    def loop(part: Sequence[bytes]) -> None:
        for envelope in part:
            incoming = read_delivery(envelope, reading)
            assert incoming is not None
            notice = stages.apply(death.notice, incoming.message)
            for record in split(notice.value, Context(incoming.message, NO_SESSION)):
                stages.apply(death.route, record.but(queue=death.route.name))

    workers = [threading.Thread(target=loop, args=(part,)) for part in parts]
    loop(octets[:50])
    began = time.monotonic()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return len(octets) / (time.monotonic() - began)


class _Delivery:
    """A delivery whose far side needs no answer: the transport is not measured."""

    problem: Permanent | None = None

    def __init__(self, message: Message) -> None:
        self.message = message

    def ack(self) -> None:
        pass

    def reject(self, reason: Permanent) -> None:
        raise AssertionError(reason)


def _through_the_bus(octets: Sequence[bytes], reading: Reading) -> float:
    modules = [death.__name__]
    with scratch_bus(modules, workers=THREADS, connector="smev3") as bus:
        # The answers wait in their queue, as they would for a slow СМЭВ: sending is not measured here.
        operations.set_state(bus, "smev", "paused", actor="bench")
        start(bus)

        def receive(part: Sequence[bytes]) -> None:
            for start in range(0, len(part), BATCH):
                found = [read_delivery(envelope, reading) for envelope in part[start : start + BATCH]]
                bus.engine.accept([_Delivery(one.message) for one in found if one is not None])

        receive(octets[:100])
        wait_for(bus, _HANDLED, 100)
        rest = octets[100:]
        began = time.monotonic()
        pollers = [threading.Thread(target=receive, args=(rest[place::THREADS],)) for place in range(THREADS)]
        for poller in pollers:
            poller.start()
        for poller in pollers:
            poller.join()
        wait_for(bus, _HANDLED, len(octets))
        taken_s = time.monotonic() - began
        assert count(bus, "SELECT count(*) FROM erz.death_record") == len(octets)
        with bus.database.transaction() as connection:
            states = driver(connection).execute("SELECT state, count(*) FROM bus.entry GROUP BY state").fetchall()
        assert not [state for state, _ in states if state == "retry"], states
        return len(rest) / taken_s


_HANDLED = "SELECT count(*) FROM bus.entry WHERE queue = 'zags.death' AND state = 'handled'"
