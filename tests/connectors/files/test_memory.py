"""A file of any length goes through the whole bus, and memory does not grow with it."""

from __future__ import annotations

import os
import threading

import psutil
import pytest

from core.message import Message
from core.route import Route

MIB = 1024 * 1024
LONG_MIB = int(os.environ.get("OMSBUS_TEST_LONG_FILE_MIB", "512"))
GROWTH_MOST_MIB = 150


class Peak:
    """The most memory that this process had while it was watched."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._over = threading.Event()
        self.before_mib = self.most_mib = self._process.memory_info().rss / MIB
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self.most_mib = max(self.most_mib, self._process.memory_info().rss / MIB)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.feature("BUS-09")
@pytest.mark.parametrize("transport", ["file", "ftp", "sftp"])
def test_a_long_file_goes_in_and_out_with_little_memory(far_of, bus_of, eventually, transport):
    far = far_of(transport)
    far.values["answer_timeout_s"] = 60
    block = os.urandom(MIB)
    with (far.home / "in" / "long.bin").open("wb") as file:
        for number in range(LONG_MIB):
            file.write(number.to_bytes(8) + block[8:])
    route = Route("erz.lists", title="Списки")

    @route.handler
    def handle(body, ctx):
        yield Message("erz.answer", b"", queue="smo1", attachments=ctx.message.attachments, external_id="long")

    connector = far.connector(inbox={"interval_s": 0.5}, outbox={"name": "{id}.bin"})
    bus = bus_of([route], [connector])
    with Peak() as peak:
        bus.start(intake=True, work=True, schedule=False)
        eventually(lambda: far.names("out"), timeout_s=500)
    print(f"{transport}: {LONG_MIB} MiB, RSS {peak.before_mib:.0f} → {peak.most_mib:.0f} MiB")
    (name,) = far.names("out")
    assert (far.home / "out" / name).stat().st_size == LONG_MIB * MIB
    assert peak.most_mib - peak.before_mib < GROWTH_MOST_MIB
