"""Files come in: which are taken, when, and what becomes of them."""

from __future__ import annotations

import hashlib
import os
import time

import pytest

from connectors.files import leaving
from connectors.files.client import Client
from core.errors import Permanent, Retryable, Unavailable


@pytest.mark.feature("BUS-02")
def test_a_file_is_taken_whole_and_moved_away_only_after_the_commit(far):
    far.put("Список № 1.xml", b"<a>1</a>")
    connector = far.connector()
    delivery = far.one(connector)
    assert delivery.message.body == b"<a>1</a>"
    assert delivery.message.queue == "erz.lists"
    assert delivery.message.headers["file_name"] == "Список № 1.xml"
    assert far.names("in") == ["Список № 1.xml"]
    delivery.ack()
    assert far.names("in") == []
    (done,) = far.names("done")
    assert done.endswith("_Список № 1.xml")
    assert (far.home / "done" / done).read_bytes() == b"<a>1</a>"


def test_a_file_that_still_grows_is_not_taken(far_of):
    far = far_of("file")
    path = far.put("a.xml", b"<a>")
    connector = far.connector(inbox={"settle_s": 0.05})
    source = connector.sources["smo1.inbox"]
    ready, waiting = source._look()
    assert (ready, [one.name for one in waiting]) == ([], ["a.xml"])
    path.write_bytes(b"<a></a>")
    time.sleep(0.06)
    ready, waiting = source._look()
    assert (ready, [one.name for one in waiting]) == ([], ["a.xml"]), "it has changed since the first look"
    assert far.one(connector).message.body == b"<a></a>"


def test_a_fresh_file_is_taken_by_one_poll_that_looks_twice(far):
    far.put("a.xml")
    began = time.monotonic()
    assert far.one(far.connector(inbox={"settle_s": 0.05})).message.body == b"<a/>"
    assert time.monotonic() - began >= 0.05


@pytest.mark.parametrize("name", [".a.xml", "a.xml.tmp", "a.part", "a.xml.FILEPART", "a.xml~", "~a.xml"])
def test_temporary_names_are_left_alone(far_of, name):
    far = far_of("file")
    far.put(name)
    assert far.received(far.connector()) == []


def test_only_the_pattern_is_taken_whatever_the_case_of_its_letters(far):
    for name in ("a.xml", "B.XML", "c.txt"):
        far.put(name)
    names = {one.message.headers["file_name"] for one in far.received(far.connector(inbox={"pattern": "*.xml"}))}
    assert names == {"a.xml", "B.XML"}


def test_with_a_ready_suffix_a_file_waits_for_its_marker_and_the_marker_goes_with_it(far):
    far.put("a.xml")
    connector = far.connector(inbox={"ready_suffix": ".ok"})
    assert far.received(connector) == []
    far.put("a.xml.ok", b"")
    far.one(connector).ack()
    assert far.names("in") == []


@pytest.mark.feature("BUS-02")
def test_the_same_file_left_in_place_is_a_repeat_and_other_content_is_a_new_message(far):
    path = far.put("a.xml", b"<a>1</a>")
    connector = far.connector()
    first, again = far.one(connector), far.one(connector)
    assert first.message.external_id == again.message.external_id
    path.write_bytes(b"<a>2</a>")
    assert far.one(connector).message.external_id != first.message.external_id


def test_a_file_overwritten_after_it_was_read_stays_and_is_read_as_a_new_message(far):
    path = far.put("a.xml", b"<a>1</a>")
    connector = far.connector()
    first = far.one(connector)
    path.write_bytes(b"<a>longer</a>")
    first.ack()
    assert far.names("in") == ["a.xml"]
    second = far.one(connector)
    assert second.message.body == b"<a>longer</a>"
    second.ack()
    assert far.names("in") == []


@pytest.mark.parametrize("done", ["rename", "delete"])
def test_a_file_replaced_between_the_look_and_the_rename_is_put_back(far, monkeypatch, done):
    far.put("a.xml", b"<a>1</a>")
    connector = far.connector(inbox={"done": done})
    delivery = far.one(connector)
    real = leaving.Leaving._rename

    def replaced_in_time(self: leaving.Leaving, client: Client, name: str, to: tuple[str, str]) -> None:
        far.put("a.xml", b"<a>replaced</a>")
        real(self, client, name, to)

    with monkeypatch.context() as patched:
        patched.setattr(leaving.Leaving, "_rename", replaced_in_time)
        delivery.ack()
    assert far.names("in") == ["a.xml"]
    assert far.names("done") == []
    assert far.one(connector).message.body == b"<a>replaced</a>"


def test_a_file_that_is_gone_at_the_ack_is_no_error(far):
    path = far.put("a.xml")
    delivery = far.one(far.connector())
    path.unlink()
    delivery.ack()
    assert far.names("done") == []


def test_deleting_leaves_nothing_and_a_crash_half_way_leaves_the_file_to_be_read_again(far):
    far.put("a.xml")
    connector = far.connector(inbox={"done": "delete"})
    far.one(connector).ack()
    assert os.listdir(far.home / "in") == []
    far.put(".b.xml.0123456789ab.taken", b"<b/>")
    assert far.one(connector).message.headers["file_name"] == "b.xml"


