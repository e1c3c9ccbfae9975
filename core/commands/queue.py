"""`omsbus queue`: what waits where, pause and resume, one poll on demand."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import typer
from rich.text import Text

from core import operations, overrides, printing, reading
from core.bus import Bus
from core.errors import ConfigError, Retryable
from core.opening import CONFIG, DATA, JSON, actor, open_bus
from core.reading import QueueRow

NAME = "queue"
app = typer.Typer(help="Очереди: маршруты, отправка, приём. Глубина, пауза, пуск, опрос.", no_args_is_help=True)

POLL_WAIT_S = 60.0
_LOOK_S = 0.2
_SIDES = {"route": "маршрут", "sink": "отправка", "source": "приём"}
_NAME = typer.Argument(help="Имя очереди из omsbus queue list")


@app.command("list")
def list_(config: Path | None = CONFIG, data: Path | None = DATA, as_json: bool = JSON) -> None:
    """Все очереди: состояние, сколько ждёт, сколько лет старейшему, скорость."""
    with open_bus(config, data) as bus:
        rows = reading.queues(bus.database)
    if as_json:
        printing.as_json([asdict(row) for row in rows])
        return
    if not rows:
        printing.say("Очередей ещё нет: они появятся при первом запуске шины (omsbus run).")
        return
    printing.table(
        ("Очередь", "Сторона", "Состояние", "Готово", "Ждёт", "Повтор", "Карантин", "Возраст", "В мин."),
        [_line(row) for row in rows],
        right=(3, 4, 5, 6, 7, 8),
    )
    for row in rows:
        if note := _note(row):
            printing.say(f"{row.name}: {note}")


@app.command()
def pause(
    name: str = _NAME,
    reason: str = typer.Option("", "--reason", help="Почему: увидят все, кто смотрит на очередь"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Остановить очередь; сообщения в ней копятся и не теряются."""
    with open_bus(config, data) as bus:
        operations.set_state(bus, name, "paused", actor=actor(), reason=reason)
    printing.say(f"Очередь {name} на паузе. Пустить снова: omsbus queue resume {name}")


@app.command()
def resume(name: str = _NAME, config: Path | None = CONFIG, data: Path | None = DATA) -> None:
    """Пустить очередь: после паузы, остановки из-за ошибки настройки или раньше конца отдыха."""
    with open_bus(config, data) as bus:
        operations.set_state(bus, name, "running", actor=actor())
    printing.say(f"Очередь {name} работает.")


