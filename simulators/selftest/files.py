"""Senders of the self-test that bring files: whole ones, half-written ones, the same one again."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

from simulators.selftest import cargo
from simulators.selftest.load import Load, Sent

EVERY_S = 1.0
PIECES = 4


class FileTraffic:
    """Puts a file into the inbox every EVERY_S. A file that has left the inbox counts as acknowledged."""

    def __init__(self, inbox: Path, load: Load, *, seed: int, settle_s: float, sinks: tuple[str, ...]) -> None:
        self._inbox = inbox
        self._load = load
        self._seed = seed
        self._settle_s = settle_s
        self._sinks = sinks
        self._put: dict[str, Sent] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="files", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def note_taken(self) -> None:
        """Whatever is no longer in the inbox has been taken, and must be in the journal."""
        for name, sent in list(self._put.items()):
            if not sent.accepted and not (self._inbox / name).exists():
                sent.accepted = time.time()

    def slowly(self, dice: random.Random) -> str:
        """Write a file in pieces, with pauses shorter than the time after which a file counts as settled."""
        name, sent = self._new()
        body = sent.cargo.body
        step = len(body) // PIECES + 1
        with (self._inbox / name).open("wb", buffering=0) as file:
            for start in range(0, len(body), step):
                file.write(body[start : start + step])
                time.sleep(self._settle_s * dice.uniform(0.2, 0.6))
        self._put[name] = sent
        return name

    def again(self, dice: random.Random) -> str:
        """Put a file that was taken once more, same name and content; its name, "" when none was taken yet."""
        self.note_taken()
        taken = [name for name, sent in list(self._put.items()) if sent.accepted]
        if not taken:
            return ""
        name = dice.choice(taken)
        _put(self._inbox / name, self._put[name].cargo.body)
        return name

    def _run(self) -> None:
        while not self._stopping.wait(EVERY_S):
            name, sent = self._new()
            _put(self._inbox / name, sent.cargo.body)
            self._put[name] = sent
            self.note_taken()

    def _new(self) -> tuple[str, Sent]:
        n = self._load.next_number()
        sent = Sent(cargo.make(self._seed, n, sinks=self._sinks), time.time(), channel="file")
        with self._load.account.lock:
            self._load.account.sent[n] = sent
        return f"file-{n}.json", sent


def _put(path: Path, body: bytes) -> None:
    """Whole or not at all, as a decent sender does."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(body)
    temporary.replace(path)
