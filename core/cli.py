"""The command `omsbus`. Commands are found, not listed: every module of commands says its NAME and its `app`."""

from __future__ import annotations

import sys

import typer

from core import discovery
from core.errors import BusError, ConfigError


def build(wanted: str = "") -> typer.Typer:
    """The command tree, or the part of it that offers the command `wanted`: what is not asked for is not imported.

    A module with NAME = "" brings top-level commands; modules with one NAME share a group.
    """
    root = typer.Typer(help="omsbus — интеграционная шина ТФОМС.", no_args_is_help=True, pretty_exceptions_enable=False)
    root.callback()(lambda: None)  # a tree, even with one command
    groups: dict[str, typer.Typer] = {}
    for module in discovery.commands(wanted):
        group = groups.setdefault(module.NAME, module.app) if module.NAME else root
        if group is not module.app:
            group.registered_commands += module.app.registered_commands
    for name, group in groups.items():
        root.add_typer(group, name=name)
    return root


def main() -> None:
    """Entry point: a bus error is one Russian sentence and exit code 1, never a traceback."""
    try:
        for number, argument in enumerate(sys.argv[1:], 1):
            if not argument.isprintable() and any("\ud800" <= sign <= "\udfff" for sign in argument):
                raise ConfigError(f"Параметр № {number} — не текст в UTF-8: наберите его снова или проверьте LANG")
        build(sys.argv[1] if len(sys.argv) > 1 else "")()
    except BusError as error:
        from core import printing

        print(f"Ошибка: {printing.harmless(error.reason)}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
