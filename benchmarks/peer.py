"""The peer of the bus benchmark: one Celery task a message, lxml, one commit each. Run as a process of its own.

    python -m benchmarks.peer DATABASE_URL MESSAGES

It first queues all messages (that is not measured), prints a line, then works them off and ends.
"""

from __future__ import annotations

import sys
import threading
import time
import warnings
from typing import Any

import sqlalchemy as sa
from celery import Celery
from celery.worker import WorkController
from lxml import etree

from benchmarks.bus import WORKERS, Row
from benchmarks.sample import STYLE, document


def main(url: str, messages: int) -> None:
    """See the module."""
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    app = Celery("peer", broker="memory://")
    app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=64, worker_hijack_root_logger=False)
    app.conf.broker_transport_options = {"polling_interval": 0.001}
    local = threading.local()
    done = threading.Semaphore(0)

    @app.task(name="peer.handle")
    def handle(body: str) -> None:
        if not hasattr(local, "style"):
            local.style = etree.XSLT(etree.parse(STYLE))
        made = local.style(etree.fromstring(body.encode())).getroot()
        with engine.begin() as connection:
            connection.execute(sa.insert(Row).values({child.tag: child.text for child in made}))
        done.release()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        worker: Any = WorkController(
            app=app, pool_cls="threads", concurrency=WORKERS, without_mingle=True, without_gossip=True,
            without_heartbeat=True, quiet=True,
        )  # fmt: skip
    for number in range(messages):
        app.send_task("peer.handle", args=(document(number).decode(),))
    print("ready", flush=True)
    threading.Thread(target=worker.start, daemon=True).start()
    for _ in range(messages):
        done.acquire()
    time.sleep(0.1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
