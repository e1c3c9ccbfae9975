"""What a source remembers of the files it has seen: who is still being written, who is left alone for a while.

Only in memory: a new process looks anew, and the journal absorbs what it takes again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.files.client import Entry

REST_FIRST_S: Final = 30.0
REST_MOST_S: Final = 600.0


@dataclass(slots=True)
class _Rest:
    mark: str
    until: float
    pause_s: float
    told: bool = False


class Looks:
    """Of one folder, by the names as they came."""

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._seen: dict[bytes, tuple[str | None, float]] = {}
        self._rests: dict[bytes, _Rest] = {}

    def settled(self, entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
        """(files that did not change for settle_s, files that may still be written). Two looks at least, unless
        settle_s is 0."""
        now = time.monotonic()
        seen: dict[bytes, tuple[str | None, float]] = {}
        done: list[Entry] = []
        waiting: list[Entry] = []
        for one in entries:
            mark, since = self._seen.get(one.raw, (None, now))
            if mark != one.mark:
                since = now
            seen[one.raw] = (one.mark, since)
            fresh = mark != one.mark and self._settle_s > 0
            (waiting if fresh or now - since < self._settle_s else done).append(one)
        self._seen = seen
        return done, waiting

    def forget(self, one: Entry) -> None:
        """Begin to look at it anew: it has changed."""
        self._seen.pop(one.raw, None)

    def awake(self, entries: Iterable[Entry]) -> list[Entry]:
        """Without those that rest."""
        now = time.monotonic()
        return [one for one in entries if not ((rest := self._of(one)) and rest.until > now)]

    def rest(self, one: Entry, *, told: bool = False) -> None:
        """Leave this file, as it is now, alone for a while, every time longer. told: its reason is in the journal."""
        earlier = self._of(one)
        pause_s = min(earlier.pause_s * 2, REST_MOST_S) if earlier else REST_FIRST_S
        told = told or bool(earlier and earlier.told)
        self._rests[one.raw] = _Rest(one.mark, time.monotonic() + pause_s, pause_s, told)

    def told(self, one: Entry) -> bool:
        """Is the reason why this file can't be taken in the journal already?"""
        rest = self._of(one)
        return rest is not None and rest.told

    def keep_only(self, entries: Iterable[Entry]) -> None:
        """Forget the rests of files that are gone."""
        there = {one.raw for one in entries}
        self._rests = {raw: rest for raw, rest in self._rests.items() if raw in there}

    def _of(self, one: Entry) -> _Rest | None:
        rest = self._rests.get(one.raw)
        return rest if rest and rest.mark == one.mark else None
