"""What a person and a program see of a self-test."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from simulators.selftest.checker import RULES, SHOWN_MOST, Violation, around, tally
from simulators.selftest.faults import FAULTS
from simulators.selftest.nemesis import Struck
from simulators.selftest.world import Shape


@dataclass
class Report:
    """One run. `settled`: everything came to rest in time."""

    seed: int
    seconds: float
    shape: Shape
    command: str
    struck: list[Struck] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    settled: bool = True
    settle_s: float = 0.0
    took_s: float = 0.0

    @property
    def faults(self) -> int:
        """Faults that really struck."""
        return sum(1 for one in self.struck if one.done)

    @property
    def ok(self) -> bool:
        return self.settled and not self.violations

    def as_json(self) -> dict[str, Any]:
        """For --json: figures, the faults as they went, every violation."""
        return {
            "ok": self.ok,
            "seed": self.seed,
            "seconds": self.seconds,
            "mode": "cluster" if self.shape.cluster else "embedded",
            "files": self.shape.files,
            "command": self.command,
            "faults": self.faults,
            "faults_by_kind": dict(_by_kind(self.struck)),
            "messages": self.counts,
            "violated": tally(self.violations),
            "violations": [
                {"rule": one.rule, "text": one.text, "numbers": one.numbers, "at": one.at} for one in self.violations
            ],
            "settled": self.settled,
            "settle_s": round(self.settle_s, 1),
            "took_s": round(self.took_s, 1),
            "struck": [
                {
                    "at_s": one.planned.at_s,
                    "kind": one.planned.kind,
                    "target": one.planned.target,
                    "for_s": one.planned.for_s,
                    "text": one.text,
                    "outcome": one.outcome,
                    "began": one.began,
                    "ended": one.ended,
                }
                for one in self.struck
            ],
        }


def show(console: Console, report: Report) -> None:
    """The tables, the verdict, and each violation with what was going on around it."""
    table = Table("Сбой", title="Что ломалось", title_justify="left")
    table.add_column("раз", justify="right")
    for kind, times in sorted(_by_kind(report.struck).items(), key=lambda item: (-item[1], item[0])):
        table.add_row(FAULTS[kind].title, str(times))
    table.add_row("[bold]всего[/]", f"[bold]{report.faults}[/]")
    console.print(table)
    missed = Counter(one.outcome for one in report.struck if not one.done)
    for outcome, times in missed.items():
        why = "ломать было нечего: процесс или сервер в эту минуту уже лежал" if outcome == "nothing" else outcome
        console.print(f"Не удалось {times}: {why}")
    messages = Table("Сообщения", title="Что прошло через шину", title_justify="left")
    messages.add_column("", justify="right")
    for what, number in report.counts.items():
        messages.add_row(what, str(number))
    console.print(messages)
    verdict = Table("Проверка", "", title="Обещания шины", title_justify="left")
    for rule, number in tally(report.violations).items():
        verdict.add_row(RULES[rule], f"[green]{number}[/]" if not number else f"[bold red]{number}[/]")
    console.print(verdict)
    for violation in report.violations[:SHOWN_MOST]:
        _explain(console, report, violation)
    if len(report.violations) > SHOWN_MOST:
        console.print(f"… и ещё {len(report.violations) - SHOWN_MOST}; все — в файле --json")
    if not report.settled:
        console.print("[bold red]Шина не успокоилась за отведённое время.[/]")
    console.print(f"Успокоилась через {report.settle_s:.0f} с после последнего сбоя; всего {report.took_s:.0f} с.")
    if report.ok:
        console.print("[bold green]Ничего не потеряно, не задвоено и не застряло.[/]")
    else:
        console.print(f"[bold red]ОБЕЩАНИЕ НАРУШЕНО.[/] Повторить: {report.command}", soft_wrap=True)


def _explain(console: Console, report: Report, violation: Violation) -> None:
    console.print(f"[red]• {RULES[violation.rule]}:[/] {violation.text}", soft_wrap=True)
    if not violation.at:
        return
    console.print(f"    принято {time.strftime('%H:%M:%S', time.localtime(violation.at))}; рядом:")
    times = [(one.began, one.ended, _line(one)) for one in report.struck if one.done]
    for line in around(times, violation.at)[:8]:
        console.print(f"    {line}", soft_wrap=True)


def _line(struck: Struck) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(struck.began))
    return f"{clock} (+{struck.planned.at_s:.1f} с, {struck.ended - struck.began:.1f} с) {struck.line}"


def _by_kind(struck: Sequence[Struck]) -> Counter[str]:
    return Counter(one.planned.kind for one in struck if one.done)
