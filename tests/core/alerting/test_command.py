"""`omsbus alert`: the list, and the trial of every channel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from core import cli
from core.alerting.book import Book
from core.alerting.rules import Finding, Judgement
from core.database import driver
from core.errors import ConfigError

pytestmark = pytest.mark.feature("BUS-13")


@pytest.fixture
def alert(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `omsbus alert …` with these settings: (exit code, output). A bus error is raised."""
    config = tmp_path / "omsbus.toml"
    monkeypatch.setenv("OMSBUS_DATABASE_URL", database_url)
    monkeypatch.setenv("OMSBUS_CONFIG", str(config))

    def run(*arguments: str, settings: str = "") -> tuple[int, str]:
        config.write_text(settings, encoding="utf-8")
        result = CliRunner().invoke(cli.build(), ["alert", *arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    return run


def _mail(port: int) -> str:
    return (
        f'[alerts.mail]\nhost = "127.0.0.1"\nport = {port}\ntls = "none"\nsender = "bus@fund.example"\n'
        'recipients = ["duty@fund.example"]\n'
    )


def test_the_trial_goes_through_every_channel(alert: Any, mailbox: Any, hook: Any) -> None:
    settings = f'{_mail(mailbox.port)}[alerts.webhooks.duty]\nurl = "{hook.url}"\nmin_severity = "critical"\n'
    code, out = alert("test", settings=settings)
    assert code == 0
    assert [line.partition(":")[0] for line in out.splitlines()] == ["mail", "webhook.duty"]
    [mail], [document] = mailbox.mails, hook.documents
    assert "Проверка" in mail["Subject"]
    assert document["alerts"][0]["what"] == "trial"


def test_the_trial_says_which_channel_failed_and_tries_the_others(alert: Any, hook: Any, dead_port: int) -> None:
    code, out = alert("test", settings=f'{_mail(dead_port)}[alerts.webhooks.duty]\nurl = "{hook.url}"\n')
    assert code == 1
    assert f"mail: не вышло. Почтовый сервер 127.0.0.1:{dead_port}" in out
    assert "webhook.duty: принято" in out


def test_without_channels_the_trial_says_how_to_make_one(alert: Any) -> None:
    with pytest.raises(ConfigError, match=r"\[alerts\.mail\]"):
        alert("test")


def test_an_unknown_key_of_alerts_is_refused(alert: Any) -> None:
    with pytest.raises(ConfigError, match=r"alerts\.repeat_hours"):
        alert("test", settings="[alerts]\nrepeat_hours = 3\n")


def test_a_healthy_bus_has_an_empty_list(alert: Any) -> None:
    assert alert("list") == (0, "Сейчас всё в порядке.\n")


def test_the_list_tells_what_lasts_what_is_over_and_what_to_do(alert: Any, bus_of: Any, look: Any) -> None:
    bus = bus_of()
    book, now = Book(bus.settings.alerts, {}), look.one("SELECT now()")
    lasting = Finding("queue.stopped", "t.work", "critical", "Очередь t.work остановлена", "Пустите очередь")
    passing = Finding("quarantine", "t.work", "warning", "В карантине сообщений: 3", "Разберите их")
    with bus.database.transaction() as connection:
        book.note(driver(connection), Judgement((lasting, passing)), now.replace(year=now.year - 1))
        book.note(driver(connection), Judgement((lasting,)), now)
    _, out = alert("list")
    assert "Очередь t.work остановлена" in out
    assert "queue.stopped t.work: Пустите очередь." in out
    assert "Разберите их" not in out
    _, as_json = alert("list", "--json", "--over", "0")
    [one] = json.loads(as_json)["alerts"]
    assert (one["rule"], one["severity"], one["over_at"]) == ("queue.stopped", "critical", None)
