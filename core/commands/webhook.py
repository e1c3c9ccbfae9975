"""`omsbus webhook`: who is told of what happens, whether it arrives, pause, retry, test."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer
from rich.text import Text

from core import printing
from core.opening import CONFIG, DATA, JSON, actor, open_bus
from core.webhooks import courier, subscriptions
from core.webhooks.feed import TYPES
from core.webhooks.subscriptions import ATTEMPTS_KEPT, Subscription, Wanted

NAME = "webhook"
app = typer.Typer(help="Вебхуки: подписки на события шины и их доставка.", no_args_is_help=True)

_STATES = {
    "active": Text("работает", style="green"),
    "paused": Text("на паузе", style="yellow"),
    "failed": Text("выключена шиной", style="red"),
}
_NUMBER = typer.Argument(help="Номер подписки из omsbus webhook list")


@app.command("list")
def list_(config: Path | None = CONFIG, data: Path | None = DATA, as_json: bool = JSON) -> None:
    """Все подписки: куда, о чём, доходит ли."""
    with open_bus(config, data) as bus:
        rows = subscriptions.listed(bus.database)
    if as_json:
        printing.as_json([asdict(row) for row in rows])
        return
    if not rows:
        printing.say("Подписок нет. Создать: omsbus webhook add или страница «Вебхуки» консоли.")
        return
    printing.table(
        ("№", "Название", "Адрес", "Состояние", "Доставлено", "Последняя доставка"),
        [_line(row) for row in rows],
        right=(0, 4),
    )
    for row in rows:
        if row.attempts:
            printing.say(f"№ {row.id}: неудач подряд {row.attempts}. {row.reason}")


@app.command()
def add(
    title: str = typer.Argument(help="Название"),
    url: str = typer.Argument(help="Адрес получателя, https://…"),
    events: list[str] = typer.Option(..., "--event", help=f"Событие, можно несколько: {', '.join(TYPES)}"),
    queues: list[str] = typer.Option([], "--queue", help="Только эта очередь, можно несколько"),
    kinds: list[str] = typer.Option([], "--kind", help="Только этот вид сведений, можно несколько"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Подписать получателя на события. Секрет подписи печатается один раз."""
    with open_bus(config, data) as bus:
        wanted = Wanted(title, url, tuple(events), tuple(queues), tuple(kinds))
        made, secret = subscriptions.create(bus, wanted, actor=actor())
    printing.say(f"Подписка № {made} создана. Секрет подписи (больше не покажется): {secret}")


@app.command()
def pause(number: int = _NUMBER, config: Path | None = CONFIG, data: Path | None = DATA) -> None:
    """Не доставлять; события накопятся."""
    with open_bus(config, data) as bus:
        subscriptions.pause(bus, number, actor=actor())
    printing.say(f"Подписка № {number} на паузе. Продолжить: omsbus webhook resume {number}")


@app.command()
def resume(
    number: int = _NUMBER,
    skip: bool = typer.Option(False, "--skip", help="Пропустить накопившееся"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Продолжить после паузы или выключения, либо повторить, не дожидаясь срока."""
    with open_bus(config, data) as bus:
        subscriptions.resume(bus, number, skip=skip, actor=actor())
    printing.say(f"Подписка № {number} работает.")


@app.command("test")
def try_out(number: int = _NUMBER, config: Path | None = CONFIG, data: Path | None = DATA) -> None:
    """Отправить проверочное событие с этой машины и сказать, что вышло. Код возврата 1, если не принято."""
    with open_bus(config, data) as bus:
        attempt = courier.send_test(bus, number, actor=actor())
    printing.say(attempt.note)
    if attempt.status is None or attempt.status >= 300:
        raise typer.Exit(1)


@app.command()
def log(
    number: int = _NUMBER,
    limit: int = typer.Option(20, "--limit", min=1, max=ATTEMPTS_KEPT, help="Сколько строк"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
    as_json: bool = JSON,
) -> None:
    """Последние попытки доставки, новые сверху."""
    with open_bus(config, data) as bus:
        subscriptions.get(bus.database, number)
        rows = subscriptions.attempts(bus.database, number, limit)
    if as_json:
        printing.as_json([asdict(row) for row in rows])
        return
    printing.table(
        ("Когда", "Что вышло", "Событий", "Попытка", "мс"),
        [
            (printing.date(row.at), row.note, str(row.events), str(row.attempt), f"{row.duration_ms:.0f}")
            for row in rows
        ],
        right=(2, 3, 4),
    )


@app.command()
def remove(
    number: int = _NUMBER,
    yes: bool = typer.Option(False, "--yes", help="Не спрашивать"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Удалить подписку; недоставленное не будет доставлено."""
    with open_bus(config, data) as bus:
        found = subscriptions.get(bus.database, number)
        if not yes:
            typer.confirm(f"Удалить подписку № {number} «{found.title}»?", abort=True)
        subscriptions.remove(bus, number, actor=actor())
    printing.say(f"Подписка № {number} удалена.")


def _line(row: Subscription) -> tuple[str | Text, ...]:
    told = printing.date(row.told_at) if row.told_at else ""
    return str(row.id), row.title, row.url, _STATES[row.state], printing.number(row.told), told
