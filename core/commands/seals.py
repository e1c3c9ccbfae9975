"""`omsbus audit verify` and `omsbus audit head`: the hash chain over the journal and the audit."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from core import printing
from core.database import driver
from core.opening import CONFIG, DATA, JSON, actor, open_bus
from core.seals import blocks, heads
from core.seals.recording import Recorded
from core.seals.sealing import seal_all
from core.seals.verifying import FINDINGS_MOST, Report

NAME = "audit"
app = typer.Typer()


@app.command()
def head(
    seal: bool = typer.Option(False, "--seal", help="Сначала опечатать всё, что уже есть"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
    as_json: bool = JSON,
) -> None:
    """Конец цепочки хешей, «номер:хеш»: запишите его там, куда администратор базы не достанет."""
    with open_bus(config, data) as bus:
        if seal:
            seal_all(bus.database)
        with bus.database.transaction() as connection:
            found = blocks.head(driver(connection))
    if as_json:
        plain = {"number": found.number, "hash": found.hash.hex(), "sealed_at": found.sealed_at} if found else None
        printing.as_json(plain)
    elif found:
        print(heads.head_of(found))
    else:
        printing.say("Цепочка пуста: ещё ничего не опечатано. Первый блок появится через минуту работы omsbus run")


@app.command()
def verify(
    first: int = typer.Option(1, "--from", min=1, help="С какого блока начать"),
    kept: list[str] = typer.Option([], "--head", help="Записанный раньше конец цепочки «номер:хеш» или файл с ними"),
    contents: bool = typer.Option(False, "--contents", help="Прочитать и большие тела и вложения: дольше"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
    as_json: bool = JSON,
) -> None:
    """Проверить цепочку хешей и каждую строку под ней. Код 1 — есть расхождения."""
    wanted = tuple(one for given in kept for one in heads.wanted(given))
    with open_bus(config, data) as bus:
        recorded = Recorded(bus.database)
        number = recorded.begin(actor=actor(), first=first)
        told = _progress if sys.stderr.isatty() else _quiet
        payloads = bus.payloads if contents else None
        report = recorded.go(number, first=first, kept=wanted, payloads=payloads, progress=told)
    if as_json:
        printing.as_json(report.plain())
    else:
        for sentence in sentences(report):
            printing.say(sentence)
    raise typer.Exit(0 if report.whole else 1)


def sentences(report: Report) -> list[str]:
    """The result for a person."""
    said = [one.text + (f" (сообщение {one.object})" if one.object else "") for one in report.findings]
    if report.found > len(report.findings):
        said.append(f"Показаны первые {FINDINGS_MOST} расхождений из {printing.number(report.found)}.")
    checked = f"Проверено блоков: {printing.number(report.blocks)}, строк: {printing.number(report.rows)}."
    if report.contents:
        checked += f" Прочитано больших тел и вложений: {printing.number(report.contents)}."
    if report.removed:
        checked += f" Удалено по сроку хранения, как отмечено: {printing.number(report.removed)}."
    said.append(checked)
    if waiting := sum(report.unsealed.values()):
        said.append(f"Ещё не опечатано: {printing.number(waiting)} — это последние строки, их опечатает omsbus run.")
    if report.whole and report.head:
        said.append(f"Всё цело. Конец цепочки: {report.head}")
    elif report.whole:
        said.append("Цепочка пуста: проверять нечего.")
    elif report.found:
        said.append(
            f"РАСХОЖДЕНИЙ: {printing.number(report.found)}. Сохраните базу как есть и разберитесь, кто её менял."
        )
    if not report.heads_checked and report.head:
        said.append(
            "Концы цепочки, записанные раньше, не сравнивались: без --head не видно, если цепочку переписали целиком."
        )
    return said


def _progress(report: Report) -> None:
    share = 100 * report.blocks // max(1, report.last - report.first + 1)
    print(f"\r{share} %, строк {printing.number(report.rows)}", end="", file=sys.stderr, flush=True)


def _quiet(_report: Report) -> None:
    """Nobody looks."""
