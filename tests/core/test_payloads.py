"""Large bodies are stored once, beyond a size outside the tables, and damage is noticed."""

from __future__ import annotations

import hashlib
import io
import os
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core import garbage, payloads, removal
from core.database import Database, driver
from core.errors import Permanent, Retryable
from core.message import Attachment
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


def _copy(stream: Any, into: list[bytes]) -> None:
    with stream:
        while piece := stream.read(1000):
            into.append(piece)


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
    read: list[bytes] = []
    with pytest.raises(Permanent, match="повреждено на диске"):
        _copy(store.open(db, sha256), read)
    assert len(b"".join(read)) < len(HUGE), "whoever has read so much has not read a whole file"


def test_a_stream_gives_what_was_stored_however_it_is_read(store: PayloadStore, db: Any) -> None:
    body = os.urandom(3_000_000)
    sha256 = store.put(db, body)
    for size in (-1, 7_919, 1 << 20, len(body), len(body) * 2):
        with store.open(db, sha256) as stream:
            assert b"".join(iter(lambda size=size, stream=stream: stream.read(size), b"")) == body
    with store.open(db, store.put(db, SMALL)) as stream:
        assert stream.read() == SMALL


def test_a_file_that_grows_while_it_is_read_is_not_taken(store: PayloadStore, db: Any, tmp_path: Path) -> None:
    class Growing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(size) or b"more"

    with pytest.raises(Retryable, match="изменился"):
        store.put_file(db, Growing(HUGE))
    assert _blobs(tmp_path) == []


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


NOW = timedelta(0)
"""No grace: what nobody names goes at once."""


def _collect(database: Database, store: PayloadStore) -> garbage.Collected:
    return garbage.collect(database, store.blobs, grace=NOW, orphan_age=NOW)


