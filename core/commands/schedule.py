"""`omsbus schedule`: what fires when, run now, pause, and what a cron expression means."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import typer

from core import operations, printing
from core.errors import ConfigError
from core.opening import CONFIG, DATA, JSON, actor, open_bus
from core.schedule import Schedule

NAME = "schedule"
app = typer.Typer(help="Расписания: ближайшие запуски, запуск сейчас, пауза.", no_args_is_help=True)

RUNS_MOST = 100
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
                    "missed": one.missed,
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
        printing.say("Расписаний нет: объявите их в настройках ([schedules.<имя>]) или в коде подсистемы.")
        return
    printing.table(
        ("Расписание", "cron", "Очередь", "Состояние", "Последний запуск", "Ближайшие запуски"),
        [
            (
                one.name,
                one.cron,
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
        operations.pause_schedule(bus, name, paused=True)
    printing.say(f"Расписание {name} на паузе. Пустить снова: omsbus schedule resume {name}")


@app.command()
def resume(name: str = _NAME, config: Path | None = CONFIG, data: Path | None = DATA) -> None:
    """Снова запускать. Запуски, пропущенные за паузу, не выполняются."""
    with open_bus(config, data) as bus:
        operations.pause_schedule(bus, name, paused=False)
    printing.say(f"Расписание {name} работает; запуски, пропущенные за паузу, не выполняются.")


@app.command()
def preview(
    cron: str = typer.Argument(help="Выражение cron в кавычках: 5 полей, или 6 — секунды последними"),
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
