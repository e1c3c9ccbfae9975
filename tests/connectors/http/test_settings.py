"""Settings that cannot work are refused at start, with words; tokens are read as the settings say."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.http.connector import Settings, connect
from connectors.http.tokens import Senders, read_token
from core import discovery
from core.errors import ConfigError, Unavailable

SENDER = {"token_env": "SMO1", "queues": ["erz.lists"]}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "хотя бы одно"),
        ({"open_queues": ["w1"], "opened": ["w2"]}, "неизвестный ключ"),
        ({"senders": {"smo1": {"queues": ["a"]}}}, "либо token_file, либо token_env"),
        ({"senders": {"smo1": SENDER | {"token_file": "t"}}}, "либо token_file, либо token_env"),
        ({"senders": {"smo1": SENDER | {"queues": []}}}, "senders.smo1.queues"),
        ({"senders": {"smo/1": SENDER}}, "senders.smo/1"),
        ({"senders": {"w1": SENDER}, "open_queues": ["w1"]}, "переименуйте отправителя"),
        ({"open_queues": ["../w1"]}, "open_queues"),
        ({"open_queues": ["w1"], "soap_queues": ["w2"]}, "soap_queues"),
        ({"open_queues": ["w1"], "path": "in"}, "path"),
        ({"open_queues": ["w1"], "request_most_bytes": 2048}, "request_most_bytes"),
        ({"url": "ftp://partner"}, "http://"),
        ({"url": "https://user:password@partner/"}, "пароля"),
        ({"url": "https://partner/", "token_file": "t", "token_env": "T"}, "либо token_file"),
        ({"url": "https://partner/", "client_key_file": "k"}, "только вместе"),
        ({"url": "https://partner/", "headers": {"Authorization": "Bearer x"}}, "сама шина"),
        ({"url": "https://partner/", "headers": {"X": "a\r\nY: b"}}, "печатные"),
        ({"url": "https://partner/", "soap_action": "urn:a"}, "soap"),
        ({"url": "https://partner/", "soap": "1.3"}, "soap"),
    ],
)
def test_what_cannot_work_is_refused_with_the_place(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        discovery.connectors({"in": {"type": "http"} | values})
    assert words in caught.value.reason


def test_a_receiving_instance_tells_where_it_listens_and_reads_its_tokens(monkeypatch) -> None:
    settings = Settings.model_validate({"type": "http", "open_queues": ["w1"], "senders": {"smo1": SENDER}})
    connector = connect("in", settings)
    assert list(connector.sinks) == list(connector.sources) == []
    with pytest.raises(ConfigError, match="SMO1"):
        connector.check()
    monkeypatch.setenv("SMO1", "a-token-that-is-long-enough")
    said = connector.check()
    assert "/in/<очередь>" in said
    assert "erz.lists, w1" in said
    assert "без токена открыты: w1" in said


def test_a_sending_instance_has_no_intake() -> None:
    connector = connect("partner", Settings(type="http", url="http://127.0.0.1:9/x"))
    assert list(connector.sinks) == ["partner"]
    assert connector.applications(None) == {}  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        connector.check()


def test_certificates_that_are_not_there_stop_the_connector(tmp_path) -> None:
    connector = connect("partner", Settings(type="http", url="https://127.0.0.1:9/x", ca_file=tmp_path / "absent.pem"))
    with pytest.raises(ConfigError, match="ca_file"):
        connector.open()


def test_short_equal_and_unreadable_tokens_are_refused_and_the_others_go_on(tmp_path) -> None:
    good, short = tmp_path / "good", tmp_path / "short"
    good.write_text("a-token-that-is-long-enough\n")
    short.write_text("short")
    given = {"a": good, "b": good, "c": short, "d": tmp_path / "absent"}
    values = {name: {"token_file": file, "queues": ["q"]} for name, file in given.items()}
    senders = Senders(Settings.model_validate({"type": "http", "senders": values}).senders)
    with pytest.raises(ConfigError) as caught:
        senders.load()
    assert all(words in caught.value.reason for words in ("a и b", "c короче", "absent"))
    assert senders.of(b"a-token-that-is-long-enough") == "a"
    assert senders.of(b"short") is None
    assert "long-enough" not in caught.value.reason


def test_a_replaced_token_counts_without_a_restart(tmp_path, monkeypatch) -> None:
    file = tmp_path / "token"
    file.write_text("the-first-token-of-all")
    values = {"a": {"token_file": file, "queues": ["q"]}}
    senders = Senders(Settings.model_validate({"type": "http", "senders": values}).senders)
    assert senders.of(b"the-first-token-of-all") == "a"
    file.write_text("the-second-token-of-all")
    monkeypatch.setattr("connectors.http.tokens.REREAD_S", 0.0)
    assert senders.of(b"the-first-token-of-all") is None
    assert senders.of(b"the-second-token-of-all") == "a"


@pytest.mark.parametrize("content", [b"", b" \n", b"two words", "токен".encode(), b"\xff"])
def test_a_token_that_cannot_stand_in_a_header_is_refused_without_being_shown(tmp_path, content) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_token(file, "", "коннектор partner")
    assert "two words" not in caught.value.reason + caught.value.detail
