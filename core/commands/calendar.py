"""`omsbus calendar`: business-day calendars that schedules follow."""

from __future__ import annotations

from pathlib import Path

import typer

from core import calendars_book, printing
from core.errors import ConfigError
from core.opening import CONFIG, DATA, JSON, actor, open_bus

NAME = "calendar"
app = typer.Typer(help="Календари рабочих дней для расписаний: список, загрузка, удаление.", no_args_is_help=True)

_NAME = typer.Argument(help="Имя календаря, например ru")


@app.command("list")
def list_(config: Path | None = CONFIG, data: Path | None = DATA, as_json: bool = JSON) -> None:
    """Календари: на какие годы есть дни, какие расписания по ним работают."""
    with open_bus(config, data) as bus:
        found = calendars_book.all_of(bus)
    if as_json:
        printing.as_json(
            [
                {
                    "name": one.calendar.name,
                    "title": one.calendar.title,
                    "years": one.calendar.years,
                    "schedules": one.schedules,
                    "changed_at": one.changed_at,
                    "changed_by": one.changed_by,
                    "days": [
                        {"day": day.day.isoformat(), "kind": day.kind, "note": day.note} for day in one.calendar.days
                    ],
                }
                for one in found
            ]
        )
        return
    if not found:
        shipped = ", ".join(f"config/calendars/{name}" for name in calendars_book.shipped())
        printing.say(f"Календарей нет. Загрузите: omsbus calendar import ru ФАЙЛ (в поставке есть {shipped})")
        return
    printing.table(
        ("Календарь", "Название", "Годы", "Расписания", "Изменён"),
        [
            (
                one.calendar.name,
                one.calendar.title,
                ", ".join(map(str, one.calendar.years)),
                ", ".join(one.schedules),
                f"{printing.date(one.changed_at)} {one.changed_by}",
            )
            for one in found
        ],
    )


@app.command("import")
def import_(
    name: str = _NAME,
    file: Path = typer.Argument(help="CSV: ДД.ММ.ГГГГ;вид;примечание — или XML производственного календаря"),
    title: str = typer.Option("", "--title", help="Название для людей"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Загрузить дни из файла. Годы, которые в нём есть, заменяются целиком, остальные остаются."""
    try:
        octets = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"Файл {file} не читается: {error.strerror}") from None
    with open_bus(config, data) as bus:
        made = calendars_book.import_file(bus, name, octets, actor=actor(), title=title)
    printing.say(f"Календарь {name} загружен; годы: {', '.join(map(str, made.years))}.")


@app.command()
def remove(
    name: str = _NAME,
    yes: bool = typer.Option(False, "--yes", help="Не спрашивать"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Удалить календарь, по которому не работает ни одно расписание."""
    with open_bus(config, data) as bus:
        if not yes:
            typer.confirm(f"Удалить календарь {name}?", abort=True)
        calendars_book.remove(bus, name, actor=actor())
    printing.say(f"Календарь {name} удалён.")
