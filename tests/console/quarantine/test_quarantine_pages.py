"""Карантин in the console: groups, jobs, corrections by two people, and who may not."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from core import bulk, cards, corrections, quarantine, stages
from core.bulk_work import Runner
from core.bus import Bus
from core.message import Message
from core.route import Format, Route

pytestmark = pytest.mark.feature("BUS-04")
SCHEMA = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="Pet"><xs:complexType><xs:sequence>
    <xs:element name="Name" type="xs:string"/><xs:element name="Born" type="xs:date"/>
  </xs:sequence></xs:complexType></xs:element></xs:schema>"""
EDITOR = ("operator", "personal")
APPROVER = ("approver", "personal")


def pet(name: str = "Мурка", born: str = "2020-05-17") -> str:
    return f"<Pet>\n  <Name>{name}</Name>\n  <Born>{born}</Born>\n</Pet>\n"


@pytest.fixture
def bus(bus_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bus:
    """Three pets in quarantine for one reason, one of them named <b>."""
    monkeypatch.setattr(stages, "HOUSE", tmp_path)
    monkeypatch.setattr(stages, "_local", threading.local())
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "pet.xsd").write_text(SCHEMA)
    route = Route("pet", title="Питомцы", formats=[Format("1", "Pet", "pet.xsd")])
    route.handler(lambda _body, _context: None)
    made: Bus = bus_of([route])
    made.engine.put([Message(kind="pet", body=pet(name, "вчера").encode()) for name in ("Мурка", "Барсик", "Рыжик")])
    while made.engine.drain("pet", 10):
        pass
    return made


@pytest.fixture
def desk(bus: Bus, console_of: Any) -> Any:
    return console_of(bus)


def group_of(bus: Bus) -> tuple[str, str, list[str]]:
    """(path of the group, path of its page, ids of its messages)."""
    [group] = quarantine.groups(bus.database)
    ids = quarantine.ids(bus.database, quarantine.Chosen(group.queue, group.name), 10)
    return group.name, f"/quarantine/groups/{group.queue}/{group.name}", [str(one) for one in ids]


def state_of(bus: Bus, message: str) -> str:
    return cards.card(bus.database, UUID(message)).row.state


def said(answer: Any, browser: Any) -> str:
    """What the next page says."""
    assert answer.status_code == 303, answer.text
    return re.sub(r"\s+", " ", browser.get(answer.headers["location"]).text)


def test_one_reason_is_one_line_and_leads_to_its_messages(bus, desk) -> None:
    auditor = desk.person("auditor")
    _, path, ids = group_of(bus)
    listed = auditor.get("/quarantine").text
    assert listed.count("Документ не соответствует схеме") == 1
    assert path in listed
    assert "/queues/pet" in listed
    page = auditor.get(path).text
    assert all(f"/messages/{one}" in page for one in ids)
    assert "Мурка" not in page
    assert "Отклонить" not in page, "an auditor decides nothing"
    assert path in auditor.get("/quarantine?queue=pet").text
    assert "В карантине этой очереди ничего нет" in auditor.get("/quarantine?queue=other").text


def test_an_empty_quarantine_says_what_it_is_for(bus_of, console_of) -> None:
    reader = console_of(bus_of()).person("auditor")
    assert "Карантин пуст" in reader.get("/quarantine").text
    assert "Заданий ещё не было" in reader.get("/quarantine/jobs").text
    assert "Правок ещё не было" in reader.get("/quarantine/corrections").text
    assert "больше ничего нет" in reader.get("/quarantine/groups/pet/feedface").text


def test_chosen_messages_go_as_a_job_whose_page_shows_how_it_goes(bus, desk) -> None:
    operator = desk.person("operator", login="smirnova")
    _, path, ids = group_of(bus)
    started = operator.submit(f"{path}/resend", scope="chosen", ids=ids[:2], rate="1000", errors="0")
    assert started.headers["location"] == "/quarantine/jobs/1"
    assert "Задание № 1 начато" in said(started, operator)
    runner = Runner(bus, clock=iter(range(100)).__next__)
    for _ in range(3):
        runner.step()
        bus.engine.drain("pet", 10)
    job = bulk.job(bus.database, 1)
    assert (job.state, job.total, job.failed, job.created_by) == ("done", 2, 2, "smirnova")
    part = operator.get("/quarantine/jobs/1/part?state=failed").text
    assert "data-over" in part
    assert part.count("Документ не соответствует") == 2
    assert "№ 1. Отправить повторно" in operator.get("/quarantine/jobs").text


