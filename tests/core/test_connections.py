"""Connectors as people see them: no secret, the state of the far side, the exchange, the test of the connection."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from pydantic import BaseModel

from core import connection_check, connections, operations
from core.errors import ConfigError, Unavailable
from core.message import Message

pytestmark = pytest.mark.feature("SMEV-10")


class Inner(BaseModel):
    folder: str = "in"
    token: str = "тайна-3"


class FarSettings(BaseModel):
    """Settings of a connector that forgot that it must not hold secrets."""

    url: str = "https://bus:тайна-1@far.example/in?api_key=тайна-2&page=1"
    password_env: str = "FAR_PASSWORD"
    key_file: str = "/keys/far.key"
    client_secret: str = "тайна-4"
    headers: dict[str, str] = {"X-Api-Key": "тайна-5", "X-Fund": "78"}
    inbox: Inner = Inner()
    polls: tuple[Inner, ...] = (Inner(folder="a"), Inner(folder="b"))
    retries: int = 3
    passive: bool = True


def test_settings_are_shown_and_no_secret_of_them(bus_of: Any, far: Any) -> None:
    far.settings = FarSettings()
    bus = bus_of([], [far], connectors={"far": {"type": "far", "url": "https://x", "inbox": {"folder": "in"}}})
    shown = {one.name: one for one in connections.settings(bus, "far")}
    assert "тайна" not in " ".join(one.value for one in shown.values())
    assert shown["url"].value == "https://far.example/in?api_key=%D1%81%D0%BA%D1%80%D1%8B%D1%82%D0%BE&page=1"
    assert shown["password_env"].value == "FAR_PASSWORD"
    assert shown["key_file"].value == "/keys/far.key"
    assert shown["client_secret"].value == connections.HIDDEN
    assert shown["headers.X-Api-Key"].value == connections.HIDDEN
    assert shown["headers.X-Fund"].value == "78"
    assert shown["polls[1].folder"].value == "b"
    assert shown["passive"].value == "да"
    assert shown["inbox.folder"].given
    assert not shown["retries"].given


@pytest.mark.feature("SMEV-08")
@pytest.mark.parametrize(
    ("change", "state"),
    [
        ("state = 'running'", "up"),
        ("state = 'stopped', reason = 'нет ключа'", "down"),
        ("state = 'paused'", "paused"),
    ],
)
def test_the_state_of_a_connector_is_that_of_its_queues(
    bus_of: Any, far: Any, look: Any, change: str, state: str
) -> None:
    bus = bus_of([], [far])
    look.do(f"UPDATE bus.queue SET {change} WHERE name IN ('far', 'far.in')")
    assert connections.connection(bus, "far").state == state


@pytest.mark.feature("SMEV-08")
def test_one_queue_that_rests_or_fails_says_so_for_the_whole(bus_of: Any, far: Any, look: Any) -> None:
    bus = bus_of([], [far])
    look.do("UPDATE bus.queue SET rest_until = now() + interval '1 hour', reason = 'нет сети' WHERE name = 'far'")
    found = connections.connection(bus, "far")
    assert (found.state, found.why) == ("resting", "far: нет сети")
    look.do("UPDATE bus.queue SET failures = 1, poll_result = 'нет ответа' WHERE name = 'far.in'")
    assert connections.connection(bus, "far").state == "down"


@pytest.mark.feature("BUS-06")
def test_a_connector_is_paused_and_resumed_as_a_whole(bus_of: Any, far: Any, look: Any) -> None:
    bus = bus_of([], [far])
    assert connections.set_state(bus, "far", "paused", actor="иванов", reason="работы") == 2
    found = connections.connection(bus, "far")
    assert (found.state, found.why) == ("paused", "работы")
    operations.set_state(bus, "far.in", "running", actor="иванов")
    assert connections.connection(bus, "far").state == "partly"
    connections.set_state(bus, "far", "running", actor="иванов")
    assert connections.connection(bus, "far").state == "up"
    assert look.one("SELECT count(*) FROM bus.audit WHERE action = 'queue.paused'") == 2


def test_one_that_is_switched_off_is_shown_and_an_unknown_one_is_a_sentence(bus_of: Any, far: Any) -> None:
    bus = bus_of([], [far], connectors={"old": {"type": "files", "enabled": False}})
    assert {one.name: one.state for one in connections.connections(bus)} == {"far": "up", "old": "off"}
    for deed in (
        lambda: connections.connection(bus, "nowhere"),
        lambda: connections.settings(bus, "nowhere"),
        lambda: connections.set_state(bus, "nowhere", "paused", actor="и"),
        lambda: connections.set_state(bus, "old", "paused", actor="и"),
    ):
        with pytest.raises(ConfigError, match=r"коннектор"):
            deed()


@pytest.mark.feature("SMEV-08")
def test_the_exchange_counts_what_went_out_and_what_came_back(
    bus_of: Any, working: Any, far: Any, run_dry: Any, look: Any
) -> None:
    bus = bus_of([working()], [far])
    asked = [
        Message(kind="q", body=body, queue="far", replies_to="t.work", reply_within_s=within)
        for body, within in ((b"a", 60.0), (b"b", 60.0), (b"c", 0.001))
    ]
    bus.engine.put(asked)
    run_dry(bus, "far")
    bus.engine.put([Message(kind="t.work", body=b"r", source="far", in_reply_to="out-1", outcome="answer")])
    found = connections.exchange(bus, "far")
    assert (found.looked, found.prepared, found.confirmed, found.repeated) == (3, 3, 3, 0)
    assert (found.awaiting, found.overdue) == (2, 1)
    assert found.answers["answer"] == 1
    assert found.last_at is not None
    bus.engine.expire()
    found = connections.exchange(bus, "far")
    assert (found.awaiting, found.overdue, found.answers["timeout"]) == (1, 0, 1)
    look.do("UPDATE bus.outgoing SET sends = 2 WHERE external_id = 'out-2'")
    assert connections.exchange(bus, "far").repeated == 1


def test_a_test_of_the_connection_tells_everybody_its_outcome(bus_of: Any, far: Any, look: Any) -> None:
    bus, other = bus_of([], [far]), bus_of([], [far])
    assert connection_check.last(bus, "far") is None
    found = connection_check.check(bus, "far", actor="иванов")
    assert (found.ok, found.said, found.asked_by, found.under_way) == (True, "Связь есть", "иванов", False)
    assert connection_check.last(other, "far") == found
    assert look.one("SELECT action FROM bus.audit") == "connector.checked"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Unavailable("Партнёр недоступен", detail="пароль"), "Партнёр недоступен"),
        (ZeroDivisionError("пароль"), "Ошибка в программе коннектора (ZeroDivisionError)"),
    ],
    ids=["away", "defect"],
)
def test_a_test_that_fails_says_why_and_nothing_secret(bus_of: Any, far: Any, error: Exception, said: str) -> None:
    def check() -> str:
        raise error

    far.check = check
    found = connection_check.check(bus_of([], [far]), "far", actor="и")
    assert not found.ok
    assert found.said.startswith(said)
    assert "пароль" not in found.said


def test_nobody_waits_for_a_silent_far_side_and_one_test_is_enough(
    bus_of: Any, far: Any, eventually: Any, look: Any
) -> None:
    calls: list[int] = []
    go_on = threading.Event()

    def check() -> str:
        calls.append(1)
        go_on.wait(20)
        return "Связь есть"

    far.check = check
    bus = bus_of([], [far])
    connection_check.begin(bus, "far", actor="и")
    connection_check.begin(bus, "far", actor="п")
    found = connection_check.last(bus, "far")
    assert found
    assert found.under_way
    look.do("UPDATE bus.connection_check SET asked_at = asked_at - interval '2 hours'")
    late = connection_check.last(bus, "far")
    assert late
    assert not late.under_way
    assert "не закончилась" in late.said
    connection_check.begin(bus, "far", actor="третий")
    go_on.set()
    eventually(lambda: (now := connection_check.last(bus, "far")) and now.ok)
    assert len(calls) == 2
    with pytest.raises(ConfigError, match="Нет коннектора"):
        connection_check.begin(bus, "nowhere", actor="и")
