"""Files go out: once, whole, under a safe name, whatever breaks."""

from __future__ import annotations

import errno
import io
import os

import pytest

from connectors.files import local, sink
from core.errors import BusError, ConfigError, Permanent, Unavailable
from core.message import Attachment, Message


class Crash(BaseException):
    """Stands for a SIGKILL at a crash point."""


def message_of(body: bytes = b"<answer/>", **values) -> Message:
    return Message("erz.answer", body, queue="smo1", **({"external_id": "ответ-17"} | values))


def sent(connector, message, *, repeated=False):
    out = connector.sinks["smo1"]
    return out.send(message, out.prepare(message), repeated=repeated)


def test_a_file_appears_whole_under_its_name_and_its_note_is_russian(far):
    receipt = sent(far.connector(), message_of(b"<a>1</a>"))
    assert far.names("out") == ["ответ-17.xml"]
    assert (far.home / "out" / "ответ-17.xml").read_bytes() == b"<a>1</a>"
    assert "передан" in receipt.note
    assert far.hidden("out") == [".sent"], "nothing temporary is left over"


@pytest.mark.feature("BUS-02")
@pytest.mark.parametrize("point", ["_UPLOADED", "_REGISTERED", "_PUBLISHED"])
@pytest.mark.parametrize("taken", [False, True])
def test_a_crash_at_any_step_of_sending_puts_the_file_exactly_once(far, monkeypatch, point, taken):
    connector, message = far.connector(), message_of()

    def crash() -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(sink, point, crash)
        with pytest.raises(Crash):
            sent(connector, message)
    seen = far.names("out")
    if taken:  # the partner is quick
        for name in seen:
            (far.home / "out" / name).unlink()
    connector.close()
    sent(connector, message, repeated=True)
    assert len(seen if taken else []) + len(far.names("out")) == 1
    assert far.hidden("out") == [".sent"]


@pytest.mark.feature("BUS-02")
@pytest.mark.parametrize("command", ["STOR", "RNFR", "RNTO", "MLST", "CWD"])
@pytest.mark.parametrize("done", [False, True])
def test_a_connection_lost_at_any_command_puts_the_file_exactly_once(far_of, command, done):
    far = far_of("ftp")
    connector, message = far.connector(), message_of()
    for _ in range(3):
        far.mischief.arm(command, done=done)
    taken = 0
    for attempt in range(10):
        try:
            sent(connector, message, repeated=attempt > 0)
            break
        except Unavailable:
            taken += len(far.names("out"))
            for name in far.names("out"):
                (far.home / "out" / name).unlink()
    else:
        pytest.fail("it never went out")
    assert taken + len(far.names("out")) == 1


def test_a_file_that_the_partner_has_taken_is_not_put_again(far):
    connector, message = far.connector(), message_of()
    sent(connector, message)
    (far.home / "out" / "ответ-17.xml").unlink()
    assert "раньше" in sent(connector, message, repeated=True).note
    assert far.names("out") == []


def test_without_a_register_only_a_file_that_lies_there_is_recognised(far):
    connector, message = far.connector(outbox={"register": ""}), message_of()
    sent(connector, message)
    assert far.hidden("out") == []
    assert "уже лежит" in sent(connector, message, repeated=True).note
    (far.home / "out" / "ответ-17.xml").unlink()
    sent(connector, message, repeated=True)
    assert far.names("out") == ["ответ-17.xml"], "the weaker guarantee, as the manual says"


def test_a_file_of_the_same_name_with_other_content_is_never_overwritten(far):
    far.put("ответ-17.xml", b"<theirs/>", folder="out")
    with pytest.raises(Permanent, match="другой файл"):
        sent(far.connector(), message_of(b"<answe2/>"))
    assert (far.home / "out" / "ответ-17.xml").read_bytes() == b"<theirs/>"
    far.put("ответ-17.xml", b"<answer/>", folder="out")
    assert "уже лежит" in sent(far.connector(), message_of()).note


def test_a_temporary_file_that_somebody_deletes_is_put_again_and_not_taken_for_published(far, monkeypatch):
    connector, message = far.connector(), message_of()

    def somebody_cleans() -> None:
        for name in far.hidden("out"):
            if name.endswith(".part"):
                (far.home / "out" / name).unlink()

    with monkeypatch.context() as patched:
        patched.setattr(sink, "_REGISTERED", somebody_cleans)
        with pytest.raises(Unavailable, match="исчез"):
            sent(connector, message)
    sent(connector, message, repeated=True)
    assert far.names("out") == ["ответ-17.xml"]


