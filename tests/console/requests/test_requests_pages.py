"""The form of a request: filled in, refused with the reason, sent, watched."""

from __future__ import annotations

import re

import pytest

from core import questions
from core.connector import Prepared, Receipt

WHO = {"FamilyName": "Пробная", "FirstName": "Анна", "BirthDate": "1990-02-03", "Gender": "Female"}
NEW = "/requests/new/sfr.snils.request"


class Smev:
    """A connector named as the settings of СФР want it; nothing leaves it."""

    name = "smev"

    def __init__(self) -> None:
        self.sources: dict = {}
        self.sinks = {"smev": self}

    def open(self) -> None: ...

    def close(self) -> None: ...

    def check(self) -> str:
        return "Связь есть"

    def prepare(self, message) -> Prepared:
        return Prepared("1", message.body)

    def send(self, message, prepared, *, repeated) -> Receipt:
        return Receipt("Принято")


@pytest.mark.feature("SMEV-08")
def test_a_filled_in_form_is_sent_and_its_page_is_shown(bus_of, console_of) -> None:
    bus = bus_of([], [Smev()])
    operator = console_of(bus).person("operator")
    assert "Дата рождения" in operator.get(NEW).text
    answer = operator.submit(NEW, **WHO)
    assert answer.status_code == 303
    [row] = questions.asked(bus.database, 5)
    assert answer.headers["location"] == f"/requests/{row.id}"
    shown = operator.get(answer.headers["location"]).text
    assert "готовится к отправке" in shown
    assert operator.login in shown
    assert "СФР: СНИЛС по дополнительным сведениям" in operator.get("/requests").text


@pytest.mark.feature("SMEV-08")
def test_what_the_schema_refuses_comes_back_with_what_was_typed(bus_of, console_of) -> None:
    bus = bus_of([], [Smev()])
    answer = console_of(bus).person("operator").submit(NEW, **(WHO | {"FamilyName": "Latin & <b>"}))
    assert answer.status_code == 422
    assert "не соответствует схеме" in answer.text
    assert 'value="Latin &amp; &lt;b&gt;"' in answer.text
    assert questions.asked(bus.database, 1) == []


def test_a_control_character_is_told_and_breaks_nothing(bus_of, console_of) -> None:
    answer = console_of(bus_of([], [Smev()])).person("operator").submit(NEW, **(WHO | {"FirstName": "А\x01"}))
    assert answer.status_code == 422
    assert "недопустимые знаки" in answer.text


def test_every_field_has_a_label(bus_of, console_of) -> None:
    text = console_of(bus_of()).person("operator").get(NEW).text
    named = set(re.findall(r'<(?:input|select)[^>]* id="(f-[^"]+)"', text))
    assert named
    assert named == set(re.findall(r'<label[^>]* for="(f-[^"]+)"', text))


@pytest.mark.feature("SMEV-11")
@pytest.mark.parametrize("path", ["/requests", "/requests/new", NEW])
def test_who_may_not_send_is_refused(bus_of, console_of, path) -> None:
    auditor = console_of(bus_of()).person("auditor")
    assert auditor.get(path).status_code == 403
    assert auditor.submit(NEW, **WHO).status_code == 403
