"""Births from ЕГР ЗАГС: who comes into the registry, and for whom a СНИЛС is asked."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from lxml import etree
from sqlalchemy import text
from sqlalchemy.orm import Session

from core import stages
from core.message import Message
from core.route import Format
from routes.zags import birth, death
from routes.zags import settings as zags_settings
from simulators.payloads import zags
from simulators.payloads.people import Invented, people

pytestmark = pytest.mark.feature("SMEV-34")
NUMBER = "223456789012345678901"


def request(child: Invented, **options: Any) -> bytes:
    return etree.tostring(zags.birth_request(random.Random(1), child, **options), encoding="UTF-8")


def persons(db: Session) -> list[Any]:
    return list(db.execute(text("SELECT * FROM erz.person ORDER BY id")))


def record(db: Session) -> Any:
    return db.execute(text("SELECT * FROM erz.birth_record")).one()


def kinds_of(emitted: list[Message]) -> list[str]:
    return [one.kind for one in emitted]


@pytest.fixture
def child() -> Invented:
    return people(21, 1, youngest=0, oldest=0)[0]


def test_a_child_comes_into_the_registry_and_its_snils_is_asked_for(db: Session, run: Any, child: Invented) -> None:
    emitted, _ = run(birth.route, request(child))
    [made] = persons(db)
    assert (made.surname, made.birth_date, made.sex, made.snils) == (
        child.surname.upper(),
        child.birth,
        child.sex,
        None,
    )
    assert record(db).person_id == made.id
    assert record(db).mother
    assert kinds_of(emitted) == ["sfr.snils.ask", "zags.birth.answer"]
    assert json.loads(emitted[0].body) == {"person_id": made.id}
    response = etree.fromstring(emitted[1].body)
    assert (etree.QName(response).localname, response.get("КодОбр")) == ("ROGDZPResponse", "1")
    stages.validate(Format("4.0.1", response.tag, birth.SCHEMA), response)


def test_asking_for_the_snils_can_be_switched_off(
    db: Session, run: Any, child: Invented, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMSBUS_ZAGS_ASK_SNILS", "false")
    zags_settings.settings.cache_clear()
    try:
        emitted, _ = run(birth.route, request(child))
    finally:
        zags_settings.settings.cache_clear()
    assert kinds_of(emitted) == ["zags.birth.answer"]


def test_the_same_message_again_makes_nobody_and_asks_nothing(db: Session, run: Any, child: Invented) -> None:
    run(birth.route, request(child))
    emitted, _ = run(birth.route, request(child))
    assert len(persons(db)) == 1
    assert kinds_of(emitted) == ["zags.birth.answer"]


def test_a_child_known_from_elsewhere_is_linked_not_doubled(db: Session, run: Any, child: Invented) -> None:
    run(birth.route, request(child))
    emitted, _ = run(birth.route, request(child, number=NUMBER))
    assert len(persons(db)) == 1
    assert kinds_of(emitted) == ["sfr.snils.ask", "zags.birth.answer"]  # still without a СНИЛС


def test_a_correction_changes_the_person_it_made(db: Session, run: Any, child: Invented) -> None:
    run(birth.route, request(child, number=NUMBER))
    run(birth.route, request(child.but(given="Мирослава"), number=NUMBER, version=2))
    run(birth.route, request(child, number=NUMBER))  # the first version once more, late
    assert [one.given for one in persons(db)] == ["МИРОСЛАВА"]
    assert record(db).version == 2


def test_an_annulled_act_closes_the_person_it_made(db: Session, run: Any, child: Invented) -> None:
    run(birth.route, request(child, number=NUMBER))
    run(birth.route, request(child, number=NUMBER, version=2, status="annulled"))
    assert [one.status for one in persons(db)] == ["annulled"]
    run(birth.route, request(child, number=NUMBER, version=3, status="restored"))
    assert [one.status for one in persons(db)] == ["alive"]


def test_an_annulled_act_that_comes_first_makes_nobody(db: Session, run: Any, child: Invented) -> None:
    run(birth.route, request(child, number=NUMBER, version=2, status="annulled"))
    emitted, _ = run(birth.route, request(child, number=NUMBER, version=1))
    assert persons(db) == []
    assert kinds_of(emitted) == ["zags.birth.answer"]


def test_a_stillborn_child_is_recorded_but_is_no_person(db: Session, run: Any, child: Invented) -> None:
    emitted, notes = run(birth.route, request(child, alive=False))
    assert persons(db) == []
    assert not record(db).alive
    assert kinds_of(emitted) == ["zags.birth.answer"]
    assert "мертворождение" in notes[0]


def test_a_death_that_came_before_the_birth_finds_the_child(db: Session, run: Any, child: Invented) -> None:
    run(death.route, etree.tostring(zags.death_request(random.Random(2), child), encoding="UTF-8"))
    emitted, _ = run(birth.route, request(child))
    [made] = persons(db)
    assert made.status == "dead"
    assert db.execute(text("SELECT person_id FROM erz.death_record")).scalar_one() == made.id
    assert kinds_of(emitted) == ["zags.birth.answer"]  # nobody asks for the СНИЛС of the dead


def test_a_record_costs_at_most_four_statements(db: Session, run: Any, child: Invented) -> None:
    from sqlalchemy import event

    statements: list[str] = []
    event.listen(db.connection(), "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    run(birth.route, request(child))
    assert 1 <= len(statements) <= 4


def test_a_version_without_its_answer_code_stops_the_route_and_names_the_setting() -> None:
    from core.errors import ConfigError

    with pytest.raises(ConfigError, match="OMSBUS_ZAGS_ANSWER_CODES"):
        zags_settings.ZagsSettings().answer_code("zags.birth", "9.9.9")
