"""Every route of the house keeps the contract of a kind: its files here, its handler on a real database."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from lxml import etree
from sqlalchemy import text
from sqlalchemy.orm import Session

from connectors.smev3 import messages
from core import discovery
from core.database import Database
from core.discovery import Routes
from core.message import Message, Outcome
from core.replies import Reply
from core.route import Route
from core.testing import kind_handlers, kinds
from routes.erz import api as erz
from routes.sfr import snils
from routes.sfr.question import question
from simulators.payloads import sfr, zags
from simulators.payloads.people import people

ROUTES = discovery.routes()
HEADERS = {messages.REPLY_TO: "обратный адрес", messages.CONNECTOR: "smev", messages.MESSAGE_ID: "1-1"}


def _born(db: Session, seed: int) -> int:
    child = people(seed, 1, youngest=0, oldest=0)[0]
    act = etree.tostring(zags.birth_request(random.Random(seed), child), encoding="UTF-8")
    [birth] = [route for route in ROUTES if route.name == "zags.birth"]
    from core import stages

    made = stages.apply(birth, Message(kind="zags.birth", body=act)).value.acts[0]
    person_id = erz.register_birth(db, made, Message(kind="x", body=b"").id).person_id
    assert person_id is not None
    return person_id


def ask_scene(db: Session) -> Iterator[Message]:
    yield Message(kind="sfr.snils.ask", body=b'{"person_id": %d}' % _born(db, 1))


def answer_scene(db: Session) -> Iterator[Message]:
    for seed in range(2, 8):
        person_id = _born(db, seed)
        card = erz.person_card(db, person_id)
        assert card is not None
        asked = Message(kind="sfr.snils.request", body=question(card))
        values = {"person": person_id, "message": asked.id}
        db.execute(text("INSERT INTO sfr.snils_request (person_id, message_id) VALUES (:person, :message)"), values)
        if seed == 2:
            yield Message(kind="sfr.snils", body=sfr.answer(asked.body), outcome=Outcome.ANSWER, cause=asked.id)
        else:
            outcomes = (Outcome.REJECTION, Outcome.STATUS, Outcome.FAILURE, Outcome.TIMEOUT, Outcome.REJECTION)
            reply = Reply(outcomes[seed - 3], ("NO_DATA",), ("Нет сведений",))
            yield Message(kind="sfr.snils", body=reply.to_body(), outcome=reply.outcome, cause=asked.id)


SCENES = {"sfr.snils.ask": ask_scene, "sfr.snils": answer_scene}


@pytest.mark.feature("SMEV-12")
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_the_files_of_a_kind_keep_the_contract(route: Route) -> None:
    assert [str(finding) for finding in kinds.check(route)] == []


@pytest.mark.feature("SMEV-12")
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_the_handler_of_a_kind_keeps_the_contract(route: Route, registry_database: Database) -> None:
    findings = kind_handlers.check(
        route, registry_database, routes=Routes(ROUTES), headers=HEADERS, scene=SCENES.get(route.name)
    )
    assert [str(finding) for finding in findings] == []


def test_the_route_of_snils_answers_is_the_one_the_question_names() -> None:
    assert set(kinds.REPLY_OUTCOMES) <= set(snils.route.handlers)
