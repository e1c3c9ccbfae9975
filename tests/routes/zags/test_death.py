"""Deaths from ЕГР ЗАГС: what the registry knows afterwards, in whatever order the versions come."""

from __future__ import annotations

import random
from datetime import date
from typing import Any

import pytest
from lxml import etree
from sqlalchemy import text
from sqlalchemy.orm import Session

from connectors.smev3 import messages
from core import stages
from core.errors import SchemaViolation
from core.message import Attachment, Message
from core.route import Format
from routes.erz.values import search_key
from routes.zags import death
from simulators.payloads import zags
from simulators.payloads.people import Invented, people

pytestmark = pytest.mark.feature("SMEV-35")
NUMBER = "123456789012345678901"


def request(dead: Invented, **options: Any) -> bytes:
    return etree.tostring(zags.death_request(random.Random(1), dead, **options), encoding="UTF-8")


def add_person(db: Session, known: Invented, **columns: Any) -> int:
    values = {
        "surname": known.surname,
        "given": known.given,
        "patronymic": known.patronymic,
        "search_key": search_key(known.surname, known.given, known.patronymic),
        "birth_date": known.birth,
        "sex": known.sex,
        **columns,
    }
    names = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    return db.execute(text(f"INSERT INTO erz.person ({names}) VALUES ({places}) RETURNING id"), values).scalar_one()


def person(db: Session, person_id: int) -> Any:
    return db.execute(text("SELECT * FROM erz.person WHERE id = :id"), {"id": person_id}).one()


def records(db: Session) -> list[Any]:
    return list(db.execute(text("SELECT * FROM erz.death_record ORDER BY id")))


@pytest.fixture
def dead() -> Invented:
    return people(11, 1, youngest=60)[0]


def test_a_known_person_is_declared_dead_and_zags_is_answered(db: Session, run: Any, dead: Invented) -> None:
    person_id = add_person(db, dead)
    body = request(dead, died=date(2026, 1, 10))
    [answer], notes = run(death.route, body)
    found = person(db, person_id)
    assert (found.status, found.death_date, found.death_precision) == ("dead", date(2026, 1, 10), "day")
    response = etree.fromstring(answer.body)
    assert response.tag == f"{{{death.NAMESPACE}}}FATALZPResponse"
    assert dict(response.attrib) == {"ИдСвед": etree.fromstring(body).get("ИдСвед"), "КодОбр": "1"}
    stages.validate(Format("4.0.1", response.tag, death.SCHEMA), response)
    assert (answer.queue, answer.headers[messages.TO], answer.kind) == ("smev", "кому", "zags.death.answer")
    assert notes == [f"запись {records(db)[0].id}: человек {person_id}"]


def test_names_are_compared_without_regard_to_case_and_the_letter_yo(db: Session, run: Any, dead: Invented) -> None:
    person_id = add_person(db, dead.but(surname="Щёголев", given="Фёдор"))
    run(death.route, request(dead.but(surname="ЩЕГОЛЕВ", given="федор")))
    assert person(db, person_id).status == "dead"


def test_a_death_of_a_stranger_is_kept_with_a_note(db: Session, run: Any, dead: Invented) -> None:
    [answer], notes = run(death.route, request(dead))
    [record] = records(db)
    assert record.person_id is None
    assert "не найден" in record.note
    assert record.surname == dead.surname.upper()
    assert answer.kind == "zags.death.answer"
    assert "не найден" in notes[0]


def test_two_namesakes_born_on_one_day_are_left_to_an_operator(db: Session, run: Any, dead: Invented) -> None:
    both = [add_person(db, dead), add_person(db, dead)]
    run(death.route, request(dead))
    assert [person(db, one).status for one in both] == ["alive", "alive"]
    assert "больше одного" in records(db)[0].note


def test_a_document_tells_namesakes_apart(db: Session, run: Any, dead: Invented) -> None:
    other, right = add_person(db, dead), add_person(db, dead)
    values = {"person": right, "key": dead.passport.replace(" ", "")}
    db.execute(text("INSERT INTO erz.document (person_id, kind_code, number_key) VALUES (:person, '21', :key)"), values)
    run(death.route, request(dead))
    assert [person(db, one).status for one in (other, right)] == ["alive", "dead"]
    assert records(db)[0].matched_by == "document"


