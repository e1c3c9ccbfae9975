"""The ways by which alerts leave: mail and webhooks. Each takes a whole bulletin or raises; the watch repeats."""

from __future__ import annotations

import json
import smtplib
import socket
import ssl
from collections.abc import Mapping
from datetime import datetime
from email.header import Header
from email.mime.text import MIMEText
from email.utils import format_datetime
from pathlib import Path
from typing import Protocol

import structlog
import urllib3

from core.alerting.bulletin import Bulletin
from core.alerting.settings import AlertSettings, MailSettings, Severity, WebhookSettings
from core.errors import ConfigError, Retryable
from core.signatures.keys import read_password

ANSWER_MOST_BYTES = 64 * 1024
_log = structlog.get_logger(__name__)


class Channel(Protocol):
    """Takes bulletins to people. `min_severity`: the least that it wants."""

    name: str
    min_severity: Severity

    def send(self, bulletin: Bulletin, now: datetime) -> None:
        """Hand over. Raises Retryable, ConfigError: the same bulletin comes again later."""


class Mail:
    """One mail a bulletin, to all recipients."""

    name = "mail"

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings
        self.min_severity = settings.min_severity

    def send(self, bulletin: Bulletin, now: datetime) -> None:
        s = self._settings
        mail = self._mail(bulletin, now)
        try:
            context = None if s.tls == "none" else _trust(s.ca_file)
            with self._connect(context) as server:
                if s.tls == "starttls":
                    server.starttls(context=context)
                if s.user:
                    self._log_in(server)
                refused = server.send_message(mail, s.sender, s.recipients)
        except (OSError, smtplib.SMTPException) as error:
            raise Retryable(
                f"Почтовый сервер {s.host}:{s.port} не принял письмо ({_words(error)}): проверьте его адрес, tls, "
                "учётную запись и получателей в [alerts.mail]"
            ) from None
        if refused:
            _log.warning("mail refused for some", recipients=len(refused))

    def _connect(self, context: ssl.SSLContext | None) -> smtplib.SMTP:
        s = self._settings
        if s.tls == "ssl":
            return smtplib.SMTP_SSL(s.host, s.port, timeout=s.timeout_s, context=context)
        return smtplib.SMTP(s.host, s.port, timeout=s.timeout_s)

    def _log_in(self, server: smtplib.SMTP) -> None:
        password = _secret(self._settings.password_env, self._settings.password_file, "почты")
        if not (password.isascii() and self._settings.user.isascii()):  # smtplib can't, and would show it in its error
            raise ConfigError("Имя и пароль почты в [alerts.mail] могут состоять только из латиницы, цифр и знаков")
        server.login(self._settings.user, password)

    def _mail(self, bulletin: Bulletin, now: datetime) -> MIMEText:
        # Not an EmailMessage: its folding loses spaces between the words of a long Russian subject.
        mail = MIMEText(bulletin.text, "plain", "utf-8")
        mail["Subject"] = Header(bulletin.subject, "utf-8", header_name="Subject")  # type: ignore[assignment]
        mail["From"] = self._settings.sender
        mail["To"] = ", ".join(self._settings.recipients)
        mail["Date"] = format_datetime(now)
        mail["Message-ID"] = f"<omsbus-{bulletin.id}@{self._settings.sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        return mail


class Webhook:
    """One POST of JSON a bulletin; any answer 2xx is a yes."""

    def __init__(self, name: str, settings: WebhookSettings) -> None:
        self.name = f"webhook.{name}"
        self.min_severity = settings.min_severity
        self._settings = settings

    def send(self, bulletin: Bulletin, now: datetime) -> None:  # noqa: ARG002
        s = self._settings
        headers = {"Content-Type": "application/json; charset=utf-8", "Idempotency-Key": bulletin.id}
        if token := _secret(s.token_env, s.token_file, self.name):
            headers["Authorization"] = f"Bearer {token}"
        body = json.dumps(bulletin.document, ensure_ascii=False).encode()
        try:
            with urllib3.PoolManager(ssl_context=_trust(s.ca_file)) as pool:
                answer = pool.request(
                    "POST", s.url, body=body, headers=headers, timeout=s.timeout_s, retries=False, preload_content=False
                )
                answer.read(ANSWER_MOST_BYTES)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Retryable(f"Адрес {self.name} не отвечает ({_words(error)}): проверьте url и сеть") from None
        if not 200 <= answer.status < 300:
            raise Retryable(f"Адрес {self.name} ответил {answer.status}: проверьте url и токен")


def channels(settings: AlertSettings) -> list[Channel]:
    """Every channel of the settings, mail first."""
    found: list[Channel] = [Mail(settings.mail)] if settings.mail else []
    return found + [Webhook(name, one) for name, one in sorted(settings.webhooks.items())]


def severities(found: list[Channel]) -> Mapping[str, Severity]:
    """Name → the least severity that the channel wants."""
    return {one.name: one.min_severity for one in found}


def _secret(env: str, file: Path | None, whose: str) -> str:
    """ "" when none is asked for. Raises ConfigError when it is asked for and not there."""
    if not env and file is None:
        return ""
    found = (read_password(env or None, file) or "").strip()
    if not found:
        raise ConfigError(f"Нет пароля или токена для {whose}: задайте переменную {env or file}")
    return found


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigError(f"Файл {ca_file} с удостоверяющими центрами не читается ({_words(error)})") from None


def _words(error: BaseException) -> str:
    """What went wrong, without addresses and secrets: they may stand in the texts of libraries."""
    if isinstance(error, smtplib.SMTPResponseException):
        return f"код {error.smtp_code}"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "получатели отвергнуты"
    if isinstance(error, TimeoutError | socket.timeout | urllib3.exceptions.TimeoutError):
        return "нет ответа вовремя"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
