"""`omsbus schedule`: what fires when, run now, pause, and what a cron expression means."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import typer

from core import operations, printing, schedule_history, schedules_book
from core.cron_words import words
from core.errors import ConfigError
from core.opening import CONFIG, DATA, JSON, actor, open_bus
from core.schedule import MISSED, RULES, Schedule

NAME = "schedule"
app = typer.Typer(help="Расписания: ближайшие запуски, история, запуск сейчас, пауза.", no_args_is_help=True)

RUNS_MOST = 100
_MISSED_HELP = "; ".join(f"{name} — {words_of}" for name, words_of in MISSED.items())
_RULE_HELP = "; ".join(f"{name} — {words_of}" for name, words_of in RULES.items())
_CRON = typer.Argument(help="Выражение cron в кавычках: 5 полей, или 6 — секунды последними")
_NAME = typer.Argument(help="Имя расписания из omsbus schedule list")


@app.command("list")
def list_(
    count: int = typer.Option(1, "--next", min=1, max=RUNS_MOST, help="Сколько ближайших запусков показать"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
    as_json: bool = JSON,
) -> None:
    """Все расписания и их ближайшие запуски."""
    with open_bus(config, data) as bus:
        found = bus.schedules.all()
    now = datetime.now(UTC)
    lines = [(one, state, [] if state["paused"] else one.following(now, count)) for one, state in found]
    if as_json:
        printing.as_json(
            [
                {
                    "name": one.name,
                    "title": one.title,
                    "cron": one.cron,
                    "timezone": one.timezone,
                    "queue": one.queue,
                    "words": words(one),
                    "missed": one.missed,
                    "calendar": one.calendar,
                    "rule": one.rule,
                    "origin": state["origin"],
                    "changed": state["changed"],
                    "paused": state["paused"],
                    "fired_for": state["fired_for"],
                    "fired_at": state["fired_at"],
                    "next": runs,
                }
                for one, state, runs in lines
            ]
        )
        return
    if not lines:
        printing.say("Расписаний нет: добавьте (omsbus schedule add) или объявите в настройках ([schedules.<имя>]).")
        return
    printing.table(
        ("Расписание", "Когда", "Очередь", "Состояние", "Последний запуск", "Ближайшие запуски"),
        [
            (
                one.name,
                words(one),
                one.queue,
                printing.state("paused" if state["paused"] else "running"),
                printing.date(state["fired_at"]),
                "\n".join(_moment(one, run) for run in runs),
            )
            for one, state, runs in lines
        ],
    )


@app.command()
def run(name: str = _NAME, config: Path | None = CONFIG, data: Path | None = DATA) -> None:
    """Запустить сейчас, вне расписания; пауза этому не мешает."""
    with open_bus(config, data) as bus:
        made = operations.run_schedule(bus, name, actor=actor())
    printing.say(f"Расписание {name} запущено: сообщение {made}. Посмотреть: omsbus message show {made}")


@app.command()
def pause(name: str = _NAME, config: Path | None = CONFIG, data: Path | None = DATA) -> None:
    """Больше не запускать, пока не скажут."""
    with open_bus(config, data) as bus:
        operations.pause_schedule(bus, name, paused=True, actor=actor())
    printing.say(f"Расписание {name} на паузе. Пустить снова: omsbus schedule resume {name}")


@app.command()
def resume(name: str = _NAME, config: Path | None = CONFIG, data: Path | None = DATA) -> None:
    """Снова запускать. Запуски, пропущенные за паузу, не выполняются."""
    with open_bus(config, data) as bus:
        operations.pause_schedule(bus, name, paused=False, actor=actor())
    printing.say(f"Расписание {name} работает; запуски, пропущенные за паузу, не выполняются.")


@app.command()
def add(
    name: str = typer.Argument(help="Имя нового расписания"),
    cron: str = _CRON,
    queue: str = typer.Option(..., "--queue", help="Очередь, которая принимает команды"),
    title: str = typer.Option("", "--title", help="Название для людей; без него — имя"),
    body: str = typer.Option("{}", "--body", help="Команда: JSON"),
    timezone: str = typer.Option("Europe/Moscow", "--timezone", help="Часовой пояс"),
    missed: str = typer.Option("once", "--missed", help=_MISSED_HELP),
    calendar: str = typer.Option("", "--calendar", help="Календарь рабочих дней из omsbus calendar list"),
    rule: str = typer.Option("skip", "--rule", help=_RULE_HELP),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Добавить расписание."""
    with open_bus(config, data) as bus:
        wanted = Schedule(name, cron, queue, title or name, body, timezone, missed, calendar, rule)
        schedules_book.add(bus, wanted, actor=actor())
        made = bus.schedules.get(name)
    [run] = made.following(datetime.now(UTC))
    printing.say(f"Расписание {name} добавлено: {words(made)}. Ближайший запуск: {_moment(made, run)}")


