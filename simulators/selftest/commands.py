"""`omsbus selftest --chaos`: everything breaks under load, then the account: lost, doubled, stuck, out of order."""

from __future__ import annotations

import json
import random
import signal
import threading
from pathlib import Path

import typer
from rich.console import Console

from core.errors import ConfigError
from simulators.selftest import chaos
from simulators.selftest.report import show

NAME = ""
app = typer.Typer()


@app.command()
def selftest(
    run_chaos: bool = typer.Option(False, "--chaos", help="Ломать всё вокруг под нагрузкой и сверить итог"),
    seconds: float = typer.Option(600.0, "--seconds", min=10, max=86400, help="Сколько ломать, с"),
    seed: int | None = typer.Option(None, "--seed", help="Зерно: тот же план сбоев и те же сообщения"),
    cluster: bool | None = typer.Option(
        None, "--cluster/--embedded", help="Много процессов на RabbitMQ или один omsbus run; иначе решает зерно"
    ),
    json_file: Path | None = typer.Option(None, "--json", help="Куда записать итог в JSON"),
    parent: Path | None = typer.Option(None, "--data", help="Где завести временную папку (иначе системная)"),
) -> None:
    """Самопроверка на этой машине, во временной базе: ничего не теряется, не задваивается и не застревает."""
    if not run_chaos:
        raise ConfigError("Скажите, что проверить: omsbus selftest --chaos")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupted)
    seed = random.SystemRandom().randrange(1, 100_000) if seed is None else seed
    shape = chaos.shape_of(seed, cluster=cluster)
    mode = "--cluster" if shape.cluster else "--embedded"
    command = f"omsbus selftest --chaos --seed {seed} --seconds {seconds:g} {mode}"
    console = Console()
    console.print(f"Повторить: [bold]{command}[/] (план сбоев тот же; как лягут потоки, не повторить)", soft_wrap=True)
    report = chaos.run(console, seed=seed, seconds=seconds, shape=shape, command=command, parent=parent)
    show(console, report)
    if json_file:
        json_file.write_text(json.dumps(report.as_json(), ensure_ascii=False, indent=2), encoding="utf-8")
    raise typer.Exit(0 if report.ok else 1)


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt
