"""Large bodies, stored once under their sha256: in a table up to a size, beyond it in a blob store (fsspec)."""

from __future__ import annotations

import hashlib
import os
import threading
import uuid
from dataclasses import dataclass
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import IO, Any, cast

import fsspec
import zstandard
from fsspec.implementations.local import LocalFileSystem

from core.database import Driver
from core.errors import Permanent, Retryable

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
"""How a packed body begins; a body that begins so by itself is packed too, whatever its length."""
PACKED_FROM_BYTES = 1024
INLINE_MOST_BYTES = 64 * 1024 * 1024
"""No inline body is longer, whatever the settings were when it was stored."""


class PayloadStore:
    """Content-addressed. `inline_bytes`: bodies up to it stay in their own row and never come here."""

    def __init__(self, blob_url: str, *, inline_bytes: int, blob_bytes: int) -> None:
        self.inline_bytes = inline_bytes
        self._blob_bytes = blob_bytes
        self._blob_url = blob_url

    def split(self, db: Driver, body: bytes | BufferedIOBase | None) -> tuple[bytes | None, str | None]:
        """(inline bytes, payload sha256): exactly one is set, both None for None.

        Inline bytes of some length are packed here, off the GIL, five times faster than PostgreSQL would do it.
        """
        if body is None:
            return None, None
        if not isinstance(body, bytes):
            return None, self.put_file(db, body)
        if len(body) > self.inline_bytes:
            return None, self.put(db, body)
        if len(body) >= PACKED_FROM_BYTES or body.startswith(ZSTD_MAGIC):
            return _zstd()[0].compress(body), None
        return body, None

    def join(self, db: Driver, inline: bytes | None, payload: str | None) -> bytes:
        """What `split` took apart. Raises Permanent when the bytes are damaged."""
        if payload:
            return self.get(db, payload)
        body = bytes(inline or b"")
        if not body.startswith(ZSTD_MAGIC):
            return body
        unpacked = _unpacked(body)
        if unpacked is None:
            raise Permanent("Содержимое сообщения повреждено в базе данных: восстановите его из резервной копии")
        return unpacked

    def put(self, db: Driver, body: bytes) -> str:
        """Store in the caller's transaction; the sha256 in hex. The blob is on disk before the row is committed."""
        sha256 = hashlib.sha256(body).hexdigest()
        if db.execute("SELECT 1 FROM bus.payload WHERE sha256 = %s", (sha256,)).fetchone():
            return sha256
        packed = zstandard.compress(body, 3)
        blob = None
        if len(body) > self._blob_bytes:
            blob, packed = self._write_blob(sha256, packed), b""
        db.execute(
            "INSERT INTO bus.payload (sha256, size_bytes, codec, data, blob) VALUES (%s, %s, 'zstd', %s, %s) "
            "ON CONFLICT DO NOTHING",
            (sha256, len(body), packed or None, blob),
        )
        return sha256

    def put_file(self, db: Driver, file: BufferedIOBase) -> str:
        """The same for what is too long for memory: packed into a blob piece by piece."""
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if db.execute("SELECT 1 FROM bus.payload WHERE sha256 = %s", (sha256,)).fetchone():
            return sha256
        size = file.tell()
        blob = self._write_blob(sha256, _Packing(file, size))
        db.execute(
            "INSERT INTO bus.payload (sha256, size_bytes, codec, data, blob) VALUES (%s, %s, 'zstd', NULL, %s) "
            "ON CONFLICT DO NOTHING",
            (sha256, size, blob),
        )
        return sha256

    def get(self, db: Driver, sha256: str) -> bytes:
        """Raises Permanent when it is gone or damaged."""
        row = db.execute("SELECT size_bytes, data, blob FROM bus.payload WHERE sha256 = %s", (sha256,)).fetchone()
        if row is None:
            raise Permanent(f"Содержимое {sha256[:12]}… удалено по сроку хранения: восстановите его из резервной копии")
        size_bytes, data, blob = row
        packed = bytes(data) if data is not None else self._read_blob(blob)
        body = _unpacked(packed, size_bytes)
        if body is None or hashlib.sha256(body).hexdigest() != sha256:
            raise Permanent(f"Содержимое {sha256[:12]}… повреждено на диске: восстановите его из резервной копии")
        return body

    def open(self, db: Driver, sha256: str) -> BufferedIOBase:
        """The content as a stream; memory does not grow with it. Raises Permanent when it is gone."""
        row = db.execute("SELECT blob FROM bus.payload WHERE sha256 = %s", (sha256,)).fetchone()
        if row is None or row[0] is None:
            return BytesIO(self.get(db, sha256))
        files, root = self._open()
        try:
            packed = files.open(f"{root}/{row[0]}", "rb")
        except OSError as error:
            raise _not_readable(error) from error
        stream = zstandard.ZstdDecompressor().stream_reader(packed, closefd=True)
        return cast("BufferedIOBase", stream)

    def _open(self) -> tuple[Any, str]:
        # fsspec keeps one file system a thread: theirs are not safe to share.
        files, root = fsspec.core.url_to_fs(self._blob_url)
        return files, str(root)

    def _write_blob(self, sha256: str, packed: bytes | _Packing) -> str:
        files, root = self._open()
        path = f"{sha256[:2]}/{sha256}.zst"
        try:
            if isinstance(files, LocalFileSystem):
                _write_durably(Path(root) / path, packed)
            elif isinstance(packed, bytes):
                files.pipe_file(f"{root}/{path}", packed)  # an object appears whole or not at all
            else:
                with files.open(f"{root}/{path}", "wb") as stream:
                    packed.into(stream)
        except OSError as error:
            raise Retryable(
                "Хранилище вложений не принимает запись: проверьте место на диске и права на папку blobs",
                detail=str(error),
            ) from error
        return path

    def _read_blob(self, path: str) -> bytes:
        files, root = self._open()
        try:
            with files.open(f"{root}/{path}", "rb") as stream:
                return bytes(stream.read())
        except OSError as error:
            raise _not_readable(error) from error


