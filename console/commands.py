"""`omsbus run`: the whole bus in one process; `omsbus web`, `worker`, `scheduler`: its parts alone."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import typer
import uvicorn

from console.app import Console
from core import logs, settings
from core.bus import Bus
from core.errors import ConfigError

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
    stopping = _stop_signal()
    console = Console()
    with _serving(console, host, port), _bus(config, data) as bus:
        bus.start(intake=True, push=True, work=True, schedule=True, processes=bus.settings.worker_processes)
        console.serve(bus)
        stopping.wait()
        bus.stop()


@app.command()
def web(
    host: str = typer.Option("127.0.0.1", "--host", help="Адрес, на котором слушать"),
    port: int = typer.Option(8080, "--port", help="Порт"),
    data: Path | None = _DATA,
    config: Path | None = _CONFIG,
) -> None:
    """Только веб: приём по HTTP и консоль; таких процессов может быть несколько."""
    stopping = _stop_signal()
    console = Console()
    with _serving(console, host, port), _bus(config, data) as bus:
        bus.start(intake=False, push=True, work=False, schedule=False)
        console.serve(bus)
        stopping.wait()
        bus.stop()


@app.command()
def worker(data: Path | None = _DATA, config: Path | None = _CONFIG) -> None:
    """Только обработчики очередей (для многих машин нужен OMSBUS_BROKER_URL)."""
    _part(config, data, work=True, schedule=False)


@app.command()
def scheduler(data: Path | None = _DATA, config: Path | None = _CONFIG) -> None:
    """Часы: расписания и опрос источников; из нескольких таких процессов каждое дело делает один."""
    _part(config, data, work=False, schedule=True)


def _part(config: Path | None, data: Path | None, *, work: bool, schedule: bool) -> None:
    stopping = _stop_signal()
    with _bus(config, data) as bus:
        bus.start(intake=schedule, work=work, schedule=schedule)
        stopping.wait()


@contextlib.contextmanager
def _bus(config: Path | None, data: Path | None) -> Iterator[Bus]:
    loaded = settings.load(config, data_dir=data)
    logs.set_up(loaded.log_level)
    with Bus.open(loaded) as bus:
        yield bus


@contextlib.contextmanager
def _serving(console: Console, host: str, port: int) -> Iterator[None]:
    """The web server in a thread, so that /healthz answers 503 while the bus is opening.

    Raises ConfigError when the address is taken.
    """
    server = uvicorn.Server(uvicorn.Config(console, log_config=None, access_log=False))
    with _listening(host, port) as listening:
        thread = threading.Thread(target=server.run, args=([listening],), name="web")
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join()


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ConfigError(
            f"Адрес {host}:{port} занят или недоступен ({error.strerror}): остановите другую программу "
            "или укажите другой --port"
        ) from None


def _stop_signal() -> threading.Event:
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping
