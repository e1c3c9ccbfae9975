"""The peer of the bus benchmark: one Celery task a message, lxml, one commit each. Run as a process of its own.

    python -m benchmarks.peer DATABASE_URL

It starts from where the bus starts: messages that are journaled already. A task takes the body of one from the
journal, transforms it, writes the row and marks the message as handled, in one commit. All tasks are queued first
(that is not measured); then it prints a line, works them off and ends.
"""

from __future__ import annotations

import sys
import threading
import time
import warnings
from typing import Any

import sqlalchemy as sa
import zstandard
from celery import Celery
from celery.worker import WorkController
from lxml import etree

from benchmarks.bus import WORKERS, Row
from benchmarks.sample import STYLE

_TAKE = sa.text("""
    SELECT m.id, m.body FROM bus.entry e JOIN bus.message m USING (seq)
    WHERE e.seq = :seq AND e.state = 'ready' FOR UPDATE OF e
""")
_DONE = sa.text("UPDATE bus.entry SET state = 'handled', changed_at = now() WHERE seq = :seq")
_ALL = sa.text("SELECT seq FROM bus.entry WHERE queue = 'bench.bus' AND state = 'ready' ORDER BY seq")


def main(url: str) -> None:
    """See the module."""
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    app = Celery("peer", broker="memory://")
    app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=64, worker_hijack_root_logger=False)
    app.conf.broker_transport_options = {"polling_interval": 0.001}
    local = threading.local()
    done = threading.Semaphore(0)

    @app.task(name="peer.handle")
    def handle(seq: int) -> None:
        if not hasattr(local, "style"):
            local.style = etree.XSLT(etree.parse(STYLE))
        with engine.begin() as connection:
            message_id, packed = connection.execute(_TAKE, {"seq": seq}).one()
            made = local.style(etree.fromstring(zstandard.decompress(packed))).getroot()
            fields = {child.tag: child.text for child in made}
            connection.execute(sa.insert(Row).values(message_id=message_id, **fields))
            connection.execute(_DONE, {"seq": seq})
        done.release()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        worker: Any = WorkController(
            app=app, pool_cls="threads", concurrency=WORKERS, without_mingle=True, without_gossip=True,
            without_heartbeat=True, quiet=True,
        )  # fmt: skip
    with engine.begin() as connection:
        waiting = connection.execute(_ALL).scalars().all()
    for seq in waiting:
        app.send_task("peer.handle", args=(seq,))
    print("ready", flush=True)
    threading.Thread(target=worker.start, daemon=True).start()
    for _ in waiting:
        done.acquire()
    time.sleep(0.1)


if __name__ == "__main__":
    main(sys.argv[1])
