"""`omsbus simulator ftp`: a partner's file server as a process of its own."""

from __future__ import annotations

import secrets
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

NAME = "simulator"
app = typer.Typer(help="Имитаторы внешних систем для приёмки и обучения.", no_args_is_help=True)


@app.command()
def ftp(
    port: Annotated[int, typer.Option(help="Порт; 0 — любой свободный.")] = 2121,
    home: Annotated[Path, typer.Option(help="Папка обмена; в ней создаются in и out.")] = Path("var/ftp"),
    host: Annotated[str, typer.Option(help="Адрес, на котором слушать.")] = "127.0.0.1",
    user: Annotated[str, typer.Option(help="Имя для входа.")] = "exchange",
    password: Annotated[
        str, typer.Option(envvar="OMSBUS_SIMULATOR_PASSWORD", help="Пароль; не задан — создаётся и печатается.")
    ] = "",
    encoding: Annotated[str, typer.Option(help="Кодировка имён файлов: utf-8 или cp1251.")] = "utf-8",
    tls: Annotated[bool, typer.Option("--tls", help="FTPS: явный TLS, сертификат создаётся.")] = False,
    sftp: Annotated[bool, typer.Option("--sftp", help="SFTP вместо FTP.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Старый сервер: без MLSD и MLST.")] = False,
) -> None:
    """Имитатор файлового сервера партнёра: FTP, FTPS или SFTP над папкой этой машины."""
    from simulators.ftp.certificates import make_certificate
    from simulators.ftp.server import FtpSimulator
    from simulators.ftp.sftp import SftpSimulator

    for folder in ("in", "out"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    if not password:
        password = secrets.token_urlsafe(9)
        typer.echo(f"Пароль для входа: {password}")
    server: FtpSimulator | SftpSimulator
    with ExitStack() as stack:
        try:
            if sftp:
                server = SftpSimulator(
                    home.resolve(), user=user, password=password, host=host, port=port, encoding=encoding
                )
                typer.echo(f"Отпечаток ключа сервера (host_key): {server.fingerprint}")
            else:
                own = None
                if tls:
                    own, trusted = make_certificate(home.parent / f"{home.name}-certificates", host=host)
                    typer.echo(f"Удостоверяющий центр (ca_file): {trusted.resolve()}")
                server = FtpSimulator(
                    home.resolve(),
                    user=user,
                    password=password,
                    host=host,
                    port=port,
                    encoding=encoding,
                    certificate=own,
                    without=("MLSD", "MLST") if plain else (),
                )
            stack.enter_context(server)
        except OSError as error:
            typer.echo(f"Порт {port} не открывается ({error.strerror}): выберите другой в --port", err=True)
            raise typer.Exit(2) from None
        scheme = "sftp" if sftp else "ftps" if tls else "ftp"
        typer.echo(f"Имитатор: {scheme}://{host}:{server.port}/ , имя {user}, папка {home.resolve()}", nl=True)
        threading.Event().wait()
