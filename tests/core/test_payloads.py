"""Large bodies are stored once, beyond a size outside the tables, and damage is noticed."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core import payloads
from core.database import driver
from core.errors import Permanent, Retryable
from core.payloads import PayloadStore

SMALL, LARGE, HUGE = b"s" * 100, os.urandom(1500), os.urandom(20_000)


@pytest.fixture
def store(tmp_path: Path) -> PayloadStore:
    return PayloadStore(str(tmp_path / "blobs"), inline_bytes=1000, blob_bytes=10_000)


@pytest.fixture
def db(database: Any) -> Iterator[Any]:
    with database.transaction() as connection:
        yield driver(connection)


def _blobs(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", [0, 1, 1000, 1001, 10_000, 10_001, 300_000])
def test_what_was_taken_apart_is_joined_again(store: PayloadStore, db: Any, size: int) -> None:
    body = os.urandom(size)
    assert store.join(db, *store.split(db, body)) == body


def test_nothing_stays_nothing(store: PayloadStore, db: Any) -> None:
    assert store.split(db, None) == (None, None)


def test_size_decides_where_a_body_lies(store: PayloadStore, db: Any, look: Any, tmp_path: Path) -> None:
    assert store.split(db, SMALL) == (SMALL, None)
    for body in (LARGE, HUGE):
        inline, payload = store.split(db, body)
        assert inline is None
        assert payload
    rows = db.execute("SELECT size_bytes, data IS NOT NULL, blob IS NOT NULL FROM bus.payload ORDER BY 1").fetchall()
    assert rows == [(1500, True, False), (20_000, False, True)]
    [blob] = _blobs(tmp_path)
    assert not blob.name.startswith("."), "nothing temporary is left"


@pytest.mark.parametrize("head", [payloads.ZSTD_MAGIC, payloads.ZSTD_MAGIC + b"\x00" * 50])
def test_a_body_that_looks_packed_by_itself_comes_back_as_it_was(store: PayloadStore, db: Any, head: bytes) -> None:
    assert store.join(db, *store.split(db, head)) == head


def test_the_same_content_is_stored_once(store: PayloadStore, db: Any, tmp_path: Path) -> None:
    assert len({store.put(db, HUGE) for _ in range(3)}) == 1
    assert db.execute("SELECT count(*) FROM bus.payload").fetchone() == (1,)
    assert len(_blobs(tmp_path)) == 1


@pytest.mark.parametrize("body", [LARGE, HUGE], ids=["table", "blob"])
def test_the_same_content_from_two_threads_at_once_is_stored_once_and_whole(
    database: Any, tmp_path: Path, body: bytes
) -> None:
    store = PayloadStore(str(tmp_path / "blobs"), inline_bytes=1000, blob_bytes=10_000)
    both = threading.Barrier(4)
    failures: list[BaseException] = []

    def put() -> None:
        try:
            with database.transaction() as connection:
                both.wait(10)
                sha256 = store.put(driver(connection), body)
            with database.transaction() as connection:
                assert store.get(driver(connection), sha256) == body
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=put) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with database.transaction() as connection:
        assert driver(connection).execute("SELECT count(*) FROM bus.payload").fetchone() == (1,)


def test_different_blobs_from_many_threads_do_not_spoil_each_other(database: Any, tmp_path: Path) -> None:
    store = PayloadStore(str(tmp_path / "blobs"), inline_bytes=10, blob_bytes=10)
    bodies = [os.urandom(50_000) for _ in range(40)]
    failures: list[BaseException] = []

    def put(mine: list[bytes]) -> None:
        try:
            with database.transaction() as connection:
                for body in mine:
                    store.put(driver(connection), body)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=put, args=(bodies[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with database.transaction() as connection:
        db = driver(connection)
        keys = [row[0] for row in db.execute("SELECT sha256 FROM bus.payload").fetchall()]
        assert sorted(store.get(db, key) for key in keys) == sorted(bodies)


@pytest.mark.parametrize("how", ["cut", "flipped", "lying about its size", "no zstd at all"])
def test_a_damaged_payload_is_noticed(store: PayloadStore, db: Any, tmp_path: Path, how: str) -> None:
    sha256 = store.put(db, HUGE)
    [blob] = _blobs(tmp_path)
    packed = bytearray(blob.read_bytes())
    if how == "cut":
        packed = packed[:-10]
    if how == "flipped":
        packed[len(packed) // 2] ^= 1
    if how == "lying about its size":
        packed = bytearray(payloads.zstandard.compress(b"\0" * 50_000_000))
    if how == "no zstd at all":
        packed = bytearray(b"hello")
    blob.write_bytes(packed)
    with pytest.raises(Permanent, match="повреждено на диске"):
        store.get(db, sha256)


def test_a_damaged_inline_body_is_noticed(store: PayloadStore, db: Any) -> None:
    inline, _ = PayloadStore("", inline_bytes=5000, blob_bytes=5000).split(db, LARGE)
    assert inline
    with pytest.raises(Permanent, match="повреждено в базе данных"):
        store.join(db, inline[:-5], None)


def test_a_payload_that_was_removed_is_permanent_and_a_store_that_is_away_is_not(
    store: PayloadStore, db: Any, tmp_path: Path
) -> None:
    with pytest.raises(Permanent, match="удалено по сроку хранения"):
        store.get(db, "0" * 64)
    sha256 = store.put(db, HUGE)
    (tmp_path / "blobs").rename(tmp_path / "elsewhere")
    with pytest.raises(Retryable, match="папка blobs подключена"):
        store.get(db, sha256)
    (tmp_path / "elsewhere").rename(tmp_path / "blobs")
    assert store.get(db, sha256) == HUGE


def test_a_store_that_takes_nothing_leaves_the_message_with_its_source(
    bus_of: Any, far: Any, working: Any, tmp_path: Path, look: Any
) -> None:
    (tmp_path / "file").write_text("no folder")
    bus = bus_of(
        [working(keyed=False)], [far], blobs=str(tmp_path / "file"), inline_payload_bytes=10, blob_payload_bytes=10
    )
    far.offer("1", b"x" * 100)
    with pytest.raises(Retryable, match="не принимает запись"):
        bus.engine.accept(far.receive())
    assert far.acked == []
    assert look.one("SELECT count(*) FROM bus.message") == 0


def test_another_kind_of_store_is_a_matter_of_its_url(db: Any) -> None:
    store = PayloadStore("memory://blobs", inline_bytes=10, blob_bytes=10)
    sha256 = store.put(db, HUGE)
    assert store.get(db, sha256) == HUGE


@pytest.mark.parametrize("size", [0, 10, 10_001, 3_000_000])
@pytest.mark.parametrize("place", ["disk", "elsewhere"])
def test_a_file_is_kept_like_its_octets_and_once(db: Any, tmp_path: Path, place: str, size: int) -> None:
    url = str(tmp_path / "blobs") if place == "disk" else "memory://files"
    store = PayloadStore(url, inline_bytes=10, blob_bytes=10_000)
    body = os.urandom(size)
    with tempfile.TemporaryFile() as file:
        file.write(body)
        inline, sha256 = store.split(db, file)
        assert inline is None
        assert store.split(db, file) == (None, sha256)
    assert sha256 == hashlib.sha256(body).hexdigest()
    assert store.join(db, inline, sha256) == body
    assert place != "disk" or len(_blobs(tmp_path)) == 1


@pytest.mark.feature("BUS-02")
def test_a_large_message_goes_its_way_like_a_small_one(
    bus_of: Any, far: Any, working: Any, effects: Any, run_dry: Any
) -> None:
    bodies = []
    bus = bus_of(
        [working(lambda message, context: bodies.append(message.body) or [message.but(queue="far")], keyed=False)],
        [far],
        inline_payload_bytes=1000,
        blob_payload_bytes=2000,
    )
    for n, size in enumerate((500, 1500, 50_000)):
        bus.engine.accept([far.offer(str(n), b"ab" * (size // 2), received=b"e" * size * 2)])
    run_dry(bus)
    run_dry(bus, "far")
    assert [len(body) for body in bodies] == [500, 1500, 50_000]
    assert [body for _, body, _ in far.sent] == bodies
