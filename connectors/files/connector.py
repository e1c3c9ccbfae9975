"""Folders of files as a connector: the inbox is the source `<name>.inbox`, the outbox is the queue `<name>`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from connectors.files.client import Absent, Client, Refused
from connectors.files.sessions import Sessions
from connectors.files.settings import Settings
from connectors.files.sink import FilesSink
from connectors.files.source import FILE_SHA256, FILE_SIZE, FilesSource
from core.connector import Sink, Source
from core.errors import Unavailable

__all__ = ["Files", "Settings", "connect"]


class Files:
    """One far side. Thread-safe."""

    plain = (FILE_SIZE, FILE_SHA256)  # a file's name may be a person's

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self._sessions = Sessions(settings)
        self._source = FilesSource(name, settings.inbox, settings, self._sessions) if settings.inbox else None
        self._sink = FilesSink(name, settings.outbox, settings, self._sessions) if settings.outbox else None
        self.sources: Mapping[str, Source] = MappingProxyType({self._source.name: self._source} if self._source else {})
        self.sinks: Mapping[str, Sink] = MappingProxyType({name: self._sink} if self._sink else {})

    def open(self) -> None:
        """Read password, keys and authorities anew, drop connections that may be dead. Raises ConfigError."""
        self._sessions.renew()

    def close(self) -> None:
        """Close connections, forget the password."""
        self._sessions.close()

    def check(self) -> str:
        """Log in and look at the folders; moves nothing, writes nothing. Raises Unavailable, ConfigError."""
        self._sessions.renew()
        settings = self.settings
        with self._sessions.use() as client:
            where = settings.path if settings.scheme == "file" else f"{settings.scheme}://{settings.host}"
            said = f"Папка обмена {where} доступна"
            if self._source is not None and settings.inbox:
                said += f"; во входящей папке {settings.inbox.folder} файлов: {self._source.waiting(client)}"
            if settings.outbox:
                self._seen(client, settings.outbox.folder)
                said += f"; исходящая папка {settings.outbox.folder} есть (запись не проверялась)"
        return said

    def _seen(self, client: Client, folder: str) -> None:
        try:
            client.listing(folder)
        except (Absent, Refused) as error:
            text = f"Исходящая папка {folder} недоступна: создайте её или дайте шине права"
            raise Unavailable(text, detail=str(error)) from None

    def __repr__(self) -> str:
        return f"Files({self.name!r})"


def connect(name: str, settings: Settings) -> Files:
    """Build the connector; no I/O."""
    return Files(name, settings)
