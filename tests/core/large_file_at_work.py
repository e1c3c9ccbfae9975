"""A child of test_large_files: takes one message with a large attachment in, passes it on, sends it, and tells the
sha256 of what came out and its own greatest memory.

python large_file_at_work.py DATABASE_URL DATA_DIR SIZE_BYTES
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Iterator, Sequence
from io import SEEK_END, SEEK_SET, BufferedIOBase
from pathlib import Path
from typing import Any

from core.bus import Bus
from core.connector import Delivery, Prepared, Receipt
from core.message import Attachment, Message
from core.route import Context, Route
from core.settings import Settings

PIECE = 1 << 20
_POOL = [random.Random(n).randbytes(PIECE) for n in range(16)]
"""Repeats farther apart than the packer looks back, so that nothing gets smaller."""


class Invented(BufferedIOBase):
    """A file of so many bytes that lies nowhere."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._at = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        self._at = self._size + offset if whence == SEEK_END else offset
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            raise AssertionError("nobody may read it whole")
        place, within = divmod(self._at, PIECE)
        head = place.to_bytes(8)
        piece = (head + _POOL[place % len(_POOL)][8:])[within : within + min(size, self._size - self._at)]
        self._at += len(piece)
        return piece


class Far:
    """The sink: reads the attachment to its end."""

    name = "far"

    def __init__(self) -> None:
        self.sources: dict[str, Any] = {}
        self.sinks = {"far": self}
        self.came_out = ""

    def open(self) -> None:
        pass

    close = open

    def check(self) -> str:
        return ""

    def prepare(self, message: Message) -> Prepared:
        return Prepared("out")

    def send(self, message: Message, prepared: Prepared, *, repeated: bool) -> Receipt:
        [attachment] = message.attachments
        assert attachment.open is not None
        with attachment.open() as content:
            self.came_out = hashlib.file_digest(content, "sha256").hexdigest()
        return Receipt("Принято")


class Offered:
    """The delivery."""

    problem = None

    def __init__(self, message: Message) -> None:
        self.message = message

    def ack(self) -> None:
        pass

    def reject(self, reason: Any) -> None:
        raise AssertionError(reason)


def _greatest_memory() -> int:
    """Bytes; of this program alone (`getrusage` counts that of the parent before exec)."""
    [line] = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def main(database_url: str, data_dir: str, size: int) -> None:
    """Prints one line of JSON."""
    route = Route("t.work", title="Работа")

    @route.handler
    def pass_on(_body: Any, context: Context) -> Iterator[Message]:
        yield context.message.but(queue="far")

    far = Far()
    settings = Settings(database_url=database_url, data_dir=Path(data_dir), disk_free_least_bytes=0)
    with Bus.open(settings, [route], [far]) as bus:
        before = _greatest_memory()
        attachment = Attachment("большой.bin", open=lambda: Invented(size))
        offers: Sequence[Delivery] = [Offered(Message("t.work", b"{}", attachments=(attachment,)))]
        bus.engine.accept(offers)
        while bus.engine.drain("t.work", 10) or bus.engine.drain("far", 10):
            pass
        after = _greatest_memory()
        with Invented(size) as went_in:
            digest = hashlib.sha256()
            while piece := went_in.read(PIECE):
                digest.update(piece)
    print(
        json.dumps(
            {
                "same": far.came_out == digest.hexdigest(),
                "before_bytes": before,
                "most_bytes": after,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
