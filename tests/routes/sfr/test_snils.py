"""СНИЛС from СФР: the question, every sort of reply, and what must not be written."""

from __future__ import annotations

import random
from typing import Any

import pytest
from lxml import etree
from sqlalchemy import text
from sqlalchemy.orm import Session

from connectors.smev3 import messages
from core.errors import Permanent, SchemaViolation
from core.message import Message, Outcome
from core.replies import Reply
from routes.erz.values import search_key, snils_is_valid
from routes.sfr import snils
from routes.sfr.question import NAMESPACE
from routes.zags import birth
from simulators.payloads import sfr, zags
from simulators.payloads.people import Invented, people

pytestmark = pytest.mark.feature("SMEV-53")


@pytest.fixture
def child() -> Invented:
    return people(31, 1, youngest=0, oldest=0)[0]


@pytest.fixture
def person_id(run: Any, child: Invented) -> int:
    emitted, _ = run(birth.route, etree.tostring(zags.birth_request(random.Random(3), child), encoding="UTF-8"))
    return int(emitted[0].body.split(b":")[1].strip(b" }"))


def ask(run: Any, person_id: int) -> Message:
    [question], _ = run(snils.ask, b'{"person_id": %d}' % person_id)
    return question  # type: ignore[no-any-return]


def person(db: Session, person_id: int) -> Any:
    return db.execute(text("SELECT * FROM erz.person WHERE id = :id"), {"id": person_id}).one()


def requests(db: Session) -> list[Any]:
    return list(db.execute(text("SELECT * FROM sfr.snils_request ORDER BY id")))


def answered(run: Any, question: Message, number: str = "") -> list[str]:
    body = sfr.answer(question.body, number=number)
    return run(snils.route, body, outcome=Outcome.ANSWER, cause=question.id)[1]  # type: ignore[no-any-return]


def refused(run: Any, question: Message, outcome: Outcome, code: str = "NO_DATA") -> list[str]:
    reply = Reply(outcome, (code,), ("Сведения не найдены",))
    return run(snils.route, reply, cause=question.id)[1]  # type: ignore[no-any-return]


def test_the_question_says_what_the_registry_knows(db: Session, run: Any, person_id: int, child: Invented) -> None:
    question = ask(run, person_id)
    document = etree.fromstring(question.body)
    assert document.tag == f"{{{NAMESPACE}}}SnilsByAdditionalDataRequest"
    assert document.findtext("{*}FamilyName") == child.surname.upper()
    assert document.findtext("{*}BirthDate") == child.birth.isoformat()
    assert document.findtext("{*}Gender") == ("Male" if child.sex == 1 else "Female")
    assert document.find("{*}BirthCertificate/{*}Number") is not None
    assert (question.queue, question.replies_to) == ("smev", "sfr.snils")
    assert question.headers[messages.OPERATION] == messages.SEND_REQUEST
    assert question.reply_within_s
    assert requests(db)[0].message_id == question.id


def test_a_second_command_does_not_ask_again_while_the_answer_is_awaited(db: Session, run: Any, person_id: int) -> None:
    ask(run, person_id)
    emitted, notes = run(snils.ask, b'{"person_id": %d}' % person_id)
    assert emitted == []
    assert "уже отправлен" in notes[0]
    assert len(requests(db)) == 1


def test_nobody_asks_for_a_known_snils(db: Session, run: Any, person_id: int) -> None:
    db.execute(text("UPDATE erz.person SET snils = '04277192057' WHERE id = :id"), {"id": person_id})
    assert run(snils.ask, b'{"person_id": %d}' % person_id)[0] == []


def test_an_unknown_person_is_refused_with_a_remedy(run: Any) -> None:
    with pytest.raises(Permanent, match="нет в реестре"):
        run(snils.ask, b'{"person_id": 999999999}')


def test_a_command_that_is_no_command_is_refused(run: Any) -> None:
    with pytest.raises(SchemaViolation, match="person_id"):
        run(snils.ask, b'{"person": 1}')


def test_a_name_that_the_far_schema_refuses_is_not_sent(db: Session, run: Any, person_id: int) -> None:
    db.execute(text("UPDATE erz.person SET given = 'Max' WHERE id = :id"), {"id": person_id})
    with pytest.raises(SchemaViolation, match="FirstName"):
        run(snils.ask, b'{"person_id": %d}' % person_id)


