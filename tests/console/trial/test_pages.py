"""Пробный прогон on the console: from the form to the differences, masked for whoever may not see people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from core.bus import Bus
from core.message import Message
from core.settings import HOUSE
from core.trial.jobs import jobs_of
from routes.zags import death

Desk = Any
FORM = death.route.formats[0]
KIND = f"zags.death|{FORM.version}"
PRESENT = (HOUSE / "transformers" / FORM.transform).read_text(encoding="utf-8")
CHANGED = PRESENT.replace("<birth_place>", "<birth_place>г. ")
SAMPLE = (HOUSE / "schemas/zags/death/v1/samples/valid/record-plain.xml").read_bytes()

REFUSED: list[tuple[dict[str, str], Any, str]] = [
    ({}, None, "Загрузите новое преобразование"),
    ({"text": "def transform(document): ..."}, None, "omsbus replay"),
    ({}, [("files", ("x.py", b"import os"))], "omsbus replay"),
    ({"text": "<a/>"}, None, "не преобразование XSLT"),
    ({"text": "junk"}, None, "начинается с"),
    ({"text": "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"}, None, "DOCTYPE"),
    ({"text": PRESENT, "kind": "нет"}, None, "Нет вида сведений"),
    ({"text": PRESENT, "kind": ""}, None, "Нет вида сведений"),
    ({"text": PRESENT, "kind": "zags.death|9"}, None, "нет версии"),
    ({"text": PRESENT, "last": "0"}, None, "от 1 до 1000"),
    ({"text": PRESENT, "last": "1001"}, None, "от 1 до 1000"),
    ({"text": PRESENT, "last": "много"}, None, "Число от 1 до 1000"),
    ({"text": PRESENT}, [("files", ("x.xsl", PRESENT.encode()))], "очистите одно"),
    ({}, [("files", ("x.zip", b"PK\x03\x04"))], "не распаковывается"),
    ({}, [("files", ("x.xsl", b"x" * 9_000_000))], "больше 8 МБ"),
    ({"text": "\x00<a/>"}, None, "начинается с"),
]
"""(form, files, what is said)"""


@pytest.fixture
def desk(bus_of: Callable[..., Bus], console_of: Callable[[Bus], Desk]) -> Desk:
    bus = bus_of([death.route])
    bus.engine.put([Message(kind=FORM.root, body=SAMPLE) for _ in range(3)])
    return console_of(bus)


@pytest.fixture
def tried(desk: Desk, eventually: Any) -> Callable[..., str]:
    """Start a run as this person; where its result is."""

    def begin(person: Any, files: Any = None, **form: str) -> str:
        answer = person.submit("/trial", **({"kind": KIND, "last": "10"} | form), files=files)
        assert answer.status_code == 303, answer.text
        home = str(answer.headers["location"])
        job = jobs_of(desk.bus).get(home.rpartition("/")[2])
        eventually(lambda: job.over)
        assert job.problem == ""
        return home

    return begin


@pytest.mark.feature("BUS-05")
def test_a_pasted_stylesheet_is_tried_and_its_differences_are_grouped(desk: Desk, tried: Any) -> None:
    expert = desk.person("operator", "personal")
    assert "запись акта о смерти" in expert.get("/trial?kind=zags.death").text
    home = tried(expert, text=CHANGED)
    page = expert.get(home).text
    assert "acts/person/birth_place" in page
    assert "г. " in page
    message_id = page.partition(f"{home}/messages/")[2].partition('"')[0]
    one = expert.get(f"{home}/messages/{message_id}").text
    assert 'class="line-new"' in one
    assert expert.get(f"{home}/part").status_code == 200


@pytest.mark.feature("BUS-05", "BUS-14")
def test_an_operator_sees_where_and_how_many_and_no_value(desk: Desk, tried: Any, rows: Any) -> None:
    operator = desk.person("operator")
    home = tried(operator, text=CHANGED)
    page = operator.get(home).text
    place = SAMPLE.decode().partition('МестоТекст="')[2]
    place = place.partition('"')[0]
    assert place
    assert "acts/person/birth_place" in page
    assert "•••" in page
    message_id = page.partition(f"{home}/messages/")[2].partition('"')[0]
    one = operator.get(f"{home}/messages/{message_id}").text
    for shown in (page, one):
        assert place not in shown
    assert 'class="line-new"' not in one


@pytest.mark.feature("BUS-14")
def test_each_look_at_values_is_audited(desk: Desk, tried: Any, rows: Any) -> None:
    expert = desk.person("operator", "personal", login="expert")
    home = tried(expert, text=CHANGED)
    page = expert.get(home).text
    message_id = page.partition(f"{home}/messages/")[2].partition('"')[0]
    expert.get(f"{home}/messages/{message_id}")
    rows = rows("SELECT actor, action, object_kind FROM bus.audit WHERE action LIKE 'message.%' OR "
                     "action LIKE 'trial.%' ORDER BY seq")  # fmt: skip
    assert rows == [
        ("expert", "trial.run", "kind"), ("expert", "message.viewed", "kind"), ("expert", "message.viewed", "message"),
    ]  # fmt: skip


@pytest.mark.feature("BUS-05")
def test_files_are_uploaded_too(desk: Desk, tried: Any) -> None:
    operator = desk.person("operator")
    schema = (HOUSE / "schemas" / FORM.schema).read_bytes()
    home = tried(operator, files=[("files", ("fatalzp.xsd", schema)), ("files", ("v2.xsl", PRESENT.encode()))])
    page = operator.get(home).text
    assert "ничего не изменится" in page
    assert "zags/death/v1/types.xsd" in page, "what was taken from the present version is named"
    assert "без изменений" in operator.get("/trial").text


@pytest.mark.feature("BUS-05")
def test_what_cannot_be_tried_comes_back_with_a_sentence(desk: Desk) -> None:
    operator = desk.person("operator")
    for form, files, said in REFUSED:
        answer = operator.submit("/trial", **({"kind": KIND, "last": "10"} | form), files=files)
        assert answer.status_code == 422, said
        assert said in answer.text
    assert jobs_of(desk.bus).all() == []


@pytest.mark.feature("SMEV-11")
def test_whoever_may_not_try_is_refused_everywhere(desk: Desk, tried: Any, rows: Any) -> None:
    home = tried(desk.person("operator"), text=CHANGED)
    auditor = desk.person("auditor", "personal")
    message_id = rows("SELECT id FROM bus.message LIMIT 1")[0][0]
    for path in ("/trial", home, f"{home}/part", f"{home}/messages/{message_id}"):
        assert auditor.get(path).status_code == 403
    for path in ("/trial", f"{home}/stop"):
        assert auditor.submit(path, kind=KIND, last="10", text=PRESENT).status_code == 403
    assert len(rows("SELECT 1 FROM bus.audit WHERE action = 'trial.run'")) == 1


def test_runs_and_messages_that_are_not_there_are_404(desk: Desk, tried: Any) -> None:
    operator = desk.person("operator")
    home = tried(operator, text=PRESENT)
    assert operator.get("/trial/нет").status_code == 404
    assert operator.get(f"{home}/messages/018f0000-0000-7000-8000-000000000000").status_code == 404
    assert operator.get(f"{home}/messages/x").status_code == 422
    assert operator.submit(f"{home}/stop").status_code == 303
