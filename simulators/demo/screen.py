"""What a person sees of the demo: a live picture while it runs, a table and the account at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from core.database import Database, driver
from simulators.demo.accounts import Player, lines
from simulators.demo.reconcile import KINDS, Account
from simulators.demo.world import Surroundings

NEWS_SHOWN = 8


class Screen:
    """A live view of the queues with the last news below; plain lines when the output is no terminal."""

    def __init__(self, console: Console, database: Database) -> None:
        self._console = console
        self._database = database
        self._news: list[str] = []
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Screen:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """A line of news."""
        self._news.append(text)
        if not self._console.is_terminal:
            self._console.print(f"• {text}")

    def look(self) -> None:
        """Draw the queues as they are now."""
        if self._console.is_terminal:
            news = [Text(f"• {line}") for line in self._news[-NEWS_SHOWN:]]
            self._live.update(Group(self._queues(), *news))

    def _queues(self) -> Table:
        table = Table("Очередь", title="Шина сейчас", title_justify="left")
        for heading in ("ждёт", "повтор", "карантин", "готово"):
            table.add_column(heading, justify="right")
        with self._database.transaction() as connection:
            for row in driver(connection).execute(_QUEUES):
                table.add_row(*(str(value) for value in row))
        return table


def show(console: Console, account: Account) -> None:
    """The table of kinds and the reconciliation."""
    table = Table(title="Что сделано", title_justify="left", padding=(0, 0))
    table.add_column("вид", no_wrap=True)
    columns = {
        "received": "принято",
        "verified": "подпись\nверна",
        "handled": "обрабо-\nтано",
        "answered": "ответов",
        "acknowledged": "подтвер-\nждено",
        "quarantined": "каран-\nтин",
        "repeats": "повторы\nпоглощены",
    }
    for heading in columns.values():
        table.add_column(heading, justify="right")
    for name in KINDS:
        row: Any = account.kinds[name]
        table.add_row(row.title, *(str(getattr(row, column)) for column in columns))
    console.print(table)
    console.print("Принято — сообщений СМЭВ; обработано и карантин — и сами рассылки ЗАГС, и каждая запись в них.")
    console.print("Сбои по дороге: " + "; ".join(account.faults))
    checks = Table("Сверка", "должно быть", "есть", "", title="Сходится ли", title_justify="left")
    for check in account.checks:
        verdict = "[green]да[/]" if check.ok else "[bold red]НЕТ[/]"
        checks.add_row(check.what, str(check.expected), str(check.actual), verdict)
    console.print(checks)
    console.print(f"Сообщений в журнале: {account.messages}, время: {account.seconds:.0f} с")


def where_next(console: Console, world: Surroundings, health: list[str]) -> None:
    """What to look at afterwards. health: addresses of what is still running."""
    prefix = ".venv/bin/omsbus"
    shared = f"--data {_short(world.home)} --config {_short(world.config)}"
    console.print("\nЧто посмотреть дальше:")
    console.print(f"  {prefix} queue list {shared}", soft_wrap=True)
    console.print(f"  {prefix} message list --state quarantined {shared}", soft_wrap=True)
    console.print(f"  {prefix} message show НОМЕР {shared}", soft_wrap=True)
    console.print(f"  журналы процессов: {_short(world.home)}/*.log")
    if health:
        console.print(f"  шина: {', '.join(health)}")
        console.print(f"  имитатор СМЭВ: {world.smev.base_url}/control/summary")
        console.print("Показ продолжает работать; остановить — Ctrl+C.")


def open_console(console: Console, url: str, told: Sequence[tuple[Player, str]]) -> None:
    """Where the console is and who may sign in there. The passwords are shown here and nowhere else."""
    console.print(f"\n[bold]Консоль: {url}[/]")
    console.print("Войти (пароли созданы сейчас и показаны один раз):")
    for line in lines(told):
        console.print(f"  {line}", soft_wrap=True, markup=False)


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


_QUEUES = """
SELECT coalesce(nullif(q.title, ''), q.name),
       count(*) FILTER (WHERE e.state IN ('ready', 'held')), count(*) FILTER (WHERE e.state = 'retry'),
       count(*) FILTER (WHERE e.state = 'quarantined'), count(*) FILTER (WHERE e.state IN ('handled', 'sent'))
FROM bus.queue q LEFT JOIN bus.entry e ON e.queue = q.name
WHERE q.side <> 'source' GROUP BY q.name, q.title ORDER BY q.name
"""
