"""Rendered services: only the citizen who names ЕНП, name and birth date rightly learns anything."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from lxml import etree
from sqlalchemy import text
from sqlalchemy.orm import Session

from connectors.smev3 import messages
from core.message import Message, Outcome
from core.replies import Reply
from routes.erz import demo as erz_demo
from routes.ffoms import services
from routes.pump import demo as pump_demo
from simulators.payloads import ffoms
from simulators.payloads.people import Invented, people

pytestmark = pytest.mark.feature("SMEV-21")


@pytest.fixture
def asker(db: Session) -> Invented:
    asker, other = people(41, 2)
    mine, others = erz_demo.seed(db, [asker, other])
    pump_demo.seed(db, mine, ffoms.services(41, 3))
    pump_demo.seed(db, others, ffoms.services(42, 2))
    return asker


def no_data(message: Message) -> str:
    assert message.outcome is Outcome.REJECTION
    reply = Reply.from_body(message.body)
    assert reply.codes == ("NO_DATA",)
    return reply.texts[0]


def test_a_citizen_gets_the_services_of_the_period(run: Any, asker: Invented) -> None:
    [answer], _ = run(services.route, ffoms.query(asker))
    document = etree.fromstring(answer.body)
    expected = sorted(ffoms.services(41, 3), key=lambda one: one.started)
    assert [one.text for one in document.iter("{*}Name")] == [one.name for one in expected]
    assert [one.text for one in document.iter("{*}MedServicesSum")] == [str(one.cost) for one in expected]
    assert (answer.outcome, answer.queue, answer.headers[messages.TO]) == (Outcome.ANSWER, "smev", "кому")


def test_a_service_under_way_at_the_edge_of_the_period_belongs_to_it(db: Session, run: Any, asker: Invented) -> None:
    db.execute(text("DELETE FROM pump.rendered_service"))
    person_id = db.execute(text("SELECT id FROM erz.person WHERE enp = :enp"), {"enp": asker.enp}).scalar_one()
    stay = ffoms.services(1, 1)[0]
    values = {name: getattr(stay, name) for name in ("care_regimen", "care_type", "name", "cost", "clinic_name")}
    one = type(stay)(date(2025, 1, 30), date(2025, 2, 10), region_name="Область", **values)
    pump_demo.seed(db, person_id, [one])
    for since, until, found in (
        (date(2025, 2, 10), date(2025, 2, 28), True),
        (date(2025, 1, 1), date(2025, 1, 30), True),
        (date(2025, 2, 11), date(2025, 2, 28), False),
    ):
        [answer], _ = run(services.route, ffoms.query(asker, since=since, until=until))
        assert (answer.outcome is Outcome.ANSWER) is found


@pytest.mark.parametrize(
    "wrong",
    [{"surname": "Чужой"}, {"patronymic": ""}, {"birth": date(1900, 1, 1)}, {"enp": "1111111111111111"}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_one_wrong_detail_and_nothing_is_told(run: Any, asker: Invented, wrong: dict[str, Any]) -> None:
    [answer], notes = run(services.route, ffoms.query(asker.but(**wrong)))
    assert no_data(answer) == services.NOTHING
    assert notes == ["отказ: заявитель не опознан"]


def test_a_known_citizen_without_services_gets_the_same_refusal(run: Any, asker: Invented) -> None:
    query = ffoms.query(asker, since=date(1999, 1, 1), until=date(1999, 1, 2))
    [answer], _ = run(services.route, query)
    assert no_data(answer) == services.NOTHING


def test_a_period_that_ends_before_it_begins_is_explained(run: Any, asker: Invented) -> None:
    query = ffoms.query(asker, since=date(2025, 2, 1), until=date(2025, 1, 1))
    [answer], _ = run(services.route, query)
    assert no_data(answer) == services.WRONG_PERIOD