def test_an_empty_file_goes_to_the_bad_ones_with_its_reason_beside_it(far):
    far.put("a.xml", b"")
    delivery = far.one(far.connector())
    assert "пуст" in delivery.problem.reason
    delivery.reject(delivery.problem)
    bad, reason = far.names("bad")
    assert bad.endswith("_a.xml")
    assert "пуст" in (far.home / "bad" / reason).read_text(encoding="utf-8-sig")
    assert far.names("in") == []


def test_what_cannot_be_read_is_told_once_and_never_blocks_the_others(far_of, tmp_path):
    far = far_of("file")
    (far.home / "in" / "folder.xml").mkdir()
    (far.home / "in" / "link.xml").symlink_to(far.put("secret", b"<secret/>", folder="out"))
    os.mkfifo(far.home / "in" / "pipe.xml")
    os.close(os.open(os.fsencode(far.home / "in") + b"/\xff\xfe.xml", os.O_CREAT))
    far.put("good.xml")
    connector = far.connector(inbox={"pattern": "*.xml"})
    deliveries = far.received(connector)
    problems = {one.message.headers["file_name"]: one.problem for one in deliveries}
    assert "папка" in problems["folder.xml"].reason
    assert "ссылк" in problems["link.xml"].reason
    assert "не обычный" in problems["pipe.xml"].reason
    assert "кодировке" in problems["��.xml"].reason
    assert problems["good.xml"] is None
    assert not any(b"secret" in one.message.body for one in deliveries)
    for one in deliveries:
        one.reject(one.problem) if one.problem else one.ack()
    assert far.received(connector) == []


def test_an_unreadable_file_is_told_once_and_read_when_its_rights_are_mended(far_of):
    far = far_of("ftp")
    far.put("a.xml")
    far.put("b.xml")
    connector = far.connector()
    far.mischief.arm("RETR", "550 Permission denied.")
    refused, good = sorted(far.received(connector), key=lambda one: one.problem is None)
    assert "права" in refused.problem.reason
    refused.reject(refused.problem)
    good.ack()
    assert far.received(connector) == [], "it rests"
    connector.sources["smo1.inbox"]._looks._rests.clear()
    assert far.one(connector).message.body == b"<a/>"


def test_a_file_that_breaks_the_connection_does_not_block_the_others(far_of):
    far = far_of("ftp")
    far.put("a.xml")
    os.utime(far.home / "in" / "a.xml", (1, 1))
    far.put("b.xml")
    connector = far.connector()
    far.mischief.arm("RETR", "", times=1)
    with pytest.raises(Unavailable):
        far.received(connector)
    assert far.one(connector).message.headers["file_name"] == "b.xml"


def test_a_rename_that_is_refused_makes_the_file_come_again_after_a_rest(far_of):
    far = far_of("ftp")
    far.put("a.xml")
    connector = far.connector()
    delivery = far.one(connector)
    far.mischief.arm("RNFR", "550 Permission denied.", times=-1)
    with pytest.raises(Retryable, match="права"):
        delivery.ack()
    assert far.received(connector) == [], "not asked for again at once"
    connector.sources["smo1.inbox"]._looks._rests.clear()
    far.mischief.disarm()
    far.one(connector).ack()
    assert far.names("in") == []


@pytest.mark.feature("BUS-09")
def test_a_long_file_becomes_an_attachment_and_its_body_is_empty(far):
    content = os.urandom(600_000)
    far.put("a.zip", content)
    delivery = far.one(far.connector(inbox={"body_most_bytes": 100_000}))
    message = delivery.message
    assert message.body == b""
    assert message.digest() == hashlib.sha256(content).hexdigest()
    (attachment,) = message.attachments
    assert attachment.name == "a.zip"
    for _ in range(2):
        with attachment.open() as stream:
            assert stream.read() == content
    delivery.ack()
    assert far.names("in") == []


def test_without_a_queue_the_document_says_what_it_is(far_of):
    far = far_of("file")
    far.put("a.xml", '<л:список xmlns:л="urn:x"/>'.encode())
    far.put("b.xml", b"no xml")
    connector = far.connector(inbox={"queue": ""})
    good, bad = sorted(far.received(connector), key=lambda one: one.problem is not None)
    assert good.message.kind == "{urn:x}список"
    assert isinstance(bad.problem, Permanent)


def test_a_batch_has_a_limit_and_the_oldest_file_comes_first(far):
    for number in range(5):
        os.utime(far.put(f"{9 - number}.xml"), (1_700_000_000 + number, 1_700_000_000 + number))
    names = [one.message.headers["file_name"] for one in far.received(far.connector(inbox={"batch_most": 3}))]
    assert names == ["9.xml", "8.xml", "7.xml"]


def test_an_absent_inbox_is_told_in_russian_and_mends_itself(far):
    (far.home / "in").rename(far.home / "elsewhere")
    connector = far.connector()
    with pytest.raises(Unavailable, match="Входящая папка in недоступна"):
        far.received(connector)
    (far.home / "elsewhere").rename(far.home / "in")
    assert far.received(connector) == []


def test_a_full_disk_of_ours_is_a_reason_to_wait(far_of, tmp_path):
    far = far_of("file")
    far.put("a.xml", b"12345")
    far.values["spool_folder"] = tmp_path / "absent"
    with pytest.raises(Retryable, match="spool_folder"):
        far.received(far.connector(inbox={"body_most_bytes": 1}))
