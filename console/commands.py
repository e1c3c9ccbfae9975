"""`omsbus run`: the whole bus in one process; `omsbus web`, `worker`, `scheduler`: its parts alone."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import typer

from console import serving
from console.app import Console
from core import logs, settings
from core.bus import Bus
from core.processes import settle
from core.settings import Settings

NAME = ""
app = typer.Typer()

_CONFIG = typer.Option(None, "--config", help="Файл настроек TOML (иначе OMSBUS_CONFIG или config/embedded.toml)")
_DATA = typer.Option(None, "--data", help="Папка данных: встроенная PostgreSQL и вложения")


@app.command()
def run(
    host: str = typer.Option("127.0.0.1", "--host", help="Адрес, на котором слушать"),
    port: int = typer.Option(8080, "--port", help="Порт"),
    data: Path | None = _DATA,
    config: Path | None = _CONFIG,
) -> None:
    """Вся шина одной командой: приём, обработчики, расписания, веб. Останавливается по SIGTERM."""
    serve(settings.load(config, data_dir=data), host, port)


@app.command()
def web(
    host: str = typer.Option("127.0.0.1", "--host", help="Адрес, на котором слушать"),
    port: int = typer.Option(8080, "--port", help="Порт"),
    data: Path | None = _DATA,
    config: Path | None = _CONFIG,
) -> None:
    """Только веб: приём по HTTP и консоль; таких процессов может быть несколько."""
    serve(settings.load(config, data_dir=data), host, port, whole=False)


@app.command()
def worker(data: Path | None = _DATA, config: Path | None = _CONFIG) -> None:
    """Только обработчики очередей (для многих машин нужен OMSBUS_BROKER_URL)."""
    _part(config, data, work=True, schedule=False)


@app.command()
def scheduler(data: Path | None = _DATA, config: Path | None = _CONFIG) -> None:
    """Часы: расписания и опрос источников; из нескольких таких процессов каждое дело делает один."""
    _part(config, data, work=False, schedule=True)


def serve(loaded: Settings, host: str, port: int, *, whole: bool = True) -> None:
    """Run a web process until SIGTERM, with all the other parts of the bus in it when it is `whole`."""
    stopping = _stop_signal()
    console = Console()
    logs.set_up(loaded.log_level)
    with _serving(console, host, port), Bus.open(loaded) as bus:
        bus.start(intake=whole, push=True, work=whole, schedule=whole, processes=loaded.worker_processes)
        console.serve(bus)
        settle()
        bus.until(stopping)
        bus.stop()


def _part(config: Path | None, data: Path | None, *, work: bool, schedule: bool) -> None:
    stopping = _stop_signal()
    loaded = settings.load(config, data_dir=data)
    logs.set_up(loaded.log_level)
    with Bus.open(loaded) as bus:
        bus.start(intake=schedule, work=work, schedule=schedule)
        settle()
        bus.until(stopping)


@contextlib.contextmanager
def _serving(console: Console, host: str, port: int) -> Iterator[None]:
    """The web server in a thread, so that /healthz answers 503 while the bus is opening.

    Raises ConfigError when the address is taken.
    """
    server = serving.server(console)
    with serving.listening(host, port) as listening:
        thread = threading.Thread(target=server.run, args=([listening],), name="web")
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join()


def _stop_signal() -> threading.Event:
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping
