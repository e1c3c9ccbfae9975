"""The pages of the hash chain and of the evidence package, and who may open them."""

from __future__ import annotations

import io
import zipfile
from typing import Any
from uuid import UUID

import psycopg
import pytest

from core import evidence
from core.bus import Bus
from core.message import Message
from core.route import Route
from core.seals import recording
from core.seals.sealing import seal_all

pytestmark = pytest.mark.feature("BUS-11", "BUS-14", "SMEV-11")
BODY = "<a>Вымышленников Пётр</a>".encode()


@pytest.fixture
def bus(bus_of: Any) -> Bus:
    made: Bus = bus_of([Route("some.queue", title="Очередь")])
    return made


@pytest.fixture
def message(bus: Bus) -> UUID:
    [accepted] = bus.engine.put([Message(kind="later", queue="some.queue", body=BODY)])
    seal_all(bus.database)
    return accepted.message_id


def test_the_chain_is_shown_and_checked_at_a_button(
    console_of: Any, bus: Bus, message: UUID, eventually: Any, database_url: str
) -> None:
    auditor = console_of(bus).person("auditor")
    page = auditor.get("/audit/chain").text
    assert "Цепочку ещё не проверяли" in page
    assert "1:" in page
    sent = auditor.submit("/audit/chain/verify", first="1")
    assert sent.headers["location"] == "/audit/chain/1"
    eventually(lambda: recording.run(bus.database, 1).outcome == "whole")
    assert "цело" in auditor.get("/audit/chain/1").text
    assert "цело" in auditor.get("/audit/chain/part").text
    with psycopg.connect(database_url, autocommit=True) as tamperer:
        tamperer.execute("SET session_replication_role = replica")
        tamperer.execute("UPDATE bus.message SET kind = 'other'")
    auditor.submit("/audit/chain/verify", first="1")
    eventually(lambda: recording.run(bus.database, 2).outcome == "broken")
    page = auditor.get("/audit/chain/2").text
    assert "Изменено сообщение № 1" in page
    assert f'href="/messages/{message}"' in page
    assert "data-over" in auditor.get("/audit/chain/2/part").text


def test_a_chain_with_nothing_in_it_says_what_to_do(console_of: Any, bus: Bus) -> None:
    auditor = console_of(bus).person("auditor")
    assert "Ещё ничего не опечатано" in auditor.get("/audit/chain").text
    assert auditor.get("/audit/chain/7").status_code == 404
    stopped = auditor.submit("/audit/chain/stop")
    assert stopped.status_code == 303
    assert "не идёт" in auditor.get("/audit/chain").text


def test_a_second_check_waits_for_the_first(console_of: Any, bus: Bus, message: UUID) -> None:
    auditor = console_of(bus).person("auditor")
    other = recording.Recorded(bus.database)
    number = other.begin(actor="somebody")
    auditor.submit("/audit/chain/verify", first="1")
    assert "уже идёт" in auditor.get("/audit/chain").text
    assert "Прервать" in auditor.get(f"/audit/chain/{number}").text
    other.go(number)


def test_the_chain_is_for_who_may_read_the_audit(console_of: Any, bus: Bus) -> None:
    desk = console_of(bus)
    operator, nobody = desk.person("operator"), desk.nobody()
    for path in ("/audit/chain", "/audit/chain/part", "/audit/chain/1", "/audit/chain/1/part"):
        assert operator.get(path).status_code == 403
        assert nobody.get(path).status_code == 303
    for path in ("/audit/chain/verify", "/audit/chain/stop"):
        assert operator.submit(path, first="1").status_code == 403
    assert not recording.runs(bus.database)


def test_a_package_is_described_and_downloaded(console_of: Any, bus: Bus, message: UUID) -> None:
    person = console_of(bus).person("operator", "personal")
    page = person.get(f"/messages/{message}/evidence").text
    assert "1 строка опечатана" in page
    assert "Вымышленников" not in page
    sent = person.submit(f"/messages/{message}/evidence")
    assert sent.headers["content-type"] == "application/zip"
    assert sent.headers["content-disposition"] == f'attachment; filename="evidence-{message}.zip"'
    assert len(sent.content) == int(sent.headers["content-length"])
    assert evidence.check(io.BytesIO(sent.content)).ok
    with zipfile.ZipFile(io.BytesIO(sent.content)) as package:
        assert package.read("contents/body") == BODY


def test_a_package_for_who_may_not_see_personal_data_has_none(console_of: Any, bus: Bus, message: UUID) -> None:
    person = console_of(bus).person("operator")
    assert "скрыто" in person.get(f"/messages/{message}/evidence").text
    sent = person.submit(f"/messages/{message}/evidence")
    with zipfile.ZipFile(io.BytesIO(sent.content)) as package:
        assert "contents/body" not in package.namelist()
        assert BODY not in b"".join(package.read(name) for name in package.namelist())
    assert evidence.check(io.BytesIO(sent.content)).ok


def test_a_package_is_for_who_may_make_it(console_of: Any, bus: Bus, message: UUID) -> None:
    desk = console_of(bus)
    person = desk.person("approver")
    assert person.get(f"/messages/{message}/evidence").status_code == 403
    assert person.submit(f"/messages/{message}/evidence").status_code == 403
    assert desk.nobody().get(f"/messages/{message}/evidence").status_code == 303


def test_a_package_of_no_message_is_a_sentence(console_of: Any, bus: Bus) -> None:
    person = console_of(bus).person("operator")
    nobody = UUID(int=7)
    assert "Нет сообщения" in person.get(f"/messages/{nobody}/evidence").text
    assert person.submit(f"/messages/{nobody}/evidence").status_code == 303
    assert person.get("/messages/xyz/evidence").status_code == 404
