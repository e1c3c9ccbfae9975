"""A far side that keeps files: what is done with it, whatever the transport. Knows nothing of the bus.

`folder` is relative to the root of the far side as the settings name it, `name` is one file's name, judged by names.py.
Every call raises Unavailable (away, or its answer makes no sense: the connection is of no use any more), ConfigError
(login or certificate refused), Absent or Refused; no other error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Final, Literal, Protocol

BLOCK_BYTES: Final = 256 * 1024
LIST_MOST: Final = 200_000
"""Entries of a folder that are looked at."""
LISTING_MOST_BYTES: Final = 32 * 1024 * 1024
LINE_MOST_BYTES: Final = 4096

What = Literal["file", "folder", "link", "other"]


class Absent(Exception):
    """There is no such file (any more)."""


class Refused(Exception):
    """The far side will not do this with this file; its words are the argument. of_name: it is the name it dislikes."""

    def __init__(self, words: str, *, of_name: bool = False) -> None:
        super().__init__(words)
        self.of_name = of_name


class TooLong(Exception):
    """Raised by a taker of blocks to end a transfer."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the far side says of one name.

    modified_s  seconds since 1970 by the far side's clock; None when it does not say
    mark        changes when the file changes, as far as the far side shows it; "" → ask `stat`
    problem     not "": the name can't be used, why (Russian); `name` is then only to be shown
    raw         the name as it came
    """

    name: str
    raw: bytes
    what: What
    size_bytes: int = 0
    modified_s: float | None = None
    mark: str = ""
    problem: str = ""


class Client(Protocol):
    """One connection. Not to be shared by threads."""

    def listing(self, folder: str) -> list[Entry]:
        """Everything in a folder but `.` and `..`, in no order. Absent: there is no such folder."""

    def stat(self, folder: str, name: str) -> Entry:
        """One file as it is now; links are not followed where the transport can tell."""

    def fetch(self, folder: str, name: str, take: Callable[[bytes], None]) -> None:
        """Give the file's octets, block by block. TooLong from `take` passes through; the connection is then lost."""

    def write(self, folder: str, name: str, content: BinaryIO) -> None:
        """Put a file from the stream's place on; an older one of this name is overwritten. Durable where we can."""

    def rename(self, folder: str, name: str, to_folder: str, to_name: str) -> None:
        """In one step. The caller has made sure that nothing of the new name is there."""

    def delete(self, folder: str, name: str) -> None:
        """Absent when it is gone already."""

    def make_folder(self, folder: str) -> None:
        """With all above it; one that exists is fine."""

    def alive(self) -> bool:
        """Is an idle connection still good? Raises nothing."""

    def close(self) -> None:
        """Raises nothing."""