@app.command()
def move(
    name: str = _NAME,
    to: str = typer.Argument(help="Куда: очередь той же стороны, например под новым именем коннектора"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Перевести незавершённые сообщения очереди, которая стоит, в другую: их состояния и порядок сохраняются."""
    with open_bus(config, data) as bus:
        moved = operations.move(bus, name, to, actor=actor())
    printing.say(f"Переведено из {name} в {to}: {printing.number(moved)}.")


@app.command()
def drop(
    name: str = _NAME,
    reason: str = typer.Option(..., "--reason", help="Почему: останется в журнале"),
    yes: bool = typer.Option(False, "--yes", help="Не спрашивать"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Отклонить все незавершённые сообщения очереди, которая стоит."""
    with open_bus(config, data) as bus:
        if not yes:
            typer.confirm(f"Отклонить все незавершённые сообщения очереди {name}?", abort=True)
        dropped = operations.drop_queue(bus, name, actor=actor(), reason=reason)
    printing.say(f"Отклонено: {printing.number(dropped)}.")


@app.command()
def poll(
    name: str = _NAME,
    wait: bool = typer.Option(False, "--wait", help=f"Дождаться результата (до {POLL_WAIT_S:g} с)"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Опросить источник один раз, сейчас; опрашивает работающая шина, и тогда, когда источник на паузе."""
    with open_bus(config, data) as bus:
        before = reading.queue(bus.database, name)
        if before.side != "source":
            raise ConfigError(f"{name} не опрашивают: это {_SIDES[before.side]}. Источники видны в omsbus queue list")
        operations.poll(bus, name, actor=actor())
        if not wait:
            printing.say(f"Опрос {name} заказан. Результат покажет omsbus queue list")
            return
        printing.say(f"{name}: {_polled(bus, before).poll_result}")


@app.command()
def drain(name: str = _NAME, config: Path | None = CONFIG, data: Path | None = DATA) -> None:
    """Разобрать сейчас: отдых очереди кончается, обработчики просыпаются. Сообщения на повторе ждут своего срока."""
    with open_bus(config, data) as bus:
        operations.drain_now(bus, name, actor=actor())
    printing.say(f"Очередь {name} разбирается.")


@app.command()
def numbers(
    name: str = _NAME,
    concurrency: int | None = typer.Option(None, "--concurrency", help="Обработчиков одновременно в процессе"),
    attempts: int | None = typer.Option(None, "--attempts", help="Попыток до карантина"),
    first_s: float | None = typer.Option(None, "--first-s", help="Первая пауза между попытками, секунд"),
    factor: float | None = typer.Option(None, "--factor", help="Во сколько раз растёт пауза"),
    most_s: float | None = typer.Option(None, "--most-s", help="Пауза не больше, секунд"),
    reset: bool = typer.Option(False, "--reset", help="Вернуть числа настроек"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Показать числа очереди или задать их: действуют во всех процессах через несколько секунд, без перезапуска."""
    given = {"concurrency": concurrency, "attempts": attempts, "first_s": first_s, "factor": factor, "most_s": most_s}
    given = {key: value for key, value in given.items() if value is not None}
    with open_bus(config, data) as bus:
        found = overrides.numbers(bus, name)
        if given or reset:
            kept = {} if reset else {one.name: one.override for one in found.items if one.override is not None}
            found = overrides.override(bus, name, kept | given, actor=actor())
    printing.table(
        ("Что", "Действует", "В настройках", "Задано"),
        [
            (one.title, f"{one.in_force:g}", f"{one.base:g}", "" if one.override is None else f"{one.override:g}")
            for one in found.items
        ],
        right=(1, 2, 3),
    )


def _polled(bus: Bus, before: QueueRow) -> QueueRow:
    ends = time.monotonic() + POLL_WAIT_S
    while time.monotonic() < ends:
        row = reading.queue(bus.database, before.name)
        if row.polled_at is not None and row.polled_at != before.polled_at:
            return row
        time.sleep(_LOOK_S)
    raise Retryable(
        f"За {POLL_WAIT_S:g} с {before.name} никто не опросил. Проверьте, что omsbus run работает с этими настройками"
    )


def _line(row: QueueRow) -> tuple[str | Text, ...]:
    is_source = row.side == "source"
    rests = row.state == "running" and row.rest_until is not None
    counts = ["" if is_source else _depth(n) for n in (row.ready, row.held, row.retry, row.quarantined)]
    return (
        row.name,
        _SIDES[row.side],
        Text("отдыхает", style="yellow") if rests else printing.state(row.state),
        *counts,
        printing.age(row.oldest_at),
        "" if is_source else f"{row.per_minute:g}",
    )


def _depth(count: int) -> str:
    return printing.number(count) + ("+" if count >= reading.DEPTH_MOST else "")


def _note(row: QueueRow) -> str:
    parts = []
    if row.state == "paused":
        parts.append(f"на паузе с {printing.date(row.changed_at)}" + (f", {row.changed_by}" if row.changed_by else ""))
    if row.rest_until and row.state == "running":
        parts.append(f"отдыхает до {printing.date(row.rest_until)}")
    if row.reason:
        parts.append(row.reason)
    if row.polled_at:
        parts.append(f"опрос {printing.date(row.polled_at)}: {row.poll_result}")
    return ". ".join(parts)