@app.command()
def edit(
    name: str = _NAME,
    cron: str | None = typer.Option(None, "--cron", help="Новое выражение cron"),
    title: str | None = typer.Option(None, "--title", help="Название (не у объявленных в коде и настройках)"),
    queue: str | None = typer.Option(None, "--queue", help="Очередь (не у объявленных)"),
    body: str | None = typer.Option(None, "--body", help="Команда: JSON (не у объявленных)"),
    timezone: str | None = typer.Option(None, "--timezone", help="Часовой пояс"),
    missed: str | None = typer.Option(None, "--missed", help=_MISSED_HELP),
    calendar: str | None = typer.Option(None, "--calendar", help='Календарь рабочих дней; "" — без календаря'),
    rule: str | None = typer.Option(None, "--rule", help=_RULE_HELP),
    reset: bool = typer.Option(False, "--reset", help="Вернуть объявленное в коде или настройках"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Изменить расписание. У объявленных в коде и настройках меняются cron, пояс, пропуски и календарь."""
    given = {
        "cron": cron, "title": title, "queue": queue, "body": body, "timezone": timezone, "missed": missed,
        "calendar": calendar, "rule": rule,
    }  # fmt: skip
    wanted: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
    if bool(wanted) == reset:
        raise ConfigError("Укажите, что изменить (--cron, --timezone, …), либо --reset")
    with open_bus(config, data) as bus:
        if reset:
            schedules_book.set_back(bus, name, actor=actor())
        else:
            old, state = bus.schedules.find(name)
            if state["origin"] != "operator" and (fixed := wanted.keys() & {"title", "queue", "body"}):
                raise ConfigError(f"Расписание {name} объявлено в коде или настройках: {', '.join(fixed)} меняют там")
            schedules_book.change(bus, name, replace(old, **wanted), actor=actor())
        made = bus.schedules.get(name)
    printing.say(f"Расписание {name}: {words(made)}.")


@app.command()
def remove(
    name: str = _NAME,
    yes: bool = typer.Option(False, "--yes", help="Не спрашивать"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Удалить расписание, заведённое людьми. История его запусков остаётся в журнале."""
    with open_bus(config, data) as bus:
        if not yes:
            typer.confirm(f"Удалить расписание {name}?", abort=True)
        schedules_book.remove(bus, name, actor=actor())
    printing.say(f"Расписание {name} удалено.")


@app.command()
def history(
    name: str = _NAME,
    limit: int = typer.Option(20, "--limit", min=1, max=1000, help="Сколько последних запусков"),
    before: int | None = typer.Option(None, "--before", help="Только с номером меньше этого (следующая страница)"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
    as_json: bool = JSON,
) -> None:
    """Последние запуски: когда, чем кончились, сколько длились."""
    with open_bus(config, data) as bus:
        runs = schedule_history.history(bus.database, name, before=before, limit=limit)
    if as_json:
        printing.as_json([asdict(run) | {"took": run.took and run.took.total_seconds()} for run in runs])
        return
    if not runs:
        printing.say(f"Расписание {name} ещё не запускалось.")
        return
    printing.table(
        ("№", "На когда", "Начат", "Состояние", "Длился", "Пояснение"),
        [
            (
                run.seq,
                printing.date(run.planned) or f"вручную {run.actor}".strip(),
                printing.date(run.began_at),
                printing.state(run.state),
                printing.lasting(run.took.total_seconds()) if run.took is not None else "",
                printing.short(run.reason or run.note),
            )
            for run in runs
        ],
        right=(0,),
    )
    if len(runs) == limit:
        printing.say(f"Дальше: --before {runs[-1].seq}")


@app.command()
def preview(
    cron: str = _CRON,
    count: int = typer.Option(5, "--next", min=1, max=RUNS_MOST, help="Сколько запусков показать"),
    timezone: str = typer.Option("Europe/Moscow", "--timezone", help="Часовой пояс"),
    as_json: bool = JSON,
) -> None:
    """Когда сработает выражение cron. Базу не трогает."""
    try:
        schedule = Schedule("проверка", cron, queue="", timezone=timezone)
    except ConfigError as error:
        raise ConfigError(error.reason.removeprefix("Расписание проверка: ")) from None
    runs = schedule.following(datetime.now(UTC), count)
    if as_json:
        printing.as_json(runs)
        return
    for one in runs:
        printing.say(_moment(schedule, one))


def _moment(schedule: Schedule, run: datetime) -> str:
    """In the schedule's own zone, named when it is not Moscow's."""
    zone = ZoneInfo(schedule.timezone)
    return printing.date(run, zone) + ("" if zone == printing.ZONE else f" {schedule.timezone}")
