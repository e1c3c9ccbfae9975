"""Large bodies, stored once under their sha256: in a table up to a size, beyond it in a blob store (fsspec).

Who stores or names a payload holds its row until his own transaction ends (`put`, `keep`): the collection of what
nobody names any more (core.garbage) never takes a row that is held, and looks at the references anew once it holds
the row itself.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from io import SEEK_END, BufferedIOBase, BufferedReader, BytesIO, RawIOBase
from typing import IO, Any, Final, cast

import zstandard

from core.blobs import Blobs, not_readable
from core.database import Driver
from core.errors import Permanent, Retryable

ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
"""How a packed body begins; a body that begins so by itself is packed too, whatever its length."""
PACKED_FROM_BYTES: Final = 1024
INLINE_MOST_BYTES: Final = 64 * 1024 * 1024
"""No inline body is longer, whatever the settings were when it was stored."""
PIECE_BYTES: Final = 1024 * 1024
"""How much of a stream is in memory at once."""
REMOVED: Final = "removed:"
"""In place of a payload's sha256: `removed:<sha256>` of what was taken away when its term was over."""


class PayloadStore:
    """Content-addressed. `inline_bytes`: bodies up to it stay in their own row and never come here."""

    def __init__(self, blob_url: str, *, inline_bytes: int, blob_bytes: int) -> None:
        self.inline_bytes = inline_bytes
        self.blobs = Blobs(blob_url)
        self._blob_bytes = blob_bytes

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
        """What `split` took apart. Raises Permanent when the bytes are gone or damaged."""
        return self.get(db, payload) if payload else unpacked(bytes(inline or b""))

    def put(self, db: Driver, body: bytes) -> str:
        """Store in the caller's transaction; the sha256 in hex. The blob is on disk before the row is committed."""
        sha256 = hashlib.sha256(body).hexdigest()
        if self._held(db, sha256):
            return sha256
        packed = zstandard.compress(body, 3)
        if len(body) <= self._blob_bytes:
            self._add(db, sha256, len(body), len(packed), packed, None)
        else:
            blob, packed_bytes, _ = self.blobs.write(lambda file: file.write(packed))
            self._add(db, sha256, len(body), packed_bytes, None, blob)
        return sha256

    def put_file(self, db: Driver, file: BufferedIOBase) -> str:
        """The same for what is too long for memory: read once, packed into a blob piece by piece."""
        blob, packed_bytes, (sha256, size_bytes) = self.blobs.write(lambda into: _pack(file, into))
        if self._held(db, sha256):
            self.blobs.delete(blob)
        else:
            self._add(db, sha256, size_bytes, packed_bytes, None, blob)
        return sha256

    def keep(self, db: Driver, sha256: str) -> None:
        """Hold what another row of the caller's transaction is going to name. Raises Permanent when it is gone."""
        if not self._held(db, sha256):
            raise _gone(sha256)

    def _held(self, db: Driver, sha256: str) -> bool:
        row = db.execute("SELECT 1 FROM bus.payload WHERE sha256 = %s FOR KEY SHARE", (sha256,)).fetchone()
        return row is not None

    def _add(
        self, db: Driver, sha256: str, size_bytes: int, packed_bytes: int, data: bytes | None, blob: str | None
    ) -> None:
        while True:
            added = db.execute(
                "INSERT INTO bus.payload (sha256, size_bytes, packed_bytes, codec, data, blob) "
                "VALUES (%s, %s, %s, 'zstd', %s, %s) ON CONFLICT DO NOTHING",
                (sha256, size_bytes, packed_bytes, data, blob),
            )
            if added.rowcount:
                return
            if self._held(db, sha256):  # another transaction was first
                break
        if blob:
            self.blobs.delete(blob)

    def get(self, db: Driver, sha256: str) -> bytes:
        """Raises Permanent when it is gone or damaged."""
        row = db.execute("SELECT size_bytes, data, blob FROM bus.payload WHERE sha256 = %s", (sha256,)).fetchone()
        if row is None:
            raise _gone(sha256)
        size_bytes, data, blob = row
        packed = bytes(data) if data is not None else self.blobs.read(blob)
        body = _unpacked(packed, size_bytes)
        if body is None or hashlib.sha256(body).hexdigest() != sha256:
            raise _damaged(sha256)
        return body

    def open(self, db: Driver, sha256: str) -> BufferedIOBase:
        """The content as a stream; memory does not grow with it. Raises Permanent when it is gone.

        Whoever reads it to its end knows that it is whole: the last piece of a damaged content is never handed out,
        `read` raises Permanent instead.
        """
        row = db.execute("SELECT size_bytes, blob FROM bus.payload WHERE sha256 = %s", (sha256,)).fetchone()
        if row is None or row[1] is None:
            return BytesIO(self.get(db, sha256))
        return BufferedReader(_Checked(self.blobs.open(row[1]), sha256, row[0]), PIECE_BYTES)


def unpacked(body: bytes) -> bytes:
    """The content of an inline body. Raises Permanent when the bytes are damaged."""
    if not body.startswith(ZSTD_MAGIC):
        return body
    content = _unpacked(body)
    if content is None:
        raise Permanent("Содержимое сообщения повреждено в базе данных: восстановите его из резервной копии")
    return content


class _Checked(RawIOBase):
    """A packed file, unpacked as it is read, and its sha256 and length compared before the last piece is given."""

    def __init__(self, packed: IO[bytes], sha256: str, size_bytes: int) -> None:
        self._stream: Any = zstandard.ZstdDecompressor().stream_reader(packed, closefd=True)
        self._sha256 = sha256
        self._left = size_bytes
        self._digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            return 0
        try:
            count: int = self._stream.readinto(memoryview(buffer)[: self._left])
        except zstandard.ZstdError:
            raise _damaged(self._sha256) from None
        except OSError as error:
            raise not_readable(error) from error
        self._digest.update(memoryview(buffer)[:count])
        self._left -= count
        if not count or (not self._left and self._digest.hexdigest() != self._sha256):
            raise _damaged(self._sha256)
        return count

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


def _gone(sha256: str) -> Permanent:
    name = sha256.removeprefix(REMOVED)[:12]
    return Permanent(f"Содержимое {name}… удалено по сроку хранения: восстановите его из резервной копии")


def _damaged(sha256: str) -> Permanent:
    return Permanent(f"Содержимое {sha256[:12]}… повреждено на диске: восстановите его из резервной копии")


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


@dataclass(slots=True)
class _Hashing:
    """What zstandard reads from: tells the sha256 of what it has read."""

    file: BufferedIOBase
    digest: Any

    def read(self, size: int) -> bytes:
        piece = self.file.read(size)
        self.digest.update(piece)
        return piece


def _pack(file: BufferedIOBase, into: IO[bytes]) -> tuple[str, int]:
    """(sha256, length in bytes) of what was packed. Raises Retryable when the file changes under our hands."""
    size_bytes = file.seek(0, SEEK_END)
    file.seek(0)
    reading = _Hashing(file, hashlib.sha256())
    packing = zstandard.ZstdCompressor(level=3)
    try:
        packing.copy_stream(
            cast("IO[bytes]", reading), into, size=size_bytes, read_size=PIECE_BYTES, write_size=PIECE_BYTES
        )
    except zstandard.ZstdError as error:
        raise Retryable("Файл вложения изменился, пока его читали: шина повторит", detail=str(error)) from error
    return reading.digest.hexdigest(), size_bytes