def test_a_person_without_a_whole_birth_date_cannot_be_asked_about(db: Session, run: Any, person_id: int) -> None:
    db.execute(text("UPDATE erz.person SET birth_precision = 'year' WHERE id = :id"), {"id": person_id})
    with pytest.raises(Permanent, match="дополните карточку"):
        run(snils.ask, b'{"person_id": %d}' % person_id)


def test_the_answer_gives_the_person_the_snils(db: Session, run: Any, person_id: int) -> None:
    answered(run, ask(run, person_id))
    found = person(db, person_id).snils
    assert snils_is_valid(found)
    assert [(one.state, one.snils) for one in requests(db)] == [("answered", found)]


def test_the_same_answer_again_changes_nothing(db: Session, run: Any, person_id: int) -> None:
    question = ask(run, person_id)
    answered(run, question)
    before = person(db, person_id)
    assert "уже закрыт" in answered(run, question)[0]
    assert person(db, person_id) == before


def test_a_wrong_check_number_is_not_written(db: Session, run: Any, person_id: int) -> None:
    notes = answered(run, ask(run, person_id), number="04277192058")
    assert person(db, person_id).snils is None
    assert requests(db)[0].state == "doubtful"
    assert "контрольное число" in notes[0]


def test_a_snils_of_somebody_else_is_not_written(db: Session, run: Any, person_id: int) -> None:
    db.execute(text("INSERT INTO erz.person (surname, search_key, snils) VALUES ('Другой', 'ДРУГОЙ||', '04277192057')"))
    answered(run, ask(run, person_id), number="04277192057")
    assert person(db, person_id).snils is None
    assert "другому человеку" in requests(db)[0].note


def test_an_answer_about_another_person_is_not_written(db: Session, run: Any, person_id: int) -> None:
    question = ask(run, person_id)
    other = "Подмена"
    values = {"id": person_id, "surname": other, "key": search_key(other, "", "")}
    db.execute(text("UPDATE erz.person SET surname = :surname, search_key = :key WHERE id = :id"), values)
    answered(run, question)
    assert person(db, person_id).snils is None
    assert requests(db)[0].state == "doubtful"


@pytest.mark.parametrize(
    ("outcome", "state"),
    [(Outcome.REJECTION, "rejected"), (Outcome.FAILURE, "failed"), (Outcome.TIMEOUT, "timeout")],
)
def test_a_refusal_is_written_down(db: Session, run: Any, person_id: int, outcome: Outcome, state: str) -> None:
    refused(run, ask(run, person_id), outcome)
    [request] = requests(db)
    assert (request.state, request.note) == (state, "NO_DATA: Сведения не найдены")


def test_a_status_leaves_the_question_open(db: Session, run: Any, person_id: int) -> None:
    question = ask(run, person_id)
    refused(run, question, Outcome.STATUS, "1")
    assert requests(db)[0].state == "asked"
    answered(run, question)
    assert requests(db)[0].state == "answered"


@pytest.mark.parametrize("outcome", [Outcome.TIMEOUT, Outcome.FAILURE, Outcome.REJECTION])
def test_an_answer_after_all_still_counts(db: Session, run: Any, person_id: int, outcome: Outcome) -> None:
    question = ask(run, person_id)
    refused(run, question, outcome)
    answered(run, question)
    assert requests(db)[0].state == "answered"
    assert person(db, person_id).snils


def test_a_refusal_after_the_answer_changes_nothing(db: Session, run: Any, person_id: int) -> None:
    question = ask(run, person_id)
    answered(run, question)
    refused(run, question, Outcome.TIMEOUT)
    assert requests(db)[0].state == "answered"


def test_after_a_refusal_one_may_ask_again(db: Session, run: Any, person_id: int) -> None:
    refused(run, ask(run, person_id), Outcome.REJECTION)
    ask(run, person_id)
    assert [one.state for one in requests(db)] == ["rejected", "asked"]


def test_a_reply_to_no_question_of_ours_is_refused(run: Any) -> None:
    with pytest.raises(Permanent, match="ни к одному нашему запросу"):
        run(snils.route, Reply(Outcome.REJECTION, ("NO_DATA",), ("",)))
