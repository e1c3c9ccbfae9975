"""The intake: `POST <path>/<queue>` becomes a message, answered when it is in the journal. A bare ASGI application.

Who may post is decided before anything is read, and deny is the default: without a right token nobody learns which
queues there are. A client names its message by `Idempotency-Key`; without it every POST is a new message.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.message import Message as Mail
from io import BufferedIOBase, BytesIO
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

import structlog

from connectors.http import bodies, soap, wsdl
from connectors.http.answers import CLOSE, Answer, Refused, accepted
from connectors.http.bodies import BrokenOff, Receive
from connectors.http.settings import Settings
from connectors.http.tokens import Senders
from core import xml
from core.connector import Event
from core.crashpoints import crash_point
from core.errors import BusError, IdReused, MalformedXml, Permanent, Retryable
from core.message import Attachment, Message

if TYPE_CHECKING:
    from core.intake import Intake

CONTENT_TYPE: Final = "http.content_type"
SENDER: Final = "http.sender"
REMOTE_ADDRESS: Final = "http.remote_address"
SOAP_ACTION: Final = "http.soap_action"
"""Keys of Message.headers."""
KEY_MOST: Final = 200
DISPOSITION_MOST_BYTES: Final = 2000
"""Of Content-Disposition, that are looked at: `email` reads it in quadratic time."""
BUSY_PAUSE_S: Final = 5.0
LARGE_AT_ONCE: Final = 4
"""Bodies beyond bodies.IN_MEMORY_BYTES that may be in memory as a whole at one time."""

_READ = crash_point("http.read", "запрос прочитан, приёму не передан")
_COMMITTED = crash_point("http.accepted", "сообщение в журнале, ответ клиенту не отправлен")

_WANTED: Final = frozenset(
    {b"authorization", b"content-type", b"content-length", b"content-encoding", b"content-disposition"}
    | {b"idempotency-key", b"x-message-id", b"soapaction", b"host", b"expect"}
)
_log = structlog.get_logger(__name__)
_HOST: Final = re.compile(r"[\w.:\[\]-]{1,200}", re.ASCII)
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"\Z')
_ESCAPED: Final = re.compile(r"\\(.)")
_BEARER: Final = b"bearer "

Headers = Mapping[bytes, bytes]
Send = Callable[[Event], Awaitable[None]]


@dataclass(slots=True)
class Posted:
    """One request as a delivery. The HTTP answer is its acknowledgement, so there is nothing to tell here."""

    message: Message
    problem: Permanent | None = None

    def ack(self) -> None:
        """The answer says it."""

    def reject(self, reason: Permanent) -> None:
        """The answer says it."""


class HttpIntake:
    """The ASGI application of one connector, below its path."""

    def __init__(self, connector: str, settings: Settings, intake: Intake) -> None:
        self._connector = connector
        self._settings = settings
        self._intake = intake
        self._senders = Senders(settings.senders)
        self._prefix = len(settings.path) + 1
        self._open = frozenset(settings.open_queues)
        self._rights = {name: frozenset(sender.queues) for name, sender in settings.senders.items()}
        self._known = self._open.union(*self._rights.values())
        self._soap_only = frozenset(settings.soap_queues)
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """One request."""
        headers: dict[bytes, bytes] = {}
        try:
            for name, value in scope["headers"]:
                if name in _WANTED and headers.setdefault(name, value) != value:
                    raise Refused(400, "headers", "Один заголовок дан дважды с разными значениями: оставьте один")
            queue, sender = self._admit(scope, headers)
            key = _key(headers)
        except Refused as refused:
            answer = refused.answer(_speaks_soap(headers))
            # A client that is still sending hears the answer only when somebody reads.
            if b"expect" in headers or not await bodies.discard(receive):
                answer.headers.append(CLOSE)
        else:
            version = _speaks_soap(headers)
            try:
                if scope["method"] == "POST":
                    answer = await self._post(scope, headers, version, queue, sender, key, receive)
                else:
                    answer = self._wsdl(scope, headers, queue)
            except Refused as refused:
                answer = refused.answer(version)
            except BrokenOff:
                return
            except Exception:
                _log.exception("request failed", connector=self._connector)
                detail = "Ошибка в программе приёма: повторите позже или сообщите администратору шины"
                answer = Refused(500, "failure", detail, CLOSE).answer(version)
        await send(answer.start())
        await send(answer.rest())

    # ── who, what, where ─────────────────────────────────────────────────────────────────────────────────────────

    def _admit(self, scope: Event, headers: Headers) -> tuple[str, str]:
        """(queue, sender's name; "" for anybody at an open queue). Raises Refused."""
        method = scope["method"]
        if method != "POST" and not (method == "GET" and _asks_wsdl(scope)):
            raise Refused(405, "method", "Сообщения передаются методом POST", (b"allow", b"POST, GET"))
        if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            words = "Сжатое содержимое не принимается: отправьте без сжатия"
            raise Refused(415, "encoding", words, (b"accept-encoding", b"identity"))
        queue = scope["path"][self._prefix :]
        authorization = headers.get(b"authorization")
        if authorization is None:
            if queue in self._open:
                return queue, ""
            if self._rights:
                raise _who_are_you("Передайте токен в заголовке Authorization: Bearer")
            raise Refused(404, "queue", "Такой очереди нет: проверьте адрес")
        if authorization[:7].lower() != _BEARER:
            raise _who_are_you("Токен передаётся в заголовке Authorization: Bearer")
        sender = self._senders.of(authorization[7:].strip())
        if sender is None:
            if not self._senders.complete:
                raise Refused(
                    503,
                    "tokens",
                    "Токены приёма сейчас не читаются: сообщите администратору шины",
                    (b"retry-after", b"60"),
                )
            raise _who_are_you("Токен неизвестен: проверьте его или получите новый у администратора шины")
        if queue in self._rights[sender] or queue in self._open:
            return queue, sender
        if queue in self._known:
            raise Refused(403, "right", "У этого отправителя нет права на очередь: обратитесь к администратору шины")
        raise Refused(404, "queue", "Такой очереди нет: проверьте адрес")

    async def _post(
        self, scope: Event, headers: Headers, version: str, queue: str, sender: str, key: str, receive: Receive
    ) -> Answer:
        length = headers.get(b"content-length")
        settings = self._settings
        body = await bodies.read(
            receive, int(length) if length else None, settings.request_most_bytes, settings.spool_dir
        )
        message_of = self._message_of(scope, headers, queue, sender, key)
        if isinstance(body, bytes):
            _READ()
            if len(body) <= settings.body_most_bytes:
                self._look_at(body, headers, queue)
                return await self._take(message_of(body), version)
            content = _attachment(headers, lambda: BytesIO(body))
            return await self._take(
                message_of(b"", attachments=(content,), fingerprint=hashlib.sha256(body).hexdigest()), version
            )
        try:
            _READ()
            if body.size_bytes > settings.body_most_bytes:
                content = _attachment(headers, body.open)
                return await self._take(message_of(b"", attachments=(content,), fingerprint=body.sha256), version)
            async with self._large:
                octets = await asyncio.to_thread(body.bytes)
                await asyncio.to_thread(self._look_at, octets, headers, queue)
                return await self._take(message_of(octets), version)
        finally:
            body.close()

    def _message_of(self, scope: Event, headers: Headers, queue: str, sender: str, key: str) -> Callable[..., Message]:
        """Makes the message out of its body and, when that is too long, its attachment."""
        kept = {CONTENT_TYPE: _text(headers.get(b"content-type", b"")), REMOTE_ADDRESS: (scope["client"] or ("",))[0]}
        if sender:
            kept[SENDER] = sender
        if b"soapaction" in headers:
            kept[SOAP_ACTION] = _text(headers[b"soapaction"])
        external_id = (f"{sender}/{queue}/{key}" if sender else f"{queue}/{key}") if key else ""
        return functools.partial(
            Message, queue, queue=queue, headers=kept, source=self._connector, external_id=external_id
        )

    def _look_at(self, body: bytes, headers: Headers, queue: str) -> None:
        """Refuse at once what could only end in quarantine. Raises Refused."""
        if not body:
            raise Refused(400, "empty", "Тело запроса пусто: передавать нечего")
        is_xml = _is_xml(headers.get(b"content-type", b""))
        soap_only = queue in self._soap_only
        if not is_xml and soap_only:
            raise Refused(
                415, "soap", "Эта очередь принимает только конверты SOAP: укажите text/xml или application/soap+xml"
            )
        if not is_xml or not (self._settings.check_xml or soap_only):
            return
        try:
            root = xml.parse(body)
            if soap_only or b"soapaction" in headers or soap.version_of(root):
                soap.content(root)
        except MalformedXml as error:
            raise Refused(400, "xml", error.reason) from None
        except soap.Broken as error:
            raise Refused(400, error.code, error.words) from None

    async def _take(self, message: Message, version: str) -> Answer:
        try:
            taken = await self._intake.take(Posted(message))
        except Retryable as error:
            pause_s = error.pause_s if error.pause_s is not None else BUSY_PAUSE_S
            raise Refused(503, "busy", error.reason, (b"retry-after", b"%d" % max(1, math.ceil(pause_s)))) from None
        except BusError as error:
            raise Refused(500, "failure", error.reason) from None
        _COMMITTED()
        if isinstance(taken.problem, IdReused):
            raise Refused(
                409,
                "id-reused",
                "Под этим Idempotency-Key уже принято другое содержимое; новое отложено и не обработано. "
                "Если это другое сообщение, отправьте его с новым ключом",
                (b"x-message-id", str(taken.message_id).encode()),
            )
        return accepted(version, str(taken.message_id), repeated=taken.repeated)

    def _wsdl(self, scope: Event, headers: Headers, queue: str) -> Answer:
        base = self._settings.public_url.rstrip("/")
        if not base:
            host = _text(headers.get(b"host", b""))
            if not _HOST.fullmatch(host):
                host = "localhost"
            base = f"{scope['scheme']}://{host}{self._settings.path}"
        body = wsdl.of_queue(queue, f"{base}/{queue}")
        return Answer(
            200, [(b"content-type", b"text/xml; charset=utf-8"), (b"content-length", b"%d" % len(body))], body
        )


def _who_are_you(detail: str) -> Refused:
    return Refused(401, "token", detail, (b"www-authenticate", b'Bearer realm="omsbus"'))


def _speaks_soap(headers: Headers) -> str:
    """Version of SOAP that the client says it speaks; "" for a plain one, which may post an Envelope all the same."""
    if headers.get(b"content-type", b"")[:20].lower() == b"application/soap+xml":
        return "1.2"
    return "1.1" if b"soapaction" in headers else ""


def _asks_wsdl(scope: Event) -> bool:
    return bool(scope["query_string"].lower() in (b"wsdl", b"singlewsdl"))


def _is_xml(content_type: bytes) -> bool:
    kind = content_type.partition(b";")[0].strip().lower()
    return kind in (b"text/xml", b"application/xml") or kind.endswith(b"+xml")


def _key(headers: Headers) -> str:
    """The client's name of its message; "" when it gives none. Raises Refused."""
    raw = headers.get(b"idempotency-key", headers.get(b"x-message-id"))
    if raw is None:
        return ""
    try:
        key = raw.decode().strip()
    except UnicodeDecodeError:
        key = ""
    if key[:1] == '"':  # a structured string, as draft-ietf-httpapi-idempotency-key-header has it
        quoted = _QUOTED.match(key)
        key = _ESCAPED.sub(r"\1", quoted[1]) if quoted else ""
    if not key or len(key) > KEY_MOST or not key.isprintable():
        raise Refused(400, "key", f"Idempotency-Key: от 1 до {KEY_MOST} печатных знаков, исправьте его")
    return key


def _text(value: bytes) -> str:
    return value[:200].decode("latin-1")


def _attachment(headers: Headers, content: Callable[[], BufferedIOBase]) -> Attachment:
    """What is too long for a body."""
    return Attachment(
        _file_name(headers.get(b"content-disposition", b"")),
        _text(headers.get(b"content-type", b"").partition(b";")[0].strip()) or "application/octet-stream",
        open=content,
    )


def _file_name(disposition: bytes) -> str:
    """The last part of the name that the client gives its content: it is shown, and never a path of ours."""
    disposition = disposition[:DISPOSITION_MOST_BYTES]
    try:
        text = disposition.decode()
    except UnicodeDecodeError:
        text = disposition.decode("cp1251", "replace")
    mail = Mail()
    mail["content-disposition"] = text.replace("\r", " ").replace("\n", " ")
    try:
        given = mail.get_filename() or ""
    except (ValueError, TypeError):  # what `email` says to a wrong number or character set (RFC 2231)
        given = ""
    name = PurePosixPath(given.replace("\\", "/")).name
    name = "".join(sign for sign in name if sign.isprintable())[:200].strip()
    return name if name.strip(".") else "body"
