"""A request that is sent by hand leaves like any other; what comes of it is found again."""

from __future__ import annotations

import pytest

from core import questions
from core.database import driver
from core.errors import ConfigError, MalformedXml, SchemaViolation
from core.message import Message, Outcome
from core.questions import Question
from core.replies import Reply
from core.route import Format

SPACE = "http://kvs.pfr.com/snils-by-additionalData/1.0.1"
FORM = Format(
    "1.0.1",
    root=f"{{{SPACE}}}SnilsByAdditionalDataRequest",
    schema="sfr/snils/v1/snils-by-additional-data.xsd",
)
DOCUMENT = (
    f'<n:SnilsByAdditionalDataRequest xmlns:n="{SPACE}" '
    'xmlns:c="urn://x-artefacts-smev-gov-ru/supplementary/commons/1.0.1"><c:FamilyName>Пробная</c:FamilyName>'
    "<c:FirstName>Анна</c:FirstName><n:BirthDate>1990-02-03</n:BirthDate><n:Gender>Female</n:Gender>"
    "</n:SnilsByAdditionalDataRequest>"
).encode()


def question(sink: str = "far") -> Question:
    return Question("t.ask", "Проба", FORM, lambda body: Message(kind="t.asked", body=body, queue=sink))


@pytest.mark.feature("SMEV-08")
@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.ANSWER, "answered"),
        (Outcome.REJECTION, "rejected"),
        (Outcome.FAILURE, "failed"),
        (Outcome.STATUS, "status"),
    ],
    ids=["answer", "rejection", "failure", "status"],
)
def test_the_answer_is_found_and_touches_no_registry(bus_of, far, eventually, outcome, state) -> None:
    bus = bus_of([], [far])
    bus.start(intake=True, work=True, schedule=False)
    asked = questions.send(bus, question(), DOCUMENT, actor="operator")
    eventually(lambda: questions.one(bus.database, asked).state == "sent")
    [(external_id, body, _)] = far.sent
    assert body == DOCUMENT
    answer = b"<any/>" if outcome is Outcome.ANSWER else Reply(outcome, ("NO_DATA",), ("Нет сведений",)).to_body()
    far.offer("a-1", answer, kind="t.answer", outcome=outcome, in_reply_to=external_id)
    eventually(lambda: questions.one(bus.database, asked).state == state)
    found = questions.one(bus.database, asked)
    assert found.asked_by == "operator"
    assert len(found.answers) == 1
    eventually(lambda: _state(bus, found.answers[0]) == "handled")


def _state(bus, message_id) -> str:
    with bus.database.transaction() as connection:
        query = "SELECT state FROM bus.entry WHERE message_id = %s"
        return driver(connection).execute(query, (message_id,)).fetchone()[0]


@pytest.mark.feature("SMEV-08")
def test_the_list_is_by_time_and_goes_on_from_the_last_one(bus_of, far) -> None:
    bus = bus_of([], [far])
    sent = [questions.send(bus, question(), DOCUMENT, actor="operator") for _ in range(5)]
    first = questions.asked(bus.database, 3)
    assert [row.id for row in first] == sent[:1:-1]
    assert [row.id for row in questions.asked(bus.database, 3, first[-1].id)] == sent[1::-1]
    assert {row.state for row in first} == {"waiting"}


@pytest.mark.feature("SMEV-11")
def test_who_sent_it_stands_in_the_audit(bus_of, far) -> None:
    bus = bus_of([], [far])
    sent = questions.send(bus, question(), DOCUMENT, actor="operator")
    with bus.database.transaction() as connection:
        query = "SELECT actor, action, object_id FROM bus.audit WHERE action = 'request.sent'"
        assert driver(connection).execute(query).fetchall() == [("operator", "request.sent", str(sent))]


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"<a", MalformedXml),
        (b"<a/>", SchemaViolation),
        (DOCUMENT.replace(b"1990-02-03", "вчера".encode()), SchemaViolation),
    ],
    ids=["malformed", "another root", "not by the schema"],
)
def test_what_the_schema_refuses_does_not_leave(bus_of, far, payload, error) -> None:
    bus = bus_of([], [far])
    with pytest.raises(error):
        questions.send(bus, question(), payload, actor="operator")
    assert questions.asked(bus.database, 1) == []


def test_a_sink_that_this_bus_does_not_have_is_told(bus_of, far) -> None:
    bus = bus_of([], [far])
    with pytest.raises(ConfigError, match="нет отправки elsewhere"):
        questions.send(bus, question("elsewhere"), DOCUMENT, actor="operator")


def test_an_unknown_question_or_request_is_told(bus_of) -> None:
    with pytest.raises(ConfigError, match=r"Запроса «t\.none» нет"):
        questions.by_name([question()], "t.none")
    with pytest.raises(ConfigError, match="проверьте адрес"):
        questions.one(bus_of().database, Message(kind="t", body=b"").id)
