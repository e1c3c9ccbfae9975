"""`omsbus connector`: what is connected, and whether it answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core import discovery
from core.connector import ConnectorSettings
from core.errors import ConfigError, Unavailable

Omsbus = Callable[..., Any]

CONFIG = """
[connectors.near]
type = "toy"
[connectors.away]
type = "toy"
mood = "away"
[connectors.broken]
type = "toy"
mood = "broken"
[connectors.asleep]
type = "toy"
enabled = false
[connectors.wrong]
type = "toy"
colour = "red"
"""


class ToySettings(ConnectorSettings):
    mood: str = "good"


class Toy:
    def __init__(self, name: str, settings: ToySettings) -> None:
        self.name = name
        self.mood = settings.mood
        self.sources = {f"{name}.inbox": object()}
        self.sinks = {name: object()}
        self.is_open = False

    def open(self) -> None:
        self.is_open = True

    def check(self) -> str:
        assert self.is_open
        if self.mood == "away":
            raise Unavailable("Игрушка недоступна: проверьте адрес", detail="connection refused")
        if self.mood == "broken":
            raise KeyError("surprise")
        return "игрушка отвечает"

    def close(self) -> None:
        self.is_open = False


@pytest.fixture(autouse=True)
def toys(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text(CONFIG, encoding="utf-8")
    module = SimpleNamespace(Settings=ToySettings, connect=Toy)
    monkeypatch.setattr(discovery, "connector_types", lambda: ["toy"])
    monkeypatch.setattr(discovery, "connector_module", lambda _name: module)


@pytest.mark.feature("BUS-01")
def test_the_list_shows_every_connector_and_what_is_wrong_with_it(omsbus: Omsbus) -> None:
    listed = omsbus("connector", "list", "--json").json
    by_name = {one["name"]: one for one in listed["connectors"]}
    assert listed["types"] == ["toy"]
    assert by_name["near"]["sources"] == ["near.inbox"]
    assert by_name["near"]["sinks"] == ["near"]
    assert by_name["asleep"]["state"] == "выключен"
    assert "colour" in by_name["wrong"]["problem"]
    text = omsbus("connector", "list").out
    assert "near.inbox" in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_check_of_all_says_a_sentence_for_each_and_fails_when_one_fails(omsbus: Omsbus) -> None:
    said = omsbus("connector", "check")
    assert said.code == 1
    for sentence in (
        "✓ near: игрушка отвечает",
        "✗ away: Игрушка недоступна: проверьте адрес",
        "✗ broken: ошибка в программе коннектора (KeyError)",
        "✓ asleep: выключен в настройках",
        "✗ wrong: Коннектор wrong: colour: неизвестный ключ",
    ):
        assert sentence in said.out


def test_a_check_of_one_that_answers_succeeds(omsbus: Omsbus) -> None:
    assert omsbus("connector", "check", "near").code == 0
    [one] = omsbus("connector", "check", "near", "--json").json
    assert (one["ok"], one["said"]) == (True, "игрушка отвечает")
    assert omsbus("connector", "check", "away", "--json").json[0]["detail"] == "connection refused"


def test_an_unknown_connector_is_refused_with_the_choice(omsbus: Omsbus) -> None:
    said = omsbus("connector", "check", "far")
    assert isinstance(said.error, ConfigError)
    assert "near" in said.error.reason
