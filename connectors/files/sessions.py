"""Connections to one far side: each is used by one thread at a time, a few idle ones are kept."""

from __future__ import annotations

import contextlib
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from connectors.files.client import Absent, Client, Refused
from connectors.files.local import LocalClient
from connectors.files.settings import Settings
from core.errors import ConfigError

_SURE_S: Final = 5.0
"""A connection that has been idle for longer is asked whether it still is one."""


class Sessions:
    """Thread-safe. `renew` reads passwords and keys anew and drops what is open."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._dial: Callable[[], Client] | None = None
        self._idle: list[tuple[Client, float]] = []
        self._generation = 0
        self._lock = threading.Lock()

    def renew(self) -> None:
        """Raises ConfigError. Speaks to nobody outside."""
        dial = _dialler(self._settings)
        self.close()
        with self._lock:
            self._dial = dial

    def close(self) -> None:
        with self._lock:
            self._generation += 1
            idle, self._idle = self._idle, []
            self._dial = None
        for client, _ in idle:
            client.close()

    @contextlib.contextmanager
    def use(self) -> Iterator[Client]:
        """A connection. One whose call failed is not used again, unless it was the file that was refused."""
        client, generation = self._client()
        good = False
        try:
            yield client
            good = True
        except (Absent, Refused):
            good = True
            raise
        finally:
            self._give_back(client, generation, good)

    def _client(self) -> tuple[Client, int]:
        if self._dial is None:
            self.renew()
        while True:
            with self._lock:
                generation, dial = self._generation, self._dial
                client, since = self._idle.pop() if self._idle else (None, 0.0)
            if client is None:
                assert dial is not None, "closed while in use"
                return dial(), generation
            if time.monotonic() - since < _SURE_S or client.alive():
                return client, generation
            client.close()

    def _give_back(self, client: Client, generation: int, good: bool) -> None:
        with self._lock:
            if good and generation == self._generation and len(self._idle) < self._settings.connections:
                self._idle.append((client, time.monotonic()))
                return
        client.close()


def _dialler(settings: Settings) -> Callable[[], Client]:
    if settings.scheme == "file":
        return lambda: LocalClient(settings.path, settings.encoding)
    password = _password(settings)
    if settings.scheme == "sftp":
        from connectors.files.sftp import SftpAddress, SftpClient, read_key  # brings megabytes of libraries along

        server = SftpAddress(
            settings.host,
            settings.port,
            settings.user,
            "" if settings.key_file else password,
            read_key(settings.key_file, password) if settings.key_file else None,
            settings.host_key,
            settings.path,
            settings.encoding,
            settings.connect_timeout_s,
            settings.answer_timeout_s,
        )
        return lambda: SftpClient(server)
    from connectors.files.ftp import FtpAddress, FtpClient

    address = FtpAddress(
        settings.host,
        settings.port,
        settings.user,
        password,
        settings.path,
        settings.encoding,
        _tls(settings) if settings.scheme == "ftps" else None,
        settings.passive,
        settings.telnet_iac,
        settings.connect_timeout_s,
        settings.answer_timeout_s,
    )
    return lambda: FtpClient(address)


def _password(settings: Settings) -> str:
    if settings.password_env:
        password = os.environ.get(settings.password_env, "")
        if not password:
            raise ConfigError(f"Пароль не задан: заполните переменную {settings.password_env} и перезапустите шину")
    elif settings.password_file:
        try:
            password = settings.password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeError) as error:
            text = f"Файл пароля {settings.password_file} не читается: проверьте путь и права"
            raise ConfigError(text, detail=type(error).__name__) from None
    else:
        return ""
    if "\r" in password or "\n" in password:
        raise ConfigError("В пароле перевод строки: задайте пароль одной строкой")
    return password


def _tls(settings: Settings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)
    except OSError as error:
        text = f"Файл удостоверяющих центров {settings.ca_file} не читается: проверьте ca_file"
        raise ConfigError(text, detail=str(error)) from None
