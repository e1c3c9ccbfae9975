"""`omsbus user`: accounts of the console. A password is typed or comes in a variable, never in an argument."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import typer
from rich.text import Text

from core import printing
from core.access import accounts
from core.access.accounts import Account
from core.errors import ConfigError
from core.opening import CONFIG, DATA, JSON, actor, open_bus

NAME = "user"
app = typer.Typer(help="Пользователи консоли: создать, роли, пароль, блокировка.", no_args_is_help=True)

_LOGIN = typer.Argument(help="Имя для входа")
_PASSWORD_ENV = typer.Option("", "--password-env", help="Переменная окружения с паролем; иначе пароль спросят")
_OWN = typer.Option(False, "--own", help="Пароль вводит сам пользователь: менять его при входе не нужно")
_ROLES = typer.Option(..., "--roles", help="Роли через запятую, например operator,personal")


@app.command()
def add(
    login: str = _LOGIN,
    name: str = typer.Option(..., "--name", help="Фамилия и имя"),
    roles: str = _ROLES,
    password_env: str = _PASSWORD_ENV,
    no_password: bool = typer.Option(False, "--no-password", help="Входит только через учётную запись организации"),
    own: bool = _OWN,
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Создать пользователя. Пароль нужно сменить при первом входе (кроме --own)."""
    with open_bus(config, data) as bus:
        password = "" if no_password else _password(password_env)
        accounts.create(
            bus.database,
            login,
            name,
            password,
            _list(roles),
            actor=actor(),
            rules=bus.settings.access,
            must_change=not own,
        )
    printing.say(f"Пользователь {login} создан.")


@app.command("list")
def list_(config: Path | None = CONFIG, data: Path | None = DATA, as_json: bool = JSON) -> None:
    """Все пользователи."""
    with open_bus(config, data) as bus:
        found = accounts.listed(bus.database)
    if as_json:
        printing.as_json([asdict(one) for one in found])
        return
    if not found:
        printing.say("Пользователей ещё нет. Создать: omsbus user add ИМЯ --name … --roles administrator")
        return
    printing.table(("Вход", "Имя", "Роли", "Состояние", "Последний вход"), map(_line, found))


@app.command()
def block(
    login: str = _LOGIN,
    reason: str = typer.Option("", "--reason", help="Почему: останется в аудите"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Закрыть вход; сеансы пользователя сразу заканчиваются."""
    with open_bus(config, data) as bus:
        accounts.block(bus.database, login, actor=actor(), reason=reason)
    printing.say(f"Пользователь {login} заблокирован. Открыть вход: omsbus user unblock {login}")


@app.command()
def unblock(login: str = _LOGIN, config: Path | None = CONFIG, data: Path | None = DATA) -> None:
    """Открыть вход, в том числе закрытый на время после неверных паролей."""
    with open_bus(config, data) as bus:
        accounts.unblock(bus.database, login, actor=actor())
    printing.say(f"Пользователь {login} может войти.")


@app.command()
def password(
    login: str = _LOGIN,
    password_env: str = _PASSWORD_ENV,
    own: bool = _OWN,
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Выдать новый пароль; его нужно сменить при входе (кроме --own), прежние сеансы заканчиваются."""
    with open_bus(config, data) as bus:
        given = _password(password_env)
        accounts.give_password(bus.database, login, given, bus.settings.access, actor=actor(), must_change=not own)
    printing.say(f"Пользователь {login} входит с новым паролем.")


@app.command()
def roles(
    login: str = _LOGIN,
    roles: str = _ROLES,
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Задать роли: ровно эти. Только так даётся первый доступ к персональным данным."""
    with open_bus(config, data) as bus:
        accounts.set_roles(bus.database, login, _list(roles), actor=actor())
    printing.say(f"Роли пользователя {login}: {roles}.")


def _password(env: str) -> str:
    if not env:
        return str(typer.prompt("Пароль", hide_input=True, confirmation_prompt="Ещё раз"))
    if not (given := os.environ.get(env, "")):
        raise ConfigError(f"Переменная {env} пуста: положите в неё пароль")
    return given


def _list(text: str) -> list[str]:
    return [one for part in text.split(",") if (one := part.strip())]


def _line(one: Account) -> tuple[str | Text, ...]:
    state = Text("может войти", style="green")
    if one.blocked:
        state = Text("заблокирован", style="red")
    elif one.locked:
        state = Text(f"закрыт до {printing.date(one.locked_until)}", style="yellow")
    elif one.must_change:
        state = Text("должен сменить пароль", style="yellow")
    return (one.login, one.name, ", ".join(one.roles), state, printing.date(one.signed_in_at))
