"""Edit and resend by two people: who may, what becomes of both messages, what is refused."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from uuid_utils.compat import uuid7

from core import bulk, corrections, editing, operations, stages
from core.access.person import Person
from core.bus import Bus
from core.errors import BusError, ConfigError, MalformedXml, Permanent, SchemaViolation, UnknownKind
from core.message import Message, Outcome
from core.route import Format, Route

pytestmark = pytest.mark.feature("BUS-04")
NS = "urn:test:pet"
SCHEMA = f"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="{NS}"
    elementFormDefault="qualified">
  <xs:element name="Pet"><xs:complexType><xs:sequence>
    <xs:element name="Name" type="xs:string"/><xs:element name="Born" type="xs:date"/>
  </xs:sequence></xs:complexType></xs:element>
</xs:schema>"""
ALL = frozenset({"messages.edit", "messages.approve", "messages.content", "personal.read", "messages.resend"})


def pet(name: str = "Мурка", born: str = "2020-05-17") -> str:
    lines = (f'<Pet xmlns="{NS}">', f"  <Name>{name}</Name>", f"  <Born>{born}</Born>", "</Pet>", "")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + "\n".join(lines)


def person(login: str, account: int | None, permissions: frozenset[str] = ALL) -> Person:
    return Person(login, login, permissions, account)


ANNA, BORIS = person("anna", 1), person("boris", 2)


@pytest.fixture
def taken() -> list[Message]:
    """What the handler got."""
    return []


@pytest.fixture
def bus(bus_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: list[Message]) -> Bus:
    """A route `pet` with a schema; its key is the name of the pet."""
    monkeypatch.setattr(stages, "HOUSE", tmp_path)
    monkeypatch.setattr(stages, "_local", threading.local())
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "pet.xsd").write_text(SCHEMA)
    route = Route("pet", title="Питомцы", formats=[Format("1", f"{{{NS}}}Pet", "pet.xsd")], key=lambda m: "one")
    route.handler(lambda _body, context: taken.append(context.message))
    return bus_of([route])  # type: ignore[no-any-return]


@pytest.fixture
def wrong(bus: Bus, run_dry: Any) -> Any:
    """The id of a message in quarantine: its date is none. A healthy one waits behind it."""
    messages = [Message(kind="pet", body=pet(born="вчера").encode(), headers={"signer": "кто-то"}, source="far",
                        external_id="7"), Message(kind="pet", body=pet("Барсик").encode())]  # fmt: skip
    bus.engine.put(messages)
    run_dry(bus, "pet")
    return messages[0].id


def test_a_correction_goes_through_two_people_as_a_new_message(bus, wrong, run_dry, look, taken) -> None:
    draft = corrections.draft(bus, wrong, ANNA)
    assert draft.text == pet(born="вчера")
    assert (draft.kind, draft.queue, draft.state) == ("pet", "pet", "quarantined")
    assert "не соответствует схеме" in draft.problem
    [changed] = [row for row in corrections.check(bus, wrong, pet(), ANNA) if row.kind != "same"]
    assert (changed.left[1], changed.right[1]) == ("вчера", "2020-05-17")
    number = corrections.propose(bus, wrong, pet(), "Дата записана словом", person=ANNA)
    run_dry(bus, "pet")
    assert look.one("SELECT state FROM bus.entry WHERE message_id = %s", wrong) == "quarantined", "nothing yet"
    shown = corrections.compared(bus, number, BORIS)
    assert not shown.masked
    assert shown.rows[3].right[1] == "2020-05-17"
    proposed = corrections.correction(bus.database, number)
    made = corrections.approve(bus, number, sha256=proposed.sha256, person=BORIS)
    run_dry(bus, "pet")
    assert [message.body.decode() for message in taken] == [pet("Барсик"), pet()], "its key went on"
    new = taken[1]
    assert (new.id, new.kind, new.version, new.cause, new.key) == (made, "pet", "1", wrong, "one")
    assert new.headers == {
        "signer": "кто-то", "corrected": str(wrong), "correction": str(number), "corrected_by": "anna",
        "approved_by": "boris", "signature_of": str(wrong),
    }  # fmt: skip
    assert look.one("SELECT body FROM bus.message WHERE id = %s", wrong) == pet(born="вчера").encode()
    assert look.one("SELECT state FROM bus.entry WHERE message_id = %s", wrong) == "dropped"
    [(actor, note)] = look.rows("SELECT actor, note FROM bus.event WHERE stage = 'dropped' AND message_id = %s", wrong)
    assert actor == "boris"
    assert str(made) in note
    [(note,)] = look.rows("SELECT note FROM bus.event WHERE stage = 'corrected' AND message_id = %s", made)
    assert str(wrong) in note
    decided = corrections.correction(bus.database, number)
    assert (decided.state, decided.decided_by, decided.new_id) == ("approved", "boris", made)
    query = "SELECT actor, action FROM bus.audit WHERE action LIKE 'correction.%%' AND object_id = %s ORDER BY seq"
    audited = look.rows(query, str(wrong))
    assert audited == [("anna", "correction.proposed"), ("boris", "correction.approved")]
    looked = look.rows("SELECT DISTINCT actor, note FROM bus.event WHERE stage = 'viewed' ORDER BY actor, note")
    assert looked == [
        ("anna", "Просмотр: тело"),
        ("boris", f"Просмотр: правка № {number}"),
        ("boris", "Просмотр: тело"),
    ]


