"""The command `omsbus`. Commands are found, not listed: every module of commands says its NAME and its `app`."""

from __future__ import annotations

import sys

import typer

from core import discovery
from core.errors import BusError


def build() -> typer.Typer:
    """The whole command tree. A module with NAME = "" brings top-level commands."""
    root = typer.Typer(help="omsbus — интеграционная шина ТФОМС.", no_args_is_help=True, pretty_exceptions_enable=False)
    for module in discovery.commands():
        if module.NAME:
            root.add_typer(module.app, name=module.NAME)
        else:
            for command in module.app.registered_commands:
                root.registered_commands.append(command)
    return root


def main() -> None:
    """Entry point: a bus error is one Russian sentence and exit code 1, never a traceback."""
    try:
        build()()
    except BusError as error:
        print(f"Ошибка: {error.reason}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
