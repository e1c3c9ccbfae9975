"""The plain stack that the bus is compared with does its work: each message becomes one row, also after a restart."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from benchmarks.plain.run import PlainStack
from benchmarks.stacks import crash, measure


@pytest.mark.slow
def test_the_plain_stack_registers_each_message_and_loses_none_to_a_crash(database_url: str) -> None:
    # not below pytest's own folder: its path may be too long for the sockets of RabbitMQ
    with tempfile.TemporaryDirectory(prefix="omsbus-") as folder, PlainStack(database_url, Path(folder)) as stack:
        measured = measure(stack, database_url, messages=60, warm_up=20)
        crashed = crash(stack, database_url, messages=60)
    assert (measured["lost"], measured["doubled"], measured["refused"]) == (0, 0, {})
    assert measured["end_to_end_per_s"] > 0
    assert measured["peak_rss_mib"] > 0
    assert crashed["lost"] == 0
    assert crashed["answered"] + crashed["unanswered"] == 60
