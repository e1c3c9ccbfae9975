"""What each operation of the service does: a call in, the octets of the answering envelope out (FACTS §2, §5–§7).

Everything happens inside the caller's transaction; a refusal is a SmevFault.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from lxml import etree

from simulators.smev3 import admission, envelopes, queues, reply_to
from simulators.smev3.clock import Clock, xml_time
from simulators.smev3.envelopes import Content, Metadata
from simulators.smev3.faults import SmevFault
from simulators.smev3.handout import Handout
from simulators.smev3.identities import Identities
from simulators.smev3.incoming import Call, check_shape
from simulators.smev3.mischief import Luck
from simulators.smev3.queues import Place, Sent, type_name
from simulators.smev3.settings import Kind, Settings
from simulators.smev3.store import Connection, Row

_BOOLEAN = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class Reply:
    """The envelope to answer with; `fault` when it is one; contents go as MIME parts when the answer is multipart."""

    envelope: bytes
    contents: tuple[Content, ...] = ()
    fault: bool = False


class Operations:
    """The six operations (seven in 1.1)."""

    def __init__(self, settings: Settings, clock: Clock, identities: Identities, handout: Handout) -> None:
        self._settings = settings
        self._behaviour = settings.behaviour
        self._clock = clock
        self._identities = identities
        self._handout = handout

    def perform(self, conn: Connection, call: Call, caller: str, luck: Luck) -> Reply:
        """Do what the call asks for. Raises SmevFault."""
        if call.operation == "SendRequest":
            return self._send_request(conn, call, caller)
        if call.operation == "SendResponse":
            return self._send_response(conn, call, caller)
        check_shape(call)
        if call.operation in ("GetRequest", "GetResponse"):
            return self._get(conn, call, caller, luck)
        if call.operation == "GetStatus":
            return self._get_status(conn, call, caller)
        if call.operation == "Ack":
            return self._ack(conn, call, caller)
        return self._statistics(conn, call, caller)

    def _send_request(self, conn: Connection, call: Call, caller: str) -> Reply:
        now = self._clock.now()
        size = self._admit(conn, call, caller, now)
        document = admission.payload(call)
        assert document is not None  # the schema demands it
        name = etree.QName(document)
        kind = self._settings.kind_of_request(name.namespace or "", name.localname)
        if kind is None:
            raise admission.unsupported(document)
        admission.access(kind, caller)
        code = call.signed.findtext(call.types("TransactionCode"))
        admission.transaction_code(code, kind, self._behaviour)
        eol = admission.end_of_life(call, now)
        node = call.text("NodeID")
        admission.node(node, self._settings.participant(caller))
        recipients = self._recipients(kind)
        for recipient in recipients:
            admission.quota(conn, recipient, "request", self._behaviour)
        message_id = call.text("MessageID")
        sent = Sent(
            message_id=message_id, what="request", message_type="BROADCAST" if kind.broadcast else "REQUEST",
            version=call.version.number, sender=caller, recipient=None if kind.broadcast else recipients[0],
            kind=kind.name, namespace=kind.namespace, root=name.localname, content="content", sent_at=now,
            status="requestIsQueued", data=_octets(call.signed), signature=_signature(call), node=node or None,
            reference_id=call.text("ReferenceMessageID") or None, transaction_code=code,
            reply_to=reply_to.make(message_id, caller, kind.namespace, name.localname, code or ""), eol=eol,
            validate_at=now + timedelta(seconds=self._behaviour.validation_delay_s),
            refs=admission.file_references(call), attachment_bytes=size,
        )  # fmt: skip
        types = [type_name(kind.namespace, name.localname)]
        places = [Place(recipient, "request", types) for recipient in recipients]
        return self._accept(conn, call, sent, places)

    def _send_response(self, conn: Connection, call: Call, caller: str) -> Reply:
        now = self._clock.now()
        size = self._admit(conn, call, caller, now)
        original = self._original(conn, call, caller)
        kind = self._settings.kind_named(original["kind"])
        document = admission.payload(call)
        if kind is None or not kind.response_root:
            raise SmevFault("IncorrectResponseContentType", "На этот вид сведений ответ не предусмотрен.")
        if document is not None:
            name = etree.QName(document)
            if not kind.is_response(name.namespace or "", name.localname):
                known = self._settings.kind_of_request(name.namespace or "", name.localname)
                other = self._settings.kind_of_response(name.namespace or "", name.localname)
                if known or other:
                    raise SmevFault("IncorrectResponseContentType")
                raise admission.unsupported(document)
        content, details = _content_of(call)
        if content == "async":
            raise SmevFault("IncorrectResponseContentType", "AsyncProcessingStatus формирует только СМЭВ.")
        admission.quota(conn, original["sender"], "response", self._behaviour)
        sent = Sent(
            message_id=call.text("MessageID"), what="response", message_type="RESPONSE", version=call.version.number,
            sender=caller, recipient=original["sender"], kind=kind.name, namespace=kind.namespace,
            root=kind.response_root, content=content, details=details, sent_at=now,
            status=call.version.response_queued_status, data=_octets(call.signed), signature=_signature(call),
            node=original["node"], original_message_id=original["message_id"],
            reference_id=original["reference_id"], transaction_code=original["transaction_code"],
            validate_at=now + timedelta(seconds=self._behaviour.validation_delay_s),
            refs=admission.file_references(call), attachment_bytes=size,
        )  # fmt: skip
        types = self.response_types(kind)
        return self._accept(conn, call, sent, [Place(original["sender"], "response", types, original["node"])])

    def _admit(self, conn: Connection, call: Call, caller: str, now: datetime) -> int:
        """Checks that both sending operations share. Returns the size of attachments in bytes."""
        made = admission.identifier(call.text("MessageID"))
        if queues.message(conn, str(made)) is not None:
            raise SmevFault("MessageIsAlreadySent", f"Сообщение {made} уже отправлено.")
        check_shape(call)
        admission.freshness(made, now, self._behaviour)
        return admission.attachments(conn, call, caller, self._behaviour)

    def _original(self, conn: Connection, call: Call, caller: str) -> Row:
        """The request that `To` leads to, handed out to this caller in this version; else RecipientIsNotFound."""
        to = call.text("To")
        original = queues.message(conn, reply_to.message_id(to)) if to else None
        if original is not None and original["reply_to"] == to and original["version"] == call.version.number:
            handed_out = conn.execute(
                "select 1 from sim_smev.entry where message_id = %s and recipient = %s and queue = 'request'"
                " and deliveries > 0",
                (original["message_id"], caller),
            ).fetchone()
            if handed_out is not None:
                return original
        raise SmevFault("RecipientIsNotFound", "Получатель по адресу To не найден.")

    def _recipients(self, kind: Kind) -> list[str]:
        known = [one for one in kind.recipients if self._settings.participant(one) is not None]
        if not known:
            raise SmevFault("RecipientIsNotFound", f"У вида сведений «{kind.title}» нет получателя.")
        return known if kind.broadcast else known[:1]

    def response_types(self, kind: Kind) -> list[str]:
        """The names by which a selector of GetResponse finds answers of this kind."""
        by = self._behaviour.response_selector
        names = [type_name(kind.namespace, kind.response_root)] if by in ("response", "either") else []
        if by in ("request", "either"):
            names.append(type_name(kind.namespace, kind.request_root))
        return names

    def _accept(self, conn: Connection, call: Call, sent: Sent, places: list[Place]) -> Reply:
        if not queues.accept(conn, sent, places):
            raise SmevFault("MessageIsAlreadySent", f"Сообщение {sent.message_id} уже отправлено.")
        mime_types = dict(admission.attachment_headers(call))
        parts = [(content_id, mime_types[content_id], body) for content_id, body in call.contents.items()]
        queues.keep_attachments(conn, sent.message_id, parts)
        metadata = Metadata(
            sent.message_id, sent.message_type, self._handout.known(sent.sender), self._handout.party(sent.recipient),
            xml_time(sent.sent_at), sent.status,
        )  # fmt: skip
        return Reply(envelopes.sent(call.version, call.operation, metadata, self._identities.operator))

    def _get(self, conn: Connection, call: Call, caller: str, luck: Luck) -> Reply:
        queue = "request" if call.operation == "GetRequest" else "response"
        selector, node = self._selector(call, caller, queue)
        now = self._clock.now()
        self._limit_polling(conn, caller, queue, now)
        row = self._handout.next(conn, call.version, caller, queue, selector, node, luck)
        if self._behaviour.poll_mean_interval_s and not (row and self._behaviour.poll_limit_counts_only_empty):
            queues.note_poll(conn, caller, queue, now)
        if row is None:
            return Reply(envelopes.empty(call.version, call.operation))
        delivery, envelope = self._handout.envelope(conn, call.version, row, luck)
        return Reply(envelope, delivery.contents)

    def _selector(self, call: Call, caller: str, queue: str) -> tuple[str | None, str | None]:
        namespace = (call.signed.findtext(call.basic("NamespaceURI")) or "").strip()
        root = (call.signed.findtext(call.basic("RootElementLocalName")) or "").strip()
        node = (call.signed.findtext(call.basic("NodeID")) or "").strip()
        admission.node(node, self._settings.participant(caller))
        if not namespace and not root:
            return None, node or None
        kind = self._settings.kind_of_request(namespace, root)
        if queue == "request":
            owned = kind is not None and caller in kind.recipients
        else:
            answered = self._settings.kind_of_response(namespace, root)
            by = self._behaviour.response_selector
            kind = (answered if by != "request" else None) or (kind if by != "response" else None)
            owned = kind is not None and (caller in kind.senders or "*" in kind.senders)
        if not owned:
            raise SmevFault("UnknownMessageType", f"Вид сведений {{{namespace}}}{root} не зарегистрирован за {caller}.")
        return type_name(namespace, root), node or None

    def _limit_polling(self, conn: Connection, caller: str, queue: str, now: datetime) -> None:
        least = self._behaviour.poll_mean_interval_s
        if least <= 0:
            return
        mean = queues.mean_poll_interval_s(conn, caller, queue, now, self._behaviour.poll_window)
        if mean is not None and mean < least:
            text = f"Слишком частый опрос очереди: в среднем раз в {mean:.1f} с, допустимо раз в {least:g} с."
            raise SmevFault("AccessDenied", text)

    def _get_status(self, conn: Connection, call: Call, caller: str) -> Reply:
        now = self._clock.now()
        row = queues.claim(
            conn, recipient=caller, queue="status", version=call.version.number, now=now,
            reserve_s=self._behaviour.redelivery_s,
        )  # fmt: skip
        if row is None:
            return Reply(envelopes.empty(call.version, call.operation))
        if not self._behaviour.status_needs_ack:
            queues.close(conn, row["entry"]["seq"], "delivery", now)
        return Reply(envelopes.status(call.version, row["data"], self._identities.operator))

    def _ack(self, conn: Connection, call: Call, caller: str) -> Reply:
        target = (call.signed.text or "").strip()
        accepted = _BOOLEAN.get((call.signed.get("accepted") or "").strip())
        if not queues.acknowledge(conn, caller, target, accepted, self._clock.now()):
            problem = SmevFault("TargetMessageIsNotFound", f"Сообщение {target} не найдено среди неподтверждённых.")
            return Reply(envelopes.fault(call.version, problem), fault=True)
        if self._behaviour.ack_body == "empty":
            return Reply(envelopes.envelope(""))
        return Reply(envelopes.empty(call.version, call.operation))

    def _statistics(self, conn: Connection, call: Call, caller: str) -> Reply:
        node = (call.body.findtext(call.types("NodeID")) or "").strip() or None
        rows = queues.statistics(conn, caller, node, call.version.number)
        found = [{"name": f"{caller}.{row['queue']}", "waiting": row["waiting"]} for row in rows]
        return Reply(envelopes.statistics(call.version, found))


def _content_of(call: Call) -> tuple[str, str]:
    """(content, details) of a response: what sort of answer it is."""
    rejected = call.signed.find(call.types("RequestRejected"))
    if rejected is not None:
        code = rejected.findtext(call.types("RejectionReasonCode")) or ""
        return "rejected", f"{code}: {rejected.findtext(call.types('RejectionReasonDescription')) or ''}"
    status = call.signed.find(call.types("RequestStatus"))
    if status is not None:
        code = status.findtext(call.types("StatusCode")) or ""
        return "status", f"{code}: {status.findtext(call.types('StatusDescription')) or ''}"
    if call.signed.find(call.types("AsyncProcessingStatus")) is not None:
        return "async", ""
    return "content", ""


def _octets(element: etree._Element) -> bytes:
    """The element alone, with the namespaces in scope, as it will stand in the delivered message."""
    return etree.tostring(element, encoding="utf-8", xml_declaration=False, with_tail=False)


def _signature(call: Call) -> bytes:
    """ds:Signature of the caller, empty when there is none (verification switched off)."""
    if call.signature is None or not len(call.signature):
        return b""
    return _octets(call.signature[0])
