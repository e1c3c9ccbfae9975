"""`omsbus process`: the processes of the bus on this database, which of them agree, and why one does not go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import typer
from rich.text import Text

from core import neighbours, printing
from core.neighbours import ProcessRow
from core.opening import CONFIG, DATA, JSON, open_bus

NAME = "process"
app = typer.Typer(help="Процессы шины на этой базе: где, с какого времени, чем отличаются.", no_args_is_help=True)

_STATES = {"starting": "запускается", "running": "работает", "stopped": "остановлен"}
_COLOURS = {"starting": "yellow", "running": "green"}
CLOCK_SHOWN_S = 1.0
"""A smaller difference of clocks is not worth a word."""


@app.command("list")
def list_(config: Path | None = CONFIG, data: Path | None = DATA, as_json: bool = JSON) -> None:
    """Все процессы: работающие, за ними остановленные и пропавшие за последние сутки."""
    with open_bus(config, data) as bus:
        rows = neighbours.processes(bus.database)
    if as_json:
        printing.as_json([asdict(row) for row in rows])
        return
    if not rows:
        printing.say("Ни один процесс шины с этой базой не работает. Запустить: omsbus run")
        return
    groups = _groups(rows)
    printing.table(
        ("Процесс", "Узел", "PID", "Версия", "Настройка", "Работает с", "Состояние"),
        [
            (
                row.role or "—",
                row.host,
                row.pid,
                row.version,
                groups[row.fingerprint] + (" (обновление)" if row.rolling else ""),
                printing.date(row.started_at),
                _state(row),
            )
            for row in rows
        ],
        right=(2,),
    )
    for row in rows:
        if note := _note(row):
            printing.say(f"{row.role or 'процесс'} на {row.host}, {row.pid}: {note}")
    if len({row.fingerprint for row in rows if row.alive}) > 1:
        printing.say(
            "Настройки процессов различаются: одинаковые обозначены одной буквой. Завершите обновление: перезапустите "
            "остальные с новыми настройками"
        )


def _groups(rows: Sequence[ProcessRow]) -> dict[str, str]:
    """Fingerprint → letter, in the order of the list."""
    known = dict.fromkeys(row.fingerprint for row in rows)
    return {fingerprint: "АБВГДЕЖЗИК"[place % 10] for place, fingerprint in enumerate(known)}


def _state(row: ProcessRow) -> Text:
    if row.state != "stopped" and not row.alive:
        return Text("пропал", style="red")
    return Text(_STATES[row.state], style=_COLOURS.get(row.state, "red"))


def _note(row: ProcessRow) -> str:
    parts = []
    if row.state != "stopped" and not row.alive:
        parts.append(f"последняя отметка {printing.date(row.beat_at)}, потом его не стало: смотрите журнал работы")
    if abs(row.clock_off_s) >= CLOCK_SHOWN_S:
        word = "спешат" if row.clock_off_s > 0 else "отстают"
        parts.append(f"часы {word} на {printing.lasting(round(abs(row.clock_off_s)))}")
    if row.reason:
        parts.append(row.reason)
    return ". ".join(parts)
