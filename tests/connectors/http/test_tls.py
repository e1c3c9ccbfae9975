"""Sending over TLS: whom we trust, who we are."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from connectors.http.connector import Settings, connect
from core.connector import Connector
from core.errors import Unavailable
from core.message import Message


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secured(partner: Any, authority: trustme.CA) -> str:
    """The partner behind TLS who wants our certificate; his address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    partner.secure(context)
    return f"https://127.0.0.1:{partner.port}/documents"


def files_of(authority: trustme.CA, folder: Path) -> dict[str, Path]:
    ours = authority.issue_cert("bus.example")
    files = {name: folder / name for name in ("ca_file", "client_certificate_file", "client_key_file")}
    authority.cert_pem.write_to_path(files["ca_file"])
    ours.cert_chain_pems[0].write_to_path(files["client_certificate_file"])
    ours.private_key_pem.write_to_path(files["client_key_file"])
    return files


def send(connector: Connector) -> str:
    message = Message(kind="letter", body=b"<a/>")
    sink = connector.sinks["partner"]
    return sink.send(message, sink.prepare(message), repeated=False).note


def test_a_message_goes_over_mutual_tls(partner, secured, authority, tmp_path) -> None:
    connector = connect("partner", Settings(type="http", url=secured, **files_of(authority, tmp_path)))
    assert "отвечает" in connector.check()
    assert "принял" in send(connector)
    connector.close()


@pytest.mark.feature("BUS-14")
def test_a_certificate_of_an_unknown_authority_is_not_trusted(partner, secured, authority, tmp_path) -> None:
    files = files_of(authority, tmp_path)
    trustme.CA().cert_pem.write_to_path(files["ca_file"])
    connector = connect("partner", Settings(type="http", url=secured, **files))
    with pytest.raises(Unavailable, match="сертификат"):
        send(connector)
    with pytest.raises(Unavailable, match="защищённое"):
        connector.check()
    assert partner.calls == []
    connector.close()
