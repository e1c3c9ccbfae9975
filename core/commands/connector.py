"""`omsbus connector`: what is connected, and whether the far sides answer. Needs no database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import structlog
import typer
from rich.text import Text

from core import discovery, printing
from core.connector import Connector
from core.errors import BusError, ConfigError
from core.lines import Line
from core.opening import CONFIG, DATA, JSON, load

NAME = "connector"
app = typer.Typer(help="Коннекторы: список и проверка связи.", no_args_is_help=True)

_log = structlog.get_logger(__name__)


@app.command("list")
def list_(config: Path | None = CONFIG, data: Path | None = DATA, as_json: bool = JSON) -> None:
    """Коннекторы из настроек и типы, которые можно подключить."""
    settings = load(config, data)
    types = discovery.connector_types()
    rows = [_facts(name, values) for name, values in settings.connectors.items()]
    if as_json:
        printing.as_json({"connectors": rows, "types": types})
        return
    if rows:
        printing.table(
            ("Коннектор", "Тип", "Приём", "Отправка", "Состояние"),
            [
                (
                    row["name"],
                    row["type"],
                    "\n".join(row["sources"]),
                    "\n".join(row["sinks"]),
                    Text(row["problem"], style="red") if row["problem"] else row["state"],
                )
                for row in rows
            ],
        )
    else:
        printing.say("В настройках нет ни одного коннектора: добавьте таблицу [connectors.<имя>].")
    printing.say(f"Известные типы: {', '.join(types) or 'ни одного'}.")


@app.command()
def check(
    name: str | None = typer.Argument(None, help="Имя коннектора; без него проверяются все"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
    as_json: bool = JSON,
) -> None:
    """Проверить связь, не передавая сообщений. Код возврата 1, если хоть один коннектор не отвечает."""
    configured = load(config, data).connectors
    if name is not None and name not in configured:
        known = ", ".join(configured) or "ни одного"
        raise ConfigError(f"Нет коннектора {name}. В настройках есть: {known}")
    chosen = configured if name is None else {name: configured[name]}
    results = [_checked(one, values) for one, values in chosen.items()]
    if as_json:
        printing.as_json([{"name": one, "ok": ok, "said": said, "detail": detail} for one, ok, said, detail in results])
    else:
        for one, ok, said, _ in results:
            mark = Text("✓ ", style="green") if ok else Text("✗ ", style="red")
            printing.say(mark.append(f"{one}: {said}", style="default"))
        if not results:
            printing.say("Проверять нечего: в настройках нет ни одного коннектора.")
    if not all(ok for _, ok, _, _ in results):
        raise typer.Exit(1)


def _facts(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """A connector of the settings; one that can't be built says why, and the others are still shown."""
    facts: dict[str, Any] = {"name": name, "type": values.get("type", name), "sources": [], "sinks": [], "problem": ""}
    facts["state"] = "включён"
    try:
        built = discovery.connectors({name: values})
    except ConfigError as error:
        return {**facts, "state": "ошибка", "problem": error.reason}
    if not built:
        return {**facts, "state": "выключен"}
    return {**facts, "sources": list(built[0].sources), "sinks": list(built[0].sinks)}


def _checked(name: str, values: dict[str, Any]) -> tuple[str, bool, str, str]:
    """(name, does it work, a Russian sentence, detail)."""
    try:
        built = discovery.connectors({name: values})
        return (name, True, _check(built[0]) if built else "выключен в настройках (enabled = false)", "")
    except BusError as error:
        return (name, False, error.reason, error.detail)
    except Exception as error:
        _log.exception("connector check failed", connector=name)
        what = f"ошибка в программе коннектора ({type(error).__name__}): передайте разработчику текст выше"
        return (name, False, what, str(error))


def _check(connector: Connector) -> str:
    line = Line(connector)
    try:
        return line.use(connector.check)
    finally:
        line.close()