@pytest.mark.parametrize(
    "approver",
    [ANNA, person("anna", 9), person("other-name", 1)],
    ids=["himself", "same login", "same account"],
)
def test_nobody_decides_about_his_own(bus, wrong, look, approver) -> None:
    number = corrections.propose(bus, wrong, pet(), "Дата", person=ANNA)
    digest = corrections.correction(bus.database, number).sha256
    with pytest.raises(Permanent, match="Свою правку"):
        corrections.approve(bus, number, sha256=digest, person=approver)
    with pytest.raises(Permanent, match="Свою правку"):
        corrections.reject(bus, number, "Нет", person=approver)
    assert look.one("SELECT count(*) FROM bus.message") == 2
    with pytest.raises(psycopg.errors.CheckViolation):
        look.do("UPDATE bus.correction SET state = 'approved', decided_by = 'anna', new_id = %s", uuid7())


@pytest.mark.parametrize("lacking", ["messages.edit", "messages.content", "personal.read"])
def test_who_lacks_a_permission_prepares_nothing(bus, wrong, look, lacking) -> None:
    someone = person("anna", 1, ALL - {lacking})
    for deed in (
        lambda: corrections.draft(bus, wrong, someone),
        lambda: corrections.check(bus, wrong, pet(), someone),
        lambda: corrections.propose(bus, wrong, pet(), "Дата", person=someone),
    ):
        with pytest.raises(Permanent, match="нужно право"):
            deed()
    assert look.one("SELECT count(*) FROM bus.event WHERE stage = 'viewed'") == 0
    assert look.one("SELECT count(*) FROM bus.correction") == 0


@pytest.mark.parametrize("lacking", ["messages.approve", "messages.content", "personal.read"])
def test_who_lacks_a_permission_approves_nothing(bus, wrong, lacking) -> None:
    number = corrections.propose(bus, wrong, pet(), "Дата", person=ANNA)
    digest = corrections.correction(bus.database, number).sha256
    with pytest.raises(Permanent, match="нужно право"):
        corrections.approve(bus, number, sha256=digest, person=person("boris", 2, ALL - {lacking}))


def test_a_token_neither_prepares_nor_approves(bus, wrong) -> None:
    token = person("token:robot", None)
    with pytest.raises(Permanent, match="своей учётной записью"):
        corrections.propose(bus, wrong, pet(), "Дата", person=token)
    number = corrections.propose(bus, wrong, pet(), "Дата", person=ANNA)
    with pytest.raises(Permanent, match="своей учётной записью"):
        corrections.approve(bus, number, sha256=corrections.correction(bus.database, number).sha256, person=token)