def test_a_whole_reason_is_dropped_with_a_reason(bus, desk) -> None:
    operator = desk.person("operator")
    _, path, _ = group_of(bus)
    assert "Напишите, почему" in said(operator.submit(f"{path}/drop", scope="all", reason=" "), operator)
    operator.submit(f"{path}/drop", scope="all", reason="Прислано заново")
    runner = Runner(bus, clock=iter(range(100)).__next__)
    for _ in range(3):
        runner.step()
    assert bulk.job(bus.database, 1).succeeded == 3
    assert quarantine.groups(bus.database) == []


def test_one_message_is_sent_again_at_once(bus, desk) -> None:
    operator = desk.person("operator")
    name, path, ids = group_of(bus)
    answer = operator.submit(f"/quarantine/messages/{ids[0]}/resend", queue="pet", name=name)
    assert answer.headers["location"] == path
    assert state_of(bus, ids[0]) == "ready"


def test_a_job_is_paused_continued_and_cancelled_from_its_page(bus, desk) -> None:
    operator = desk.person("operator")
    _, path, _ = group_of(bus)
    operator.submit(f"{path}/resend", scope="all", rate="1", errors="5")
    for what, words, state in [
        ("pause", "поставлено на паузу", "paused"),
        ("continue", "продолжено", "running"),
        ("cancel", "отменено", "cancelled"),
    ]:
        assert words in said(operator.submit(f"/quarantine/jobs/1/{what}"), operator)
        assert bulk.job(bus.database, 1).state == state
    assert "не может быть" in said(operator.submit("/quarantine/jobs/1/pause"), operator)
    assert "Нет действия" in said(operator.submit("/quarantine/jobs/1/explode"), operator)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"scope": "chosen"}, "Не отмечено ни одного"),
        ({"scope": "chosen", "ids": ["abc"]}, "не распознаны"),
        ({"scope": "chosen", "ids": [str(uuid4())]}, "Нет сообщения"),
        ({"scope": "all", "rate": "быстро"}, "напишите число"),
        ({"scope": "all", "rate": "-1"}, "Скорость"),
        ({"scope": "all", "errors": "inf"}, "напишите число"),
        ({"scope": "all", "errors": "nan"}, "напишите число"),
    ],
    ids=["none", "nonsense", "unknown", "rate", "negative", "infinite", "nan"],
)
def test_a_senseless_order_is_refused_with_a_sentence(bus, desk, form, words) -> None:
    operator = desk.person("operator")
    _, path, _ = group_of(bus)
    assert words in said(operator.submit(f"{path}/resend", **({"rate": "5", "errors": "5"} | form)), operator)
    assert bulk.jobs(bus.database) == []


def test_foreign_addresses_are_no_errors_of_the_program(bus, desk) -> None:
    reader = desk.person("operator", "personal")
    _, path, _ = group_of(bus)
    for place in (
        f"{path}?before=-1", f"{path}?before={10**30}", "/quarantine/jobs/999", f"/quarantine/jobs/{10**30}",
        "/quarantine/jobs/x", f"/quarantine/jobs?before={10**30}", "/quarantine/corrections/999",
        f"/quarantine/jobs/1?after={10**30}", f"/quarantine/corrections?before={10**30}", "/quarantine?queue=%00",
        "/quarantine/groups/%00/%00", "/quarantine/corrections?state=happy", "/quarantine/corrections/new",
        f"/quarantine/corrections/new?message={uuid4()}", f"/quarantine/corrections/{10**30}",
    ):  # fmt: skip
        assert reader.get(place).status_code < 500, place


def test_two_people_correct_a_message(bus, desk) -> None:
    anna, boris = desk.person(*EDITOR, login="anna"), desk.person(*APPROVER, login="boris")
    message = group_of(bus)[2][0]
    editor = anna.get(f"/quarantine/corrections/new?message={message}").text
    assert "&lt;Name&gt;Рыжик&lt;/Name&gt;" in editor
    assert "Подпись отправителя" in editor
    checked = anna.submit("/quarantine/corrections/new", message=message, text=pet("Рыжик"), note="Дата", deed="check")
    assert checked.status_code == 200
    assert "<del>вчера</del>" in checked.text
    assert "<ins>2020-05-17</ins>" in checked.text
    kept = anna.submit("/quarantine/corrections/new", message=message, text=pet("Рыжик"), note="Дата", deed="propose")
    assert kept.headers["location"] == "/quarantine/corrections/1"
    own = anna.get("/quarantine/corrections/1").text
    assert "Отозвать правку" in own
    assert "Утвердить и отправить" not in own
    page = boris.get("/quarantine/corrections/1").text
    assert "Утвердить и отправить" in page
    assert "исходное будет отклонено" in page
    digest = re.search(r'name="sha256" value="(\w+)"', page)
    assert digest
    assert "утверждена" in said(boris.submit("/quarantine/corrections/1/approve", sha256=digest[1]), boris)
    assert state_of(bus, message) == "dropped"
    assert "утверждено" in boris.get("/quarantine/corrections?state=approved").text
    assert "уже решено" in said(boris.submit("/quarantine/corrections/1/reject", reason="Поздно"), boris)


