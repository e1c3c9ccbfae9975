"""`omsbus bench`: every figure that we publish, measured on this machine in one run with what it is compared to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from core.errors import ConfigError

NAME = ""
app = typer.Typer()


@app.command()
def bench(
    name: str = typer.Argument("all", help="transform | death | bus | memory | all"),
    json_file: Path | None = typer.Option(None, "--json", help="Куда записать итог в JSON"),
) -> None:
    """Замеры: у каждого цель, отношение к тому, с чем сравниваем в том же прогоне, и условия. Код 1 — цель не взята."""
    found = _benchmarks()
    names = list(found) if name == "all" else [name]
    if unknown := [one for one in names if one not in found]:
        raise ConfigError(f"Нет замера {unknown[0]}. Есть: {', '.join(found)}, all")
    console = Console()
    results = []
    for one in names:
        console.print(f"Замер {one}…")
        results.append(found[one]())
        _show(console, results[-1])
    if json_file:
        made = results if name == "all" else results[0]
        json_file.write_text(json.dumps(made, ensure_ascii=False, indent=2), encoding="utf-8")
    raise typer.Exit(0 if all(one["verdict"] == "reached" for one in results) else 1)


def _benchmarks() -> dict[str, Callable[[], dict[str, object]]]:
    from benchmarks import bus, death, memory, transform

    return {module.NAME: module.run for module in (transform, death, bus, memory)}


def _show(console: Console, result: dict[str, object]) -> None:
    verdict = "[green]достигнута[/]" if result["verdict"] == "reached" else "[bold red]НЕ достигнута[/]"
    table = Table(title=f"{result['goal']}: цель {verdict}", title_justify="left", show_header=False)
    for group in ("ratios", "conditions"):
        values = result[group]
        assert isinstance(values, dict)
        for key, value in values.items():
            table.add_row(str(key), str(value), style="bold" if group == "ratios" else "dim")
    console.print(table)