def test_who_sees_no_personal_data_sees_the_difference_masked(bus, wrong) -> None:
    number = corrections.propose(bus, wrong, pet("Рыжик"), "Кличка и дата", person=ANNA)
    shown = corrections.compared(bus, number, person("carl", 3, ALL - {"personal.read"}))
    assert shown.masked
    text = "".join("".join(row.left + row.right) for row in shown.rows)
    assert "Мурка" not in text
    assert "Рыжик" not in text
    assert "вчера" not in text


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("<Pet", MalformedXml, "обрывается"),
        ("<Pet>&x;</Pet>", MalformedXml, ""),
        ("просто слова", MalformedXml, ""),
        ("", MalformedXml, ""),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', MalformedXml, ""),
        (pet(born="завтра"), SchemaViolation, "не соответствует"),
        ("<Pet/>", UnknownKind, "не принимает"),
        ("ы" * 5_000_000, Permanent, "больше 512 КБ"),
        (pet(born="вчера"), SchemaViolation, ""),
        ("\ud800", Permanent, "Юникоде"),
        (pet("\x00"), MalformedXml, ""),
    ],
    ids=["torn", "entity", "words", "empty", "doctype", "schema", "root", "huge", "unchanged", "surrogate", "nul"],
)
def test_a_bad_text_is_refused_with_its_reason_and_nothing_is_kept(bus, wrong, look, text, error, words) -> None:
    for deed in (
        lambda: corrections.check(bus, wrong, text, ANNA),
        lambda: corrections.propose(bus, wrong, text, "Дата", person=ANNA),
    ):
        with pytest.raises(error, match=words or None) as refused:
            deed()
        assert editing.fault_of(refused.value).reason
    assert look.one("SELECT count(*) FROM bus.correction") == 0


def test_the_fault_names_the_line_that_the_editor_shows(bus, wrong) -> None:
    with pytest.raises(SchemaViolation) as refused:
        corrections.check(bus, wrong, pet(born="завтра"), ANNA)
    assert [line for line, _ in editing.fault_of(refused.value).lines] == [4]


def test_an_unchanged_text_is_refused(bus, run_dry, look) -> None:
    message = Message(kind="pet", body=pet().replace("\n", "").encode())
    bus.engine.put([message])
    run_dry(bus, "pet")
    with pytest.raises(Permanent, match="не изменилось"):
        corrections.propose(bus, message.id, pet(), "Ничего", person=ANNA)


def test_a_finished_message_is_corrected_too_and_stays_finished(bus, run_dry, look, taken) -> None:
    message = Message(kind="pet", body=pet("Мурзик").encode())
    bus.engine.put([message])
    run_dry(bus, "pet")
    number = corrections.propose(bus, message.id, pet("Барсик"), "Не та кличка", person=ANNA)
    made = corrections.approve(bus, number, sha256=corrections.correction(bus.database, number).sha256, person=BORIS)
    run_dry(bus, "pet")
    assert [one.id for one in taken] == [message.id, made]
    assert look.one("SELECT state FROM bus.entry WHERE message_id = %s", message.id) == "handled"
    assert str(made) in look.one("SELECT note FROM bus.event WHERE stage = 'corrected' AND message_id = %s", message.id)


def test_what_is_being_handled_is_not_edited(bus) -> None:
    message = Message(kind="pet", body=pet().encode())
    bus.engine.put([message])
    with pytest.raises(Permanent, match="сейчас обрабатывается"):
        corrections.draft(bus, message.id, ANNA)
    with pytest.raises(Permanent, match="Нет сообщения"):
        corrections.draft(bus, uuid7(), ANNA)
    empty = Message(kind="none", body=b"")
    bus.engine.put([empty])
    with pytest.raises(Permanent, match="тела"):
        corrections.draft(bus, empty.id, ANNA)


