"""The command line on a database of the test's own, and a bus beside it as another process would be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from core import cli
from core.bus import Bus
from core.connector import Prepared, Receipt, Sink, Source
from core.errors import BusError, ConfigError
from core.message import Message
from core.route import Context, Route
from core.settings import HOUSE

CONFIG = """
[schedules.nightly]
cron = "0 3 * * *"
queue = "sfr.snils.ask"
body = '{"person_id": 1}'
title = "Ночной запрос"
"""


@dataclass(frozen=True)
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    error: BusError | None
    stdout: str
    """Without what the log says meanwhile."""

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


class Omsbus(Protocol):
    def __call__(self, *arguments: str, answer: str = "") -> Said: ...


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "omsbus.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


@pytest.fixture
def omsbus(database_url: str, config: Path, monkeypatch: pytest.MonkeyPatch) -> Omsbus:
    """Run a command; a bus error is returned, as `main` would print it; any other error fails the test."""
    monkeypatch.setenv("OMSBUS_DATABASE_URL", database_url)
    monkeypatch.setenv("OMSBUS_CONFIG", str(config))
    monkeypatch.setenv("SUDO_USER", "ivanova")
    tree = cli.build()

    def run(*arguments: str, answer: str = "") -> Said:
        result = CliRunner().invoke(tree, list(arguments), input=answer)
        error = result.exception
        if error is not None and not isinstance(error, BusError | SystemExit):
            raise error
        known = error if isinstance(error, BusError) else None
        return Said(result.exit_code, result.output, known, result.stdout)

    return run


@pytest.fixture
def toy_bus(bus_of: Callable[..., Bus]) -> Bus:
    """Another process of the cluster, with routes and a far side of its own; nothing runs."""
    return bus_of([toy_route(), answer_route()], [Far("far", Empty())])


@pytest.fixture
def ask(toy_bus: Bus) -> Callable[..., str]:
    """Put a question into the toy bus; the id of its message."""

    def put(name: str = "Иванова Ёлка", **fields: Any) -> str:
        message = Message(kind="toy.ask", body=Question(name=name).model_dump_json().encode(), **fields)
        return str(toy_bus.engine.put([message])[0].message_id)

    return put


class Question(BaseModel):
    name: str


class Outbox:
    """A far side that takes everything."""

    def prepare(self, message: Message) -> Prepared:
        return Prepared(f"OUT-{message.headers['number']}", b"<prepared/>", {"far.operation": "Ask"})

    def send(self, message: Message, prepared: Prepared, *, repeated: bool) -> Receipt:
        return Receipt("принято другой стороной", b"<receipt/>")


class Far:
    """A connector with one sink and, when it is given, one source."""

    def __init__(self, name: str = "far", source: Source | None = None) -> None:
        self.name = name
        self.sources: Mapping[str, Source] = {f"{name}.inbox": source} if source else {}
        self.sinks: Mapping[str, Sink] = {name: Outbox()}

    def open(self) -> None: ...

    def check(self) -> str:
        return "другая сторона отвечает"

    def close(self) -> None: ...


class Empty:
    """A source with nothing in it."""

    interval_s = 3600.0

    def __init__(self) -> None:
        self.polls = 0

    def receive(self) -> Sequence[Any]:
        self.polls += 1
        return []


def toy_route() -> Route:
    """Asks the far side about everybody but «Никто», and takes the answers."""
    route = Route("toy.ask", title="Игрушка: вопрос", body=Question)

    @route.handler
    def ask(body: Question, ctx: Context) -> Iterator[Message]:
        if body.name == "Никто":
            raise ConfigError("Не настроено, кого спрашивать")
        ctx.note("вопрос задан")
        yield Message(
            kind="toy.question",
            body=f"<вопрос>{body.name}</вопрос>".encode(),
            queue="far",
            headers={"number": ctx.message.headers.get("number", "1")},
            replies_to="toy.answer",
            reply_within_s=3600,
        )

    return route


def answer_route() -> Route:
    route = Route("toy.answer", title="Игрушка: ответ")
    route.handler(lambda body, ctx: None)
    return route


@pytest.fixture
def house_folder(tmp_path: Path) -> Path:
    """An empty house: enough to write skeletons into."""
    house = tmp_path / "house"
    (house / "routes").mkdir(parents=True)
    return house


@pytest.fixture(scope="session")
def house_copy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Makes a copy of the checkout, without its environment and data."""
    aside = shutil.ignore_patterns(".*", "__pycache__", "var", "build", "*.egg-info")

    def copy() -> Path:
        return Path(shutil.copytree(HOUSE, tmp_path_factory.mktemp("houses") / "house", ignore=aside))

    return copy


@pytest.fixture(scope="session")
def in_house() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs this Python in a house, where the house's own packages win over the installed ones."""

    def run(house: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("OMSBUS_", "PYTEST_"))}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=house,
            env=variables | {"PYTHONPATH": str(house), "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run