@pytest.mark.feature("BUS-09")
def test_a_long_attachment_is_streamed(far):
    content = os.urandom(700_000)
    reads = []

    class Watched(io.BytesIO):
        def read(self, size=-1):
            reads.append(size)
            return super().read(size)

    message = message_of(b"", attachments=(Attachment("a.zip", open=lambda: Watched(content)),))
    sent(far.connector(outbox={"name": "{external_id}.zip"}), message)
    assert (far.home / "out" / "ответ-17.zip").read_bytes() == content
    assert 0 < max(reads) < len(content), "never as a whole"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("../../etc/passwd", "_.._etc_passwd.xml"),
        ("/etc/passwd", "_etc_passwd.xml"),
        ("a\r\nDELE b", "a__DELE b.xml"),
        ("a\0b", "a_b.xml"),
        ("..", "xml"),
        (".hidden", "hidden.xml"),
        ("C:\\boot", "C__boot.xml"),
        ("con", "_con.xml_"),
        ("~x", "_~x.xml_"),
        ("Ёлкина № 5", "Ёлкина № 5.xml"),
    ],
)
def test_values_in_names_are_cleaned_and_never_a_path(far_of, value, name):
    far = far_of("file")
    out = far.connector().sinks["smo1"]
    assert out.prepare(message_of(external_id=value)).external_id == name


def test_a_name_is_made_of_headers_kind_and_date(far_of):
    far = far_of("file")
    out = far.connector(outbox={"name": "{kind}_{smo.code}_{date}.csv"}).sinks["smo1"]
    name = out.prepare(message_of(headers={"smo.code": "78001"})).external_id
    assert name.startswith("erz.answer_78001_20")
    with pytest.raises(Permanent, match=r"smo\.code"):
        out.prepare(message_of())


def test_a_name_that_the_partner_cannot_write_is_refused(far_of):
    far = far_of("file", encoding="cp1251")
    with pytest.raises(Permanent, match="кодировке"):
        far.connector().sinks["smo1"].prepare(message_of(external_id="日本"))


@pytest.mark.parametrize(
    ("command", "reply", "error"),
    [
        ("STOR", "552 Exceeded storage allocation.", Unavailable),
        ("STOR", "452 Insufficient storage space.", Unavailable),
        ("STOR", "553 File name not allowed.", Permanent),
        ("STOR", "550 Permission denied.", ConfigError),
        ("RNTO", "553 File name not allowed.", Permanent),
        ("MKD", "550 Permission denied.", ConfigError),
        ("PASS", "530 Login incorrect.", ConfigError),
        ("PASS", "530 Maximum login limit has been reached.", Unavailable),
        ("PASS", "421 Too many users.", Unavailable),
        ("CWD", "550 No such directory.", Unavailable),
    ],
)
def test_every_refusal_of_a_server_has_its_instruction(far_of, command, reply, error):
    far = far_of("ftp")
    far.mischief.arm(command, reply, times=-1)
    with pytest.raises(BusError) as caught:
        sent(far.connector(), message_of())
    assert type(caught.value) is error
    assert far.names("out") == []


def test_a_full_disk_is_a_reason_to_wait(far_of, monkeypatch):
    far = far_of("file")

    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(local.os, "fsync", full)
        with pytest.raises(Unavailable, match="нет места"):
            sent(far.connector(), message_of())
    assert far.names("out") == []


def test_a_local_file_and_its_folder_are_flushed_to_the_disk(far_of, monkeypatch):
    far = far_of("file")
    flushed = []
    real = os.fsync

    def noted(file: int) -> None:
        flushed.append(os.path.basename(os.readlink(f"/proc/self/fd/{file}")))
        real(file)

    monkeypatch.setattr(local.os, "fsync", noted)
    sent(far.connector(), message_of())
    assert [name for name in flushed if name.endswith(".part")]
    assert flushed[-1] == "out", "after the rename"


def test_old_entries_of_the_register_are_forgotten(far):
    register = far.home / "out" / ".sent"
    register.mkdir()
    old, recent = register / "old", register / "recent"
    old.write_bytes(b"{}")
    recent.write_bytes(b"{}")
    os.utime(old, (1_700_000_000, 1_700_000_000))
    sent(far.connector(), message_of())
    assert not old.exists()
    assert recent.exists()


def test_an_upload_cut_in_the_middle_is_never_published(far_of):
    far = far_of("ftp")
    connector, message = far.connector(), message_of(os.urandom(300_000))
    far.mischief.arm("STOR", after=100_000)
    with pytest.raises(Unavailable):
        sent(connector, message)
    assert far.names("out") == []
    sent(connector, message, repeated=True)
    assert (far.home / "out" / "ответ-17.xml").read_bytes() == message.body