@pytest.mark.parametrize("how", ["resend", "resend again", "drop", "bulk"])
def test_a_message_that_has_gone_on_meanwhile_is_not_replaced(bus, wrong, run_dry, look, how) -> None:
    number = corrections.propose(bus, wrong, pet(), "Дата", person=ANNA)
    if how == "drop":
        operations.drop(bus, [wrong], actor="carl", reason="Не нужно")
    elif how == "bulk":
        from core.bulk_work import Runner

        bulk.start(bus, [wrong], "drop", actor="carl", reason="Не нужно")
        Runner(bus).step()
    else:
        operations.resend(bus, [wrong], actor="carl")
        if how == "resend again":
            run_dry(bus, "pet")
            assert look.one("SELECT state FROM bus.entry WHERE message_id = %s", wrong) == "quarantined"
    before = look.one("SELECT count(*) FROM bus.message")
    with pytest.raises(Permanent, match="Пока правка ждала"):
        corrections.approve(bus, number, sha256=corrections.correction(bus.database, number).sha256, person=BORIS)
    assert look.one("SELECT count(*) FROM bus.message") == before
    assert corrections.correction(bus.database, number).state == "proposed"
    corrections.reject(bus, number, "Уже решено иначе", person=BORIS)
    rejected = corrections.correction(bus.database, number)
    assert (rejected.state, rejected.decision) == ("rejected", "Уже решено иначе")


def test_one_proposal_at_a_time_and_each_is_decided_once(bus, wrong, look) -> None:
    first = corrections.propose(bus, wrong, pet(), "Дата", person=ANNA)
    with pytest.raises(Permanent, match="уже есть правка"):
        corrections.propose(bus, wrong, pet("Рыжик"), "Кличка", person=person("carl", 3))
    with pytest.raises(Permanent, match="только тот, кто"):
        corrections.withdraw(bus, first, person=BORIS)
    corrections.withdraw(bus, first, person=ANNA)
    for deed in (
        lambda: corrections.withdraw(bus, first, person=ANNA),
        lambda: corrections.reject(bus, first, "Нет", person=BORIS),
        lambda: corrections.approve(bus, first, sha256="", person=BORIS),
    ):
        with pytest.raises(Permanent, match="уже решено: отозвано"):
            deed()
    second = corrections.propose(bus, wrong, pet("Рыжик"), "Кличка", person=person("carl", 3))
    assert [one.id for one in corrections.corrections(bus.database)] == [second, first]
    assert [one.id for one in corrections.corrections(bus.database, state="proposed")] == [second]
    assert [one.id for one in corrections.corrections(bus.database, second, message_id=wrong)] == [first]
    with pytest.raises(ConfigError, match="Нет состояния"):
        corrections.corrections(bus.database, state="happy")
    with pytest.raises(ConfigError, match="Нет правки"):
        corrections.correction(bus.database, 99)
    with pytest.raises(psycopg.errors.RaiseException, match="decided once"):
        look.do("UPDATE bus.correction SET decision = 'другое' WHERE id = %s", first)
    with pytest.raises(psycopg.errors.RaiseException, match="decided once"):
        look.do("UPDATE bus.correction SET body = 'x' WHERE id = %s", second)


