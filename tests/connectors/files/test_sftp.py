"""What is particular about SFTP: whose server it is, how we log in, how its failures are read."""

from __future__ import annotations

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from core.errors import ConfigError, Unavailable
from core.message import Message


def test_a_server_with_another_key_is_refused(far_of):
    far = far_of("sftp")
    far.values["host_key"] = "SHA256:" + "A" * 43
    with pytest.raises(ConfigError, match="host_key"):
        far.connector().check()


def test_a_known_hosts_file_vouches_for_the_server_and_for_no_other(far_of, tmp_path):
    far = far_of("sftp")
    known = tmp_path / "known_hosts"
    keys = paramiko.HostKeys()
    keys.add(f"[127.0.0.1]:{far.server.port}", far.server.key.get_name(), far.server.key)
    keys.save(str(known))
    far.values["host_key"] = str(known)
    assert "доступна" in far.connector().check()
    known.write_text("")
    with pytest.raises(ConfigError, match="host_key"):
        far.connector().check()
    stranger = paramiko.ECDSAKey.generate()
    keys.clear()
    keys.add(f"[127.0.0.1]:{far.server.port}", stranger.get_name(), stranger)
    keys.save(str(known))
    with pytest.raises(ConfigError, match="host_key"):
        far.connector().check()
    known.unlink()
    with pytest.raises(ConfigError, match="не читается"):
        far.connector().check()


def test_we_log_in_by_a_key_with_a_password(far_of, tmp_path, monkeypatch):
    private = Ed25519PrivateKey.generate()
    file = tmp_path / "key"
    file.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.PrivateFormat.OpenSSH.encryption_builder().kdf_rounds(1).build(b"key password"),
        )
    )
    far = far_of("sftp", client_key=paramiko.PKey.from_path(file, password=b"key password"))
    monkeypatch.setenv("KEY_PASSWORD", "key password")
    far.values |= {"key_file": file, "password_env": "KEY_PASSWORD"}
    far.put("a.xml")
    far.one(far.connector()).ack()
    assert far.names("in") == []
    monkeypatch.setenv("KEY_PASSWORD", "another")
    with pytest.raises(ConfigError, match="Ключ SFTP"):
        far.connector().check()


def test_a_wrong_password_stops_the_connector(far_of, monkeypatch):
    far = far_of("sftp")
    monkeypatch.setenv("SMO1_PASSWORD", "wrong")
    with pytest.raises(ConfigError, match="не принял"):
        far.connector().check()


def test_a_failure_without_a_word_while_writing_is_taken_for_a_full_disk(far_of):
    far = far_of("sftp")
    out = far.connector().sinks["smo1"]
    message = Message("k", b"x" * 100_000, external_id="a")
    far.mischief.arm("write", "failure")
    with pytest.raises(Unavailable, match="нет места"):
        out.send(message, out.prepare(message), repeated=False)
    assert far.names("out") == []
    out.send(message, out.prepare(message), repeated=True)
    assert (far.home / "out" / "a.xml").read_bytes() == message.body


def test_a_server_without_the_posix_rename_is_served_too(far_of):
    far = far_of("sftp")
    far.mischief.arm("posix_rename", "Operation unsupported", times=-1)
    far.put("a.xml")
    connector = far.connector()
    far.one(connector).ack()
    assert len(far.names("done")) == 1


def test_a_path_with_a_tilde_begins_at_the_folder_of_login(far_of):
    far = far_of("sftp")
    far.values["url"] += "~/"
    far.put("a.xml")
    far.one(far.connector()).ack()
    assert far.names("in") == []
