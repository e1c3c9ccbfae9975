"""`omsbus simulator smev`: the СМЭВ 3 simulator as a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from core.errors import ConfigError
from core.signatures.demo_keys import make_demo_keys

NAME = "simulator"
app = typer.Typer(help="Имитаторы внешних систем для приёмки и обучения.", no_args_is_help=True)


@app.callback()
def simulators() -> None:
    """Имитаторы внешних систем для приёмки и обучения."""


@app.command()
def smev(
    host: Annotated[str, typer.Option(help="Адрес, на котором слушать.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Порт.")] = 8083,
    database_url: Annotated[
        str, typer.Option(envvar="OMSBUS_DATABASE_URL", help="PostgreSQL; пусто — встроенная в каталоге --data.")
    ] = "",
    data: Annotated[Path, typer.Option(help="Каталог встроенной PostgreSQL.")] = Path("var/simulator"),
    keys: Annotated[Path, typer.Option(help="Каталог ключей; если его нет, создаются учебные.")] = Path("var/keys"),
    config: Annotated[Path | None, typer.Option(help="Файл TOML: участники, виды сведений, поведение.")] = None,
    redelivery: Annotated[float | None, typer.Option(help="Срок подтверждения, секунд.")] = None,
    unsigned: Annotated[bool, typer.Option("--unsigned", help="Не проверять подписи вызывающих.")] = False,
    multipart: Annotated[str, typer.Option(help="always | never | attachments для всех версий.")] = "",
    record: Annotated[bool | None, typer.Option("--record/--no-record", help="Сохранять все конверты.")] = None,
) -> None:
    """Имитатор СМЭВ 3: версии 1.1, 1.2 и 1.3, подписи ГОСТ, очереди, отказы, сценарии."""
    from simulators.smev3.server import serve
    from simulators.smev3.settings import Settings
    from simulators.smev3.versions import VERSIONS

    behaviour: dict[str, Any] = {}
    if record is not None:
        behaviour["record_envelopes"] = record
    if redelivery is not None:
        behaviour["redelivery_s"] = redelivery
    if unsigned:
        behaviour["verify_signatures"] = False
    if multipart:
        behaviour["multipart"] = dict.fromkeys(VERSIONS, multipart)
    try:
        settings = Settings.load(config, database_url=database_url, data_dir=data, keys_dir=keys, behaviour=behaviour)
        if not (keys / "trust").is_dir():
            make_demo_keys(keys, "demo")
            typer.echo(f"Созданы учебные ключи: {keys}")
        for version in VERSIONS.values():
            typer.echo(f"СМЭВ {version.number}: http://{host}:{port}{version.path}  (описание: ?wsdl)")
        typer.echo(f"Управление: http://{host}:{port}/control/summary")
        serve(settings, host, port)
    except ConfigError as error:
        typer.echo(error.reason, err=True)
        raise typer.Exit(2) from None
