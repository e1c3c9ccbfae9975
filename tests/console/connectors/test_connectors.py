"""The pages of connectors: settings without secrets, how the far side stands, test, pause and resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from console.connectors.labels import label
from core import connection_check, connections, discovery

pytestmark = pytest.mark.feature("SMEV-10")


@pytest.fixture
def bus(bus_of: Any, tmp_path: Path) -> Any:
    """A folder `box`; an intake `web`; СМЭВ that nobody answers; one that is switched off."""
    for folder in ("in", "out"):
        (tmp_path / "box" / folder).mkdir(parents=True)
    settings = {
        "box": {"type": "files", "url": f"file://{tmp_path}/box", "inbox": {"folder": "in"}, "outbox": {}},
        "web": {"type": "http", "open_queues": ["unknown"]},
        "smev": {
            "type": "smev3",
            "endpoints": {"1.1": "http://127.0.0.1:1/ws", "1.2": "http://127.0.0.1:1/ws2"},
            "key_file": str(tmp_path / "fund.key"),
            "certificate_file": str(tmp_path / "fund.pem"),
            "password_env": "FUND_PASSWORD",
            "trust_dir": str(tmp_path),
            "polls": [
                {"name": "requests", "operation": "requests", "namespace": "urn:x", "root": "Ask"},
                {"name": "counts", "operation": "statistics", "cron": "0 * * * *"},
            ],
        },
        "old": {"type": "files", "url": "file:///old", "inbox": {}, "enabled": False},
    }
    return bus_of([], discovery.connectors(settings), connectors=settings)


@pytest.fixture
def operator(console_of: Any, bus: Any) -> Any:
    return console_of(bus).person("operator")


def test_the_list_shows_all_with_their_states(operator: Any) -> None:
    text = operator.get("/connectors").text
    for words in ("box", "Папки обмена", "web", "/in", "smev", "СМЭВ 3", "выключен в настройках", "не читается"):
        assert words in text
    assert operator.get("/connectors/part").status_code == 200


def test_every_connector_has_a_page_with_its_part_and_an_unknown_one_is_a_sentence(operator: Any) -> None:
    for name in ("box", "web", "smev", "old"):
        page = operator.get(f"/connectors/{name}")
        assert page.status_code == 200
        assert 'style="' not in page.text
        assert operator.get(f"/connectors/{name}/part").status_code == 200
    answer = operator.get("/connectors/nowhere")
    assert answer.status_code == 404
    assert "Нет коннектора nowhere" in answer.text


@pytest.mark.feature("SMEV-08")
def test_smev_shows_its_settings_in_russian_versions_polls_and_what_waits_there(operator: Any, bus: Any) -> None:
    text = operator.get("/connectors/smev").text
    for words in ("Переменная с паролем", "password_env", "FUND_PASSWORD", "Файл ключа"):
        assert words in text
    for words in ("http://127.0.0.1:1/ws2", "Запросы к нам", "Ask из urn:x", "Статистика входящих очередей"):
        assert words in text
    assert "по расписанию 0 * * * *" in text
    assert "ещё не говорила" in text
    bus.lines["smev"].connector.queue_statistics = {"zags": 12}
    assert "zags: 12" in operator.get("/connectors/smev").text


def test_a_test_of_the_connection_is_begun_at_once_and_its_outcome_is_told(
    operator: Any, bus: Any, eventually: Any
) -> None:
    assert "Ещё не проверялась" in operator.get("/connectors/box").text
    assert operator.submit("/connectors/box/check").headers["location"] == "/connectors/box"
    eventually(lambda: (found := connection_check.last(bus, "box")) and not found.under_way)
    text = operator.get("/connectors/box/check").text
    assert "доступна" in text
    assert "data-over" in text, "nobody asks any more"
    assert operator.login in text
    assert "отвечает" in operator.get("/connectors").text


def test_a_connector_is_paused_with_a_reason_and_resumed_as_a_whole(operator: Any, bus: Any) -> None:
    operator.submit("/connectors/box/pause", reason="")
    assert connections.connection(bus, "box").state == "up"
    assert "Остановить 2 очереди" in operator.get("/connectors/box").text
    operator.submit("/connectors/box/pause", reason="работы до утра")
    assert connections.connection(bus, "box").state == "paused"
    text = operator.get("/connectors/box").text
    assert "работы до утра" in text
    assert "Пустить всё" in text
    operator.submit("/connectors/box/resume")
    assert connections.connection(bus, "box").state == "up"


def test_what_only_takes_in_can_not_be_paused_here(operator: Any) -> None:
    assert "/connectors/web/pause" not in operator.get("/connectors/web").text
    operator.submit("/connectors/web/pause", reason="x")
    assert "нет ни опроса, ни отправки" in operator.get("/connectors").text


@pytest.mark.feature("SMEV-11")
def test_who_only_reads_changes_nothing_and_who_has_no_right_sees_nothing(console_of: Any, bus: Any) -> None:
    desk = console_of(bus)
    auditor, stranger = desk.person("auditor"), desk.person("personal")
    for deed in ("check", "pause", "resume"):
        assert f'action="/connectors/box/{deed}"' not in auditor.get("/connectors/box").text
        assert auditor.submit(f"/connectors/box/{deed}", reason="x").status_code == 403
    assert connection_check.last(bus, "box") is None
    assert connections.connection(bus, "box").state == "up"
    for path in ("", "/part", "/box", "/box/part", "/box/check"):
        assert stranger.get(f"/connectors{path}").status_code == 403


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("password_file", "Файл с паролем"),
        ("inbox.folder", "Входящая папка: папка"),
        ("endpoints.1.2", "Адрес версии 1.2"),
        ("senders.клиника.token_file", "Отправитель клиника: файл с токеном"),
        ("versions.http://kvs.pfr.com/snils/1.0.1", "Версия для вида http://kvs.pfr.com/snils/1.0.1"),
        ("something_new", "something_new"),
    ],
)
def test_a_setting_has_a_name_for_people(name: str, words: str) -> None:
    assert label(name) == words
