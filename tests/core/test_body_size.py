"""The database tells how long a packed body is, without unpacking it."""

from __future__ import annotations

import pytest

from core.database import driver
from core.payloads import PayloadStore


@pytest.mark.parametrize("size", [0, 1, 200, 255, 256, 300, 1023, 1024, 65_535, 65_536, 65_791, 65_792, 1_000_000])
@pytest.mark.parametrize("head", [b"", b"\x28\xb5\x2f\xfd"])
def test_a_body_is_as_long_as_it_was_before_packing(database, size, head) -> None:
    body = (head + b"x" * size)[: max(size, len(head))]
    store = PayloadStore("memory://", inline_bytes=2_000_000, blob_bytes=3_000_000)
    with database.transaction() as connection:
        inline, _ = store.split(driver(connection), body)
        row = driver(connection).execute("SELECT bus.body_bytes(%s)", (inline,)).fetchone()
    assert row == (len(body),)
