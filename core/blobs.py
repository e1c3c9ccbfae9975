"""Files of the payload store, on the local disk or wherever fsspec reaches. A file is written once, under a new name.

New names for every write make the rest simple: nobody overwrites, and who deletes a file deletes exactly the one that
he knows of, whatever is written under the same content at that moment.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, TypeVar

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from core.errors import Retryable

Made = TypeVar("Made")


class Blobs:
    """Thread-safe. Paths are relative to the URL."""

    def __init__(self, url: str) -> None:
        self._url = url

    def write(self, fill: Callable[[IO[bytes]], Made]) -> tuple[str, int, Made]:
        """Let `fill` write a new file: (its path, its length in bytes, what `fill` gave back).

        On a local disk it survives a power cut once this returns. Raises Retryable when the store takes nothing.
        """
        files, root = self._open()
        name = uuid.uuid4().hex
        path = f"{name[:2]}/{name}.zst"
        try:
            if isinstance(files, LocalFileSystem):
                size_bytes, made = _write_durably(Path(root) / path, fill)
            else:
                files.makedirs(f"{root}/{name[:2]}", exist_ok=True)
                with files.open(f"{root}/{path}", "wb") as stream:
                    made = fill(stream)
                    size_bytes = stream.tell()
        except OSError as error:
            raise Retryable(
                "Хранилище вложений не принимает запись: проверьте место на диске и права на папку blobs",
                detail=str(error),
            ) from error
        return path, size_bytes, made

    def open(self, path: str) -> IO[bytes]:
        """Raises Retryable when the file can't be had."""
        files, root = self._open()
        try:
            return files.open(f"{root}/{path}", "rb")  # type: ignore[no-any-return]
        except OSError as error:
            raise not_readable(error) from error

    def read(self, path: str) -> bytes:
        """Raises Retryable when the file can't be had."""
        with self.open(path) as stream:
            try:
                return bytes(stream.read())
            except OSError as error:
                raise not_readable(error) from error

    def delete(self, path: str) -> None:
        """What can't be deleted now is an orphan, and collected as such later."""
        files, root = self._open()
        with contextlib.suppress(OSError):
            files.rm_file(f"{root}/{path}")

    def older_than(self, moment: datetime) -> Iterator[list[tuple[str, int]]]:
        """(path, bytes) of files last written before `moment`, also half-written ones, folder by folder."""
        files, root = self._open()
        try:
            folders = [one["name"] for one in files.ls(root, detail=True) if one["type"] == "directory"]
        except OSError:  # nothing was ever written
            return
        for folder in folders:
            found = []
            with contextlib.suppress(OSError):
                for one in files.ls(folder, detail=True):
                    if one["type"] == "file" and _written_at(files, one) < moment:
                        found.append((f"{Path(folder).name}/{Path(one['name']).name}", int(one["size"] or 0)))
            yield found

    def _open(self) -> tuple[Any, str]:
        # fsspec keeps one file system a thread: theirs are not safe to share.
        files, root = url_to_fs(self._url)
        return files, str(root).rstrip("/")


def not_readable(error: OSError) -> Retryable:
    """For the operator, whatever the store said."""
    return Retryable("Хранилище вложений не отдаёт файл: проверьте, что папка blobs подключена", detail=str(error))


def _written_at(files: Any, info: dict[str, Any]) -> datetime:
    if "mtime" in info:
        return datetime.fromtimestamp(info["mtime"], UTC)
    written: datetime = files.modified(info["name"])
    return written if written.tzinfo else written.replace(tzinfo=UTC)


def _write_durably(path: Path, fill: Callable[[IO[bytes]], Made]) -> tuple[int, Made]:
    """Under a temporary name, flushed to the disk, then renamed: no half-written blob, none lost with the power."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    try:
        with temporary.open("wb") as stream:
            made = fill(stream)
            stream.flush()
            os.fsync(stream.fileno())
            size_bytes = stream.tell()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return size_bytes, made
