"""Messages go out by SendRequest and SendResponse.

How the far side recognises a repeat: by MessageID. `prepare` makes the id, the envelope and the signature once;
`send` posts those octets as often as it takes, and СМЭВ answers a repeat with MessageIsAlreadySent, which is
success (FACTS §5).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from lxml import etree

from connectors.smev3 import answers, deliveries, envelopes, faults
from connectors.smev3 import messages as header
from connectors.smev3.client import Lost
from connectors.smev3.identity import made_at, new_message_id
from connectors.smev3.session import Session
from connectors.smev3.settings import Settings
from core import xml
from core.connector import Prepared, Receipt
from core.errors import BusError, MalformedXml, Permanent, Retryable, SchemaViolation
from core.message import Message
from core.replies import Reply

_PROLOG = re.compile(rb"\A(?:\xef\xbb\xbf)?(?:\s+|<\?.*?\?>|<!--.*?-->)*", re.DOTALL)
_EPILOG_MARKS = (b"?>", b"-->")
_LIMITS = {header.TRANSACTION_CODE: 1500, header.NODE: 50, header.TO: 4000}
_FRESH_S = 3600.0
_UTF8 = {None, "UTF-8", "UTF8", "US-ASCII", "ASCII"}


class SmevSink:
    """The queue of outgoing requests and responses of one СМЭВ instance."""

    def __init__(self, connector: str, settings: Settings, session: Callable[[], Session]) -> None:
        self.name = connector
        self._settings = settings
        self._session = session

    def prepare(self, message: Message) -> Prepared:
        """MessageID of this moment, the envelope, the signature. Raises Permanent, ConfigError."""
        if message.attachments:
            raise Permanent(
                "Отправка вложений через СМЭВ этой версией шины не поддерживается: отправьте документ без вложений"
            )
        for name, most in _LIMITS.items():
            if len(message.headers.get(name, "")) > most:
                raise Permanent(f"Значение {name} длиннее {most} знаков, СМЭВ его не примет: исправьте обработчик")
        version = self._version_of(message)
        message_id = new_message_id()
        unsigned = self._envelope(message, version, message_id)
        if len(unsigned.head) > self._settings.envelope_most_bytes:
            raise Permanent(
                f"Документ больше {self._settings.envelope_most_bytes} байт, СМЭВ его не примет: "
                "разделите его или передайте вложением"
            )
        envelope = self._session().sign(unsigned, outgoing=True)
        return Prepared(message_id, envelope, {header.VERSION: version, header.OPERATION: self._operation(message)})

    def send(self, message: Message, prepared: Prepared, *, repeated: bool) -> Receipt:  # noqa: ARG002
        """POST the prepared octets. Raises Unavailable, Retryable, Permanent, ConfigError."""
        session = self._session()
        version = prepared.headers[header.VERSION]
        try:
            answer = session.client.call(version, prepared.headers[header.OPERATION], prepared.body)
        except Lost as lost:
            raise _with_answer(faults.of_loss(lost, self._settings), lost.received) from None
        try:
            operation = answers.open_envelope(answer.envelope)
            return self._receipt(operation, answer.envelope, session)
        except answers.Refused as refused:
            error = faults.of_sending(refused.fault, self._settings, repeated=repeated)
            if error is None:
                return Receipt(
                    "СМЭВ уже приняла это сообщение раньше: ответ на первую отправку потерялся", answer.envelope
                )
            error = _not_in_a_circle(refused.fault.name, error, prepared, self._settings)
            raise _with_answer(error, answer.envelope) from None
        except (MalformedXml, SchemaViolation) as problem:
            unread = Retryable(
                f"Ответ СМЭВ на отправку не разобран, исход неизвестен: шина повторит те же байты. {problem.reason}",
                detail=problem.detail,
            )
            raise _with_answer(unread, answer.envelope) from None

    def _receipt(self, operation: etree._Element, envelope: bytes, session: Session) -> Receipt:
        """What СМЭВ confirmed. A bad signature on it is noted, not fatal: a repeat would change nothing."""
        signed = answers.find_signed(operation, None, ("MessageMetadata",))
        if signed is None:
            return Receipt("СМЭВ приняла сообщение, но не сообщила его состояние", envelope)
        note = "СМЭВ приняла сообщение"
        element, alert = signed.element, ""
        try:
            element = xml.parse(deliveries.verify(signed, session.reading()).octets)
        except Permanent as error:
            alert = error.reason
            note += ". Внимание: подпись СМЭВ на подтверждении не прошла проверку"
        found = {answers.local(child): child for child in answers.elements(element)}
        headers = {}
        for name, key in (
            ("Status", header.DELIVERY_STATUS),
            ("SendingTimestamp", header.SENDING_TIMESTAMP),
        ):
            if answers.words(found.get(name)):
                headers[key] = answers.words(found.get(name))
        recipient = found.get("Recipient")
        if recipient is not None:
            mnemonic = next(
                (answers.words(c) for c in answers.elements(recipient) if answers.local(c) == "Mnemonic"), ""
            )
            if mnemonic:
                headers[header.RECIPIENT] = mnemonic
                note += f", получатель {mnemonic}"
        if headers.get(header.DELIVERY_STATUS):
            note += f" ({headers[header.DELIVERY_STATUS]})"
        if alert:
            headers[header.ALERT] = alert
        return Receipt(note, envelope, headers)

    def _envelope(self, message: Message, version: str, message_id: str) -> envelopes.Unsigned:
        headers = message.headers
        if self._operation(message) == header.SEND_REQUEST:
            return envelopes.send_request(
                version,
                message_id=message_id,
                payload=document(message.body),
                reference=headers.get(header.REFERENCE_MESSAGE_ID, ""),
                transaction_code=headers.get(header.TRANSACTION_CODE, ""),
                node=headers.get(header.NODE, ""),
                end_of_life=self._end_of_life(headers.get(header.END_OF_LIFE, "")),
                test=headers.get(header.TEST) == "true",
            )
        to = headers.get(header.TO, "")
        if not to:
            raise Permanent("У ответа нет адреса (smev.to): составляйте ответы через connectors.smev3.messages.answer")
        content = headers.get(header.CONTENT, "primary")
        if content == "primary":
            return envelopes.send_response(version, message_id=message_id, to=to, payload=document(message.body))
        reply = _reply(message)
        if content == "rejected":
            reasons = list(zip(reply.codes, reply.texts, strict=False))
            if not reasons or any(code not in header.REJECTION_CODES for code, _ in reasons):
                raise Permanent(
                    f"Отказ без допустимого кода: СМЭВ принимает {', '.join(header.REJECTION_CODES)}. "
                    "Исправьте обработчик"
                )
            return envelopes.send_rejection(version, message_id=message_id, to=to, reasons=reasons)
        if content == "status":
            code = reply.codes[0] if reply.codes else ""
            if not re.fullmatch(r"-?\d{1,9}", code):
                raise Permanent("Код состояния (RequestStatus) должен быть целым числом: исправьте обработчик")
            text = reply.texts[0] if reply.texts else ""
            return envelopes.send_status(
                version, message_id=message_id, to=to, code=int(code), description=text, parameters=reply.parameters
            )
        raise Permanent(f"Неизвестный вид ответа smev.content = «{content}»: исправьте обработчик")

    def _version_of(self, message: Message) -> str:
        """The header, then the settings by kind, then by the payload's namespace, then the usual version."""
        settings = self._settings
        wanted = message.headers.get(header.VERSION) or settings.versions.get(message.kind)
        if not wanted and settings.versions and self._operation(message) == header.SEND_REQUEST:
            namespace = etree.QName(xml.parse(message.body)).namespace or ""
            wanted = settings.versions.get(namespace)
        version = wanted or settings.usual_version
        if version not in settings.endpoints:
            raise Permanent(
                f"Для версии СМЭВ {version} не настроен адрес: добавьте его в endpoints коннектора "
                "и отправьте сообщение снова"
            )
        return version

    def _end_of_life(self, wanted: str) -> str:
        """EOL to be signed now; one that has passed is extended, as the annotation of EndOfLifeReached asks."""
        if not wanted:
            return ""
        try:
            moment = datetime.fromisoformat(wanted)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise Permanent(
                "Срок жизни запроса (smev.end_of_life) — не дата со смещением: исправьте обработчик"
            ) from None
        now = datetime.now(UTC)
        if moment > now:
            return envelopes.timestamp(moment)
        if not self._settings.end_of_life_s:
            raise Permanent("Срок жизни запроса истёк раньше отправки: если запрос ещё нужен, отправьте его заново")
        return envelopes.timestamp(now + timedelta(seconds=self._settings.end_of_life_s))

    @staticmethod
    def _operation(message: Message) -> str:
        operation = message.headers.get(header.OPERATION, header.SEND_REQUEST)
        if operation not in (header.SEND_REQUEST, header.SEND_RESPONSE):
            raise Permanent(f"Неизвестная операция СМЭВ «{operation}»: допустимы SendRequest и SendResponse")
        return operation