def _not_readable(error: OSError) -> Retryable:
    return Retryable("Хранилище вложений не отдаёт файл: проверьте, что папка blobs подключена", detail=str(error))


_local = threading.local()


def _zstd() -> tuple[zstandard.ZstdCompressor, zstandard.ZstdDecompressor]:
    """This thread's contexts: making one costs more than packing a small body."""
    try:
        return _local.zstd  # type: ignore[no-any-return]
    except AttributeError:
        _local.zstd = zstandard.ZstdCompressor(level=1), zstandard.ZstdDecompressor()
        return _local.zstd  # type: ignore[no-any-return]


def _unpacked(packed: bytes, size_bytes: int | None = None) -> bytes | None:
    """The body; None when the bytes are damaged. A damaged header must not make us reserve memory for its lies."""
    try:
        told = zstandard.get_frame_parameters(packed).content_size
        if told != size_bytes and (size_bytes is not None or told > INLINE_MOST_BYTES):
            return None
        size_bytes = told
        return _zstd()[1].decompress(packed, max_output_size=size_bytes)
    except zstandard.ZstdError:
        return None


@dataclass(frozen=True, slots=True)
class _Packing:
    """A file on its way to be packed, with its length in bytes."""

    file: BufferedIOBase
    size_bytes: int

    def into(self, stream: Any) -> None:
        self.file.seek(0)
        zstandard.ZstdCompressor(level=3).copy_stream(cast("IO[bytes]", self.file), stream, size=self.size_bytes)


def _write_durably(path: Path, packed: bytes | _Packing) -> None:
    """Under a temporary name, flushed to the disk, then renamed: no half-written blob, none lost with the power."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as stream:
            if isinstance(packed, bytes):
                stream.write(packed)
            else:
                packed.into(stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
