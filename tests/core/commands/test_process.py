"""`omsbus process list`, and what the real commands do when they must not start or must not go on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core import cluster
from core.bus import Bus
from core.database import Database
from core.neighbours import processes

from .conftest import CONFIG, Far, Omsbus, answer_route, toy_route

ENDS_S = 60
PARTS = ("run", "web", "worker", "scheduler")


@pytest.fixture
def start(database_url: str, config: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the real command on this test's database; killed at the end when it still runs."""
    started: list[subprocess.Popen[str]] = []

    def run(command: str, *, settings: Path | None = None, **variables: str) -> subprocess.Popen[str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("OMSBUS_")}
        own |= {"OMSBUS_DATABASE_URL": database_url, "OMSBUS_CONFIG": str(settings or config)} | variables
        port = ["--port", str(_free_port())] if command in ("run", "web") else []
        process = subprocess.Popen(
            [sys.executable, "-c", "from core.cli import main; main()", command, *port],
            env=own,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _refused(process: subprocess.Popen[str]) -> str:
    """The one Russian sentence with which it ended."""
    out, err = process.communicate(timeout=ENDS_S)
    assert process.returncode == 1, err
    assert "Traceback" not in err + out
    [sentence] = [line for line in err.splitlines() if line.startswith("Ошибка: ")]
    return sentence


# ── the list ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.feature("BUS-12")
def test_the_list_shows_who_runs_where_and_who_agrees(
    omsbus: Omsbus, bus_of: Callable[..., Bus], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Ни один процесс" in omsbus("process", "list").out
    monkeypatch.setattr(cluster, "now", lambda: __import__("time").time() + 20)
    for routes, parts in (
        ([toy_route()], {"intake": False, "push": True, "work": False, "schedule": False}),
        ([toy_route(), answer_route()], {"intake": True, "work": False, "schedule": True}),
    ):
        bus_of(routes, [Far()]).start(**parts)  # type: ignore[arg-type]
    rows = omsbus("process", "list", "--json").json
    assert {(row["role"], row["state"], row["alive"], row["pid"]) for row in rows} == {
        ("web", "running", True, os.getpid()),
        ("scheduler", "running", True, os.getpid()),
    }
    text = omsbus("process", "list").out
    for words in ("web", "scheduler", "(обновление)", "часы спешат на ", "Настройки процессов различаются"):
        assert words in text
    assert max(len(line) for line in text.splitlines() if "│" in line or "─" in line) <= 100


@pytest.mark.feature("BUS-12")
def test_the_list_shows_who_was_stopped_and_who_was_lost(
    omsbus: Omsbus, bus_of: Callable[..., Bus], database: Database
) -> None:
    bus_of([toy_route()]).start(intake=False, work=True, schedule=False)
    with psycopg.connect(database.url) as connection:
        connection.execute("UPDATE bus.process SET beat_at = now() - interval '2 minutes'")
    text = omsbus("process", "list").out
    assert "пропал" in text
    assert "смотрите журнал работы" in text
    with psycopg.connect(database.url) as connection:
        connection.execute("UPDATE bus.process SET state = 'stopped', reason = 'Часы отстают'")
    text = omsbus("process", "list").out
    assert "остановлен" in text
    assert "Часы отстают" in text


# ── a queue without code ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.feature("BUS-12", "BUS-06")
def test_an_operator_moves_or_drops_the_messages_of_a_queue_that_no_code_serves(
    omsbus: Omsbus, toy_bus: Bus, ask: Callable[..., str], database: Database
) -> None:
    asked = ask()
    toy_bus.membership.leave()
    with psycopg.connect(database.url) as connection:
        connection.execute("UPDATE bus.queue SET state = 'stopped' WHERE name = 'toy.ask'")
    assert "Переведено из toy.ask в sfr.snils.ask: 1." in omsbus("queue", "move", "toy.ask", "sfr.snils.ask").out
    card = omsbus("message", "show", asked).out
    assert "sfr.snils.ask" in card
    assert "переведено" in card
    assert "ivanova" in card
    with psycopg.connect(database.url) as connection:
        connection.execute("INSERT INTO bus.queue (name, side, state) VALUES ('sfr.snils.ask', 'route', 'paused')")
    assert omsbus("queue", "drop", "sfr.snils.ask", "--reason", "лишнее", answer="n\n").code == 1
    assert "Отклонено: 1." in omsbus("queue", "drop", "sfr.snils.ask", "--reason", "лишнее", "--yes").out
    assert "лишнее" in omsbus("message", "show", asked).out


# ── the real commands ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.feature("BUS-12")
@pytest.mark.parametrize("part", PARTS)
def test_an_unknown_key_or_variable_is_refused_before_anything_is_opened(
    omsbus: Omsbus, tmp_path: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("wrkers = 2\n" + CONFIG, encoding="utf-8")
    monkeypatch.setattr(Bus, "open", None)
    assert "wrkers: неизвестный ключ" in str(omsbus(part, "--config", str(wrong)).error)
    monkeypatch.setenv("OMSBUS_DATABSE_URL", "postgresql://nowhere")
    assert "OMSBUS_DATABSE_URL нет" in str(omsbus(part).error)


@pytest.mark.slow
@pytest.mark.feature("BUS-12")
def test_no_part_starts_with_an_unknown_key_or_variable_and_nothing_is_written(
    start: Any, tmp_path: Path, database: Database
) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("wrkers = 2\n" + CONFIG, encoding="utf-8")
    by_file = [start(part, settings=wrong) for part in PARTS]
    by_variable = start("worker", OMSBUS_DATABSE_URL="postgresql://nowhere")
    for process in by_file:
        assert "wrkers: неизвестный ключ, удалите его или исправьте опечатку" in _refused(process)
    assert "OMSBUS_DATABSE_URL нет: удалите её или исправьте опечатку" in _refused(by_variable)
    with psycopg.connect(database.url) as connection:
        for table in ("process", "queue", "schedule"):
            assert connection.execute(f"SELECT count(*) FROM bus.{table}").fetchone() == (0,)  # type: ignore[arg-type]


@pytest.mark.feature("BUS-12")
def test_a_worker_of_an_older_version_is_refused_by_a_newer_database(start: Any, database: Database) -> None:
    with psycopg.connect(database.url) as connection:
        connection.execute("UPDATE bus.migration SET version_num = 'bus_9999'")
    assert "База данных новее этой программы: схема bus в версии bus_9999" in _refused(start("worker"))
    assert processes(database) == []


@pytest.mark.slow
@pytest.mark.feature("BUS-12")
def test_two_configurations_meet_a_rolling_update_and_a_kill(
    start: Any, tmp_path: Path, database: Database, eventually: Any
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(CONFIG.replace("0 3 * * *", "0 4 * * *"), encoding="utf-8")

    def roles() -> list[str]:
        return sorted(row.role for row in processes(database) if row.alive and row.state == "running")

    first = start("scheduler")
    eventually(lambda: roles() == ["scheduler"])
    reason = _refused(start("worker", settings=other))
    assert "scheduler на " in reason
    assert "schedules.nightly.cron" in reason
    assert roles() == ["scheduler"]
    start("worker", settings=other, OMSBUS_ROLLING="true")
    eventually(lambda: roles() == ["scheduler", "worker"])
    first.kill()
    eventually(lambda: roles() == ["worker"])
    start("web", settings=other)
    eventually(lambda: roles() == ["web", "worker"])


@pytest.mark.slow
@pytest.mark.feature("BUS-12")
def test_a_running_bus_ends_with_code_1_when_a_newer_process_migrates(
    start: Any, database: Database, eventually: Any
) -> None:
    process = start("run")
    eventually(lambda: sorted(row.role for row in processes(database) if row.alive) == ["run", "worker"], 60)
    with psycopg.connect(database.url) as connection:
        connection.execute("UPDATE bus.migration SET version_num = 'bus_9999'")
    assert "Обновите программу на этой машине и запустите снова" in _refused(process)
    [row] = [row for row in processes(database) if row.role == "run"]
    assert (row.state, row.alive) == ("stopped", False)
    assert "Обновите программу" in row.reason
