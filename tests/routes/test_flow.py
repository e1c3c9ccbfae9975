"""The kinds in the engine: a notification comes in, records are handled apart, answers and questions go out."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid1

import pytest
from lxml import etree

from connectors.smev3 import messages
from core import discovery
from core.bus import Bus
from core.connector import Prepared, Receipt
from core.database import driver
from core.discovery import Routes
from core.message import Message, Outcome
from core.replies import Reply
from core.settings import Settings
from simulators.payloads import fns, sfr, zags
from simulators.payloads.people import people

ROUTES = Routes(discovery.routes())


class Sent:
    """A sink that remembers what was sent, under the id it gave."""

    def __init__(self) -> None:
        self.messages: dict[str, Message] = {}

    def prepare(self, message: Message) -> Prepared:
        return Prepared(str(uuid1()))

    def send(self, message: Message, prepared: Prepared, *, repeated: bool) -> Receipt:
        self.messages[prepared.external_id] = message
        return Receipt("принято")


class Far:
    """A connector with that sink and no source."""

    name = "smev"

    def __init__(self) -> None:
        self.sink = Sent()
        self.sources: dict[str, Any] = {}
        self.sinks = {"smev": self.sink}

    def open(self) -> None:
        pass

    def check(self) -> str:
        return "на месте"

    def close(self) -> None:
        pass


class House:
    """The bus with nothing running: a test brings messages and drains the queues itself."""

    def __init__(self, bus: Bus, far: Far) -> None:
        self.database, self.engine, self.sink = bus.database, bus.engine, far.sink

    def bring(self, kind: str, body: bytes, **fields: Any) -> None:
        headers = {messages.REPLY_TO: "кому", messages.CONNECTOR: "smev"}
        message = Message(kind=kind, body=body, source="smev", external_id=str(uuid1()), headers=headers, **fields)
        self.engine.put([message])

    def run(self) -> None:
        while any(self.engine.drain(queue, 64) for queue in [*ROUTES.by_name, "smev"]):
            pass

    def states(self) -> Counter[tuple[str, str]]:
        with self.database.transaction() as connection:
            return Counter(driver(connection).execute("SELECT queue, state FROM bus.entry").fetchall())  # type: ignore[arg-type]

    def one(self, query: str) -> Any:
        with self.database.transaction() as connection:
            return driver(connection).execute(query).fetchone()


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    far = Far()
    settings = Settings(database_url=database_url, data_dir=tmp_path)
    with Bus.open(settings, connectors=[far]) as bus:
        yield House(bus, far)


@pytest.mark.feature("SMEV-35")
def test_a_bad_record_is_quarantined_alone_and_the_others_are_answered(house: House) -> None:
    house.bring(f"{{{zags.DEATH}}}Request", zags.break_record(zags.death_notice(1, 4), place=2))
    house.run()
    assert house.states() == {
        ("zags.death.notice", "handled"): 1,
        ("zags.death", "handled"): 3,
        ("zags.death", "quarantined"): 1,
        ("smev", "sent"): 3,
    }
    assert house.one("SELECT count(*) FROM erz.death_record") == (3,)
    assert all(message.kind == "zags.death.answer" for message in house.sink.messages.values())


@pytest.mark.feature("SMEV-34")
@pytest.mark.feature("SMEV-53")
def test_a_birth_leads_to_a_question_and_its_answer_to_a_snils(house: House) -> None:
    house.bring(f"{{{zags.BIRTH}}}Request", zags.birth_notice(2, 2))
    house.run()
    questions = {id_: one for id_, one in house.sink.messages.items() if one.kind == "sfr.snils.request"}
    assert len(questions) == 2
    (first, asked), (second, _) = questions.items()
    root = str(etree.fromstring(sfr.answer(asked.body)).tag)
    house.bring(root, sfr.answer(asked.body), outcome=Outcome.ANSWER, in_reply_to=first)
    refusal = Reply(Outcome.REJECTION, (sfr.NO_DATA[0],), (sfr.NO_DATA[1],))
    house.bring("", refusal.to_body(), outcome=Outcome.REJECTION, in_reply_to=second)
    house.run()
    assert house.one("SELECT count(*) FROM erz.person WHERE snils IS NOT NULL") == (1,)
    assert house.one("SELECT array_agg(state ORDER BY state) FROM sfr.snils_request") == (["answered", "rejected"],)
    assert not [state for state in house.states() if state[1] in ("quarantined", "retry", "ready")]


@pytest.mark.feature("SMEV-42")
def test_a_broadcast_is_handled_and_nothing_goes_out(house: House) -> None:
    house.bring(f"{{{fns.NAMESPACE}}}NSVUIDATRequest", fns.news(3, 5))
    house.run()
    assert house.states() == {("fns.egrul", "handled"): 1}
    assert house.one("SELECT count(*) FROM fns.organization") == (5,)


@pytest.mark.feature("SMEV-35")
def test_records_about_one_person_are_handled_in_the_order_of_their_coming(house: House) -> None:
    dead = people(4, 1)[0]
    for version in range(1, 6):
        act = zags.death_request(random.Random(version), dead, version=version, number="4")
        house.bring(str(act.tag), etree.tostring(act, encoding="UTF-8"))
    house.run()
    assert house.one("SELECT max(version), count(*) FROM erz.death_record") == (5, 1)
    assert house.one("SELECT count(*) FROM bus.event WHERE stage = 'handled' AND note LIKE '%не новее%'") == (0,)
