"""`omsbus queue`: depth, pause, resume, poll; a look changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import settings
from core.bus import Bus
from core.database import Database, driver
from core.errors import ConfigError, Retryable

Ask = Callable[..., str]
Omsbus = Callable[..., Any]


def queue(omsbus: Omsbus, name: str) -> dict[str, Any]:
    [found] = [one for one in omsbus("queue", "list", "--json").json if one["name"] == name]
    return dict(found)


def test_a_database_without_queues_says_when_they_will_appear(omsbus: Omsbus) -> None:
    assert "появятся при первом запуске" in omsbus("queue", "list").out


@pytest.mark.feature("BUS-06")
def test_the_list_tells_depth_age_and_rate(omsbus: Omsbus, toy_bus: Bus, ask: Ask) -> None:
    ask(key="one")
    ask("", key="two")
    ask(key="two")
    toy_bus.engine.put([])
    assert toy_bus.engine.drain("toy.ask", 1) == 1
    waiting = queue(omsbus, "toy.ask")
    assert (waiting["ready"], waiting["quarantined"], waiting["side"]) == (2, 0, "route")
    assert waiting["oldest_at"] is not None
    assert waiting["per_minute"] == 1.0
    assert queue(omsbus, "far")["ready"] == 1


@pytest.mark.feature("BUS-03")
def test_quarantined_and_held_messages_are_counted_apart(omsbus: Omsbus, toy_bus: Bus, database: Database) -> None:
    from core.message import Message

    bad, good = (Message(kind="toy.ask", body=body, key="same") for body in (b"{}", b'{"name": "x"}'))
    toy_bus.engine.put([bad, good])
    toy_bus.engine.drain("toy.ask", 10)
    counts = queue(omsbus, "toy.ask")
    assert (counts["ready"], counts["held"], counts["quarantined"]) == (0, 1, 1)
    text = omsbus("queue", "list").out
    assert "Карантин" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.feature("BUS-06")
def test_a_pause_keeps_its_reason_and_its_author_until_the_queue_is_resumed(
    omsbus: Omsbus, toy_bus: Bus, ask: Ask
) -> None:
    ask()
    assert omsbus("queue", "pause", "toy.ask", "--reason", "регламентные работы").code == 0
    assert toy_bus.engine.drain("toy.ask", 10) == 0
    paused = queue(omsbus, "toy.ask")
    assert (paused["state"], paused["reason"], paused["changed_by"]) == ("paused", "регламентные работы", "ivanova")
    assert "регламентные работы" in omsbus("queue", "list").out
    omsbus("queue", "resume", "toy.ask")
    assert toy_bus.engine.drain("toy.ask", 10) == 1


def test_a_queue_that_is_not_there_is_named_with_the_remedy(omsbus: Omsbus, toy_bus: Bus) -> None:
    for verb in ("pause", "resume", "poll"):
        said = omsbus("queue", verb, "нет")
        assert isinstance(said.error, ConfigError)
        assert "omsbus queue list" in said.error.reason


def test_looking_does_not_start_a_stopped_queue(omsbus: Omsbus, toy_bus: Bus, ask: Ask) -> None:
    ask("Никто")
    toy_bus.engine.drain("toy.ask", 10)
    for _ in range(2):
        stopped = queue(omsbus, "toy.ask")
        assert (stopped["state"], stopped["reason"]) == ("stopped", "Не настроено, кого спрашивать")
    omsbus("queue", "resume", "toy.ask")
    assert queue(omsbus, "toy.ask")["state"] == "running"


def test_looking_with_other_settings_does_not_take_away_the_schedules_of_a_running_bus(
    omsbus: Omsbus, database_url: str, config: Path, tmp_path: Path
) -> None:
    with Bus.open(settings.load(config, database_url=database_url)):
        pass
    other = tmp_path / "other.toml"
    other.write_text("workers = 1", encoding="utf-8")
    omsbus("queue", "list", "--config", str(other))
    assert [one["name"] for one in omsbus("schedule", "list", "--json").json] == ["nightly"]


@pytest.mark.feature("BUS-06")
@pytest.mark.feature("SMEV-06")
def test_a_source_is_polled_once_on_demand_even_when_it_is_paused(omsbus: Omsbus, toy_bus: Bus) -> None:
    omsbus("queue", "pause", "far.inbox")
    toy_bus.start(intake=True, work=False, schedule=False)
    polls = toy_bus.lines["far"].connector.sources["far.inbox"]
    said = omsbus("queue", "poll", "far.inbox", "--wait")
    assert said.out == "far.inbox: Пусто\n"
    assert polls.polls == 1  # type: ignore[attr-defined]
    assert queue(omsbus, "far.inbox")["state"] == "paused"


def test_a_poll_that_nobody_obeys_says_so(omsbus: Omsbus, toy_bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.commands.queue.POLL_WAIT_S", 0.1)
    said = omsbus("queue", "poll", "far.inbox", "--wait")
    assert isinstance(said.error, Retryable)
    assert "omsbus run" in said.error.reason
    assert omsbus("queue", "poll", "far.inbox").code == 0


def test_only_a_source_can_be_polled(omsbus: Omsbus, toy_bus: Bus) -> None:
    said = omsbus("queue", "poll", "toy.ask")
    assert said.error is not None
    assert "это маршрут" in said.error.reason


def test_a_resting_queue_says_until_when(omsbus: Omsbus, toy_bus: Bus) -> None:
    with toy_bus.database.transaction() as connection:
        toy_bus.queues.rest(driver(connection), "far", 600, "Другая сторона недоступна")
    text = omsbus("queue", "list").out
    assert "отдыхает" in text
    assert "Другая сторона недоступна" in text


@pytest.mark.feature("BUS-06")
def test_numbers_are_shown_set_added_to_and_set_back(omsbus: Omsbus, toy_bus: Bus) -> None:
    assert "Попыток до карантина" in omsbus("queue", "numbers", "sfr.snils").out
    omsbus("queue", "numbers", "sfr.snils", "--attempts", "5")
    omsbus("queue", "numbers", "sfr.snils", "--concurrency", "7")
    found = toy_bus.overrides.of("sfr.snils")
    assert found
    assert (found.attempts, found.concurrency, found.first_s) == (5, 7, None)
    omsbus("queue", "numbers", "sfr.snils", "--reset")
    toy_bus.overrides.forget()
    assert toy_bus.overrides.of("sfr.snils") is None


@pytest.mark.feature("BUS-06")
def test_a_resting_queue_is_drained_now(omsbus: Omsbus, toy_bus: Bus, database: Database) -> None:
    with database.transaction() as connection:
        driver(connection).execute("UPDATE bus.queue SET rest_until = now() + interval '1 hour' WHERE name = 'far'")
    assert "разбирается" in omsbus("queue", "drain", "far").out
    assert queue(omsbus, "far")["rest_until"] is None
