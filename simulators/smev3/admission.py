"""The synchronous checks of SendRequest and SendResponse, in the order in which СМЭВ is believed to make them.

Each check is a function that returns nothing or raises the SmevFault that the caller gets (FACTS §5, §6, §8, §10).
"""

from __future__ import annotations

import re
import uuid
from datetime import datetime, timedelta

from lxml import etree

from simulators.smev3 import queues
from simulators.smev3.clock import MOSCOW, moment_of_uuid1
from simulators.smev3.faults import SmevFault, invalid_content
from simulators.smev3.incoming import Call
from simulators.smev3.settings import Behaviour, Kind, Participant
from simulators.smev3.store import Connection

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def identifier(value: str) -> uuid.UUID:
    """A lower-case version 1 UUID of the RFC variant, else InvalidMessageIdFormat."""
    if _UUID.fullmatch(value):
        parsed = uuid.UUID(value)
        if parsed.version == 1 and parsed.variant == uuid.RFC_4122:
            return parsed
    raise SmevFault("InvalidMessageIdFormat", f"Идентификатор «{value[:60]}» не является UUID версии 1.")


def freshness(value: uuid.UUID, now: datetime, behaviour: Behaviour) -> None:
    """StaleMessageId for an identifier made too long ago (or, when so set, in the future)."""
    made = moment_of_uuid1(value)
    if now - made > timedelta(seconds=behaviour.stale_after_s):
        raise SmevFault("StaleMessageId", f"Идентификатор сообщения {value} устарел: создан {made:%Y-%m-%d %H:%M}.")
    tolerance = behaviour.future_tolerance_s
    if tolerance is not None and made - now > timedelta(seconds=tolerance):
        raise SmevFault("StaleMessageId", f"Идентификатор сообщения {value} из будущего: проверьте часы отправителя.")


def attachments(conn: Connection, call: Call, caller: str, behaviour: Behaviour) -> int:
    """Headers against contents, total size, storage quota. Returns the total size in bytes."""
    headers = [header[0] for header in attachment_headers(call)]
    if sorted(headers) != sorted(call.contents) or len(set(headers)) != len(headers):
        raise SmevFault("AttachmentContentMiscoordination")
    total = sum(map(len, call.contents.values()))
    if total > behaviour.mtom_limit_bytes:
        raise SmevFault(
            "AttachmentSizeLimitExceeded",
            children={
                "PermittedTotalAttachmentSize": str(behaviour.mtom_limit_bytes), "RealTotalAttachmentSize": str(total)
            },
        )  # fmt: skip
    if total:
        remained = behaviour.storage_quota_bytes - queues.attachment_bytes_in_use(conn, caller)
        if total > remained:
            raise SmevFault(
                "QuoteLimitExceeded",
                children={"RemainedTotalQuoteSize": str(max(remained, 0)), "RealTotalAttachmentSize": str(total)},
            )
    return total


def attachment_headers(call: Call) -> list[tuple[str, str]]:
    """(contentId, MIME type) of every AttachmentHeader."""
    path = f"{call.basic('AttachmentHeaderList')}/{call.basic('AttachmentHeader')}"
    return [
        (one.findtext(call.basic("contentId")) or "", one.findtext(call.basic("MimeType")) or "")
        for one in call.signed.iterfind(path)
    ]


def file_references(call: Call) -> list[str]:
    """uuid of every RefAttachmentHeader."""
    path = f"{call.basic('RefAttachmentHeaderList')}/{call.basic('RefAttachmentHeader')}/{call.basic('uuid')}"
    return [one.text or "" for one in call.signed.iterfind(path)]


def payload(call: Call) -> etree._Element | None:
    """The business document, None in a refusal or a status."""
    content = call.signed.find(call.basic("MessagePrimaryContent"))
    children = [] if content is None else [child for child in content if isinstance(child.tag, str)]
    return children[0] if children else None


def unsupported(document: etree._Element) -> SmevFault:
    name = etree.QName(document)
    return SmevFault(
        "BusinessDataTypeIsNotSupported",
        f"Вид сведений {{{name.namespace}}}{name.localname} не зарегистрирован в СМЭВ.",
        {"RootElementLocalName": name.localname, "RootElementNamespaceURI": name.namespace or ""},
    )


def access(kind: Kind, caller: str) -> None:
    if caller not in kind.senders and "*" not in kind.senders:
        raise SmevFault("AccessDenied", f"Участнику {caller} не разрешена отправка вида сведений «{kind.title}».")


def transaction_code(code: str | None, kind: Kind, behaviour: Behaviour) -> None:
    if code is None:
        if kind.transaction_code_required:
            raise SmevFault("TransactionCodeInvalid", "Код транзакции обязателен для этого вида сведений.")
    elif not re.fullmatch(behaviour.transaction_code_pattern, code):
        raise SmevFault("TransactionCodeInvalid")


def end_of_life(call: Call, now: datetime) -> datetime | None:
    """EOL of the request, EndOfLifeReached when it has passed. A value without a zone is Moscow time."""
    text = call.text("EOL")
    if not text:
        return None
    try:
        eol = datetime.fromisoformat(text)
    except ValueError:
        raise invalid_content(f"EOL «{text[:40]}» не является датой и временем.", ()) from None
    eol = eol if eol.tzinfo else eol.replace(tzinfo=MOSCOW)
    if eol <= now:
        raise SmevFault("EndOfLifeReached", f"Срок жизни сообщения истёк {text}.")
    return eol


def node(name: str, participant: Participant | None) -> None:
    """A node that the participant has not registered is refused (our rule: the real text is not known)."""
    if name and participant is not None and participant.nodes and name not in participant.nodes:
        raise invalid_content(f"Узел {name} не зарегистрирован за участником {participant.mnemonic}.", ())


def quota(conn: Connection, recipient: str, queue: str, behaviour: Behaviour) -> None:
    if queues.waiting(conn, recipient, queue, behaviour.quota_messages) >= behaviour.quota_messages:
        raise SmevFault("DestinationOverflow", children={"DestinationName": f"{recipient}.{queue}"})
