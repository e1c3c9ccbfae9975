"""`omsbus check`: the house linter."""

from __future__ import annotations

from dataclasses import asdict

import typer

from core import linting, printing
from core.opening import JSON

NAME = ""
app = typer.Typer()


@app.command("check")
def check(as_json: bool = JSON) -> None:
    """Проверить полноту: маршруты, коннекторы, подсистемы, настройки. Код возврата 1, если что-то не так."""
    found = linting.findings()
    if as_json:
        printing.as_json([asdict(one) for one in found])
    else:
        for one in found:
            printing.say(str(one))
        what = ", ".join(linting.CHECKS)
        printing.say(f"Замечаний: {len(found)}." if found else f"Всё на месте: {what}.")
    if found:
        raise typer.Exit(1)
