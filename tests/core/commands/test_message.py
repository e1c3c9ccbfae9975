"""`omsbus message`: find, look, send again, drop, put. What is personal is shown only on demand, and noted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.bus import Bus
from core.database import Database, driver
from core.errors import ConfigError, Permanent
from core.message import Message, Outcome

Ask = Callable[..., str]
Omsbus = Callable[..., Any]


def listed(omsbus: Omsbus, *arguments: str) -> list[int]:
    return [one["seq"] for one in omsbus("message", "list", "--json", *arguments).json]


def shown(omsbus: Omsbus, wanted: str, *arguments: str) -> dict[str, Any]:
    return dict(omsbus("message", "show", wanted, "--json", *arguments).json)


@pytest.fixture
def story(toy_bus: Bus, ask: Ask) -> str:
    """A question that went out, came home and was handled; the id of what began it."""
    first = ask()
    for name in ("toy.ask", "far"):
        toy_bus.engine.drain(name, 10)
    answer = Message(kind="", body=b"<answer/>", source="far", in_reply_to="OUT-1", outcome=Outcome.ANSWER)
    toy_bus.engine.put([answer])
    toy_bus.engine.drain("toy.answer", 10)
    return first


@pytest.fixture
def failures(toy_bus: Bus) -> list[str]:
    """Three messages in quarantine, one handled."""
    bodies = (b"{}", b"[]", b'{"other": 1}', b'{"name": "x"}')
    made = toy_bus.engine.put([Message(kind="toy.ask", body=body) for body in bodies])
    toy_bus.engine.drain("toy.ask", 10)
    return [str(one.message_id) for one in made]


def test_a_list_has_the_newest_first_and_pages_by_number(omsbus: Omsbus, ask: Ask) -> None:
    for _ in range(5):
        ask()
    assert listed(omsbus, "--limit", "2") == [5, 4]
    assert listed(omsbus, "--limit", "2", "--before", "4") == [3, 2]
    assert "--before 4" in omsbus("message", "list", "--limit", "2").out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--queue", "far"), [2]),
        (("--kind", "toy.question"), [3, 2]),
        (("--state", "handled"), [3, 1]),
        (("--state", "sent", "--queue", "far"), [2]),
        (("--source", "far"), [3]),
        (("--key", "k-1"), []),
        (("--since", "1ч"), [3, 2, 1]),
        (("--until", "2000-01-01"), []),
        (("--since", "01.01.2000", "--until", "01.01.2001 10:00"), []),
        (("--external-id", "нет такого"), []),
    ],
)
def test_a_list_is_narrowed_by_every_filter(
    omsbus: Omsbus, story: str, arguments: tuple[str, ...], expected: list[int]
) -> None:
    assert listed(omsbus, *arguments) == expected


def test_a_message_is_listed_by_its_key_and_by_its_external_id(omsbus: Omsbus, ask: Ask) -> None:
    ask(key="k-1", source="smev", external_id="внешний-1")
    ask(key="k-2", source="erz", external_id="внешний-2")
    assert listed(omsbus, "--key", "k-1") == [1]
    assert listed(omsbus, "--external-id", "внешний-2") == [2]


def test_an_unknown_state_and_a_strange_time_are_refused_with_the_choice(omsbus: Omsbus) -> None:
    said = omsbus("message", "list", "--state", "прочитано")
    assert isinstance(said.error, ConfigError)
    assert "quarantined" in said.error.reason
    said = omsbus("message", "list", "--since", "вчера")
    assert isinstance(said.error, ConfigError)
    assert "24.11.2026" in said.error.reason


@pytest.mark.feature("BUS-14")
def test_neither_the_list_nor_the_card_shows_a_body(omsbus: Omsbus, story: str) -> None:
    for arguments in (("list",), ("list", "--json"), ("show", story), ("show", story, "--json")):
        assert "Иванова" not in omsbus("message", *arguments).out


@pytest.mark.feature("BUS-14")
def test_a_look_at_the_body_is_noted_with_who_looked(omsbus: Omsbus, story: str) -> None:
    assert not [one for one in shown(omsbus, story)["events"] if one["stage"] == "viewed"]
    assert "Иванова Ёлка" in shown(omsbus, story, "--body")["body"]
    assert "Иванова Ёлка" in omsbus("message", "show", story, "--body").out
    assert shown(omsbus, story, "--received")["received"] is None
    views = [one for one in shown(omsbus, story)["events"] if one["stage"] == "viewed"]
    assert [one["actor"] for one in views] == ["ivanova"] * 3
    assert [one["note"] for one in views] == ["Просмотр: тело", "Просмотр: тело", "Просмотр: конверт"]


def test_the_card_tells_the_whole_story(omsbus: Omsbus, story: str) -> None:
    asked = shown(omsbus, story)
    assert (asked["kind"], asked["state"], asked["attempts"]) == ("toy.ask", "handled", 1)
    assert [one["kind"] for one in asked["effects"]] == ["toy.question", "toy.question"]
    assert [one["depth"] for one in asked["effects"]] == [1, 2]
    [handled] = [one for one in asked["events"] if one["stage"] == "handled"]
    assert handled["note"] == "вопрос задан"
    assert handled["duration_ms"] > 0
    question = shown(omsbus, "2")
    assert question["outgoing"]["external_id"] == "OUT-1"
    assert question["outgoing"]["sends"] == 1
    assert question["outgoing"]["answer"] == "answer"
    assert [one["seq"] for one in question["causes"]] == [1]
    answer = shown(omsbus, "3")
    assert answer["in_reply_to"] == "OUT-1"
    assert [one["seq"] for one in answer["causes"]] == [1, 2]
    for number in ("1", "2", "3"):
        text = omsbus("message", "show", number).out
        assert "Ход обработки" in text
        assert "Причина и следствия" in text
        assert max(map(len, text.splitlines())) <= 100


def test_details_of_errors_and_results_of_stages_are_shown_on_demand(omsbus: Omsbus, story: str, failures: Any) -> None:
    assert "detail" not in shown(omsbus, "2")["events"][0]
    looked = shown(omsbus, "2", "--detail")
    assert {one["stage"]: one["output"] for one in looked["outputs"]} == {
        "sent": "<receipt/>",
        "prepared": "<prepared/>",
    }
    prepared = hashlib.sha256(b"<prepared/>").hexdigest()
    assert looked["events"][0]["detail"] == f"sha256:{prepared}"
    assert "&lt;receipt/&gt;" not in (text := omsbus("message", "show", "2", "--detail").out)
    assert "<prepared/>" in text


def test_a_message_is_found_by_number_id_beginning_and_external_id(omsbus: Omsbus, story: str) -> None:
    for wanted in ("1", story, story.upper(), story[:30], story.replace("-", "")):
        assert shown(omsbus, wanted)["id"] == story
    assert shown(omsbus, "OUT-1")["seq"] == 2


def test_an_ambiguous_beginning_is_refused_with_the_choice(omsbus: Omsbus, story: str) -> None:
    said = omsbus("message", "show", story[:6])
    assert isinstance(said.error, Permanent)
    assert story in said.error.reason
    said = omsbus("message", "show", "нет такого")
    assert isinstance(said.error, Permanent)
    assert "omsbus message list" in said.error.reason


def test_a_body_that_is_no_text_comes_in_base64(omsbus: Omsbus, toy_bus: Bus) -> None:
    toy_bus.engine.put([Message(kind="toy.ask", body=b"\xff\x00", received=b"envelope")])
    looked = shown(omsbus, "1", "--body", "--received")
    assert looked["body_base64"] == "/wA="
    assert looked["received"] == "envelope"
    assert looked["received_bytes"] == 8
    assert omsbus("message", "show", "1", "--body").code == 0


def states(database: Database) -> list[str]:
    with database.transaction() as connection:
        rows = driver(connection).execute("SELECT state FROM bus.entry ORDER BY seq").fetchall()
    return [row[0] for row in rows]


@pytest.mark.feature("BUS-03")
def test_named_messages_go_again_and_the_journal_knows_by_whom(
    omsbus: Omsbus, failures: list[str], database: Database
) -> None:
    assert "Отправлено повторно: 2" in omsbus("message", "resend", "1", failures[1]).out
    assert states(database)[:3] == ["ready", "ready", "quarantined"]
    assert shown(omsbus, "1")["events"][-1]["actor"] == "ivanova"


def test_a_handled_message_goes_again_as_a_copy(omsbus: Omsbus, database: Database) -> None:
    omsbus("message", "put", "sfr.snils.ask", "--body", '{"person_id": 7}')
    with database.transaction() as connection:
        driver(connection).execute("UPDATE bus.entry SET state = 'handled'")
    omsbus("message", "resend", "1")
    assert states(database) == ["handled", "ready"]
    copy = shown(omsbus, "2", "--body")
    assert (copy["queue"], copy["source"], copy["body"]) == ("sfr.snils.ask", "resend", '{"person_id": 7}')
    assert [one["seq"] for one in copy["causes"]] == [1]


def test_a_copy_for_a_queue_that_these_settings_lack_is_refused(omsbus: Omsbus, story: str, database: Database) -> None:
    said = omsbus("message", "resend", "2")
    assert isinstance(said.error, ConfigError)
    assert "--config" in said.error.reason
    assert len(states(database)) == 3


def test_chosen_messages_go_again_after_a_question(omsbus: Omsbus, failures: list[str], database: Database) -> None:
    chosen = ("message", "resend", "--queue", "toy.ask", "--state", "quarantined")
    assert omsbus(*chosen, answer="n\n").code == 1
    assert "ready" not in states(database)[:4]
    assert omsbus(*chosen, "--reason-like", "нет такой причины", "--yes").out == "Отправлено повторно: 0.\n"
    assert omsbus(*chosen, "--reason-like", "НЕВЕРНЫЕ поля", "--limit", "2", "--yes").out == "Отправлено повторно: 2.\n"
    assert states(database)[:4] == ["ready", "ready", "quarantined", "handled"]
    assert omsbus(*chosen, answer="y\n").code == 0
    assert states(database)[:3] == ["ready"] * 3


def test_a_choice_that_could_repeat_finished_messages_is_refused(omsbus: Omsbus, failures: list[str]) -> None:
    for arguments in ((), ("--queue", "toy.ask"), ("--queue", "toy.ask", "--state", "handled")):
        assert isinstance(omsbus("message", "resend", *arguments).error, ConfigError)


@pytest.mark.feature("BUS-03")
def test_a_dropped_message_frees_its_key(omsbus: Omsbus, toy_bus: Bus, database: Database) -> None:
    toy_bus.engine.put([Message(kind="toy.ask", body=body, key="k") for body in (b"{}", b'{"name": "x"}')])
    toy_bus.engine.drain("toy.ask", 10)
    assert states(database) == ["quarantined", "held"]
    assert "Отклонено: 1" in omsbus("message", "drop", "1", "--reason", "ошибка отправителя").out
    assert states(database) == ["dropped", "ready"]
    last = shown(omsbus, "1")["events"][-1]
    assert (last["stage"], last["actor"], last["note"]) == ("dropped", "ivanova", "ошибка отправителя")
    assert "Уже были завершены: 1" in omsbus("message", "drop", "1", "--reason", "ещё раз").out


def test_a_command_is_put_into_the_bus(omsbus: Omsbus, tmp_path: Path) -> None:
    said = omsbus("message", "put", "sfr.snils.ask", "--body", '{"person_id": 7}', "--key", "k")
    assert said.code == 0
    (tmp_path / "command.json").write_text('{"person_id": 8}', encoding="utf-8")
    assert omsbus("message", "put", "sfr.snils.ask", "--body", f"@{tmp_path / 'command.json'}").code == 0
    first, second = shown(omsbus, "1", "--body"), shown(omsbus, "2", "--body")
    assert (first["queue"], first["state"], first["key"]) == ("sfr.snils.ask", "ready", "k")
    assert [one["body"] for one in (first, second)] == ['{"person_id": 7}', '{"person_id": 8}']
    assert [one["actor"] for one in first["events"] if one["stage"] == "put"] == ["ivanova"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("нет.такого",), "sfr.snils.ask"),
        (("sfr.snils.ask", "--body", '{"person": 7}'), "person_id"),
        (("sfr.snils.ask", "--body", "{"), "неверные поля"),
        (("zags.death", "--body", "<a>"), "обрывается"),
        (("sfr.snils.ask", "--body", "@/нет/файла"), "/нет/файла"),
    ],
)
def test_a_command_that_would_fail_is_refused_at_once(omsbus: Omsbus, arguments: tuple[str, ...], words: str) -> None:
    said = omsbus("message", "put", *arguments)
    assert said.error is not None
    assert words in said.error.reason
    assert listed(omsbus) == []
