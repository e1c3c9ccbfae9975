"""Running the simulator: `serve` for a process, `running` for a thread of a test or of the demo."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator

import psycopg
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from core import postgres
from core.errors import ConfigError
from simulators.smev3.application import TRANSPORT, create_app
from simulators.smev3.settings import Settings

_START_TIMEOUT_S = 30.0


class _Protocol(H11Protocol):
    """Tells the application which connection its request came by, so that a fault may break it."""

    def handle_events(self) -> None:
        TRANSPORT.set(self.transport)
        super().handle_events()


def serve(settings: Settings, host: str = "127.0.0.1", port: int = 8083) -> None:
    """Serve until SIGTERM or Ctrl+C. Without a database URL an embedded PostgreSQL lives under settings.data_dir."""
    # uvicorn raises the signal anew after its own shutdown: our handler lets the database be stopped as well.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    with contextlib.ExitStack() as stack:
        if not settings.database_url:
            url = stack.enter_context(postgres.embedded(settings.data_dir))
            settings = settings.model_copy(update={"database_url": url})
        _check_database(settings.database_url)
        _server(settings, host, port).run()


@contextlib.contextmanager
def running(settings: Settings, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """The simulator in a thread of this process, its base URL (`http://127.0.0.1:PORT`) as the value.

    settings.database_url must be given. port 0 takes a free one. Raises ConfigError when it does not start.
    """
    with socket.create_server((host, port)) as listener:
        server = _server(settings, host, listener.getsockname()[1])
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="smev-http", daemon=True)
        thread.start()
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise ConfigError("Имитатор СМЭВ не запустился: проверьте адрес базы данных и папку ключей")
            time.sleep(0.01)
        try:
            yield f"http://{host}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=30)


def _check_database(url: str) -> None:
    try:
        psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://"), connect_timeout=10).close()
    except psycopg.Error as error:
        words = "База данных имитатора недоступна: проверьте OMSBUS_DATABASE_URL"
        raise ConfigError(words, detail=str(error)) from None


def _server(settings: Settings, host: str, port: int) -> uvicorn.Server:
    config = uvicorn.Config(
        create_app(settings), host=host, port=port, http=_Protocol, loop="asyncio", lifespan="on", access_log=False,
        log_level="warning", timeout_graceful_shutdown=5, ws="none",
    )  # fmt: skip
    return uvicorn.Server(config)
