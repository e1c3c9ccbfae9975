"""How a route handler talks through СМЭВ: four functions that make outgoing messages, and the names of headers.

    yield messages.request(xml, kind="sfr.snils", reply_within_s=86_400)     # our question (SendRequest)
    yield messages.answer(ctx.message, xml, kind="ffoms.services")           # our answer (SendResponse)
    yield messages.refusal(ctx.message, "NO_DATA", "Сведения не найдены")    # our refusal
    yield messages.status(ctx.message, 1, "Принято в работу")                # intermediate news

The payload is the business document: one root element in a namespace, UTF-8. The connector makes the
envelope, the MessageID and the signature when the message is about to leave, so nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from core.errors import Permanent
from core.message import Attachment, Message, Outcome
from core.replies import Reply

# Headers of both directions.
VERSION = "smev.version"
"""Version of the exchange service: 1.1, 1.2 or 1.3. An answer leaves through the version the request came by."""
CONNECTOR = "smev.connector"
"""Name of the connector instance that brought the message: the answer's queue."""
MESSAGE_ID = "smev.message_id"
REFERENCE_MESSAGE_ID = "smev.reference_message_id"
TRANSACTION_CODE = "smev.transaction_code"
NODE = "smev.node"
END_OF_LIFE = "smev.end_of_life"
"""EOL, an ISO date and time with offset."""
TEST = "smev.test"
""""true" when TestMessage is present: the handler must not change data."""

# Headers of incoming messages only.
REPLY_TO = "smev.reply_to"
"""Opaque address of the asker, copied unchanged into `To` of our answer (FACTS §5)."""
SENDER = "smev.sender"
SENDER_NAME = "smev.sender_name"
RECIPIENT = "smev.recipient"
MESSAGE_TYPE = "smev.message_type"
"""REQUEST, BROADCAST, RESPONSE or CANCEL. Nobody waits for an answer to a BROADCAST."""
SENDING_TIMESTAMP = "smev.sending_timestamp"
DELIVERY_TIMESTAMP = "smev.delivery_timestamp"
DELIVERY_STATUS = "smev.delivery_status"
ORIGINAL_MESSAGE_ID = "smev.original_message_id"
STATUS_CATEGORY = "smev.status_category"
"""StatusCategory of an AsyncProcessingStatus, as it came."""
SIGNER_SUBJECT = "smev.signer_subject"
SIGNER_FINGERPRINT = "smev.signer_fingerprint"
SENDER_SIGNATURE = "smev.sender_signature"
"""Verdict on the signature of the far system: `valid`, `untrusted: …`, `invalid: …`, `absent`, `ignored`."""
SENDER_SIGNER_SUBJECT = "smev.sender_signer_subject"
ALERT = "smev.alert"
"""A Russian sentence that an operator must see though the message was let through."""

# Headers of outgoing messages only.
OPERATION = "smev.operation"
"""SendRequest or SendResponse."""
TO = "smev.to"
CONTENT = "smev.content"
"""What SendResponse carries: `primary`, `rejected` or `status`."""

PLAIN = (
    *(VERSION, CONNECTOR, MESSAGE_ID, REFERENCE_MESSAGE_ID, TRANSACTION_CODE, NODE, END_OF_LIFE, TEST, SENDER),
    *(SENDER_NAME, RECIPIENT, MESSAGE_TYPE, SENDING_TIMESTAMP, DELIVERY_TIMESTAMP, DELIVERY_STATUS),
    *(ORIGINAL_MESSAGE_ID, STATUS_CATEGORY, SIGNER_FINGERPRINT, SENDER_SIGNATURE, ALERT, OPERATION, CONTENT),
    *("MessageID", "MessageId", "ReferenceMessageID", "TransactionCode", "NodeID", "EOL", "MessageType"),
    *("SendingTimestamp", "DeliveryTimestamp", "Mnemonic", "OriginalMessageId", "Timestamp"),
)
"""Headers, and elements of the envelope, that hold nothing personal."""

SEND_REQUEST = "SendRequest"
SEND_RESPONSE = "SendResponse"

REJECTION_CODES = ("ACCESS_DENIED", "NO_DATA", "UNKNOWN_REQUEST_DESCRIPTION", "FAILURE")
"""RejectCode of the schema (FACTS §2.2)."""

TEXT_MOST_CHARACTERS = 4000
"""Longest text of a refusal or status (FACTS §11)."""


