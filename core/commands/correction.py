"""`omsbus correction`: proposals of another body, and the decision of a second person, who signs in for it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer

from core import corrections, printing
from core.access import entrance, sessions
from core.access.person import Person
from core.bus import Bus
from core.errors import Permanent
from core.opening import CONFIG, DATA, JSON, open_bus

NAME = "correction"
app = typer.Typer(
    help="Правка и отправка: что ждёт утверждения, утвердить чужую или нет. Готовят правку в консоли.",
    no_args_is_help=True,
)
_NUMBER = typer.Argument(help="Номер правки из omsbus correction list")
_LOGIN = typer.Option(..., "--login", prompt="Имя для входа", help="Кто решает: учётная запись консоли")


@app.command("list")
def list_(
    state: str = typer.Option("proposed", "--state", help=f"Состояние: {', '.join(corrections.STATES)}; пусто: любое"),
    before: int | None = typer.Option(None, "--before", help="Только с номером меньше этого (следующая страница)"),
    limit: int = typer.Option(50, "--limit", min=1, max=1000, help="Сколько строк"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
    as_json: bool = JSON,
) -> None:
    """Правки, новые сверху; без другого указания те, что ждут утверждения."""
    with open_bus(config, data) as bus:
        found = corrections.corrections(bus.database, before, limit, state=state)
    if as_json:
        printing.as_json([asdict(one) for one in found])
        return
    if not found:
        printing.say("Таких правок нет.")
        return
    printing.table(
        ("№", "Сообщение", "Вид", "Состояние", "Подготовил", "Решил", "Почему"),
        [
            (one.id, one.seq, one.kind, corrections.STATES[one.state], one.proposed_by, one.decided_by,
             printing.short(one.note)) for one in found
        ],
        right=(0, 1),
    )  # fmt: skip


@app.command()
def show(
    number: int = _NUMBER,
    login: str = _LOGIN,
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Отличия; просмотр записывается в журнал и аудит от имени вошедшего."""
    with open_bus(config, data) as bus:
        person = _person(bus, login)
        if not person.may("messages.content"):
            raise Permanent("Для просмотра содержимого нужно право «Содержимое сообщений»: его даёт администратор")
        one = corrections.correction(bus.database, number)
        shown = corrections.compared(bus, number, person)
    printing.say(f"Правка № {one.id}, {corrections.STATES[one.state]}. {one.proposed_by}: {one.note}")
    for row in shown.rows:
        if row.kind == "gap":
            printing.say(f"  … без отличий строк: {row.skipped}")
        if row.left_no and row.kind != "same":
            printing.say(f"- {row.left_no}: {''.join(row.left)}")
        if row.right_no and row.kind != "same":
            printing.say(f"+ {row.right_no}: {''.join(row.right)}")


@app.command()
def approve(
    number: int = _NUMBER,
    login: str = _LOGIN,
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Утвердить чужую правку: уйдёт новое сообщение. Сначала посмотрите её: omsbus correction show."""
    with open_bus(config, data) as bus:
        digest = corrections.correction(bus.database, number).sha256
        made = corrections.approve(bus, number, sha256=digest, person=_person(bus, login))
    printing.say(f"Утверждено. Новое сообщение: {made}")


@app.command()
def reject(
    number: int = _NUMBER,
    reason: str = typer.Option(..., "--reason", help="Почему: прочтёт тот, кто готовил"),
    login: str = _LOGIN,
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Не утверждать чужую правку; исходное сообщение остаётся как есть."""
    with open_bus(config, data) as bus:
        corrections.reject(bus, number, reason, person=_person(bus, login))
    printing.say(f"Правка № {number} не утверждена.")


def _person(bus: Bus, login: str) -> Person:
    """Whoever signs in: the user of the operating system tells nothing about who that is in the console."""
    password = str(typer.prompt("Пароль", hide_input=True))
    account = entrance.sign_in(bus.database, login, password, bus.settings.access)
    cookie = sessions.begin(bus.database, account, address="", agent="omsbus correction")
    try:
        person = sessions.person_of(bus.database, cookie, bus.settings.access)
    finally:
        sessions.end(bus.database, cookie)
    if person is None or person.must_change:
        raise Permanent("Пароль выдал администратор: сначала смените его в консоли")
    return person
