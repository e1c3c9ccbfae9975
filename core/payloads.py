"""Large bodies, stored once under their sha256: in a table up to a size, beyond it in a blob store (fsspec)."""

from __future__ import annotations

import hashlib
from typing import Any

import fsspec
import zstandard

from core.database import Driver
from core.errors import Permanent, Retryable


class PayloadStore:
    """Content-addressed. `inline_bytes`: bodies up to it stay in their own row and never come here."""

    def __init__(self, blob_url: str, *, inline_bytes: int, blob_bytes: int) -> None:
        self.inline_bytes = inline_bytes
        self._blob_bytes = blob_bytes
        self._blob_url = blob_url
        self._files: Any = None

    def split(self, db: Driver, body: bytes | None) -> tuple[bytes | None, str | None]:
        """(inline bytes, payload sha256): exactly one is set, both None for None."""
        if body is None or len(body) <= self.inline_bytes:
            return body, None
        return None, self.put(db, body)

    def join(self, db: Driver, inline: bytes | None, payload: str | None) -> bytes:
        """What `split` took apart."""
        return self.get(db, payload) if payload else bytes(inline or b"")

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

    def get(self, db: Driver, sha256: str) -> bytes:
        """Raises Permanent when it is gone or damaged."""
        row = db.execute("SELECT size_bytes, data, blob FROM bus.payload WHERE sha256 = %s", (sha256,)).fetchone()
        if row is None:
            raise Permanent(f"Содержимое {sha256[:12]}… удалено по сроку хранения: восстановите его из резервной копии")
        size_bytes, data, blob = row
        packed = bytes(data) if data is not None else self._read_blob(blob)
        body = zstandard.ZstdDecompressor().decompress(packed, max_output_size=size_bytes)
        if hashlib.sha256(body).hexdigest() != sha256:
            raise Permanent(f"Содержимое {sha256[:12]}… повреждено на диске: восстановите его из резервной копии")
        return body

    def _open(self) -> tuple[Any, str]:
        if self._files is None:
            self._files = fsspec.core.url_to_fs(self._blob_url, auto_mkdir=True)
        files, root = self._files
        return files, str(root)

    def _write_blob(self, sha256: str, packed: bytes) -> str:
        files, root = self._open()
        path = f"{sha256[:2]}/{sha256}.zst"
        try:
            # A transaction of fsspec writes under a temporary name, then renames: no half-written blob.
            with files.transaction, files.open(f"{root}/{path}", "wb") as stream:
                stream.write(packed)
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
            raise Retryable(
                "Хранилище вложений не отдаёт файл: проверьте, что папка blobs подключена", detail=str(error)
            ) from error
