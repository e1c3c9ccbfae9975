"""`omsbus bulk` and `omsbus correction`: what the console does, from the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from core import bulk, corrections
from core.access import accounts
from core.access.permissions import PERMISSIONS
from core.access.person import Person
from core.bulk_work import Runner
from core.bus import Bus
from core.message import Message

pytestmark = pytest.mark.feature("BUS-04", "TECH-01")
Omsbus = Callable[..., Any]
PASSWORD = "очень длинный пароль 1"


@pytest.fixture
def failures(toy_bus: Bus) -> list[str]:
    """Three messages in quarantine, for one reason."""
    bodies = (b"{}", b"[]", b'{"other": 1}')
    made = toy_bus.engine.put([Message(kind="toy.ask", body=body) for body in bodies])
    toy_bus.engine.drain("toy.ask", 10)
    return [str(one.message_id) for one in made]


def go(bus: Bus, steps: int = 3) -> None:
    runner = Runner(bus, clock=iter(range(100)).__next__)
    for _ in range(steps):
        runner.step()
        bus.engine.drain("toy.ask", 10)


def test_a_job_from_the_groups_to_its_result(omsbus: Omsbus, toy_bus: Bus, failures: list[str]) -> None:
    groups = omsbus("bulk", "groups", "--json").json
    assert sum(one["many"] for one in groups) == 3
    group = groups[0]
    asked = omsbus(
        "bulk", "start", "resend", "--queue", "toy.ask", "--group", group["name"], "--rate", "1", answer="y\n"
    )
    assert "Задание № 1 начато" in asked.out
    assert "по причине" in asked.out
    assert "поставлено на паузу" in omsbus("bulk", "pause", "1").out
    assert "на паузе" in omsbus("bulk", "list").out
    assert omsbus("bulk", "show", "1", "--json").json["job"]["created_by"] == "ivanova"
    assert "продолжено" in omsbus("bulk", "continue", "1").out
    go(toy_bus, 6)
    shown = omsbus("bulk", "show", "1")
    assert "выполнено" in shown.out
    assert "ошибка" in shown.out
    assert "не может быть" in omsbus("bulk", "cancel", "1").error.reason


def test_named_and_filtered_messages_are_dropped(omsbus: Omsbus, toy_bus: Bus, failures: list[str]) -> None:
    assert "почему" in omsbus("bulk", "start", "drop", failures[0], "--yes").error.reason
    assert omsbus("bulk", "start", "drop", failures[0], answer="n\n").code == 1
    omsbus("bulk", "start", "drop", failures[0], "--reason", "Проба", "--yes")
    go(toy_bus)
    asked = omsbus(
        "bulk", "start", "drop", "--queue", "toy.ask", "--state", "quarantined", "--reason", "Проба", answer="y\n"
    )
    assert "по отбору сообщений: 2" in asked.out
    go(toy_bus)
    assert "Карантин пуст" in omsbus("bulk", "groups").out
    assert [job.succeeded for job in bulk.jobs(toy_bus.database)] == [2, 1]
    assert "только карантин" in omsbus("bulk", "start", "resend", "--queue", "toy.ask", "--yes").error.reason


def test_a_second_person_approves_with_his_own_password(omsbus: Omsbus, toy_bus: Bus, failures: list[str]) -> None:
    roles = ("operator", "approver", "personal")
    anna = accounts.create(toy_bus.database, "anna", "Анна", PASSWORD, roles, actor="test")
    accounts.create(toy_bus.database, "boris", "Борис", PASSWORD, roles, actor="test")
    person = Person("anna", "Анна", frozenset(PERMISSIONS), anna)
    number = corrections.propose(
        toy_bus, UUID(failures[0]), '{"name": "Ян"}', "Не было имени", person=person
    )  # fmt: skip
    assert "ждёт утверждения" in omsbus("correction", "list").out
    shown = omsbus("correction", "show", str(number), "--login", "boris", answer=f"{PASSWORD}\n")
    assert "Ян" in shown.out
    refused = omsbus("correction", "approve", str(number), "--login", "anna", answer=f"{PASSWORD}\n")
    assert "Свою правку" in refused.error.reason
    assert (
        "не подходят" in omsbus("correction", "approve", str(number), "--login", "boris", answer="нет\n").error.reason
    )
    assert corrections.correction(toy_bus.database, number).state == "proposed"
    omsbus("correction", "reject", str(number), "--reason", "Не так", "--login", "boris", answer=f"{PASSWORD}\n")
    rejected = corrections.correction(toy_bus.database, number)
    assert (rejected.state, rejected.decided_by, rejected.decision) == ("rejected", "boris", "Не так")
