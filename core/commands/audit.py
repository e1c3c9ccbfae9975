"""`omsbus audit`: what people did and looked at."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import typer

from core import deeds, printing, sheets, trail
from core.errors import ConfigError
from core.moments import moment
from core.opening import CONFIG, DATA, JSON, actor, open_bus
from core.trail import Row, Wanted

NAME = "audit"
app = typer.Typer(help="Аудит: кто что делал и что смотрел. Записи никогда не удаляются.", no_args_is_help=True)

_WHO = typer.Option("", "--actor", help="Кто: имя для входа, token:ИМЯ")
_ACTION = typer.Option("", "--action", help="Действие, например queue.paused")
_OBJECT = typer.Option("", "--object", help="Объект: вид или вид:имя, например queue:smev")
_VIA = typer.Option("", "--via", help=f"Откуда: {', '.join(deeds.VIAS)}")
_SINCE = typer.Option("", "--since", help="Не раньше: 24.11.2026 09:30, 2026-11-24T09:30 или 2ч")
_UNTIL = typer.Option("", "--until", help="Раньше")
_LOOKS = typer.Option(False, "--looks", help="Только просмотры содержимого сообщений")


@app.command("list")
def list_(
    who: str = _WHO,
    action: str = _ACTION,
    object_: str = _OBJECT,
    via: str = _VIA,
    since: str = _SINCE,
    until: str = _UNTIL,
    looks: bool = _LOOKS,
    limit: int = typer.Option(50, "--limit", min=1, max=trail.PAGE_MOST, help="Сколько строк"),
    before: int | None = typer.Option(None, "--before", help="Только с номером меньше этого (следующая страница)"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
    as_json: bool = JSON,
) -> None:
    """Последние действия, новые сверху."""
    wanted = _wanted(who, action, object_, via, since, until, looks=looks, before=before)
    with open_bus(config, data) as bus:
        rows = trail.rows(bus.database, wanted, limit)
    if as_json:
        printing.as_json([asdict(row) for row in rows])
        return
    if not rows:
        printing.say("Таких записей нет.")
        return
    printing.table(("№", "Когда", "Кто", "Откуда", "Действие", "Объект", "Примечание"), map(_line, rows), right=(0,))
    if len(rows) == limit:
        printing.say(f"Дальше: --before {rows[-1].seq}")


@app.command()
def export(
    path: Path = typer.Argument(help="Куда: файл .csv или .xlsx; существующий не перезаписывается"),
    who: str = _WHO,
    action: str = _ACTION,
    object_: str = _OBJECT,
    via: str = _VIA,
    since: str = _SINCE,
    until: str = _UNTIL,
    looks: bool = _LOOKS,
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Выгрузить записи в файл; сама выгрузка записывается в аудит."""
    form = path.suffix.lower().removeprefix(".")
    if form not in sheets.FORMS:
        raise ConfigError("Файл должен кончаться на .csv или .xlsx")
    wanted = _wanted(who, action, object_, via, since, until, looks=looks)
    with open_bus(config, data) as bus, _new_file(path) as file:
        found = trail.export(bus.database, wanted, actor=actor(), form=form)
        lines = (trail.cells(row, row.at.astimezone(printing.ZONE)) for row in found)
        for piece in sheets.pieces(form, "Аудит", trail.HEADINGS, lines):
            file.write(piece)
    printing.say(f"Записано в {path}. За раз выгружается не больше {printing.number(trail.EXPORT_MOST)} записей.")


def _wanted(
    who: str,
    action: str,
    object_: str,
    via: str,
    since: str,
    until: str,
    *,
    looks: bool,
    before: int | None = None,
) -> Wanted:
    kind, _, name = object_.partition(":")
    return Wanted(
        actor=who,
        action=action,
        object_kind=kind,
        object_id=name,
        via=via,
        since=moment(since, printing.ZONE) if since else None,
        until=moment(until, printing.ZONE) if until else None,
        looks=looks,
        before=before,
    )


def _new_file(path: Path) -> BinaryIO:
    try:
        return path.open("xb")
    except FileExistsError:
        raise ConfigError(f"Файл {path} уже есть: укажите другое имя") from None
    except OSError as error:
        raise ConfigError(f"Файл {path} не создать: {error.strerror}. Укажите другую папку") from None


def _line(row: Row) -> tuple[str, ...]:
    return (
        str(row.seq),
        printing.date(row.at),
        row.actor or "—",
        deeds.VIAS.get(row.via, row.via),
        deeds.title(row.action),
        f"{deeds.object_title(row.object_kind)} {row.object_id}",
        row.note,
    )