@pytest.mark.feature("BUS-02")
def test_whatever_names_a_payload_keeps_it(
    bus_of: Any, far: Any, working: Any, run_dry: Any, look: Any, tmp_path: Path
) -> None:
    bus = bus_of(
        [working(lambda message, context: [message.but(queue="far")], keyed=False)],
        [far],
        inline_payload_bytes=1000,
        blob_payload_bytes=2000,
    )
    attachment = Attachment("a", open=lambda: io.BytesIO(b"attached" * 1000))
    bus.engine.accept([far.offer("1", b"body" * 1000, received=b"received" * 1000, attachments=(attachment,))])
    run_dry(bus)
    run_dry(bus, "far")
    look.do("UPDATE bus.outgoing SET body_payload = (SELECT sha256 FROM bus.payload ORDER BY sha256 LIMIT 1)")
    assert _collect(bus.database, bus.payloads).payloads == 0
    contents = [b"body" * 1000, b"received" * 1000, b"attached" * 1000]
    with bus.database.transaction() as connection:
        db = driver(connection)
        for content in contents:
            assert bus.payloads.get(db, hashlib.sha256(content).hexdigest()) == content
        ids = [row[0] for row in db.execute("SELECT id FROM bus.message")]
        removal.permit(db)
        removal.take_bodies(db, ids)
    assert _collect(bus.database, bus.payloads).payloads == 3
    assert look.one("SELECT count(*) FROM bus.payload") == 0
    assert [path for path in (tmp_path / "data" / "blobs").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("how", ["body_payload", "received_payload", "attachments", "output_payload"])
def test_each_kind_of_reference_is_looked_for(store: PayloadStore, database: Any, put: Any, how: str) -> None:
    with database.transaction() as connection:
        db = driver(connection)
        sha256 = store.put(db, LARGE)
        if how == "output_payload":
            db.execute(
                "INSERT INTO bus.event (message_id, stage, output_payload) VALUES (gen_random_uuid(), 'x', %s)",
                (sha256,),
            )
        else:
            value = f'[{{"payload": "{sha256}"}}]' if how == "attachments" else sha256
            columns = "attachments" if how == "attachments" else f"attachments, {how}"
            values = "%s" if how == "attachments" else "'[]', %s"
            db.execute(
                "INSERT INTO bus.message (id, kind, version, key, source, external_id, fingerprint, outcome, "
                f"in_reply_to, replies_to, headers, {columns}) "
                f"VALUES (gen_random_uuid(), '', '', '', '', '', '', 'request', '', '', '{{}}', {values})",
                (value,),
            )
    assert _collect(database, store).payloads == 0
    with database.transaction() as connection:
        assert store.get(driver(connection), sha256) == LARGE


def test_files_that_a_crash_left_are_collected_when_they_are_old(
    store: PayloadStore, database: Any, tmp_path: Path
) -> None:
    with database.transaction() as connection:
        kept = store.put(driver(connection), HUGE)
        driver(connection).execute("SAVEPOINT crash")
        store.put(driver(connection), b"x" + HUGE)
        driver(connection).execute("ROLLBACK TO crash")
    [named] = [path for path in _blobs(tmp_path) if not path.name.startswith(".")][:1]
    half = named.with_name(".half-written")
    half.write_bytes(b"half")
    assert len(_blobs(tmp_path)) == 3
    assert garbage.collect(database, store.blobs).files == 0
    for path in _blobs(tmp_path):
        os.utime(path, (time.time() - 90_000,) * 2)
    assert garbage.collect(database, store.blobs).files == 2
    with database.transaction() as connection:
        assert store.get(driver(connection), kept) == HUGE


def test_files_elsewhere_are_collected_too(database: Any) -> None:
    store = PayloadStore("memory://collected", inline_bytes=10, blob_bytes=10)
    with database.transaction() as connection:
        store.put(driver(connection), HUGE)
    done = _collect(database, store)
    assert (done.payloads, done.files) == (1, 0)
    store.blobs.write(lambda file: file.write(b"orphan"))
    assert _collect(database, store).files == 1
    assert _collect(database, store).files == 0


@pytest.mark.feature("BUS-02")
def test_a_payload_that_is_about_to_be_named_is_not_collected(store: PayloadStore, database: Any) -> None:
    with database.transaction() as connection:
        sha256 = store.put(driver(connection), HUGE)
    with database.transaction() as connection:
        store.keep(driver(connection), sha256)
        assert _collect(database, store).payloads == 0
    assert _collect(database, store).payloads == 1
    with pytest.raises(Permanent, match="удалено"), database.transaction() as connection:
        store.keep(driver(connection), sha256)


@pytest.mark.feature("BUS-02")
@pytest.mark.parametrize("seed", [1, 2])
def test_no_named_payload_is_ever_lost_however_puts_and_collections_cross(
    database: Any, tmp_path: Path, seed: int
) -> None:
    """Few contents, so that they meet: each is put, named, unnamed, put back, kept, rolled back, all at once."""
    store = PayloadStore(str(tmp_path / "blobs"), inline_bytes=10, blob_bytes=1000)
    bodies = [bytes([n]) * size for n in range(3) for size in (500, 5000)]
    shas = [hashlib.sha256(body).hexdigest() for body in bodies]
    over = threading.Event()
    failures: list[BaseException] = []

    def look_at_all(db: Any) -> None:
        for (sha256,) in db.execute("SELECT output_payload FROM bus.event").fetchall():
            assert hashlib.sha256(store.get(db, sha256)).hexdigest() == sha256

    def work(choose: random.Random) -> None:
        try:
            for _ in range(60):
                try:
                    with database.transaction() as connection:
                        db = driver(connection)
                        sha256 = store.put(db, choose.choice(bodies))
                        time.sleep(choose.choice((0, 0, 0.003)))
                        db.execute(
                            "INSERT INTO bus.event (message_id, stage, output_payload) "
                            "VALUES (gen_random_uuid(), 'x', %s)",
                            (sha256,),
                        )
                        if choose.random() < 0.2:
                            raise KeyError
                except KeyError:
                    pass
                with database.transaction() as connection:
                    db = driver(connection)
                    db.execute("LOCK TABLE bus.event IN SHARE MODE")  # nothing is unnamed under the look
                    look_at_all(db)
                with database.transaction() as connection:
                    db = driver(connection)
                    removal.permit(db)
                    db.execute("DELETE FROM bus.event WHERE output_payload = ANY(%s)", (choose.sample(shas, 3),))
        except BaseException as error:
            failures.append(error)

    def sweep() -> None:
        try:
            while not over.is_set():
                garbage.collect(database, store.blobs, grace=NOW)
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(random.Random(seed * 10 + n),)) for n in range(3)]
    sweeper = threading.Thread(target=sweep)
    for thread in (*workers, sweeper):
        thread.start()
    for thread in workers:
        thread.join()
    over.set()
    sweeper.join()
    assert not failures
    with database.transaction() as connection:
        look_at_all(driver(connection))
