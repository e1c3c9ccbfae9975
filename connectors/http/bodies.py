"""Reads the body of a request: short ones into memory, longer ones through the disk, none beyond a limit.

Nothing of a body is kept when its client breaks off.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import Awaitable, Callable
from io import BufferedIOBase
from pathlib import Path
from typing import IO, Final

from connectors.http.answers import CLOSE, Refused
from core.connector import Event
from core.errors import Retryable

IN_MEMORY_BYTES: Final = 256 * 1024
"""A body that is not whole yet takes no more memory than this, however many are under way."""
_PIECE_BYTES: Final = 1024 * 1024

Receive = Callable[[], Awaitable[Event]]


class BrokenOff(Exception):
    """The client went away in the middle of its request."""


class Spooled:
    """A body on the disk, in a file without a name: it is gone with the process, also after kill -9."""

    def __init__(self, folder: Path | None) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, octets: bytes | bytearray) -> None:
        self._file.write(octets)
        self._hash.update(octets)
        self.size_bytes += len(octets)

    def finish(self) -> None:
        self._file.flush()

    def bytes(self) -> bytes:
        self._file.seek(0)
        return self._file.read()

    def open(self) -> BufferedIOBase:
        """Another stream of the content, from its beginning. Raises Retryable when it is closed already."""
        try:
            stream = os.fdopen(os.dup(self._file.fileno()), "rb")
        except (OSError, ValueError):
            raise Retryable("Приём прерван, содержимое не сохранено: повторите отправку") from None
        stream.seek(0)
        return stream

    def close(self) -> None:
        self._file.close()


async def read(receive: Receive, length: int | None, most_bytes: int, folder: Path | None) -> bytes | Spooled:
    """The whole body: bytes up to IN_MEMORY_BYTES, else a Spooled, for the caller to close.

    length: what Content-Length says. Raises BrokenOff, Refused (413; 503 when the disk does not take it).
    """
    if length is not None and length > most_bytes:
        raise _too_long(most_bytes)
    event = await receive()
    if event["type"] != "http.request":
        raise BrokenOff
    body: bytes = event.get("body", b"")
    if not event.get("more_body", False) and len(body) <= most_bytes:
        return body
    gathered = bytearray(body)
    size = len(body)
    while len(gathered) <= IN_MEMORY_BYTES:
        if size > most_bytes:
            raise _too_long(most_bytes)
        if not event.get("more_body", False):
            return bytes(gathered)
        event = await receive()
        if event["type"] != "http.request":
            raise BrokenOff
        gathered += event.get("body", b"")
        size = len(gathered)
    return await _spool(receive, gathered, event, most_bytes, folder)


async def _spool(receive: Receive, gathered: bytearray, event: Event, most_bytes: int, folder: Path | None) -> Spooled:
    spooled: Spooled | None = None
    try:
        spooled = Spooled(folder)
        size = len(gathered)
        while True:
            if size > most_bytes:
                raise _too_long(most_bytes)
            more = event.get("more_body", False)
            if len(gathered) >= _PIECE_BYTES or not more:
                await asyncio.to_thread(spooled.write, gathered)
                gathered = bytearray()
            if not more:
                await asyncio.to_thread(spooled.finish)
                return spooled
            event = await receive()
            if event["type"] != "http.request":
                raise BrokenOff
            piece = event.get("body", b"")
            gathered += piece
            size += len(piece)
    except OSError as error:
        if spooled is not None:
            spooled.close()
        raise Refused(
            503, "disk", "На диске шины нет места для такого запроса: повторите позже", (b"retry-after", b"60"), CLOSE
        ) from error
    except BaseException:
        if spooled is not None:
            spooled.close()
        raise


async def discard(receive: Receive, most_bytes: int = _PIECE_BYTES) -> bool:
    """Read what remains of a refused request, so that its client hears the answer; False when that is too much."""
    size = 0
    while size <= most_bytes:
        event = await receive()
        if event["type"] != "http.request":
            return False
        size += len(event.get("body", b""))
        if not event.get("more_body", False):
            return True
    return False


def _too_long(most_bytes: int) -> Refused:
    return Refused(413, "too-long", f"Запрос длиннее {most_bytes} байт: разделите его на несколько сообщений", CLOSE)