def test_the_same_person_does_not_approve_even_with_every_role(bus, desk) -> None:
    anna = desk.person(*EDITOR, "approver", "administrator", login="anna")
    message = group_of(bus)[2][0]
    anna.submit("/quarantine/corrections/new", message=message, text=pet(), note="Дата", deed="propose")
    digest = corrections.correction(bus.database, 1).sha256
    assert "Свою правку" in said(anna.submit("/quarantine/corrections/1/approve", sha256=digest), anna)
    assert "Свою правку" in said(anna.submit("/quarantine/corrections/1/reject", reason="Нет"), anna)
    assert "отозвана" in said(anna.submit("/quarantine/corrections/1/withdraw"), anna)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<Pet><Name>", "обрывается"),
        (pet(born="завтра"), "Строка 3"),
        ("ы" * 300_000, "больше 512 КБ"),
        ("<!DOCTYPE a><Pet/>", "DOCTYPE"),
        (pet("Рыжик", "вчера"), "не соответствует"),
    ],
    ids=["torn", "schema", "long", "doctype", "unchanged"],
)
def test_a_bad_text_stays_in_the_editor_with_what_is_wrong(bus, desk, text, words) -> None:
    anna = desk.person(*EDITOR)
    message = group_of(bus)[2][0]
    for deed in ("check", "propose"):
        form = {"message": message, "text": text, "note": "Дата записана", "deed": deed}
        answer = anna.submit("/quarantine/corrections/new", files={"as": (None, "multipart")}, **form)
        assert answer.status_code == 422
        assert words in answer.text
        assert "Дата записана" in answer.text
    assert corrections.corrections(bus.database) == []


def test_five_megabytes_are_refused_with_a_sentence(bus, desk) -> None:
    anna = desk.person(*EDITOR)
    message = group_of(bus)[2][0]
    answer = anna.submit("/quarantine/corrections/new", message=message, text="ы" * 2_500_000, note="Дата")
    assert answer.status_code == 400
    assert "слишком велика" in answer.text


def test_who_sees_no_personal_data_neither_edits_nor_approves(bus, desk) -> None:
    anna, operator, approver = desk.person(*EDITOR), desk.person("operator"), desk.person("approver")
    message = group_of(bus)[2][0]
    refused = operator.get(f"/quarantine/corrections/new?message={message}")
    assert "Персональные данные без маски" in refused.text
    assert "Рыжик" not in refused.text
    anna.submit("/quarantine/corrections/new", message=message, text=pet("Пушок"), note="Кличка", deed="propose")
    page = approver.get("/quarantine/corrections/1").text
    assert "Пушок" not in page
    assert "Рыжик" not in page
    assert "Утвердить и отправить" not in page
    digest = corrections.correction(bus.database, 1).sha256
    assert "Персональные данные" in said(approver.submit("/quarantine/corrections/1/approve", sha256=digest), approver)


GETS = ["/quarantine", "/quarantine/groups/pet/x", "/quarantine/jobs", "/quarantine/jobs/1", "/quarantine/jobs/1/part",
        "/quarantine/corrections", "/quarantine/corrections/1", "/quarantine/corrections/new?message={id}"]  # fmt: skip


@pytest.mark.parametrize("path", GETS)
def test_who_may_not_read_messages_sees_nothing(bus, desk, path) -> None:
    assert desk.person("erz.reader").get(path.format(id=uuid4())).status_code == 403


@pytest.mark.parametrize(
    ("role", "path"),
    [
        ("auditor", "/quarantine/groups/pet/x/resend"),
        ("auditor", "/quarantine/groups/pet/x/drop"),
        ("auditor", "/quarantine/messages/{id}/resend"),
        ("auditor", "/quarantine/jobs/1/cancel"),
        ("auditor", "/quarantine/corrections/new"),
        ("approver", "/quarantine/corrections/new"),
        ("auditor", "/quarantine/corrections/1/withdraw"),
        ("operator", "/quarantine/corrections/1/approve"),
        ("operator", "/quarantine/corrections/1/reject"),
    ],
)
def test_a_role_without_the_permission_changes_nothing(bus, desk, role, path) -> None:
    answer = desk.person(role, "personal").submit(path.format(id=group_of(bus)[2][0]), message=str(uuid4()))
    assert answer.status_code == 403
    assert "Нужно право" in answer.text
