"""Watching code under test: what it logs and prints, and which files and sockets it touches."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any, Final

from structlog.testing import capture_logs


@contextlib.contextmanager
def overheard(seen: io.StringIO) -> Iterator[None]:
    """Collect everything that is logged or printed meanwhile."""
    handler = logging.StreamHandler(seen)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with contextlib.redirect_stdout(seen), contextlib.redirect_stderr(seen), capture_logs() as events:
            yield
        print(events, file=seen)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


_watching = threading.local()
_IO_EVENTS: Final = frozenset(
    {"open", "socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen", "os.listdir"}
)
_CODE_SUFFIXES: Final = (".py", ".pyc", ".so")


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """Note files opened and sockets used by this thread; Python's own imports do not count."""
    _install_hook()
    touched: list[str] = []
    _watching.touched = touched
    try:
        yield touched
    finally:
        _watching.touched = None


_hook_lock = threading.Lock()
_hook_installed = False


def _install_hook() -> None:
    """An audit hook cannot be removed, so there is one, and it sleeps unless this thread watches."""
    global _hook_installed
    with _hook_lock:
        if _hook_installed:
            return
        _hook_installed = True

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            touched = getattr(_watching, "touched", None)
            if touched is None or event not in _IO_EVENTS:
                return
            what = str(arguments[0] if event in ("open", "os.listdir") else arguments[1:])
            if event in ("open", "os.listdir") and (what.endswith(_CODE_SUFFIXES) or "site-packages" in what):
                return
            touched.append(f"{event} {what}")

        sys.addaudithook(hook)
