"""`omsbus schedule`: what fires when, run now, pause, preview."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from core import settings
from core.bus import Bus
from core.errors import ConfigError

Omsbus = Callable[..., Any]


@pytest.fixture(autouse=True)
def bus(omsbus: Omsbus, config: Path, database_url: str) -> Iterator[Bus]:
    """A process that declared the schedules of its settings."""
    with Bus.open(settings.load(config, database_url=database_url)) as opened:
        yield opened


@pytest.mark.feature("BUS-07")
def test_the_list_tells_the_next_runs(omsbus: Omsbus) -> None:
    [one] = omsbus("schedule", "list", "--next", "3", "--json").json
    runs = [datetime.fromisoformat(run) for run in one["next"]]
    assert (one["name"], one["cron"], one["paused"]) == ("nightly", "0 3 * * *", False)
    assert [run.hour for run in runs] == [3, 3, 3]
    assert runs == sorted(set(runs))
    text = omsbus("schedule", "list", "--next", "2").out
    assert f"{runs[1]:%d.%m.%Y} 03:00:00" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.feature("BUS-07")
def test_run_now_makes_a_message_that_names_who_asked(omsbus: Omsbus) -> None:
    assert omsbus("schedule", "run", "nightly").code == 0
    [made] = omsbus("message", "list", "--json").json
    assert (made["queue"], made["source"], made["state"]) == ("sfr.snils.ask", "schedule", "ready")
    events = omsbus("message", "show", "1", "--json").json["events"]
    assert [one["actor"] for one in events if one["stage"] == "put"] == ["ivanova"]


@pytest.mark.feature("BUS-07")
def test_a_paused_schedule_has_no_next_run_until_it_is_resumed(omsbus: Omsbus) -> None:
    omsbus("schedule", "pause", "nightly")
    [paused] = omsbus("schedule", "list", "--json").json
    assert (paused["paused"], paused["next"]) == (True, [])
    assert omsbus("schedule", "run", "nightly").code == 0
    assert "не выполняются" in omsbus("schedule", "resume", "nightly").out
    [running] = omsbus("schedule", "list", "--json").json
    assert (running["paused"], len(running["next"])) == (False, 1)


def test_a_schedule_that_is_not_there_is_named_with_the_remedy(omsbus: Omsbus) -> None:
    for verb in ("run", "pause", "resume"):
        said = omsbus("schedule", verb, "нет")
        assert isinstance(said.error, ConfigError)
        assert "omsbus schedule list" in said.error.reason


@pytest.mark.feature("BUS-07")
def test_a_preview_understands_five_and_six_fields_and_zones(omsbus: Omsbus) -> None:
    five = [datetime.fromisoformat(run) for run in omsbus("schedule", "preview", "*/15 8-9 * * 1-5", "--json").json]
    assert all(run.minute % 15 == 0 and run.hour in (8, 9) and run.isoweekday() <= 5 for run in five)
    six = [datetime.fromisoformat(run) for run in omsbus("schedule", "preview", "* * * * * */20", "--json").json]
    assert {run.second for run in six} == {0, 20, 40}
    text = omsbus("schedule", "preview", "0 3 * * *", "--timezone", "Asia/Yakutsk", "--next", "2").out
    assert [line[11:] for line in text.splitlines()] == ["03:00:00 Asia/Yakutsk"] * 2


def test_a_preview_of_nonsense_is_refused_in_words(omsbus: Omsbus) -> None:
    for arguments, words in ((("каждый час",), "cron"), (("0 3 * * *", "--timezone", "Луна"), "часового пояса")):
        said = omsbus("schedule", "preview", *arguments)
        assert isinstance(said.error, ConfigError)
        assert words in said.error.reason


@pytest.mark.feature("BUS-07")
def test_a_schedule_of_ones_own_is_added_edited_and_removed(omsbus: Omsbus) -> None:
    said = omsbus("schedule", "add", "сверка", "15 3 * * *", "--queue", "bus.poll", "--body", '{"source": "x"}')
    assert "каждый день в 03:15" in said.out
    assert "по будням" in omsbus("schedule", "edit", "сверка", "--cron", "15 3 * * 1-5").out
    found = {one["name"]: one for one in omsbus("schedule", "list", "--json").json}
    assert (found["сверка"]["origin"], found["сверка"]["words"]) == ("operator", "по будням в 03:15")
    assert omsbus("schedule", "remove", "сверка", answer="n\n").code == 1
    assert omsbus("schedule", "remove", "сверка", "--yes").code == 0
    assert "сверка" not in {one["name"] for one in omsbus("schedule", "list", "--json").json}


@pytest.mark.feature("BUS-07")
def test_a_declared_schedule_is_changed_and_set_back(omsbus: Omsbus) -> None:
    omsbus("schedule", "edit", "nightly", "--cron", "0 5 * * *", "--missed", "all")
    [changed] = omsbus("schedule", "list", "--json").json
    assert (changed["cron"], changed["changed"]) == ("0 5 * * *", {"cron": "0 5 * * *", "missed": "all"})
    assert "03:00" in omsbus("schedule", "edit", "nightly", "--reset").out
    for arguments, words in (((), "Укажите"), (("--body", "{}"), "меняют там"), (("--cron", "x"), "не похоже на cron")):
        error = omsbus("schedule", "edit", "nightly", *arguments).error
        assert isinstance(error, ConfigError)
        assert words in error.reason


@pytest.mark.feature("BUS-07")
def test_the_history_tells_the_runs(omsbus: Omsbus) -> None:
    assert "ещё не запускалось" in omsbus("schedule", "history", "nightly").out
    omsbus("schedule", "run", "nightly")
    [run] = omsbus("schedule", "history", "nightly", "--json").json
    assert (run["planned"], run["actor"], run["state"], run["took"]) == (None, "ivanova", "ready", None)
    assert "вручную ivanova" in omsbus("schedule", "history", "nightly").out
