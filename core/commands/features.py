"""`omsbus features`: what the system must be able to do, and which of it is proved by a passing test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from rich.text import Text

from core import features, printing
from core.opening import JSON

NAME = ""
app = typer.Typer()


@app.command("features")
def show(
    as_json: bool = JSON,
    coverage: Path = typer.Option(features.COVERAGE, "--coverage", help="Файл, который пишет прогон тестов"),
    covered: bool = typer.Option(False, "--covered", help="Только подтверждённые"),
) -> None:
    """Что система должна уметь и что из этого подтверждено тестами."""
    rows = features.load(coverage)
    if as_json:
        printing.as_json({one.id: {"title": one.title, "covered": one.covered, "tests": one.tests} for one in rows})
        return
    shown = [one for one in rows if one.covered or not covered]
    printing.table(("Признак", "Что получает пользователь", "Тестов"), [_line(one) for one in shown], right=(2,))
    done = sum(one.covered for one in rows)
    printing.say(f"Подтверждено тестами: {done} из {len(rows)}.")
    if not coverage.exists():
        printing.say("Тесты ещё не прогонялись: выполните make test.")


def _line(one: features.Feature) -> tuple[Any, ...]:
    return (
        Text(one.id, style="green" if one.covered else ""),
        one.title,
        len(one.tests) or "",
    )