def request(
    payload: bytes,
    *,
    kind: str,
    sink: str = "smev",
    key: str = "",
    version: str = "",
    replies_to: str = "",
    reply_within_s: float | None = None,
    smev_version: str = "",
    reference: str = "",
    transaction_code: str = "",
    node: str = "",
    end_of_life: datetime | None = None,
    test: bool = False,
    attachments: tuple[Attachment, ...] = (),
) -> Message:
    """A request of ours to a provider of information.

    payload           the document, one root element in a namespace
    kind, version     of the document, for the journal; `kind` may also choose the service version (settings)
    sink              name of the connector instance
    key               requests with one key leave in order
    replies_to        route that takes answers, rejections, statuses, failures and the timeout ("" → this one)
    reply_within_s    seconds to wait for the answer; None waits for ever
    smev_version      1.1, 1.2 or 1.3; "" lets the settings choose by namespace and kind
    reference         MessageID of the first message of the chain; "" → this message begins one
    transaction_code  code of the service case, passed on by all messages of one case
    node              NodeID: answers can be taken from the queue of that node
    end_of_life       EOL, with an offset; after that moment СМЭВ drops the request
    """
    headers = {OPERATION: SEND_REQUEST}
    for name, value in (
        (VERSION, smev_version),
        (REFERENCE_MESSAGE_ID, reference),
        (TRANSACTION_CODE, transaction_code),
        (NODE, node),
        (TEST, "true" if test else ""),
    ):
        if value:
            headers[name] = value
    if end_of_life is not None:
        if end_of_life.tzinfo is None:
            raise Permanent("Срок жизни запроса (end_of_life) задан без часового пояса: укажите смещение")
        headers[END_OF_LIFE] = end_of_life.isoformat(timespec="milliseconds")
    return Message(
        kind=kind,
        body=payload,
        queue=sink,
        version=version,
        key=key,
        headers=headers,
        attachments=attachments,
        replies_to=replies_to,
        reply_within_s=reply_within_s,
    )


def answer(
    to: Message,
    payload: bytes,
    *,
    kind: str,
    sink: str = "",
    key: str = "",
    version: str = "",
    attachments: tuple[Attachment, ...] = (),
) -> Message:
    """The answer to an incoming request `to`: `payload` is the response document of its kind.

    The queue ("" → the connector instance that brought the request), the service version and the address `To`
    are taken from the request. Raises Permanent when `to` is no request that can be answered.
    """
    return _response(to, payload, "primary", Outcome.ANSWER, kind, sink, key, version).but(attachments=attachments)


def refusal(to: Message, code: str, text: str, *, kind: str = "", sink: str = "", key: str = "") -> Message:
    """Refuse the incoming request `to` (RequestRejected); `code` is one of REJECTION_CODES.

    Raises Permanent for another code or when `to` cannot be answered; a longer text is cut to 4000 characters.
    """
    if code not in REJECTION_CODES:
        raise Permanent(f"Код отказа «{code}» не предусмотрен СМЭВ: допустимы {', '.join(REJECTION_CODES)}")
    body = Reply(Outcome.REJECTION, (code,), (text[:TEXT_MOST_CHARACTERS],)).to_body()
    return _response(to, body, "rejected", Outcome.REJECTION, kind or f"{to.kind}.refusal", sink, key, "")


def status(
    to: Message,
    code: int,
    text: str,
    parameters: Mapping[str, str] | None = None,
    *,
    kind: str = "",
    sink: str = "",
    key: str = "",
) -> Message:
    """Tell the asker of `to` how far its request is (RequestStatus). Raises Permanent when `to` cannot be answered."""
    body = Reply(Outcome.STATUS, (str(int(code)),), (text[:TEXT_MOST_CHARACTERS],), dict(parameters or {})).to_body()
    return _response(to, body, "status", Outcome.STATUS, kind or f"{to.kind}.status", sink, key, "")


def _response(
    to: Message, body: bytes, content: str, outcome: Outcome, kind: str, sink: str, key: str, version: str
) -> Message:
    address = to.headers.get(REPLY_TO, "")
    if not address:
        raise Permanent(
            "На это сообщение СМЭВ нельзя ответить: в нём нет ReplyTo. "
            "Широковещательная рассылка и ответы на наши запросы ответа не ждут"
        )
    queue = sink or to.headers.get(CONNECTOR, "") or to.source.rsplit(".", 1)[0]
    headers = {OPERATION: SEND_RESPONSE, CONTENT: content, TO: address}
    for name in (VERSION, MESSAGE_ID, TEST):
        if to.headers.get(name):
            headers[ORIGINAL_MESSAGE_ID if name == MESSAGE_ID else name] = to.headers[name]
    return Message(
        kind=kind,
        body=body,
        queue=queue,
        version=version,
        key=key,
        headers=headers,
        cause=to.id,
        outcome=outcome,
    )
