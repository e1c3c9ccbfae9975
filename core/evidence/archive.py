"""The zip of an evidence package: written in order with a hash of every file, read as if an enemy had made it.

Nothing is ever extracted. A package is refused whole when its shape is wrong: a name that is not ours (so no way out of
a folder), a name twice, an encrypted or linked entry, more files or octets than a package has. What a file unpacks to
is read no further than the manifest says, so that a bomb costs nothing.
"""

from __future__ import annotations

import hashlib
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase, BytesIO
from typing import IO, Any, BinaryIO, Final

from core.evidence.refusals import MalformedPackage
from core.payloads import PIECE_BYTES

FILES_MOST: Final = 50_000
TOTAL_MOST_BYTES: Final = 8 * 1024**3
"""What a package unpacks to, unless the checker allows more."""
SMALL_MOST_BYTES: Final = 64 * 1024 * 1024
"""What is read into memory: a manifest, a row, a document with signatures."""
MANIFEST: Final = "manifest.json"
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*){0,12}")
_NAME_MOST: Final = 240
_MOMENT: Final = (1980, 1, 1, 0, 0, 0)
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True, slots=True)
class Written:
    """A file of the package."""

    name: str
    size: int
    sha256: str


class Writer:
    """Adds files one after another; `files` says what was written."""

    def __init__(self, out: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED)
        self.files: list[Written] = []

    def add(self, name: str, octets: bytes) -> Written:
        """A file that is in memory."""
        return self.stream(name, BytesIO(octets))

    def stream(self, name: str, content: BufferedIOBase) -> Written:
        """A file of any length. Raises Permanent when the content breaks off: what was read of it stays written."""
        entry = zipfile.ZipInfo(name, _MOMENT)
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = (stat.S_IFREG | 0o644) << 16
        digest, size = hashlib.sha256(), 0
        try:
            with self._zip.open(entry, "w", force_zip64=True) as into:
                while piece := content.read(PIECE_BYTES):
                    digest.update(piece)
                    size += len(piece)
                    into.write(piece)
        finally:
            self.files.append(Written(name, size, digest.hexdigest()))
        return self.files[-1]

    def close(self) -> None:
        self._zip.close()


class Reader:
    """A package that somebody has given us. Raises MalformedPackage for everything that is wrong with its shape."""

    def __init__(self, file: BinaryIO, most_bytes: int = TOTAL_MOST_BYTES) -> None:
        try:
            self._zip = zipfile.ZipFile(file)
            entries = self._zip.infolist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, OverflowError, MemoryError) as error:
            raise MalformedPackage(
                "Файл — не архив zip или обрывается: получите доказательный пакет заново", detail=str(error)
            ) from None
        if len(entries) > FILES_MOST:
            raise MalformedPackage(f"В архиве больше {FILES_MOST} файлов: это не доказательный пакет")
        self.entries: dict[str, zipfile.ZipInfo] = {}
        for one in entries:
            _refuse_odd(one)
            if self.entries.setdefault(one.filename, one) is not one:
                raise MalformedPackage(f"В архиве два файла {one.filename}: неясно, какой из них настоящий")
        if (size := sum(one.file_size for one in entries)) > most_bytes:
            raise MalformedPackage(
                f"Архив распаковывается в {size / 1024**3:.1f} ГБ: если такой пакет и ждали, укажите --most-gb"
            )

    def small(self, name: str, most: int = SMALL_MOST_BYTES) -> bytes:
        """A whole file. Raises MalformedPackage: there is none, it is too long, damaged."""
        entry = self.entries.get(name)
        if entry is None:
            raise MalformedPackage(f"В пакете нет файла {name}")
        if entry.file_size > most:
            raise MalformedPackage(f"Файл {name} больше, чем бывает: {entry.file_size} байт")
        return b"".join(self.pieces(name))

    def pieces(self, name: str) -> Iterator[bytes]:
        """The content, no more of it than the archive's own list says. Raises MalformedPackage when it is damaged."""
        entry = self.entries[name]
        left = entry.file_size
        try:
            with self._zip.open(entry) as file:
                while left and (piece := file.read(min(left, PIECE_BYTES))):
                    left -= len(piece)
                    yield piece
                if left or file.read(1):
                    raise MalformedPackage(f"Файл {name} не той длины, что в оглавлении архива")
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            OSError,
            ValueError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise MalformedPackage(f"Файл {name} в архиве повреждён", detail=str(error)) from None

    def digest(self, name: str) -> tuple[int, str]:
        """(length, sha256) of a file."""
        made, size = hashlib.sha256(), 0
        for piece in self.pieces(name):
            made.update(piece)
            size += len(piece)
        return size, made.hexdigest()

    def copy(self, name: str, into: IO[bytes]) -> None:
        """Write a file's content there."""
        for piece in self.pieces(name):
            into.write(piece)


def _refuse_odd(entry: zipfile.ZipInfo) -> None:
    name: Any = entry.filename
    shown = ascii(name)[:80]
    if getattr(entry, "orig_filename", name) != name or len(name) > _NAME_MOST or not _NAME.fullmatch(name):
        raise MalformedPackage(f"В архиве файл с недопустимым именем {shown}: в пакете таких не бывает")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if entry.flag_bits & 0x1 or kind not in (0, stat.S_IFREG) or entry.compress_type not in _METHODS:
        raise MalformedPackage(f"Файл {shown} зашифрован, сжат по-особому или это ссылка: в пакете таких не бывает")
