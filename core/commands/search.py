"""`omsbus search`: the keys by which the journal is searched."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer

from core import printing
from core.database import driver
from core.errors import ConfigError
from core.opening import CONFIG, DATA, JSON, actor, open_bus
from core.search import choices, rules

NAME = "search"
app = typer.Typer(help="Ключи поиска по журналу: список, объявить, удалить.", no_args_is_help=True)
_KIND = typer.Option(..., "--kind", help="Вид сообщения, как в журнале (omsbus message list --json)")


@app.command("list")
def list_(config: Path | None = CONFIG, data: Path | None = DATA, as_json: bool = JSON) -> None:
    """Ключи и сколько прежних сообщений уже обойдено."""
    with open_bus(config, data) as bus:
        with bus.database.transaction() as connection:
            found = rules.rules(driver(connection))
        behind = rules.lag(bus.database)
    if as_json:
        printing.as_json([asdict(one) for one in found])
        return
    rows = [
        (
            one.name,
            one.title,
            one.kind or "все",
            one.xpath or one.what,
            "да" if one.personal else "",
            f"{one.share:.0%}",
        )
        for one in found
    ]
    printing.table(("Имя", "Название", "Вид", "Где", "Перс. данные", "Обойдено"), rows, right=(5,))
    printing.say(f"Новых сообщений ждут обхода: {printing.number(behind)}." if behind else "Новые сообщения обойдены.")


@app.command()
def declare(
    name: str = typer.Argument(help="Имя: латинские буквы, цифры, подчёркивание"),
    title: str = typer.Option(..., "--title", help="Название для людей"),
    kind: str = _KIND,
    xpath: str = typer.Option(..., "--xpath", help="Путь к значению, XPath 1.0"),
    namespace: list[str] = typer.Option([], "--namespace", help="prefix=URI, можно несколько раз"),
    not_personal: bool = typer.Option(False, "--not-personal", help="Значение не относится к персональным данным"),
    sample: Path | None = typer.Option(None, "--sample", help="Образец документа; иначе последние сообщения вида"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Объявить ключ по XPath: новые сообщения получат его сразу, прежние — в фоне."""
    try:
        octets = sample.read_bytes() if sample else b""
    except OSError as error:
        raise ConfigError(f"Файл {sample} не читается ({error.strerror}): проверьте путь и права") from None
    with open_bus(config, data) as bus:
        made = rules.declare_key(
            bus,
            name,
            title=title,
            kind=kind,
            xpath=xpath,
            namespaces=rules.namespaces_of("\n".join(namespace)),
            personal=not not_personal,
            sample=octets,
            actor=actor(),
        )
    printing.say(f"Ключ «{made.title}» объявлен. Ход обхода: omsbus search list")


@app.command()
def words(kind: str = _KIND, config: Path | None = CONFIG, data: Path | None = DATA) -> None:
    """Включить поиск по словам тела для вида сведений."""
    with open_bus(config, data) as bus:
        made = rules.declare_words(bus, kind, title=choices.title_of(bus.routes, kind), actor=actor())
    printing.say(f"Поиск по словам включён под именем {made.name}.")


@app.command()
def remove(
    name: str = typer.Argument(help="Имя ключа"), config: Path | None = CONFIG, data: Path | None = DATA
) -> None:
    """Удалить ключ: искать по нему больше нельзя, его записи удаляются в фоне."""
    with open_bus(config, data) as bus:
        rules.remove(bus, name, actor=actor())
    printing.say("Ключ удалён.")
