"""Mail and webhooks against real servers on the loopback."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from core.alerting.bulletin import trial
from core.alerting.channels import Mail, Webhook, channels
from core.alerting.settings import AlertSettings, MailSettings, WebhookSettings
from core.errors import ConfigError, Retryable

pytestmark = pytest.mark.feature("BUS-13")

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
BULLETIN = trial("mail", NOW, console_url="https://bus.example")
PASSWORD = "only-for-tests"


def test_a_mail_is_well_formed_and_its_subject_is_russian(mailbox: Any, mail_settings: Any) -> None:
    Mail(MailSettings(**mail_settings(mailbox))).send(BULLETIN, NOW)
    [raw], [mail] = mailbox.raw, mailbox.mails
    assert raw.isascii()  # any server takes it, also one without SMTPUTF8 and 8BITMIME
    assert max(map(len, raw.splitlines())) <= 998
    assert mail.defects == []
    assert mail["Subject"] == "[omsbus] Внимание: Проверка: оповещения шины доходят этим путём"
    assert (mail["From"], mail["To"]) == ("bus@fund.example", "duty@fund.example, chief@fund.example")
    assert mail["Date"].datetime == NOW
    assert mail["Message-ID"] == f"<omsbus-{BULLETIN.id}@fund.example>"
    assert (mail.get_content_type(), mail.get_content_charset()) == ("text/plain", "utf-8")
    assert "Что делать: Ничего делать не нужно." in mail.get_content()
    assert "https://bus.example/" in mail.get_content()


def test_a_mail_goes_by_starttls_with_a_password_from_a_file(
    guarded_mailbox: Any, mail_settings: Any, authority: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "mail.secret"
    secret.write_text(PASSWORD + "\n", encoding="utf-8")
    settings = mail_settings(guarded_mailbox, tls="starttls", ca_file=authority, user="bus", password_file=secret)
    Mail(MailSettings(**settings)).send(BULLETIN, NOW)
    assert len(guarded_mailbox.mails) == 1


def test_a_mail_server_that_nobody_vouches_for_gets_nothing(
    guarded_mailbox: Any, mail_settings: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("T_MAIL", PASSWORD)
    settings = mail_settings(guarded_mailbox, tls="starttls", user="bus", password_env="T_MAIL")
    with pytest.raises(Retryable, match="не принял письмо"):
        Mail(MailSettings(**settings)).send(BULLETIN, NOW)
    assert guarded_mailbox.raw == []


def test_a_wrong_password_is_said_without_showing_it(
    guarded_mailbox: Any, mail_settings: Any, authority: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("T_MAIL", "wrong-one")
    settings = mail_settings(guarded_mailbox, tls="starttls", ca_file=authority, user="bus", password_env="T_MAIL")
    with pytest.raises(Retryable, match="код 535") as caught:
        Mail(MailSettings(**settings)).send(BULLETIN, NOW)
    assert "wrong-one" not in caught.value.reason


def test_a_password_that_mail_cannot_carry_is_not_shown(
    guarded_mailbox: Any, mail_settings: Any, authority: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("T_MAIL", "неверный")
    settings = mail_settings(guarded_mailbox, tls="starttls", ca_file=authority, user="bus", password_env="T_MAIL")
    with pytest.raises(ConfigError, match="латиницы") as caught:
        Mail(MailSettings(**settings)).send(BULLETIN, NOW)
    assert "неверный" not in caught.value.reason


def test_a_missing_password_names_the_variable(guarded_mailbox: Any, mail_settings: Any, authority: Path) -> None:
    settings = mail_settings(guarded_mailbox, tls="starttls", ca_file=authority, user="bus", password_env="T_NOT_SET")
    with pytest.raises(ConfigError, match="T_NOT_SET"):
        Mail(MailSettings(**settings)).send(BULLETIN, NOW)


@pytest.mark.parametrize("answer", ["451 later", "554 never"])
def test_a_mail_that_the_server_refuses_comes_again(mailbox: Any, mail_settings: Any, answer: str) -> None:
    mailbox.refuse = [answer]
    mail = Mail(MailSettings(**mail_settings(mailbox)))
    with pytest.raises(Retryable, match=f"код {answer[:3]}"):
        mail.send(BULLETIN, NOW)
    mail.send(BULLETIN, NOW)
    assert len(mailbox.mails) == 1


def test_a_mail_server_that_is_away_is_retryable(mailbox: Any, mail_settings: Any, dead_port: int) -> None:
    with pytest.raises(Retryable, match=f"127.0.0.1:{dead_port}"):
        Mail(MailSettings(**mail_settings(mailbox, port=dead_port))).send(BULLETIN, NOW)


def test_a_webhook_gets_the_document_and_the_token(hook: Any, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("abc\n")
    Webhook("duty", WebhookSettings(url=hook.url, token_file=secret)).send(BULLETIN, NOW)
    [(headers, document)] = hook.taken
    assert headers["Authorization"] == "Bearer abc"
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert headers["Idempotency-Key"] == document["id"] == BULLETIN.id
    assert document["version"] == 1
    assert document["console_url"] == "https://bus.example/"
    assert [(one["what"], one["rule"]) for one in document["alerts"]] == [("trial", "trial")]


@pytest.mark.parametrize("status", [302, 401, 500])
def test_any_answer_but_yes_is_retryable(hook: Any, status: int) -> None:
    hook.statuses = [status]
    with pytest.raises(Retryable, match=str(status)):
        Webhook("duty", WebhookSettings(url=hook.url)).send(BULLETIN, NOW)


def test_a_webhook_that_is_away_is_said_without_its_address(dead_port: int) -> None:
    settings = WebhookSettings(url=f"http://127.0.0.1:{dead_port}/secret-path")
    with pytest.raises(Retryable, match=r"webhook\.duty") as caught:
        Webhook("duty", settings).send(BULLETIN, NOW)
    assert "secret-path" not in caught.value.reason


def test_every_channel_of_the_settings_is_there(mailbox: Any, mail_settings: Any) -> None:
    settings = AlertSettings(
        mail=MailSettings(**mail_settings(mailbox)),
        webhooks={
            "b": WebhookSettings(url="https://b.example/x"),
            "a": WebhookSettings(url="https://a.example/x", min_severity="critical"),
        },
    )
    assert [(one.name, one.min_severity) for one in channels(settings)] == [
        ("mail", "warning"),
        ("webhook.a", "critical"),
        ("webhook.b", "warning"),
    ]
    assert channels(AlertSettings()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"quiet": "с десяти до восьми"},
        {"quiet": "25:00-08:00"},
        {"timezone": "Europe/Nowhere"},
        {"every": 3},
        {"limits": {"oldest": 3}},
        {"mail": {"host": "m", "sender": "a@b", "recipients": []}},
        {"mail": {"host": "m", "sender": "a@b\nBcc: c@d", "recipients": ["a@b"]}},
        {
            "mail": {
                "host": "m",
                "sender": "a@b",
                "recipients": ["a@b"],
                "tls": "none",
                "user": "u",
                "password_env": "P",
            }
        },
        {"mail": {"host": "m", "sender": "a@b", "recipients": ["a@b"], "user": "u"}},
        {"webhooks": {"x": {"url": "ftp://a/"}}},
        {"webhooks": {"x": {"url": "https://user:password@a/"}}},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AlertSettings(**wrong)


def test_settings_survive_the_way_to_a_worker_process() -> None:
    settings = AlertSettings(quiet="22:00-08:00")  # type: ignore[arg-type]
    assert AlertSettings(**settings.model_dump(mode="json")) == settings
