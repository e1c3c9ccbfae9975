"""How a scenario is played on a screen: steps, waiting until the bus is at work, waiting until both sides are done."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from core.database import Database
from simulators.demo.reconcile import Account, handled, settled
from simulators.demo.scenario import Step
from simulators.demo.screen import Screen, show
from simulators.demo.world import Surroundings

WARM_MESSAGES, WARM_S = 15, 20.0
SETTLE_S = 180.0
"""A show gives up when something is still under way after so long."""


def do_all(screen: Screen, steps: Iterable[Step]) -> None:
    """One step after another; those that have a name are told."""
    for name, work in steps:
        if name:
            screen.say(name)
        work()
        screen.look()


def until_at_work(screen: Screen, database: Database, enough: int = WARM_MESSAGES) -> None:
    """What breaks next must hit a bus that has handled something and has something left."""
    deadline = time.monotonic() + WARM_S
    while time.monotonic() < deadline and handled(database) < enough:
        screen.look()
        time.sleep(0.05)


def until_settled(screen: Screen, world: Surroundings, database: Database) -> None:
    """Both sides have nothing under way; or SETTLE_S are over, and the account will say what hangs."""
    screen.say("всё отправлено; жду, пока обе стороны закончат")
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline and not settled(world.smev, database):
        screen.look()
        time.sleep(0.3)


def tell(console: Console, account: Account, json_file: Path | None) -> None:
    """The account on the screen and in the file, and the verdict."""
    show(console, account)
    if json_file:
        json_file.write_text(json.dumps(account.as_json(), ensure_ascii=False, indent=2), encoding="utf-8")
    verdict = "Всё сошлось." if account.ok else "НЕ СОШЛОСЬ: смотрите строки «НЕТ»."
    console.print(f"[bold]{verdict}[/]")


def wait_for_stop() -> None:
    """Until SIGTERM or Ctrl+C."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    stopping.wait()
