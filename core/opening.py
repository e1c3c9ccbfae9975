"""How a command opens the bus: quickly, without starting anything, without changing what a running bus declared.

The running bus is another process. A wake-up of this one reaches it through the broker, and in the embedded mode not
at all: its sweep finds the work within a second.
"""

from __future__ import annotations

import contextlib
import getpass
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import typer

from core import logs, postgres, settings
from core.bus import Bus
from core.errors import ConfigError
from core.settings import Settings

CONFIG = typer.Option(None, "--config", help="Файл настроек TOML (иначе OMSBUS_CONFIG или config/embedded.toml)")
DATA = typer.Option(None, "--data", help="Папка данных: встроенная PostgreSQL и вложения")
JSON = typer.Option(False, "--json", help="Вывод для программ: JSON")


def load(config: Path | None, data: Path | None) -> Settings:
    """Settings of a command; only warnings are logged. Raises ConfigError."""
    logs.set_up("WARNING")
    logging.getLogger("kombu").setLevel(logging.ERROR)  # it warns that the in-memory transport has no host
    return settings.load(config, data_dir=data)


@contextlib.contextmanager
def open_bus(config: Path | None, data: Path | None) -> Iterator[Bus]:
    """The bus with its database, nothing running; an embedded server that exists is found or started. Raises BusError.

    Queues and schedules are not declared: that is for `run`, `worker` and `scheduler`. Otherwise a look at the list
    would start stopped queues again, and another --config would delete the running bus's schedules.
    """
    loaded = load(config, data)
    if loaded.database_url is None and not postgres.is_made(loaded.data_dir):
        raise ConfigError(
            f"В папке {loaded.data_dir.resolve()} нет базы шины. Укажите --data или --config работающей шины, "
            "либо сначала запустите omsbus run"
        )
    with Bus.open(loaded, declare=False) as bus:
        yield bus


def actor() -> str:
    """Who acts, for the journal: the user of the operating system (under sudo, who called it)."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return f"uid {os.getuid()}"
