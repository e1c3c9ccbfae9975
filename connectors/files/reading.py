"""Reading one file: into memory when it is short, through the disk when it is long; its sha256 either way."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import BinaryIO, cast

from connectors.files.client import Client, Entry, TooLong
from core.errors import Retryable


@dataclass(slots=True)
class Content:
    """What was read. body: b"" when it is in `file`."""

    sha256: str
    size_bytes: int
    body: bytes = b""
    file: BinaryIO | None = None

    def open(self) -> BufferedIOBase:
        """The content of `file` from its beginning; the caller closes it, the content stays."""
        assert self.file is not None
        again = os.dup(self.file.fileno())
        os.lseek(again, 0, os.SEEK_SET)
        return open(again, "rb")

    def close(self) -> None:
        """Give back the disk."""
        if self.file is not None:
            self.file.close()


def read(client: Client, folder: str, one: Entry, *, memory_most_bytes: int, spool: Path | None) -> Content | None:
    """The file as the entry describes it; None when it has changed while it was read.

    Raises TooLong (changed too; the connection is lost), Absent, Refused, Unavailable, ConfigError, Retryable (our
    own disk has no room).
    """
    content = _fetched(client, folder, one, memory_most_bytes, spool)
    try:
        now = client.stat(folder, one.name)
    except BaseException:
        content.close()
        raise
    if content.size_bytes != one.size_bytes or now.mark != one.mark:
        content.close()
        return None
    return content


def _fetched(client: Client, folder: str, one: Entry, memory_most_bytes: int, spool: Path | None) -> Content:
    sha256 = hashlib.sha256()
    blocks: list[bytes] = []
    size = 0
    file = _spool(spool) if one.size_bytes > memory_most_bytes else None

    def take(block: bytes) -> None:
        nonlocal size
        size += len(block)
        if size > one.size_bytes:
            raise TooLong
        sha256.update(block)
        if file is None:
            blocks.append(block)
        else:
            _written(file, block)

    try:
        client.fetch(folder, one.name, take)
        if file is not None:
            file.flush()
    except BaseException:
        if file is not None:
            file.close()
        raise
    return Content(sha256.hexdigest(), size, b"".join(blocks), file)


def _spool(folder: Path | None) -> BinaryIO:
    try:
        return cast("BinaryIO", tempfile.TemporaryFile(dir=folder, buffering=0))
    except OSError as error:
        raise _no_disk(error) from None


def _written(file: BinaryIO, block: bytes) -> None:
    view = memoryview(block)
    try:
        while view:
            view = view[file.write(view) :]
    except OSError as error:
        raise _no_disk(error) from None


def _no_disk(error: OSError) -> Retryable:
    text = "Длинный файл некуда записать: освободите место на диске или задайте spool_folder на другом"
    return Retryable(text, detail=str(error))
