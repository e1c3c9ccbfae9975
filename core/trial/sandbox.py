"""The parent's side of the child process: starts it, waits so long and no longer, kills it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from typing import Final

from core.errors import ConfigError
from core.settings import HOUSE
from core.trial.candidate import Candidate
from core.trial.child import FRAME_MOST_BYTES, write_frame

START_MOST_S: Final = 20.0
"""For the start of Python and for compiling what was uploaded."""
DOCUMENT_MOST_S: Final = 5.0
_HEAD: Final = 4


class Broke(Exception):
    """The child did not answer in time, or died. The argument says which, in Russian."""


class Sandbox:
    """One child for one candidate, started at the first use and again after it broke. Not thread-safe."""

    def __init__(self, candidate: Candidate, *, document_most_s: float = DOCUMENT_MOST_S) -> None:
        self._setup = json.dumps(
            {
                "files": {name: base64.b64encode(octets).decode() for name, octets in candidate.files.items()},
                "schema": candidate.schema,
                "transform": candidate.transform,
            }
        ).encode()
        self._document_most_s = document_most_s
        self._child: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        """Start the child. Raises ConfigError when what was uploaded does not compile, or not in time."""
        self.close()
        # Nothing of our environment: it names secrets.
        self._child = subprocess.Popen(
            [sys.executable, "-m", "core.trial.child"],
            cwd=HOUSE,
            env={"PYTHONPATH": str(HOUSE), "PATH": os.defpath, "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            reason = self._ask(self._setup, START_MOST_S).decode("utf-8", "replace")
        except Broke as error:
            raise ConfigError(f"Загруженное не компилируется: {error}") from None
        if reason:
            self.close()
            raise ConfigError(reason)

    def apply(self, document: bytes) -> dict[str, str]:
        """See core.trial.child.answer. Raises Broke; the next document gets a new child."""
        if self._child is None:
            try:
                self.open()
            except ConfigError as error:
                raise Broke(error.reason) from None
        answered = json.loads(self._ask(document, self._document_most_s))
        return {str(name): str(value) for name, value in answered.items()}

    def close(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
        child.wait()

    def _ask(self, content: bytes, most_s: float) -> bytes:
        assert self._child
        assert self._child.stdin
        assert self._child.stdout
        ends = time.monotonic() + most_s
        try:
            write_frame(self._child.stdin, content)  # the child reads a whole frame before it does anything
            length = int.from_bytes(self._read(_HEAD, ends), "big")
            if length > FRAME_MOST_BYTES:
                raise Broke("ответ без меры")
            return self._read(length, ends)
        except OSError:
            self.close()
            raise Broke(_DIED) from None
        except Broke:
            self.close()
            raise

    def _read(self, length: int, ends: float) -> bytes:
        assert self._child
        assert self._child.stdout
        pieces, left = [], length
        with selectors.DefaultSelector() as ready:
            ready.register(self._child.stdout, selectors.EVENT_READ)
            while left:
                if not ready.select(max(0.0, ends - time.monotonic())):
                    raise Broke(f"не уложилось в отведённое время ({self._document_most_s:g} с на документ)")
                piece = os.read(self._child.stdout.fileno(), min(left, 1 << 20))
                if not piece:
                    raise Broke(_DIED)
                pieces.append(piece)
                left -= len(piece)
        return b"".join(pieces)


_DIED: Final = "не хватило памяти (1 ГБ) или времени процессора, процесс остановлен"
