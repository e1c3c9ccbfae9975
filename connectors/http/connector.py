"""HTTP as a connector of the bus: an intake that others post to, a sink that posts to them, or both."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from connectors.http import source
from connectors.http.client import Client, Lost, Trust, Why
from connectors.http.settings import Settings
from connectors.http.sink import HttpSink
from connectors.http.source import HttpIntake
from connectors.http.tokens import Senders, read_token
from core.connector import Application, Sink, Source
from core.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    from core.intake import Intake

__all__ = ["Http", "Settings", "connect"]


class Http:
    """One instance. Thread-safe."""

    plain = (source.CONTENT_TYPE, source.SENDER, source.REMOTE_ADDRESS, source.SOAP_ACTION)

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._token = ""
        self.sources: Mapping[str, Source] = MappingProxyType({})
        sinks: dict[str, Sink] = {name: HttpSink(name, settings, self._opened)} if settings.url else {}
        self.sinks: Mapping[str, Sink] = MappingProxyType(sinks)

    def applications(self, intake: Intake) -> Mapping[str, Application]:
        """The intake below its path; nothing when this instance only sends."""
        if not self.settings.receives:
            return {}
        return {self.settings.path: HttpIntake(self.name, self.settings, intake)}

    def open(self) -> None:
        """Read the token and the certificates anew, drop connections that may be dead. Raises ConfigError."""
        if self.settings.url:
            self._open()

    def close(self) -> None:
        """Drop connections, forget the token."""
        with self._lock:
            old, self._client, self._token = self._client, None, ""
        if old is not None:
            old.close()

    def check(self) -> str:
        """Connect to the partner, read the tokens, tell where we listen. Raises Unavailable, ConfigError."""
        said = []
        if self.settings.url:
            client, _ = self._opened()
            try:
                client.probe()
            except Lost as lost:
                what = "недоступен" if lost.why is Why.UNREACHABLE else "не устанавливает защищённое соединение"
                raise Unavailable(
                    f"Партнёр {what}: проверьте url, сеть и сертификаты в настройках", detail=lost.detail
                ) from None
            said.append("партнёр отвечает на соединение")
        if self.settings.receives:
            Senders(self.settings.senders).load()
            queues = {*self.settings.open_queues, *(q for one in self.settings.senders.values() for q in one.queues)}
            said.append(f"приём по адресу {self.settings.path}/<очередь>, очереди: {', '.join(sorted(queues))}")
        if self.settings.open_queues:
            said.append(f"без токена открыты: {', '.join(self.settings.open_queues)}")
        text = "; ".join(said)
        return text[0].upper() + text[1:]

    def __repr__(self) -> str:
        return f"Http({self.name!r})"

    def _open(self) -> tuple[Client, str]:
        token = read_token(self.settings.token_file, self.settings.token_env, f"коннектор {self.name}")
        client = self._new_client()
        with self._lock:
            old, self._client, self._token = self._client, client, token
        if old is not None:
            old.close()
        return client, token

    def _new_client(self) -> Client:
        settings = self.settings
        trust = Trust(settings.ca_file, settings.client_certificate_file, settings.client_key_file)
        try:
            return Client(
                settings.url,
                settings.method,
                trust=trust if settings.url.startswith("https:") else None,
                connect_timeout_s=settings.connect_timeout_s,
                answer_timeout_s=settings.answer_timeout_s,
                answer_most_bytes=settings.answer_most_bytes,
                connections=settings.connections,
            )
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"Сертификаты коннектора {self.name} не читаются: проверьте ca_file, client_certificate_file и "
                "client_key_file (ключ без пароля)",
                detail=f"{type(error).__name__}: {error}"[:200],
            ) from None

    def _opened(self) -> tuple[Client, str]:
        with self._lock:
            if self._client is not None:
                return self._client, self._token
        return self._open()


def connect(name: str, settings: Settings) -> Http:
    """Build the connector; no I/O."""
    return Http(name, settings)
