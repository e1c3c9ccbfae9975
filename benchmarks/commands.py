"""`omsbus bench`: every figure that we publish, measured on this machine in one run with what it is compared to."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Console
from rich.table import Table

from core import settings
from core.errors import ConfigError

NAME = "bench"
app = typer.Typer(help="Замеры: у каждого цель, отношение к тому, с чем сравниваем в том же прогоне, и условия.")
serving = typer.Typer(help="Запустить шину с нагрузкой замера, чтобы направить на неё свой генератор.")
app.add_typer(serving, name="serve")

BENCHMARKS: Final = (
    "transform",
    "death",
    "bus",
    "memory",
    "idle",
    "w1",
    "workers",
    "claims",
    "retention",
    "seals",
    "journal",
)
"""Modules of this package with `run()`; `bench all` runs them in this order."""

_JSON = typer.Option(None, "--json", help="Куда записать итог в JSON")


def _command(name: str) -> None:
    module = name

    @app.command(name, help=f"Замер {name}. Код 1 — цель не взята.")
    def one(json_file: Path | None = _JSON) -> None:
        result = _run(module)
        _end([result], result, json_file)


for _name in BENCHMARKS:
    if _name != "journal":
        _command(_name)


@app.command("journal")
def journal(
    messages: int = typer.Option(1_000_000, "--messages", min=1000, help="Сколько сообщений в журнале"),
    json_file: Path | None = _JSON,
) -> None:
    """Замер journal: список и каждый поиск в журнале из стольких сообщений. Код 1 — цель не взята."""
    result = _run("journal", messages)
    _end([result], result, json_file)


@app.command("all")
def everything(json_file: Path | None = _JSON) -> None:
    """Все замеры подряд. Код 1 — хотя бы одна цель не взята."""
    results = [_run(name) for name in BENCHMARKS]
    _end(results, results, json_file)


@serving.command("w1")
def serve_w1(
    port: int = typer.Option(8080, "--port", help="Порт: POST /in/w1"),
    host: str = typer.Option("127.0.0.1", "--host", help="Адрес, на котором слушать"),
    data: Path = typer.Option(Path("var/w1"), "--data", help="Папка данных"),
) -> None:
    """Шина с одним маршрутом W1 на базе OMSBUS_DATABASE_URL или на встроенной; строки — в таблице reg."""
    from benchmarks import w1

    w1.serve(settings.load(data_dir=data), host, port)


def _run(name: str, *given: int) -> dict[str, Any]:
    console = Console()
    console.print(f"Замер {name}…")
    result: dict[str, Any] = importlib.import_module(f"benchmarks.{name}").run(*given)
    _show(console, result)
    return result


def _end(results: list[dict[str, Any]], made: Any, json_file: Path | None) -> None:
    if json_file:
        try:
            json_file.write_text(json.dumps(made, ensure_ascii=False, indent=2), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"Итог не записан в {json_file}: {error.strerror}. Укажите другой --json") from None
    raise typer.Exit(0 if all(one["verdict"] == "reached" for one in results) else 1)


def _show(console: Console, result: dict[str, Any]) -> None:
    verdict = "[green]достигнута[/]" if result["verdict"] == "reached" else "[bold red]НЕ достигнута[/]"
    table = Table(title=f"{result['goal']}: цель {verdict}", title_justify="left", show_header=False)
    for group in ("ratios", "conditions"):
        for key, value in result[group].items():
            table.add_row(str(key), str(value), style="bold" if group == "ratios" else "dim")
    console.print(table)
