"""The file server simulator as plain clients see it, without a line of the connector."""

from __future__ import annotations

import ftplib
import io
import ssl

import paramiko
import pytest
from typer.testing import CliRunner

from core.cli import build
from simulators.ftp.certificates import make_certificate
from simulators.ftp.server import FtpSimulator
from simulators.ftp.sftp import SftpSimulator


@pytest.fixture
def ftp(tmp_path):
    (tmp_path / "home" / "in").mkdir(parents=True)
    with FtpSimulator(tmp_path / "home", password="p") as server:
        yield server


@pytest.fixture
def client(ftp):
    with ftplib.FTP() as made:
        made.connect("127.0.0.1", ftp.port, timeout=5)
        made.login("exchange", "p")
        yield made


def test_files_go_up_and_down(ftp, client):
    client.storbinary("STOR in/a.xml", io.BytesIO(b"<a/>"))
    assert (ftp.home / "in" / "a.xml").read_bytes() == b"<a/>"
    got = []
    client.retrbinary("RETR in/a.xml", got.append)
    assert b"".join(got) == b"<a/>"


def test_an_armed_answer_is_given_as_often_as_asked(ftp, client):
    ftp.mischief.arm("SIZE", "550 No.", times=2)
    client.voidcmd("TYPE I")
    (ftp.home / "a").write_bytes(b"12")
    for _ in range(2):
        with pytest.raises(ftplib.error_perm):
            client.size("a")
    assert client.size("a") == 2


def test_a_transfer_is_cut_after_so_many_octets(ftp, client):
    (ftp.home / "a").write_bytes(b"x" * 500_000)
    ftp.mischief.arm("RETR", after=1000)
    got = []
    with pytest.raises(ftplib.error_temp, match="426"):
        client.retrbinary("RETR a", got.append)
    assert 0 < len(b"".join(got)) < 500_000


def test_a_command_may_take_effect_before_the_connection_is_lost(ftp, client):
    ftp.mischief.arm("MKD", done=True)
    with pytest.raises(EOFError):
        client.mkd("made")
    assert (ftp.home / "made").is_dir()


def test_hostile_names_and_a_foreign_address_are_told_as_asked(ftp, client):
    ftp.mischief.names.append(b"../../x")
    ftp.mischief.foreign_pasv = "203.0.113.7"
    assert "203,0,113,7" in client.sendcmd("PASV")
    lines = []
    client.retrlines("LIST", lines.append)
    assert any(line.endswith("../../x") for line in lines)


def test_it_stops_and_starts_again_on_its_port(ftp):
    port = ftp.port
    ftp.stop()
    with pytest.raises(ConnectionRefusedError):
        ftplib.FTP().connect("127.0.0.1", port, timeout=5)
    ftp.start()
    with ftplib.FTP() as made:
        made.connect("127.0.0.1", port, timeout=5)
        made.login("exchange", "p")


def test_ftps_has_a_certificate_that_its_authority_vouches_for(tmp_path):
    own, trusted = make_certificate(tmp_path / "keys")
    with (
        FtpSimulator(tmp_path, password="p", certificate=own) as server,
        ftplib.FTP_TLS(context=ssl.create_default_context(cafile=str(trusted))) as client,
    ):
        client.connect("127.0.0.1", server.port, timeout=5)
        client.login("exchange", "p")
        client.prot_p()
        assert "server.pem" in client.nlst("keys")


def test_sftp_keeps_to_its_folder(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "home" / "a").write_bytes(b"1")
    with SftpSimulator(tmp_path / "home", password="p", key=paramiko.ECDSAKey.generate()) as server:
        transport = paramiko.Transport(("127.0.0.1", server.port))
        transport.connect(username="exchange", password="p")
        client = paramiko.SFTPClient.from_transport(transport)
        try:
            assert client.listdir("/") == ["a"]
            with pytest.raises(FileNotFoundError):
                client.stat("../secret")
        finally:
            transport.close()


def test_it_is_a_command_beside_the_other_simulators():
    said = CliRunner().invoke(build(), ["simulator", "--help"])
    assert said.exit_code == 0
    assert "smev" in said.output
    assert "файлового сервера" in " ".join(said.output.split())
