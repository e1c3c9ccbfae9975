"""`omsbus new`: the skeleton of a kind, a connector, a subsystem. What it writes works as it stands."""

from __future__ import annotations

from pathlib import Path

import typer

from core import printing, scaffold
from core.settings import HOUSE

NAME = "new"
app = typer.Typer(help="Заготовки: вид сведений, коннектор, подсистема.", no_args_is_help=True)

_HOUSE = typer.Option(HOUSE, "--house", help="Папка проекта", show_default=False)
_TITLE = typer.Option("", "--title", help="Название по-русски")


@app.command()
def kind(
    name: str = typer.Argument(metavar="ПОДСИСТЕМА.ВИД", help="Например zags.marriage"),
    root: str = typer.Option(..., "--root", help="Корневой элемент документа: '{пространство-имён}Имя'"),
    title: str = _TITLE,
    house: Path = _HOUSE,
) -> None:
    """Вид сведений: схема, преобразование, обработчик, образцы, тест, README."""
    _tell(house, scaffold.kind(house, name, root, title))


@app.command()
def connector(
    name: str = typer.Argument(metavar="ИМЯ", help="Тип коннектора и имя его папки"),
    title: str = _TITLE,
    house: Path = _HOUSE,
) -> None:
    """Коннектор: протокол, приём, отправка, настройки, договорный тест, README."""
    _tell(house, scaffold.connector(house, name, title))


@app.command()
def subsystem(
    name: str = typer.Argument(metavar="ИМЯ", help="Имя папки в routes и схемы PostgreSQL"),
    title: str = _TITLE,
    house: Path = _HOUSE,
) -> None:
    """Подсистема: таблицы, миграция, функции для других, тест, README."""
    _tell(house, scaffold.subsystem(house, name, title))


def _tell(house: Path, written: list[Path]) -> None:
    for path in written:
        printing.say(str(path.relative_to(house)))
    test = next(path for path in written if path.name.startswith("test_"))
    printing.say(f"Проверить: pytest {test.relative_to(house)} и omsbus check. Что дальше: docs/howto")