def document(body: bytes) -> bytes:
    """The root element's octets of a payload, fit to stand inside of our envelope.

    UTF-8 octets are taken as they are; another encoding is written anew. Raises MalformedXml, SchemaViolation
    (no namespace: the transform of СМЭВ has no rule for such elements).
    """
    root = xml.parse(body)
    if not etree.QName(root).namespace:
        raise SchemaViolation("Документ для СМЭВ должен быть в пространстве имён своего вида сведений: укажите xmlns")
    encoding = root.getroottree().docinfo.encoding
    plain = (encoding.upper() if encoding else None) in _UTF8 and not body.startswith((b"\xff\xfe", b"\xfe\xff"))
    if plain:
        start = _PROLOG.match(body)
        octets = (body[start.end() :] if start else body).rstrip()
        if octets.endswith(b">") and not octets.endswith(_EPILOG_MARKS):
            return octets
    return etree.tostring(root, encoding="utf-8", with_tail=False)


def _not_in_a_circle(name: str, error: BusError, prepared: Prepared, settings: Settings) -> BusError:
    """An id that is stale though it was just made means a wrong clock: another one at once would fare no better."""
    if name == "StaleMessageId" and isinstance(error, Retryable) and time.time() - _made_at(prepared) < _FRESH_S:
        error.pause_s = settings.renew_pause_s
    return error


def _with_answer(error: BusError, octets: bytes) -> BusError:
    error.answer = octets
    return error


def _made_at(prepared: Prepared) -> float:
    try:
        return made_at(prepared.external_id)
    except ValueError:
        return 0.0


def _reply(message: Message) -> Reply:
    try:
        return Reply.from_body(message.body)
    except SchemaViolation:
        raise Permanent(
            "Тело отказа или состояния не читается: составляйте их через connectors.smev3.messages.refusal и status"
        ) from None