def test_an_incomplete_birth_date_alone_is_not_enough(db: Session, run: Any, dead: Invented) -> None:
    person_id = add_person(db, dead)
    document = zags.death_request(random.Random(1), dead)
    old = next(document.iter("{*}ДатаРождКаленд"))
    new = etree.Element(f"{{{zags.DEATH}}}ДатаРождДок")
    for name, value in (("ПрДень", "1"), ("Месяц", str(dead.birth.month)), ("Год", str(dead.birth.year))):
        etree.SubElement(new, f"{{{zags.DEATH_TYPES}}}{name}").text = value
    old.getparent().replace(old, new)
    run(death.route, etree.tostring(document, encoding="UTF-8"))
    assert person(db, person_id).status == "alive"
    assert records(db)[0].birth_precision == "month"


def test_the_same_message_again_changes_nothing_and_is_answered_again(db: Session, run: Any, dead: Invented) -> None:
    person_id = add_person(db, dead)
    body = request(dead)
    run(death.route, body)
    before = person(db, person_id)
    [answer], notes = run(death.route, body)
    assert person(db, person_id) == before
    assert len(records(db)) == 1
    assert answer.kind == "zags.death.answer"
    assert "не новее" in notes[0]


def test_an_older_version_that_comes_late_is_ignored(db: Session, run: Any, dead: Invented) -> None:
    person_id = add_person(db, dead)
    run(death.route, request(dead, number=NUMBER, version=2, died=date(2026, 1, 12)))
    run(death.route, request(dead, number=NUMBER, version=1, died=date(2026, 1, 10)))
    assert person(db, person_id).death_date == date(2026, 1, 12)
    assert [record.version for record in records(db)] == [2]


def test_version_ten_is_newer_than_version_nine(db: Session, run: Any, dead: Invented) -> None:
    person_id = add_person(db, dead)
    run(death.route, request(dead, number=NUMBER, version=9, died=date(2026, 1, 9)))
    run(death.route, request(dead, number=NUMBER, version=10, died=date(2026, 1, 10)))
    assert person(db, person_id).death_date == date(2026, 1, 10)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_an_annulled_act_revives_the_person_in_either_order(
    db: Session, run: Any, dead: Invented, order: tuple[int, int]
) -> None:
    person_id = add_person(db, dead)
    for version in order:
        run(death.route, request(dead, number=NUMBER, version=version, status="annulled" if version == 2 else "plain"))
    found = person(db, person_id)
    assert (found.status, found.death_date, found.death_record_id) == ("alive", None, None)
    assert records(db)[0].annulled


def test_a_restored_act_declares_the_person_dead_again(db: Session, run: Any, dead: Invented) -> None:
    person_id = add_person(db, dead)
    for version, status in ((1, "plain"), (2, "annulled"), (3, "restored")):
        run(death.route, request(dead, number=NUMBER, version=version, status=status))
    assert person(db, person_id).status == "dead"


def test_an_annulled_act_does_not_revive_whom_another_act_declared_dead(db: Session, run: Any, dead: Invented) -> None:
    person_id = add_person(db, dead)
    run(death.route, request(dead, number="OTHER"))
    run(death.route, request(dead, number=NUMBER, version=2, status="annulled"))
    assert person(db, person_id).status == "dead"


def test_a_correction_that_names_somebody_else_revives_the_first(db: Session, run: Any, dead: Invented) -> None:
    other = people(12, 1, youngest=60)[0]
    first, second = add_person(db, dead), add_person(db, other)
    run(death.route, request(dead, number=NUMBER))
    run(death.route, request(other, number=NUMBER, version=2))
    assert (person(db, first).status, person(db, second).status) == ("alive", "dead")
    assert person(db, first).death_date is None


def test_a_correction_to_a_stranger_keeps_the_link_and_says_so(db: Session, run: Any, dead: Invented) -> None:
    person_id = add_person(db, dead)
    run(death.route, request(dead, number=NUMBER))
    _, notes = run(death.route, request(dead.but(surname="Неизвестный"), number=NUMBER, version=2))
    assert person(db, person_id).status == "dead"
    assert "прежняя связь" in notes[0]


def test_a_test_message_is_answered_but_changes_nothing(db: Session, run: Any, dead: Invented) -> None:
    person_id = add_person(db, dead)
    headers = {messages.REPLY_TO: "кому", messages.CONNECTOR: "smev", messages.TEST: "true"}
    [answer], _ = run(death.route, request(dead), headers=headers)
    assert person(db, person_id).status == "alive"
    assert records(db) == []
    assert answer.kind == "zags.death.answer"


