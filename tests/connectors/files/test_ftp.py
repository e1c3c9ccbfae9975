"""What is particular about FTP and FTPS: old servers, hostile ones, encodings, TLS."""

from __future__ import annotations

import ftplib
import os
import ssl

import pytest

from connectors.files import ftp, ftp_listing
from core.errors import ConfigError, Unavailable
from core.message import Message
from simulators.ftp.certificates import make_certificate

HOSTILE = [
    b"../../etc/passwd",
    b"/etc/passwd",
    b"a\\..\\b.xml",
    b"a\rDELE good.xml",
    b"a\0b.xml",
    b"\xff\xfe.xml",
    b"x" * 300,
    b"  ",
]


@pytest.mark.parametrize("transport", ["ftp", "sftp"])
@pytest.mark.parametrize("without", [(), ("MLSD", "MLST")])
def test_hostile_names_are_refused_with_a_reason_and_never_block_the_others(far_of, transport, without):
    options = {"without": without} if transport == "ftp" else {}
    far = far_of(transport, **options)
    far.put("good.xml")
    far.mischief.names[:] = HOSTILE
    connector = far.connector()
    deliveries = far.received(connector)
    refused = [one for one in deliveries if one.problem]
    assert [one.message.headers["file_name"] for one in deliveries if not one.problem] == ["good.xml"]
    assert len(refused) == len(HOSTILE)
    assert all("не принят" in one.problem.reason for one in refused)
    assert not any("\r" in one.message.headers["file_name"] for one in refused)
    for one in deliveries:
        one.reject(one.problem) if one.problem else one.ack()
    assert far.received(connector) == [], "told once"
    assert far.names("in") == []


@pytest.mark.parametrize(
    "without", [("MLSD", "MLST"), ("MLSD", "MLST", "SIZE"), ("MLSD", "MLST", "MDTM"), ("MLSD", "MLST", "SIZE", "MDTM")]
)
def test_servers_without_mlsd_serve_both_ways(far_of, without):
    far = far_of("ftp", without=without)
    (far.home / "in" / "folder").mkdir()
    path = far.put("Файл с  пробелами.xml", b"<a/>")
    connector = far.connector(inbox={"pattern": "*.xml"})
    delivery = far.one(connector)
    assert delivery.message.headers["file_name"] == "Файл с  пробелами.xml"
    path.write_bytes(b"<other/>")
    delivery.ack()
    again = far.one(connector)
    assert again.message.body == b"<other/>"
    again.ack()
    assert far.names("in") == ["folder"]
    out = connector.sinks["smo1"]
    message = Message("k", b"<b/>", external_id="b")
    out.send(message, out.prepare(message), repeated=False)
    (far.home / "out" / "b.xml").unlink()
    assert "раньше" in out.send(message, out.prepare(message), repeated=True).note


def test_both_usual_forms_of_list_are_understood_and_others_are_named():
    lines = [
        b"total 3",
        b"-rw-r--r--   1 owner    group          17 Jan 02 12:03 a b.xml",
        b"drwxr-xr-x   2 0        0            4096 Nov  5  2024 done",
        b"lrwxrwxrwx   1 0        0               9 Nov  5  2024 l.xml -> /etc/passwd",
        b"-rw-r--r--   1 owner                   17 Jan 02 12:03 no group.xml",
        b"11-24-26  12:03PM                   512 W.XML",
        b"11-24-26  12:03PM       <DIR>          folder",
        b"nonsense",
    ]
    found, strange = ftp_listing.of_list(lines, "utf-8")
    assert [(one.name, one.what, one.size_bytes) for one in found] == [
        ("a b.xml", "file", 17),
        ("done", "folder", 4096),
        ("l.xml", "link", 9),
        ("no group.xml", "file", 17),
        ("W.XML", "file", 512),
        ("         folder", "folder", 0),
    ]
    assert strange == [b"nonsense"]


def test_windows_names_go_both_ways_over_ftp(far_of):
    far = far_of("ftp", encoding="cp1251")
    far.put("Ячмень, я и Ёж №1.xml", b"<a/>")
    connector = far.connector()
    delivery = far.one(connector)
    assert delivery.message.headers["file_name"] == "Ячмень, я и Ёж №1.xml"
    delivery.ack()
    assert far.names("done")[0].endswith("_Ячмень, я и Ёж №1.xml")
    out = connector.sinks["smo1"]
    message = Message("k", b"<b/>", external_id="Ответ №1 (я)")
    out.send(message, out.prepare(message), repeated=False)
    assert far.names("out") == ["Ответ №1 (я).xml"]


def test_windows_names_go_both_ways_in_a_local_folder(far_of):
    far = far_of("file", encoding="cp1251")
    name = "Ячмень.xml".encode("cp1251")
    with open(os.fsencode(far.home) + b"/in/" + name, "wb") as file:
        file.write(b"<a/>")
    connector = far.connector()
    delivery = far.one(connector)
    assert delivery.message.headers["file_name"] == "Ячмень.xml"
    delivery.ack()
    assert os.listdir(os.fsencode(far.home / "done"))[0].endswith(name)
    out = connector.sinks["smo1"]
    message = Message("k", b"<b/>", external_id="Ответ")
    out.send(message, out.prepare(message), repeated=False)
    assert "Ответ.xml".encode("cp1251") in os.listdir(os.fsencode(far.home / "out"))


