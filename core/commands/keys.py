"""`omsbus keys`: demo keys for the first day, and how long our own certificates still last."""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from core import printing
from core.errors import BusError, ConfigError, SignatureRejected
from core.signatures.certificate import WARN_DAYS, Certificate, certificates_in, expiring
from core.signatures.demo_keys import PARTICIPANTS, PASSWORD_ENV, make_demo_keys

NAME = "keys"
app = typer.Typer(help="Ключи и сертификаты: демонстрационный комплект, сроки действия.", no_args_is_help=True)

DEFAULT_DIRECTORY: Final = Path("var/keys")

Directory = Annotated[Path, typer.Option("--dir", help="Каталог ключей.")]


@app.command()
def demo(
    directory: Directory = DEFAULT_DIRECTORY,
    force: Annotated[bool, typer.Option("--force", help="Заменить комплект, который уже есть.")] = False,
    password_env: Annotated[
        str, typer.Option(help="Переменная окружения с паролем ключей; если она не задана, пароль придумывается.")
    ] = PASSWORD_ENV,
) -> None:
    """Создать демонстрационный комплект ГОСТ: УЦ, фонд, СМЭВ, участники, просроченный и чужой сертификаты."""
    given = os.environ.get(password_env)
    try:
        made = make_demo_keys(directory, given or secrets.token_urlsafe(18), force=force)
    except BusError as error:
        _stop(error)
    typer.echo(f"Готово: {directory}")
    for name in PARTICIPANTS:
        certificate = Certificate.from_pem(made.certificate(name).read_bytes())
        typer.echo(
            f"  {name + '.key':12} {name + '.pem':12} {certificate.common_name}, до {certificate.not_after:%d.%m.%Y}"
        )
    typer.echo(f"Хранилище доверия: {made.trust}")
    typer.echo(
        f"Пароль ключей: в переменной {password_env}"
        if given
        else f"Пароль ключей: в файле {directory / 'password'} (читает только владелец)"
    )
    typer.echo("Ключи демонстрационные: для настоящего обмена получите сертификат в аккредитованном УЦ.")


@app.command()
def check(
    files: Annotated[list[Path] | None, typer.Argument(help="Файлы сертификатов (PEM или DER).")] = None,
    directory: Directory = DEFAULT_DIRECTORY,
    days: Annotated[int, typer.Option(min=0, help="Предупреждать за столько дней.")] = WARN_DAYS,
    strict: Annotated[bool, typer.Option("--strict", help="Код выхода 1, если есть предупреждения.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Ответ в JSON.")] = False,
) -> None:
    """Показать свои сертификаты и сколько дней им осталось; предупредить за 30 дней.

    Без файлов проверяются все сертификаты каталога, рядом с которыми лежит ключ (*.pem и *.key).
    """
    try:
        found = own_certificates(files or _beside_keys(directory))
    except BusError as error:
        _stop(error)
    soon = {item.fingerprint for item in expiring([item for _, item in found], days)}
    now = datetime.now(UTC)
    if as_json:
        printing.as_json(
            [
                {
                    "file": str(path),
                    "subject": item.subject,
                    "serial": item.serial,
                    "not_after": item.not_after.isoformat(),
                    "days_left": item.days_left(now),
                    "warning": item.fingerprint in soon,
                }
                for path, item in found
            ]
        )
    else:
        for path, item in sorted(found, key=lambda pair: pair[1].not_after):
            left = item.days_left(now)
            words = f"осталось дней: {left}" if left >= 0 else f"истёк {item.not_after:%d.%m.%Y}"
            typer.echo(f"{'ВНИМАНИЕ ' if item.fingerprint in soon else ''}{path}: {item.common_name}, {words}")
        if soon:
            typer.echo(f"Сертификатов, требующих замены: {len(soon)}. Закажите новые в УЦ и сообщите оператору СМЭВ.")
    if strict and soon:
        raise typer.Exit(1)


def own_certificates(files: list[Path]) -> list[tuple[Path, Certificate]]:
    """The first certificate of each file. Raises ConfigError naming the file that cannot be read."""
    found = []
    for path in files:
        try:
            found.append((path, certificates_in(path.read_bytes())[0]))
        except OSError as error:
            raise ConfigError(f"Файл {path} не читается: проверьте путь и права.", detail=str(error)) from None
        except SignatureRejected as error:
            raise ConfigError(f"{error.reason} Файл: {path}", detail=error.detail) from None
    return found


def _beside_keys(directory: Path) -> list[Path]:
    found = sorted(path for path in directory.glob("*.pem") if path.with_suffix(".key").exists())
    if not found:
        raise ConfigError(f"В каталоге {directory} нет пар ключ–сертификат: укажите файлы или --dir.")
    return found


def _stop(error: BusError) -> NoReturn:
    typer.echo(f"Ошибка: {error.reason}", err=True)
    raise typer.Exit(1)
