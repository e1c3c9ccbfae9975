"""Large bodies and attachments against their names: each content in the store is called by its sha256.

A row names such a content by that sha256 and is sealed with it, so a content that agrees with its name is the one that
was sealed. Reading all of them costs as much as they are long.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Final

from core.database import Database, driver
from core.errors import Permanent
from core.payloads import PIECE_BYTES, PayloadStore

_PAGE: Final = 100


def read_all(database: Database, payloads: PayloadStore, stopping: threading.Event) -> Iterator[str]:
    """ "" for each content that is as it was, else a sentence; then a sentence for each that a row names in vain.

    Raises Unavailable, Retryable (the blob store is away).
    """
    after = ""
    while True:
        with database.transaction(durable=False) as connection:
            found = driver(connection).execute(
                "SELECT sha256 FROM bus.payload WHERE sha256 > %s ORDER BY sha256 LIMIT %s", (after, _PAGE)
            )
            names = [row[0] for row in found]
        for name in names:
            if stopping.is_set():
                return
            yield _read(database, payloads, name)
        if len(names) < _PAGE:
            break
        after = names[-1]
    for table, column in _NAMES:
        with database.transaction(durable=False) as connection:
            rows = driver(connection).execute(_MISSING.format(table=table, column=column)).fetchall()
        for (seq,) in rows:
            yield f"Содержимого, которое называет строка № {seq} ({column} в bus.{table}), нет: оно потеряно"


def _read(database: Database, payloads: PayloadStore, name: str) -> str:
    try:
        with database.transaction(durable=False) as connection:
            stream = payloads.open(driver(connection), name)
        with stream:
            while stream.read(PIECE_BYTES):
                pass
    except Permanent as error:
        with database.transaction(durable=False) as connection:
            there = driver(connection).execute("SELECT 1 FROM bus.payload WHERE sha256 = %s", (name,)).fetchone()
        return error.reason if there else ""  # retention was quicker
    return ""


_NAMES: Final = (("message", "body_payload"), ("message", "received_payload"), ("event", "output_payload"))
_MISSING: Final = """
SELECT t.seq FROM bus.{table} t WHERE length(t.{column}) = 64
AND NOT EXISTS (SELECT 1 FROM bus.payload p WHERE p.sha256 = t.{column}) ORDER BY t.seq LIMIT 100
"""