def test_a_broadcast_without_an_address_is_handled_and_not_answered(db: Session, run: Any, dead: Invented) -> None:
    person_id = add_person(db, dead)
    emitted, notes = run(death.route, request(dead), headers={})
    assert emitted == []
    assert person(db, person_id).status == "dead"
    assert "ответ не нужен" in notes[-1]


def test_several_acts_in_one_record_are_all_written(db: Session, run: Any) -> None:
    first, second = people(13, 2, youngest=60)
    ids = [add_person(db, one) for one in (first, second)]
    document = etree.fromstring(request(first))
    document.append(etree.fromstring(request(second, number=NUMBER))[0])
    emitted, _ = run(death.route, etree.tostring(document, encoding="UTF-8"))
    assert [person(db, one).status for one in ids] == ["dead", "dead"]
    assert len(emitted) == 1


def test_a_record_costs_at_most_four_statements(db: Session, run: Any, dead: Invented) -> None:
    from sqlalchemy import event

    add_person(db, dead)
    statements: list[str] = []
    connection = db.connection()
    event.listen(connection, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    run(death.route, request(dead))
    assert 1 <= len(statements) <= 4


# ── the notification ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_notification_becomes_one_message_a_record(run: Any) -> None:
    named = people(14, 3, youngest=60)
    emitted, _ = run(death.notice, zags.death_notice(14, 3, dead=named))
    assert [one.kind for one in emitted] == [f"{{{death.NAMESPACE}}}FATALZPRequest"] * 3
    assert [one.headers["zags.record_id"] for one in emitted] == ["1", "2", "3"]
    assert all(one.headers[messages.REPLY_TO] == "кому" and one.cause for one in emitted)
    bodies = [stages.apply(death.route, one).value for one in emitted]
    assert [one.acts[0].person.surname for one in bodies] == [one.surname.upper() for one in named]


def test_a_record_that_violates_the_schema_costs_only_itself(run: Any) -> None:
    emitted, _ = run(death.notice, zags.break_record(zags.death_notice(15, 3), place=1))
    assert len(emitted) == 3
    with pytest.raises(SchemaViolation, match="СтатусЗаписи"):
        stages.apply(death.route, emitted[1])
    for good in (emitted[0], emitted[2]):
        stages.apply(death.route, good)


def test_the_splitter_computes_the_key_that_the_route_computes(run: Any) -> None:
    emitted, _ = run(death.notice, zags.death_notice(16, 2))
    assert death.route.key is not None
    assert [one.key for one in emitted] == [death.route.key(one) for one in emitted]
    assert len({one.key for one in emitted}) == 2


def test_attachments_of_a_record_go_with_it(run: Any) -> None:
    basic = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.3"
    notice = etree.fromstring(zags.death_notice(17, 2))
    record = next(notice.iter("{*}Record"))
    listed = etree.SubElement(record, f"{{{basic}}}AttachmentHeaderList")
    header = etree.SubElement(listed, f"{{{basic}}}AttachmentHeader")
    for name, value in (("contentId", "FILE1"), ("MimeType", "application/pdf"), ("SignaturePKCS7", "AAAA")):
        etree.SubElement(header, f"{{{basic}}}{name}").text = value
    body = etree.tostring(notice, encoding="UTF-8")
    first, second = run(death.notice, body)[0]
    assert first.attachments == (Attachment("FILE1", "application/pdf", headers={"SignaturePKCS7": "AAAA"}),)
    assert second.attachments == ()
    fetched = Attachment("FILE1", "application/pdf", payload="ab" * 32)
    assert run(death.notice, body, attachments=(fetched,))[0][0].attachments == (fetched,)


def test_a_thousand_records_are_split(run: Any) -> None:
    one = etree.fromstring(zags.death_notice(18, 1))
    registry = one[0]
    for place in range(2, 1001):
        registry.append(etree.fromstring(etree.tostring(registry[0], encoding="UTF-8")))
        registry[-1][0].text = str(place)
    emitted, _ = run(death.notice, etree.tostring(one, encoding="UTF-8"))
    assert len(emitted) == 1000


def test_a_registry_of_more_than_a_thousand_records_is_refused() -> None:
    one = etree.fromstring(zags.death_notice(18, 1))
    registry = one[0]
    for _ in range(1000):
        registry.append(etree.fromstring(etree.tostring(registry[0], encoding="UTF-8")))
    with pytest.raises(SchemaViolation):
        stages.apply(death.notice, Message(kind="x", body=etree.tostring(one, encoding="UTF-8")))
