"""Settings that can't work are refused with a Russian reason before anything runs."""

from __future__ import annotations

import pytest

from connectors.files.connector import connect
from core import discovery
from core.errors import ConfigError

FTP = {"type": "files", "url": "ftp://ftp.smo.example/x", "user": "u", "password_env": "P", "inbox": {}}


@pytest.mark.feature("BUS-01")
def test_a_table_of_the_settings_makes_a_source_and_a_sink_named_by_it():
    (both,) = discovery.connectors({"smo1": FTP | {"outbox": {}}})
    assert (list(both.sources), list(both.sinks)) == (["smo1.inbox"], ["smo1"])
    (out,) = discovery.connectors({"smo2": {"type": "files", "url": "file:///srv/smo", "outbox": {}}})
    assert (list(out.sources), list(out.sinks)) == ([], ["smo2"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"url": "ftp://u:secret@host/"}, "в user и password_env"),
        ({"url": "http://host/"}, "file://"),
        ({"url": "ftp://host/a/../b"}, "«..»"),
        ({"url": "ftp://host/a%0d%0aDELE"}, "управляющие"),
        ({"url": "ftp://host:port/"}, "url"),
        ({"url": "file://host/srv"}, "три черты"),
        ({"url": "sftp://host/"}, "host_key"),
        ({"encoding": "utf-16"}, "encoding"),
        ({"encoding": "нет такой"}, "encoding"),
        ({"user": ""}, "user"),
        ({"password_env": ""}, "пароль не задан"),
        ({"password_file": "/x"}, "не вместе"),
        ({"inbox": None}, "ни inbox, ни outbox"),
        ({"inbox": {"folder": "/in"}}, "относительно"),
        ({"inbox": {"folder": "a/../b"}}, "относительно"),
        ({"inbox": {"folder": "in\r\nDELE x"}}, "относительно"),
        ({"inbox": {"done_folder": "in"}}, "разными"),
        ({"inbox": {"cron": "every day"}}, "расписание"),
        ({"inbox": {"cron": "0 6 * * *", "settle_s": 60}}, "settle_s"),
        ({"inbox": {"ready_suffix": "/x"}}, "ready_suffix"),
        ({"inbox": {"paterrn": "*"}}, "неизвестный ключ"),
        ({"outbox": {"folder": "in"}}, "заберёт свои же"),
        ({"outbox": {"name": "../{id}.xml"}}, "без папок"),
        ({"outbox": {"name": "same.xml"}}, "полем"),
        ({"outbox": {"name": "{id}.part"}}, "временное"),
        ({"outbox": {"register": "../x"}}, "register"),
    ],
)
def test_what_cannot_work_is_refused(change, words):
    with pytest.raises(ConfigError) as caught:
        discovery.connectors({"smo1": FTP | change})
    assert words in caught.value.reason
    assert "secret" not in caught.value.reason


def test_a_password_that_is_not_there_is_named_by_its_variable(monkeypatch, tmp_path):
    monkeypatch.delenv("P", raising=False)
    (ftp,) = discovery.connectors({"smo1": FTP})
    with pytest.raises(ConfigError, match="переменную P"):
        ftp.open()
    without = {key: value for key, value in FTP.items() if key != "password_env"}
    (ftp,) = discovery.connectors({"smo1": without | {"password_file": str(tmp_path / "none")}})
    with pytest.raises(ConfigError, match="Файл пароля"):
        ftp.open()
    (tmp_path / "none").write_text("two\nlines\n")
    with pytest.raises(ConfigError, match="одной строкой"):
        ftp.open()


def test_the_representation_of_a_connector_is_its_name():
    settings = discovery.connector_module("files").Settings.model_validate(FTP)
    assert repr(connect("smo1", settings)) == "Files('smo1')"
