"""The worker of the plain stack: a task a message, XSLT to eight fields, one row, one commit.

    PLAIN_BROKER_URL=amqp://… PLAIN_DATABASE_URL=postgresql://… celery -A benchmarks.plain.tasks worker

Tuned fairly: results are ignored, events and gossip are off, the connection and the compiled style sheet live as long
as the process, a message is acknowledged after its commit and comes again when a worker was killed.
"""

from __future__ import annotations

import os
from typing import Any, Final

import psycopg
from celery import Celery
from celery.signals import worker_process_init
from lxml import etree

from benchmarks.load import STYLE

PREFETCH: Final = 2
"""Messages reserved a process: of 1, 2, 4 and 8 the best for it in our runs."""
CONNECTIONS: Final = 16

app = Celery("plain", broker=os.environ.get("PLAIN_BROKER_URL", "amqp://"), set_as_current=False)
app.conf.update(
    broker_pool_limit=CONNECTIONS,
    broker_transport_options={"confirm_publish": True},
    task_default_queue="w1",
    task_default_delivery_mode="persistent",
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_publish_retry=False,
    worker_prefetch_multiplier=PREFETCH,
    worker_send_task_events=False,
    worker_enable_remote_control=False,
    broker_connection_retry_on_startup=True,
)
_INSERT: Final = "INSERT INTO reg VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
_of_process: dict[str, Any] = {}


@worker_process_init.connect
def _open(**_: object) -> None:
    _of_process["database"] = psycopg.connect(os.environ["PLAIN_DATABASE_URL"], autocommit=True)
    _of_process["style"] = etree.XSLT(etree.parse(STYLE))


@app.task(name="plain.register")
def register(document: str) -> None:
    """One row of the table reg."""
    row = _of_process["style"](etree.fromstring(document.encode())).getroot()
    _of_process["database"].execute(_INSERT, [field.text for field in row])
