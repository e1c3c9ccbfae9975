"""Named steps of a message's way at which a test can kill the process, as a power cut would.

    _COMMITTED = crash_point("accept.committed", "журнал зафиксирован, источник ещё не знает")
    ...
    _COMMITTED()        # costs a comparison, unless OMSBUS_CRASH_AT=accept.committed is set

`OMSBUS_CRASH_AT="name"` kills the process (SIGKILL: no clean-up, no goodbye) the first time that it passes the point,
`"name#3"` the third time. The variable is for tests on scratch databases; `omsbus selftest` sets it.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable
from typing import Final

VARIABLE: Final = "OMSBUS_CRASH_AT"
POINTS: Final[dict[str, str]] = {}
"""Name → what has happened by then, in Russian. Complete once the modules that have points are imported."""

_armed, _, _times = os.environ.get(VARIABLE, "").partition("#")
_passes = itertools.count(1)


def crash_point(name: str, meaning: str) -> Callable[[], None]:
    """Declare a point; the function that is called when the process passes it."""
    POINTS[name] = meaning
    return _die if name == _armed else _pass


def _pass() -> None:
    pass


def _die() -> None:
    if next(_passes) == int(_times or 1):
        os.kill(os.getpid(), signal.SIGKILL)
