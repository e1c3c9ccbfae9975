"""`omsbus demo`: the main job of the bus, watched from beginning to end."""

from __future__ import annotations

import time
from pathlib import Path

import typer
from rich.console import Console

from core.database import Database
from simulators.demo.accounts import introduce
from simulators.demo.play import do_all, tell, until_at_work, until_settled, wait_for_stop
from simulators.demo.reconcile import Account, reckon
from simulators.demo.recording import record as record_envelopes
from simulators.demo.scenario import Scenario
from simulators.demo.screen import Screen, open_console, where_next
from simulators.demo.world import World

NAME = ""
app = typer.Typer()


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
            account = play(console, world, database, seed=seed, scale=scale)
            account.seconds = time.monotonic() - began
            if record:
                console.print(f"Конвертов записано в {record}: {record_envelopes(world.smev, record)}")
            tell(console, account, json_file)
            where_next(console, world, [] if once else [f"http://127.0.0.1:{world.bus_port}/healthz"])
            if not once:
                open_console(console, f"http://127.0.0.1:{world.bus_port}/", introduce(database))
                wait_for_stop()
        finally:
            database.close()
    raise typer.Exit(0 if account.ok else 1)


def play(console: Console, world: World, database: Database, *, seed: int, scale: float) -> Account:
    """The whole scenario, with a kill -9 of the bus in the middle."""
    scenario = Scenario(world, seed=seed, scale=scale)
    scenario.fill_registry(database)
    with Screen(console, database) as screen:
        do_all(screen, scenario.first_wave())
        until_at_work(screen, database)
        scenario.note_fault("kill -9 шины и перезапуск")
        screen.say("kill -9 шины в разгар работы")
        world.kill_bus()
        screen.look()
        time.sleep(1)
        screen.say("шина запускается снова и продолжает с того же места")
        world.start_bus()
        do_all(screen, scenario.second_wave())
        until_settled(screen, world, database)
    return reckon(world.smev, database, scenario.sent)
