"""`omsbus demo`: the main job of the bus, watched from beginning to end."""

from __future__ import annotations

import json
import signal
import threading
import time
from pathlib import Path

import typer
from rich.console import Console

from core.database import Database
from simulators.demo.reconcile import Account, handled, reckon, settled
from simulators.demo.recording import record as record_envelopes
from simulators.demo.scenario import Scenario, Step
from simulators.demo.screen import Screen, show, where_next
from simulators.demo.world import World

NAME = ""
app = typer.Typer()

WARM_MESSAGES, WARM_S = 15, 20.0
SETTLE_S = 180.0
"""The demo gives up when something is still under way after so long."""


@app.command()
def demo(
    once: bool = typer.Option(False, "--once", help="Закончить после сверки: код 0, только если всё сошлось"),
    json_file: Path | None = typer.Option(None, "--json", help="Куда записать итог в JSON"),
    record: Path | None = typer.Option(None, "--record", help="Папка для всех конвертов SOAP, по файлу на каждый"),
    data: Path = typer.Option(Path("var/demo"), "--data", help="Папка показа; прежнее её содержимое удаляется"),
    seed: int = typer.Option(1, "--seed", help="Зерно: те же люди и сообщения"),
    scale: float = typer.Option(1.0, "--scale", min=0.1, max=50, help="Во сколько раз больше сообщений"),
) -> None:
    """Показ: ЗАГС, ФНС, СФР и ЕПГУ обмениваются с шиной через СМЭВ 3, по дороге всё ломается, в конце сверка."""
    console = Console()
    console.print("Запускаю PostgreSQL, имитатор СМЭВ и шину…")
    began = time.monotonic()
    with World(data) as world:
        database = Database(world.database_url)
        try:
            account = _play(console, world, database, seed, scale)
            account.seconds = time.monotonic() - began
            show(console, account)
            if record:
                console.print(f"Конвертов записано в {record}: {record_envelopes(world.smev, record)}")
            if json_file:
                json_file.write_text(json.dumps(account.as_json(), ensure_ascii=False, indent=2), encoding="utf-8")
            verdict = "Всё сошлось." if account.ok else "НЕ СОШЛОСЬ: смотрите строки «НЕТ»."
            console.print(f"[bold]{verdict}[/]")
            where_next(console, world, running=not once)
            if not once:
                _wait_for_stop()
        finally:
            database.close()
    raise typer.Exit(0 if account.ok else 1)


def _play(console: Console, world: World, database: Database, seed: int, scale: float) -> Account:
    scenario = Scenario(world, seed=seed, scale=scale)
    scenario.fill_registry(database)
    with Screen(console, database) as screen:
        for step in scenario.first_wave():
            _do(screen, step)
        _until_at_work(screen, database)
        screen.say("kill -9 шины в разгар работы")
        world.kill_bus()
        screen.look()
        time.sleep(1)
        screen.say("шина запускается снова и продолжает с того же места")
        world.start_bus()
        for step in scenario.second_wave():
            _do(screen, step)
        screen.say("всё отправлено; жду, пока обе стороны закончат")
        deadline = time.monotonic() + SETTLE_S
        while time.monotonic() < deadline and not settled(world.smev, database):
            screen.look()
            time.sleep(0.3)
    return reckon(world.smev, database, scenario.sent)


def _until_at_work(screen: Screen, database: Database) -> None:
    """The kill must hit a bus that has handled something and has something left."""
    deadline = time.monotonic() + WARM_S
    while time.monotonic() < deadline and handled(database) < WARM_MESSAGES:
        screen.look()
        time.sleep(0.05)


def _do(screen: Screen, step: Step) -> None:
    name, work = step
    if name:
        screen.say(name)
    work()
    screen.look()


def _wait_for_stop() -> None:
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    stopping.wait()