def test_windows_names_go_both_ways_over_sftp(far_of):
    far = far_of("sftp", encoding="cp1251")
    far.put("Ячмень.xml")
    connector = far.connector()
    far.one(connector).ack()
    out = connector.sinks["smo1"]
    message = Message("k", b"<b/>", external_id="Ответ")
    out.send(message, out.prepare(message), repeated=False)
    assert far.names("out") == ["Ответ.xml"]
    assert far.names("done")[0].endswith("_Ячмень.xml")


def test_the_octet_of_the_letter_я_is_doubled_where_the_settings_say_so(far_of, monkeypatch):
    far = far_of("ftp", encoding="cp1251")
    far.values["telnet_iac"] = True
    sent = []
    monkeypatch.setattr(ftplib.FTP, "putline", lambda self, line: sent.append(line))
    spoken = ftp._Spoken()
    spoken.telnet_iac = True
    spoken.putline("SIZE \xff.xml")
    spoken.telnet_iac = False
    spoken.putline("SIZE \xff.xml")
    assert sent == ["SIZE \xff\xff.xml", "SIZE \xff.xml"]


def test_a_foreign_address_in_an_answer_to_pasv_is_not_followed(far_of):
    far = far_of("ftp")
    far.put("a.xml")
    far.mischief.foreign_pasv = "203.0.113.7"
    assert far.one(far.connector()).message.body == b"<a/>"


def test_active_mode_serves_too(far_of):
    far = far_of("ftp")
    far.values["passive"] = False
    far.put("a.xml")
    far.one(far.connector()).ack()
    assert far.names("in") == []


@pytest.mark.parametrize("transport", ["ftp", "ftps"])
def test_a_download_cut_in_the_middle_is_no_message(far_of, transport):
    far = far_of(transport)
    content = os.urandom(300_000)
    far.put("a.bin", content)
    connector = far.connector()
    far.mischief.arm("RETR", after=100_000)
    with pytest.raises(Unavailable):
        far.received(connector)
    connector.sources["smo1.inbox"]._looks._rests.clear()
    assert far.one(connector).message.body == content


def test_a_download_that_ends_early_without_an_error_is_no_message(far_of):
    far = far_of("ftp")
    far.put("a.xml", b"<a>123456789</a>")
    connector = far.connector()
    source = connector.sources["smo1.inbox"]
    (entry,), _ = source._look()
    far.put("a.xml", b"<a>1")
    assert source._taken(entry) is None


def test_a_server_that_is_only_slow_is_waited_for_and_a_silent_one_is_away(far_of):
    far = far_of("ftp")
    far.put("a.xml")
    connector = far.connector()
    far.mischief.arm("MLSD", delay_s=0.2)
    assert far.one(connector)
    far.values["answer_timeout_s"] = 0.2
    impatient = far.connector()
    far.mischief.arm("MLSD", delay_s=1)
    with pytest.raises(Unavailable):
        far.received(impatient)


def test_an_endless_reply_is_cut_off(far_of):
    far = far_of("ftp")
    far.mischief.arm("PWD", "257-x\r\n" + "257-y\r\n" * 2000 + "257 z")
    with pytest.raises(Unavailable):
        far.connector().check()


def test_ftps_resumes_the_session_of_the_control_connection_as_servers_demand(far_of):
    far = far_of("ftps")
    far.put("a.xml")
    assert far.one(far.connector()).message.body == b"<a/>"
    plain = ftplib.FTP_TLS(context=ssl.create_default_context(cafile=str(far.values["ca_file"])))
    with plain:
        plain.connect("127.0.0.1", far.server.port, timeout=5)
        plain.login("exchange", os.environ["SMO1_PASSWORD"])
        plain.prot_p()
        with pytest.raises((ftplib.Error, OSError, EOFError)):
            plain.retrbinary("RETR in/a.xml", lambda block: None)


def test_ftps_refuses_a_server_with_the_certificate_of_a_stranger(far_of, tmp_path):
    far = far_of("ftps")
    _, far.values["ca_file"] = make_certificate(tmp_path / "another")
    with pytest.raises(ConfigError, match="Сертификат"):
        far.connector().check()


def test_ftps_refuses_a_certificate_of_another_host(far_of, tmp_path):
    own, trusted = make_certificate(tmp_path / "other", host="ftp.smo.example")
    far = far_of("ftps", certificate=own)
    far.values["ca_file"] = trusted
    with pytest.raises(ConfigError, match="Сертификат"):
        far.connector().check()


def test_ftps_never_goes_on_without_tls(far_of):
    far = far_of("ftp")
    far.values["url"] = far.values["url"].replace("ftp:", "ftps:")
    with pytest.raises(ConfigError, match="TLS"):
        far.connector().check()


def test_check_says_what_it_saw_and_moves_nothing(far):
    far.put("a.xml")
    said = far.connector().check()
    assert "файлов: 1" in said
    assert far.names("in") == ["a.xml"]
    assert far.hidden("out") == []
    (far.home / "out").rmdir()
    with pytest.raises(Unavailable, match="Исходящая папка out"):
        far.connector().check()


def test_the_path_of_the_url_is_below_the_folder_of_login(far_of):
    far = far_of("ftp")
    (far.home / "обмен" / "in").mkdir(parents=True)
    (far.home / "обмен" / "in" / "a.xml").write_bytes(b"<a/>")
    far.values["url"] += "%D0%BE%D0%B1%D0%BC%D0%B5%D0%BD/"
    far.one(far.connector()).ack()
    assert os.listdir(far.home / "обмен" / "done")
