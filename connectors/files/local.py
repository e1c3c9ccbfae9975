"""A folder of this machine (or mounted on it). Names are octets; links are never followed; writes are flushed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from connectors.files.client import BLOCK_BYTES, LIST_MOST, Absent, Entry, Refused, What
from connectors.files.names import judge
from core.errors import ConfigError, Unavailable

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED: Final = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.EISDIR, errno.ENOTDIR, errno.ENXIO)
_NAMES: Final = (errno.ENAMETOOLONG, errno.EINVAL)


class LocalClient:
    """Files below `root`."""

    def __init__(self, root: str, encoding: str) -> None:
        self._root = os.fsencode(root)
        self._encoding = encoding

    def listing(self, folder: str) -> list[Entry]:
        found = []
        with _translated(), os.scandir(self._path(folder)) as entries:
            for one in entries:
                with contextlib.suppress(FileNotFoundError):
                    found.append(self._entry(one.name, one.stat(follow_symlinks=False)))
                if len(found) >= LIST_MOST:
                    break
        return found

    def stat(self, folder: str, name: str) -> Entry:
        with _translated():
            return self._entry(name.encode(self._encoding), os.lstat(self._path(folder, name)))

    def fetch(self, folder: str, name: str, take: Callable[[bytes], None]) -> None:
        with _translated():
            # O_NONBLOCK: the opening of a pipe that took the file's place must not wait for its writer.
            file = os.open(self._path(folder, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(file, "rb") as content:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise Refused("not a regular file")
            while True:
                with _translated():
                    block = content.read(BLOCK_BYTES)
                if not block:
                    break
                take(block)

    def write(self, folder: str, name: str, content: BinaryIO) -> None:
        with _translated():
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.open(self._path(folder, name), flags, 0o666)
        with open(file, "wb", buffering=0) as target:
            # A stream of ours that fails is no failure of the folder: it is read outside of _translated.
            while block := content.read(BLOCK_BYTES):
                with _translated():
                    view = memoryview(block)
                    while view:
                        view = view[target.write(view) :]
            with _translated():
                os.fsync(file)
        self._settle(folder)

    def rename(self, folder: str, name: str, to_folder: str, to_name: str) -> None:
        with _translated():
            try:
                os.rename(self._path(folder, name), self._path(to_folder, to_name))
            except FileNotFoundError:
                if os.path.lexists(self._path(folder, name)):
                    raise Refused(f"no folder {to_folder}") from None
                raise
        self._settle(to_folder)
        if folder != to_folder:
            self._settle(folder)

    def delete(self, folder: str, name: str) -> None:
        with _translated():
            os.unlink(self._path(folder, name))
        self._settle(folder)

    def make_folder(self, folder: str) -> None:
        with _translated():
            os.stat(self._root)  # never make the root: an absent mount must not be mistaken for an empty folder
            os.makedirs(self._path(folder), exist_ok=True)

    def alive(self) -> bool:
        return True

    def close(self) -> None:
        pass

    def _settle(self, folder: str) -> None:
        """Flush a folder: a rename is durable only then."""
        with _translated():
            file = os.open(self._path(folder), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(file)
            finally:
                os.close(file)

    def _path(self, folder: str, name: str = "") -> bytes:
        return os.path.join(self._root, folder.encode(self._encoding), name.encode(self._encoding))

    def _entry(self, raw: bytes, found: os.stat_result) -> Entry:
        name, problem = judge(raw, self._encoding)
        mark = f"{found.st_size}-{found.st_mtime_ns}-{found.st_ino}"
        return Entry(name, raw, _what(found.st_mode), found.st_size, found.st_mtime, mark, problem)


def _what(mode: int) -> What:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "link" if stat.S_ISLNK(mode) else "other"


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise Absent(str(error)) from None
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise Unavailable("На диске папки обмена нет места: освободите его", detail=str(error)) from None
        if error.errno == errno.EXDEV:
            text = "Папки обмена лежат на разных дисках: переименование между ними невозможно, исправьте настройки"
            raise ConfigError(text, detail=str(error)) from None
        if error.errno in _REFUSED or error.errno in _NAMES:
            raise Refused(str(error), of_name=error.errno in _NAMES) from None
        text = "Папка обмена не отвечает: проверьте диск и подключение сетевой папки"
        raise Unavailable(text, detail=str(error)) from None
