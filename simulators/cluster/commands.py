"""`omsbus cluster`: the same bus as many processes, the demo's scenario, and what breaks on many machines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import typer
from rich.console import Console

from core.database import Database, driver
from simulators.cluster.fleet import Cluster, Prober
from simulators.demo.play import do_all, tell, until_at_work, until_settled, wait_for_stop
from simulators.demo.reconcile import Account, Check, reckon
from simulators.demo.scenario import Scenario, Step
from simulators.demo.screen import Screen, where_next

NAME = ""
app = typer.Typer()

PAUSE_S = 0.2
"""Between two messages while processes are restarted: there must be load to the end of it."""


@app.command()
def cluster(
    once: bool = typer.Option(False, "--once", help="Закончить после сверки: код 0, только если всё сошлось"),
    json_file: Path | None = typer.Option(None, "--json", help="Куда записать итог в JSON"),
    workers: int = typer.Option(2, "--workers", min=2, max=16, help="Сколько процессов обработчиков"),
    seed: int = typer.Option(1, "--seed", help="Зерно: те же люди и сообщения"),
    scale: float = typer.Option(1.0, "--scale", min=0.1, max=50, help="Во сколько раз больше сообщений"),
    data: Path = typer.Option(Path("var/cluster"), "--data", help="Папка показа; прежнее её содержимое удаляется"),
) -> None:
    """Много процессов на RabbitMQ: тот же показ, но гибнут обработчик, ведущий планировщик и брокер; в конце сверка."""
    console = Console()
    began = time.monotonic()
    world = Cluster(data, workers)
    console.print(f"Запускаю PostgreSQL, RabbitMQ, имитатор СМЭВ и процессы шины: {', '.join(world.names)}…")
    with world:
        database = Database(world.database_url)
        try:
            account = _play(console, world, database, seed, scale)
            account.seconds = time.monotonic() - began
            tell(console, account, json_file)
            where_next(console, world, [] if once else world.health)
            if not once:
                wait_for_stop()
        finally:
            database.close()
    raise typer.Exit(0 if account.ok else 1)


def _play(console: Console, world: Cluster, database: Database, seed: int, scale: float) -> Account:
    scenario = Scenario(world, seed=seed, scale=scale)
    scenario.fill_registry(database)
    first = list(scenario.first_wave())
    third = len(first) // 3
    with Screen(console, database) as screen, Prober(world.health) as prober:
        do_all(screen, first[:third])
        until_at_work(screen, database)
        lost = _lose_a_worker(screen, world, scenario)
        with _Aside(lambda: world.start(lost)):
            do_all(screen, first[third : 2 * third])
        leaders = _lose_the_leader(screen, world, scenario)
        fired = _fired(database)
        with _Aside(lambda: world.start(leaders[0])):
            _lose_the_broker(screen, world, scenario, first[2 * third :])
        codes = _roll(screen, world, scenario)
        until_settled(screen, world, database)
        fired = _fired(database) - fired
    account = reckon(world.smev, database, scenario.sent)
    account.checks += [
        Check("ведущий планировщик убит = ведёт другой", 1, len({*leaders}) - 1),
        Check("расписание срабатывает и после смены ведущего", 1, min(fired, 1)),
        Check("процессов остановлено по SIGTERM = закончили сами, с кодом 0", len(world.names), codes.count(0)),
        Check("проверок, при которых не отвечал ни один веб-процесс", 0, prober.silent),
    ]
    return account


def _lose_a_worker(screen: Screen, world: Cluster, scenario: Scenario) -> str:
    name = world.worker_in_a_batch()
    world.kill(name)
    scenario.note_fault(f"kill -9 {name} посреди пачки")
    screen.say(f"kill -9 {name}: взял сообщения и не дошёл до фиксации; их возьмёт другой")
    return name


def _lose_the_leader(screen: Screen, world: Cluster, scenario: Scenario) -> tuple[str, str]:
    old = world.wait_for_leader_but("")
    began = time.monotonic()
    world.kill(old)
    new = world.wait_for_leader_but(old)
    scenario.note_fault(f"kill -9 {old}, ведущего")
    screen.say(f"kill -9 {old}: вёл расписания; через {time.monotonic() - began:.1f} с ведёт {new}")
    return old, new


def _lose_the_broker(screen: Screen, world: Cluster, scenario: Scenario, steps: Sequence[Step]) -> None:
    scenario.note_fault("RabbitMQ погиб и начат пустым")
    screen.say("kill -9 RabbitMQ, данные стёрты; работа идёт без него, пока он не вернётся")
    with _Aside(world.rabbit.wipe):
        do_all(screen, steps)


def _roll(screen: Screen, world: Cluster, scenario: Scenario) -> list[int]:
    """Restart every process, one after another, while messages come; their exit codes."""
    codes: list[int] = []
    scenario.note_fault("перезапуск всех процессов по одному под нагрузкой")
    screen.say("все процессы перезапускаются по одному, как при обновлении; сообщения идут")
    with _Aside(lambda: codes.extend(world.restart(name) for name in world.names)) as rolling:
        do_all(screen, _paced(scenario.second_wave(), rolling))
    return codes


class _Aside:
    """Work in a thread beside the body of the `with`; what it raises is raised at the end."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="aside")

    def __enter__(self) -> _Aside:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        if self._error:
            raise self._error

    def wait(self, timeout_s: float) -> None:
        """Until it is done, `timeout_s` at most."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self._error = error


def _paced(steps: Iterable[Step], beside: _Aside) -> Iterator[Step]:
    for step in steps:
        yield step
        beside.wait(PAUSE_S)


def _fired(database: Database) -> int:
    with database.transaction() as connection:
        row = driver(connection).execute("SELECT count(*) FROM bus.message WHERE source = 'schedule'").fetchone()
    return int(row[0]) if row else 0
