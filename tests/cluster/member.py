"""A worker of a cluster, for the tests to kill: `python member.py SETTINGS_AS_JSON`; says "at work" when it is.

Its one route writes who handled what into t.effect. A body "slow/…" takes its time, so that a batch can be hit in
the middle.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import Any

import psycopg
import sqlalchemy as sa

from core.bus import Bus
from core.route import Context, Route
from core.settings import Settings

SCHEMA = "CREATE SCHEMA t; CREATE TABLE t.effect (n bigserial, text text, pid int); CREATE TABLE t.begun (pid int)"
SLOW_S = 0.02
_where: list[str] = []
"""URL of the database, until the first slow message."""

route = Route("t.work", title="Работа", concurrency=2)


@route.handler
def work(_body: Any, context: Context) -> None:
    """One row a message, and the name of the process."""
    text = context.message.body.decode()
    if text.startswith("slow/"):
        _say_begun()
        time.sleep(SLOW_S)
    context.db.execute(
        sa.text("INSERT INTO t.effect (text, pid) VALUES (:text, :pid)"), {"text": text, "pid": os.getpid()}
    )


def _say_begun() -> None:
    """Outside of the transaction, so that the test sees it before the commit; once a process."""
    if _where:
        with psycopg.connect(_where.pop(), autocommit=True) as connection:
            connection.execute("INSERT INTO t.begun (pid) VALUES (%s)", (os.getpid(),))


def main() -> None:
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    settings = Settings(**json.loads(sys.argv[1]))
    _where.append(str(settings.database_url))
    with Bus.open(settings, [route], []) as bus:
        bus.start(intake=False, work=True, schedule=False)
        print("at work", flush=True)
        bus.until(stopping)
    print("ended", flush=True)


if __name__ == "__main__":
    main()
