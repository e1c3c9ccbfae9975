"""Reading and writing by SFTP with many requests under way, each answer looked at.

Not paramiko's own `prefetch`: limited, it loses count of what it has asked for (memory grows, a read hangs). Not its
`set_pipelined` either: failures of writes are forgotten, and a failed write in the middle of a file is a hole that no
size shows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Final

import paramiko
from paramiko.sftp import CMD_DATA, CMD_READ, CMD_STATUS, CMD_WRITE, int64

PIECE_BYTES: Final = 32 * 1024
"""What every server takes in one packet."""
AHEAD_MOST: Final = 64
"""Requests under way: 2 MB, enough for 20 MB/s over a line of 100 ms."""


class Window:
    """Of one open file. Answers may come in any order."""

    def __init__(self, sftp: paramiko.SFTPClient, file: paramiko.SFTPFile) -> None:
        self._sftp: Any = sftp
        self._handle = file.handle
        self._waiting: deque[tuple[int, int, int]] = deque()
        self._answers: dict[int, tuple[int, Any]] = {}

    def blocks(self, size_bytes: int) -> Iterator[bytes]:
        """The file from its beginning; ends early where the server says that it ends."""
        asked = 0
        while self._waiting or asked < size_bytes:
            while asked < size_bytes and len(self._waiting) < AHEAD_MOST:
                asked += self._ask(asked, min(PIECE_BYTES, size_bytes - asked))
            _, offset, length = self._waiting[0]
            try:
                block = self._next()
            except EOFError:
                self._drop()
                return
            yield block
            if block and len(block) < length:  # a server may give less than it was asked for
                self._drop()
                asked = offset + len(block)

    def write(self, offset: int, block: bytes) -> None:
        """Send; raises what an earlier write has ended with."""
        for start in range(0, len(block), PIECE_BYTES):
            piece = block[start : start + PIECE_BYTES]
            number = self._sftp._async_request(self, CMD_WRITE, self._handle, int64(offset + start), piece)
            self._waiting.append((number, offset + start, len(piece)))
            if len(self._waiting) > AHEAD_MOST:
                self._next()

    def finish(self) -> None:
        """Wait for every answer. Raises what a write has ended with."""
        while self._waiting:
            self._next()

    def _ask(self, offset: int, length: int) -> int:
        number = self._sftp._async_request(self, CMD_READ, self._handle, int64(offset), length)
        self._waiting.append((number, offset, length))
        return length

    def _next(self) -> bytes:
        """The answer to the oldest request; b"" for a write."""
        number, _, _ = self._waiting.popleft()
        while number not in self._answers:
            self._sftp._read_response()
        kind, answer = self._answers.pop(number)
        if kind == CMD_STATUS:
            self._sftp._convert_status(answer)
            return b""
        if kind != CMD_DATA:
            raise ValueError("no data")
        return bytes(answer.get_string())

    def _drop(self) -> None:
        """Take the answers to what has been asked for in vain."""
        while self._waiting:
            try:
                self._next()
            except EOFError:
                continue

    def _async_response(self, kind: int, answer: Any, number: int) -> None:
        """Called by paramiko for each answer to a request of ours."""
        self._answers[number] = kind, answer
