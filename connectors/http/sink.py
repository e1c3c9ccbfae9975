"""Takes messages out: each is one request to the partner's address.

How the far side recognises a repeat: by the header `Idempotency-Key`, which is the message's id. The same octets go
under it as often as it takes, so the partner must answer a repeat without acting twice. Whether a partner keeps to
this is his affair; one that answers 409 to what it has already is told of by `conflict_means_repeated`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from lxml import etree

from connectors.http import soap
from connectors.http.client import Answer, Client, Lost, Why
from connectors.http.settings import Settings
from core import xml
from core.connector import Prepared, Receipt
from core.crashpoints import crash_point
from core.errors import BusError, ConfigError, MalformedXml, Permanent, Retryable, Unavailable
from core.message import Message

CONTENT_TYPE: Final = "http.content_type"
"""Key of Message.headers: the media type under which the body goes out."""
PAUSE_MOST_S: Final = 3600.0
"""However long a partner asks us to wait, we look again after an hour."""
UNKNOWN: Final = "неизвестен: шина повторит то же сообщение под тем же ключом"

_ANSWERED = crash_point("http.answered_us", "партнёр ответил, подтверждение шине не возвращено")
_RESTING: Final = frozenset({429, 502, 503, 504})
_AGAIN: Final = frozenset({408, 425})

Opened = Callable[[], tuple[Client, str]]


class HttpSink:
    """The queue of what goes to one partner."""

    def __init__(self, connector: str, settings: Settings, opened: Opened) -> None:
        """opened: gives the client and the token ("" for none); raises ConfigError."""
        self.name = connector
        self._settings = settings
        self._opened = opened

    def prepare(self, message: Message) -> Prepared:
        """The key, and for SOAP the envelope. Raises Permanent."""
        if not message.attachments:
            if not message.body:
                raise Permanent("У сообщения нет ни тела, ни вложения, передавать нечего: отклоните его")
        elif message.body or len(message.attachments) > 1 or message.attachments[0].open is None or self._settings.soap:
            raise Permanent("По HTTP уходит либо тело, либо одно вложение: отправьте вложения отдельными сообщениями")
        body = self._enveloped(message.body) if self._settings.soap else b""
        return Prepared(str(message.id), body, self._headers(message))

    def send(self, message: Message, prepared: Prepared, *, repeated: bool) -> Receipt:
        """One request. Raises Unavailable, Retryable, Permanent, ConfigError."""
        client, token = self._opened()
        headers = {**self._settings.headers, **prepared.headers, "Idempotency-Key": prepared.external_id}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            content = message.attachments[0].open if message.attachments else None
            if content is None:
                answer = client.send(prepared.body or message.body, headers)
            else:
                with content() as stream:
                    answer = client.send(stream, headers)
        except Lost as lost:
            raise _of_loss(lost) from None
        _ANSWERED()
        try:
            return self._understood(answer, repeated=repeated)
        except BusError as error:
            error.answer = answer.body
            raise

    def _enveloped(self, body: bytes) -> bytes:
        """The document in an envelope; an envelope of the right version as it is. Raises Permanent."""
        root = xml.parse(body)
        wanted = self._settings.soap
        version = soap.version_of(root)
        if version and version != wanted:
            raise Permanent(f"Сообщение — конверт SOAP {version}, а партнёр принимает {wanted}: исправьте обработчик")
        if version:
            return body
        return soap.enveloped(wanted, etree.tostring(root, encoding="UTF-8", xml_declaration=False, with_tail=False))

    def _headers(self, message: Message) -> Mapping[str, str]:
        settings = self._settings
        if settings.soap == "1.1":
            return {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": f'"{settings.soap_action}"'}
        if settings.soap == "1.2":
            action = f'; action="{settings.soap_action}"' if settings.soap_action else ""
            return {"Content-Type": f"application/soap+xml; charset=utf-8{action}"}
        if settings.content_type:
            return {"Content-Type": settings.content_type}
        told = message.attachments[0].media_type if message.attachments else message.headers.get(CONTENT_TYPE, "")
        return {"Content-Type": told if _is_plain(told) else _guessed(message.body)}

    def _understood(self, answer: Answer, *, repeated: bool) -> Receipt:
        """What an answer means. Raises the errors of `send`."""
        if answer.status in (401, 403):
            raise ConfigError(
                f"Партнёр не признал нас (HTTP {answer.status}): проверьте токен, сертификат и права у партнёра, "
                "затем запустите очередь"
            )
        if 300 <= answer.status < 400:
            raise ConfigError(
                f"Партнёр перенаправляет на другой адрес (HTTP {answer.status}): узнайте верный и укажите в url",
                detail=answer.headers.get("location", "")[:200],
            )
        if self._settings.soap and (error := self._fault(answer)):
            raise error
        if 200 <= answer.status < 300:
            note = f"Партнёр принял сообщение (HTTP {answer.status})"
            if not answer.whole:
                note += f"; ответ длиннее {self._settings.answer_most_bytes} байт, сохранено его начало"
            return Receipt(note, answer.body)
        if refusal := self._refusal(answer, repeated=repeated):
            raise refusal
        return Receipt(
            "Партнёр уже принял это сообщение раньше (HTTP 409): ответ на первую отправку потерялся", answer.body
        )

    def _refusal(self, answer: Answer, *, repeated: bool) -> BusError | None:
        """The error that a status of 4xx or 5xx means; None: it is success."""
        status = answer.status
        if status == 409 and repeated and self._settings.conflict_means_repeated:
            return None
        pause_s = _retry_after(answer.headers)
        if status in _RESTING:
            return Unavailable(f"Партнёр просит подождать (HTTP {status}): шина повторит сама", pause_s=pause_s)
        if status >= 500 or status in _AGAIN:
            return Retryable(f"Ошибка у партнёра (HTTP {status}), исход {UNKNOWN}", pause_s=pause_s)
        return Permanent(
            f"Партнёр не принял сообщение (HTTP {status}): его ответ сохранён. Исправьте данные и отправьте заново "
            "либо отклоните"
        )

    def _fault(self, answer: Answer) -> BusError | None:
        """The error that a SOAP answer means; None when it is no fault, or speaks by its status alone."""
        if not answer.body.strip() or not answer.whole:
            return None
        try:
            told = soap.read_fault(xml.parse(answer.body))
        except MalformedXml as error:
            if answer.status >= 400:
                return None
            return Retryable(f"Ответ партнёра не разобран, исход {UNKNOWN}", detail=error.detail or error.reason)
        except soap.Broken:
            if answer.status >= 400:
                return None
            return Retryable(f"Партнёр ответил не конвертом SOAP: проверьте url. Исход {UNKNOWN}")
        if told is None:
            return None
        code, words = told
        if code in ("Server", "Receiver"):
            pause_s = _retry_after(answer.headers)
            kind = Unavailable if answer.status in _RESTING else Retryable
            return kind(f"Партнёр ответил ошибкой SOAP ({code}): шина повторит сама", detail=words, pause_s=pause_s)
        return Permanent(
            f"Партнёр отверг сообщение ошибкой SOAP ({code}): его ответ сохранён. Исправьте данные и отправьте заново "
            "либо отклоните",
            detail=words,
        )


def _of_loss(lost: Lost) -> BusError:
    match lost.why:
        case Why.UNREACHABLE:
            error: BusError = Unavailable("Партнёр недоступен: проверьте url и сеть", detail=lost.detail)
        case Why.UNTRUSTED:
            error = Unavailable(
                "Защищённое соединение с партнёром не устанавливается: проверьте его сертификат и ca_file",
                detail=lost.detail,
            )
        case Why.TIMEOUT:
            error = Retryable(f"Партнёр не ответил в срок, исход {UNKNOWN}", detail=lost.detail)
        case Why.CUT_OFF:
            error = Retryable(f"Ответ партнёра оборвался или непонятен, исход {UNKNOWN}", detail=lost.detail)
    error.answer = lost.received
    return error


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the partner asks us to wait, PAUSE_MOST_S at most; None when it does not say.

    A date is counted from the answer's own Date: the partner's clock may be wrong, the difference is not.
    """
    value = headers.get("retry-after", "")
    if not value:
        return None
    try:
        seconds = float(value) if value.strip().isdigit() else _moment(value) - _moment(headers.get("date", ""))
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), PAUSE_MOST_S)


def _moment(date: str) -> float:
    """Seconds since the epoch; "": now. Raises ValueError, TypeError, OverflowError."""
    return parsedate_to_datetime(date).timestamp() if date else time.time()


def _guessed(body: bytes) -> str:
    first = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if first == b"<":
        return "application/xml"
    return "application/json" if first in (b"{", b"[") else "application/octet-stream"


def _is_plain(content_type: str) -> bool:
    return "/" in content_type and content_type.isascii() and content_type.isprintable()
