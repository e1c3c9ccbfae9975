"""One run of the nemesis, from the first process to the verdict."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from core.database import Database
from core.errors import BusError
from simulators.selftest.checker import Evidence, check
from simulators.selftest.configured import SETTLE_FILE_S
from simulators.selftest.evidence import gather, wait_settled
from simulators.selftest.files import FileTraffic
from simulators.selftest.load import Load, per_second
from simulators.selftest.nemesis import Nemesis, Struck
from simulators.selftest.plan import describe, make_plan
from simulators.selftest.report import Report
from simulators.selftest.scene import Scene
from simulators.selftest.world import Shape, World

PATIENCE_S = 60.0
"""Messages in doubt are repeated for so long after the last fault."""
FILES_S = 30.0
NEWS_S = 10.0


def run(console: Console, *, seed: int, seconds: float, shape: Shape, command: str, parent: Path | None) -> Report:
    """Raises BusError when the world does not start."""
    began = time.monotonic()
    report = Report(seed, seconds, shape, command)
    plan = make_plan(seed, seconds, shape)
    console.print(f"Зерно {seed}: {describe(plan)} за {seconds:.0f} с. Запускаю всё нужное…")
    with World(shape, seed=seed, parent=parent) as world:
        load = Load(world.intake_ports, seed=seed, per_second=per_second(os.cpu_count() or 1), sinks=shape.sinks)
        files = FileTraffic(world.inbox, load, seed=seed, settle_s=SETTLE_FILE_S, sinks=shape.sinks)
        nemesis = Nemesis(Scene(world, load, files), plan, lambda struck: _say(console, nemesis, struck))
        with _news(console, world, load):
            load.start()
            if shape.files:
                files.start()
            nemesis.run()
            if (calm_s := nemesis.began + seconds - time.time()) > 0:
                time.sleep(calm_s)
            console.print("Всё чиню; повторяю неподтверждённое и жду, пока шина закончит…")
            if shape.files:
                files.stop()
            world.heal()
            healed = time.monotonic()
            try:
                world.wait_ready()
            except BusError:
                _keep_logs(console, world)
                raise
            load.stop(PATIENCE_S)
            report.settled = _settle(console, world, shape)
            report.settle_s = time.monotonic() - healed
        report.struck = nemesis.struck
        evidence = _evidence(world, load, files)
        report.violations = check(evidence)
        report.counts = _counts(evidence, load, world)
        if not report.ok:
            _keep_logs(console, world)
    report.took_s = time.monotonic() - began
    return report


def shape_of(seed: int, *, cluster: bool | None) -> Shape:
    """What the seed leaves to chance, as far as this machine can: RabbitMQ or not, and the way of the files."""
    if cluster is None:
        cluster = shutil.which("erl") is not None and random.Random(f"shape/{seed}").random() < 0.5
    return Shape(cluster=cluster, files=random.Random(f"files/{seed}").choice(("folder", "ftp")))


def _settle(console: Console, world: World, shape: Shape) -> bool:
    if shape.files:
        ends = time.monotonic() + FILES_S
        while any(world.inbox.glob("file-*")) and time.monotonic() < ends:
            time.sleep(0.2)
    told = time.monotonic()

    def look(waiting: int) -> None:
        nonlocal told
        if time.monotonic() - told > NEWS_S:
            told = time.monotonic()
            console.print(f"  ждёт ещё {waiting}")

    with _direct(world) as database:
        return wait_settled(database, look)


def _evidence(world: World, load: Load, files: FileTraffic) -> Evidence:
    files.note_taken()
    outbox = world.outbox if world.shape.files else None
    with _direct(world) as database:
        evidence = gather(database, world.home / "data" / "blobs", load.account, world.partner, outbox)
    evidence.standing += _not_taken(load)
    return evidence


def _not_taken(load: Load) -> list[str]:
    """What a healed bus has not accepted in all that time: the intake stands, however well the rest goes."""
    left = [one for one in load.account.sent.values() if not one.accepted]
    told = {"http": "не подтверждены отправителю", "file": "не взяты из входящей папки"}
    return [
        f"Приём: и после починки {told[channel]} сообщения {', '.join(f'№ {n}' for n in numbers[:10])}"
        for channel in told
        if (numbers := [one.cargo.n for one in left if one.channel == channel])
    ]


@contextlib.contextmanager
def _direct(world: World) -> Iterator[Database]:
    database = Database(world.server.direct_url, pool_size=2)
    try:
        yield database
    finally:
        database.close()


def _counts(evidence: Evidence, load: Load, world: World) -> dict[str, int]:
    answers = load.account.answers
    states = [row.state for row in evidence.journal]
    return {
        "послано": len(evidence.promised),
        "подтверждено": sum(1 for one in evidence.promised.values() if one.acknowledged),
        "повторных отправок": load.account.repeats,
        "без ответа": answers[0],
        "отказано (503 и др.)": sum(times for status, times in answers.items() if status not in (0, 202)),
        "сообщений в журнале": len(states),
        "действий в реестре": len(evidence.effects),
        "в карантине": states.count("quarantined"),
        "получено партнёром": sum(world.partner.arrivals().values()),
        "подействовало у партнёра": len(world.partner.effects()),
        "файлов выдано": len(evidence.received.get("files", [])),
        "гибелей процессов": sum(member.deaths for member in world.fleet.members.values()),
    }


def _say(console: Console, nemesis: Nemesis, struck: Struck) -> None:
    at_s = struck.began - nemesis.began
    wrong = "" if struck.done else f" [red](не удалось: {struck.outcome})[/]"
    console.print(f"  {at_s:6.1f} с  {struck.line}{wrong}", soft_wrap=True, highlight=False)


@contextlib.contextmanager
def _news(console: Console, world: World, load: Load) -> Iterator[None]:
    """A line every NEWS_S: how far the load has come."""
    stopping = threading.Event()

    def tell() -> None:
        while not stopping.wait(NEWS_S):
            account = load.account
            effects = len(world.partner.effects())
            console.print(
                f"  [dim]послано {len(account.sent)}, подтверждено {account.acknowledged}, у партнёра {effects}[/]"
            )

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def _keep_logs(console: Console, world: World) -> None:
    """The logs of a failed run are worth more than a clean folder."""
    kept = Path.cwd() / "var" / f"selftest-{world.home.name.rpartition('-')[2]}"
    kept.mkdir(parents=True, exist_ok=True)
    for log in [*world.home.glob("*.log"), *world.home.glob("*.toml")]:
        (kept / log.name).write_bytes(log.read_bytes())
    console.print(f"Журналы процессов сохранены: {kept}")
