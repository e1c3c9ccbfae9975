"""The intake of push sources: one commit for many senders, nobody answered before it, nobody kept waiting by files."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import pytest
from uuid_utils.compat import uuid7

from core.engine import Accepted
from core.errors import BusError, Permanent, Unavailable
from core.intake import Intake
from core.message import Attachment, Message


@dataclass
class Given:
    message: Message
    problem: Permanent | None = None

    def ack(self) -> None: ...

    def reject(self, reason: Permanent) -> None: ...


def given(n: int, *, file: bool = False) -> Given:
    files = (Attachment("f", open=lambda: BytesIO(b"x")),) if file else ()
    return Given(Message(kind="t", body=b"%d" % n, attachments=files))


class Journal:
    """Keeps batches; `gate` holds a commit back, `bad` bodies fail."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.bad: set[bytes] = set()
        self.failure: Exception = Permanent("Не хранится")
        self.away = False

    def keep(self, deliveries: Sequence[Given]) -> list[Accepted]:
        self.gate.wait(10)
        if self.away:
            raise Unavailable("База недоступна", pause_s=3)
        bodies = [one.message.body for one in deliveries]
        if self.bad.intersection(bodies):
            raise self.failure
        self.batches.append(bodies)
        return [Accepted(uuid7(), repeated=False) for _ in bodies]


@pytest.fixture
def journal():
    return Journal()


@pytest.fixture
def intake(journal):
    made = Intake(journal.keep)
    made.start()
    yield made
    journal.gate.set()
    made.stop()


@pytest.mark.feature("BUS-02")
def test_senders_that_come_during_a_commit_share_the_next_one(intake, journal) -> None:
    async def play() -> None:
        journal.gate.clear()
        futures = [intake.take(given(0))]
        await asyncio.sleep(0.05)
        futures += [intake.take(given(n)) for n in range(1, 20)]
        await asyncio.sleep(0.05)
        assert not any(future.done() for future in futures), "answered before the commit"
        journal.gate.set()
        await asyncio.gather(*futures)

    asyncio.run(play())
    assert [len(batch) for batch in journal.batches] == [1, 19]


@pytest.mark.feature("BUS-09")
def test_a_long_file_keeps_no_short_message_waiting(journal) -> None:
    packing = threading.Event()

    def keep(deliveries: Sequence[Given]) -> list[Accepted]:
        if deliveries[0].message.attachments:
            packing.wait(10)
        return journal.keep(deliveries)

    intake = Intake(keep)
    intake.start()

    async def play() -> None:
        long = intake.take(given(0, file=True))
        await asyncio.wait_for(intake.take(given(1)), 5)
        assert not long.done()
        packing.set()
        await asyncio.wait_for(long, 5)

    asyncio.run(play())
    intake.stop()


@pytest.mark.parametrize("failure", [Permanent("Не хранится"), ValueError("a defect")], ids=["ours", "a defect"])
def test_one_that_cannot_be_kept_fails_alone(intake, journal, failure) -> None:
    journal.bad, journal.failure = {b"2"}, failure

    async def play() -> list[object]:
        journal.gate.clear()
        first = intake.take(given(0))
        await asyncio.sleep(0.05)
        rest = [intake.take(given(n)) for n in (1, 2, 3)]
        journal.gate.set()
        return list(await asyncio.gather(first, *rest, return_exceptions=True))

    found = asyncio.run(play())
    assert [isinstance(one, BusError) for one in found] == [False, False, True, False]


def test_a_database_that_is_away_is_told_to_all_with_a_pause(intake, journal) -> None:
    journal.away = True

    async def play() -> None:
        with pytest.raises(Unavailable) as caught:
            await intake.take(given(0))
        assert caught.value.pause_s == 3

    asyncio.run(play())


@pytest.mark.feature("BUS-09")
def test_a_refusal_is_told_at_once_and_nothing_is_kept(journal) -> None:
    intake = Intake(journal.keep, lambda: "Нет места на диске")
    intake.start()

    async def play() -> None:
        with pytest.raises(Unavailable, match="места") as caught:
            await intake.take(given(0))
        assert caught.value.pause_s

    asyncio.run(play())
    intake.stop()
    assert journal.batches == []


def test_what_waits_at_the_stop_is_committed_and_later_ones_are_refused(journal) -> None:
    intake = Intake(journal.keep)
    intake.start()

    async def play() -> None:
        futures = [intake.take(given(n)) for n in range(5)]
        await asyncio.to_thread(intake.stop)
        await asyncio.gather(*futures)
        with pytest.raises(Unavailable, match="останавливается"):
            await intake.take(given(9))

    asyncio.run(play())
    assert sum(len(batch) for batch in journal.batches) == 5


def test_a_client_that_went_away_harms_nobody(intake, journal) -> None:
    async def play() -> None:
        journal.gate.clear()
        first, second = intake.take(given(0)), intake.take(given(1))
        first.cancel()
        journal.gate.set()
        await second

    asyncio.run(play())