def test_a_proposal_expires_and_makes_room(bus, wrong, monkeypatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(corrections, "TERM", timedelta(0))
        number = corrections.propose(bus, wrong, pet(), "Дата", person=ANNA)
    assert corrections.correction(bus.database, number).state == "expired"
    with pytest.raises(Permanent, match="срок вышел"):
        corrections.approve(bus, number, sha256="", person=BORIS)
    again = corrections.propose(bus, wrong, pet(), "Дата", person=BORIS)
    assert corrections.correction(bus.database, again).state == "proposed"


def test_what_was_seen_is_what_is_approved(bus, wrong) -> None:
    number = corrections.propose(bus, wrong, pet(), "Дата", person=ANNA)
    with pytest.raises(Permanent, match="не та правка"):
        corrections.approve(bus, number, sha256="0" * 64, person=BORIS)


def test_notes_and_reasons_are_wanted_and_short(bus, wrong) -> None:
    with pytest.raises(Permanent, match="Напишите, что"):
        corrections.propose(bus, wrong, pet(), " ", person=ANNA)
    with pytest.raises(Permanent, match="Слишком длинно"):
        corrections.propose(bus, wrong, pet(), "ы" * 1001, person=ANNA)
    number = corrections.propose(bus, wrong, pet(), "Дата\x00", person=ANNA)
    with pytest.raises(Permanent, match="Напишите, почему"):
        corrections.reject(bus, number, "", person=BORIS)


def test_a_document_of_an_unknown_kind_is_corrected_into_a_known_one(bus, run_dry, taken, look) -> None:
    message = Message(kind="{urn:test:pets}Pet", body=pet().replace(NS, "urn:test:pets").encode())
    bus.engine.put([message])
    with pytest.raises(UnknownKind, match="по-прежнему"):
        corrections.check(bus, message.id, "<a/>", ANNA)
    number = corrections.propose(bus, message.id, pet(), "Пространство имён с опечаткой", person=ANNA)
    made = corrections.approve(bus, number, sha256=corrections.correction(bus.database, number).sha256, person=BORIS)
    run_dry(bus, "pet")
    assert [(one.id, one.kind) for one in taken] == [(made, "pet")]


def test_a_corrected_answer_still_finds_its_question(bus_of, far, run_dry, look) -> None:
    got: list[Message] = []
    route = Route("t.answers", title="Ответы")

    @route.handler
    def take(_body: Any, context: Any) -> None:
        if context.message.body == b"bad":
            raise Permanent("Не годится")
        got.append(context.message)

    bus = bus_of([route], [far])
    question = Message(kind="ask", queue="far", body=b"?", replies_to="t.answers", reply_within_s=3600, key="k")
    bus.engine.put([question])
    run_dry(bus, "far")
    [(external_id, _, _)] = far.sent
    answer = Message(kind="answers", body=b"bad", source="far", external_id="a1", in_reply_to=external_id,
                     outcome=Outcome.ANSWER)  # fmt: skip
    bus.engine.put([answer])
    run_dry(bus, "t.answers")
    number = corrections.propose(bus, answer.id, "good", "Опечатка", person=ANNA)
    made = corrections.approve(bus, number, sha256=corrections.correction(bus.database, number).sha256, person=BORIS)
    run_dry(bus, "t.answers")
    [message] = got
    assert (message.id, message.cause, message.in_reply_to, message.key) == (made, question.id, external_id, "k")
    assert message.headers["corrected"] == str(answer.id)


def test_an_outgoing_message_is_corrected_without_a_schema(bus_of, far, run_dry, look) -> None:
    bus = bus_of([], [far])
    far.send_errors = {b"<a>1</a>": [Permanent("Отказано")]}
    message = Message(kind="out", queue="far", body=b"<a>1</a>", key="k")
    bus.engine.put([message])
    run_dry(bus, "far")
    with pytest.raises(MalformedXml):
        corrections.check(bus, message.id, "<a>2", ANNA)
    number = corrections.propose(bus, message.id, "<a>2</a>", "Не то число", person=ANNA)
    corrections.approve(bus, number, sha256=corrections.correction(bus.database, number).sha256, person=BORIS)
    run_dry(bus, "far")
    assert [body for _, body, _ in far.sent] == [b"<a>1</a>", b"<a>2</a>"]
    assert len({external_id for external_id, *_ in far.sent}) == 2


def test_a_large_body_of_a_correction_is_kept_as_long_as_it_is_named_and_goes_with_its_message(
    bus, wrong, look
) -> None:
    from core import garbage, removal
    from core.database import driver

    text = pet("Мур" * 40_000)
    number = corrections.propose(bus, wrong, text, "Длинная кличка", person=ANNA)
    digest = look.one("SELECT body_payload FROM bus.correction WHERE id = %s", number)
    assert digest == corrections.correction(bus.database, number).sha256
    garbage.collect(bus.database, bus.payloads.blobs, grace=timedelta(0))
    assert corrections.compared(bus, number, BORIS).rows
    with bus.database.transaction() as connection:
        removal.permit(driver(connection))
        removal.take_bodies(driver(connection), [wrong])
    assert look.one("SELECT body_payload FROM bus.correction WHERE id = %s", number) == f"removed:{digest}"
    garbage.collect(bus.database, bus.payloads.blobs, grace=timedelta(0))
    assert look.one("SELECT count(*) FROM bus.payload WHERE sha256 = %s", digest) == 0
    with pytest.raises(BusError, match="удалено по сроку хранения"):
        corrections.compared(bus, number, BORIS)
