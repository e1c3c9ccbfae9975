"""Handing a message out of its queue: the claim, the envelope around it, and the faults armed for deliveries."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace

from simulators.smev3 import damage, envelopes, queues
from simulators.smev3.clock import Clock, uuid1_at, xml_time
from simulators.smev3.envelopes import Content, Delivery, Metadata, Party
from simulators.smev3.faults import ASYNC_INVALID_CONTENT_CODE, SmevFault, ValidationError
from simulators.smev3.identities import EXPIRED_KEY, FOREIGN_KEY, Identities
from simulators.smev3.mischief import Luck
from simulators.smev3.queues import Place, Sent
from simulators.smev3.settings import Settings
from simulators.smev3.store import Connection, Row
from simulators.smev3.versions import SIGNED_ASYNC_BY_SMEV, SMEV_MNEMONIC, VERSIONS, Version

_MESSAGE_ID = re.compile(rb"(<(?:\w+:)?MessageID>)[0-9a-f]")


class Handout:
    """Deliveries and the messages that СМЭВ itself puts into queues."""

    def __init__(self, settings: Settings, clock: Clock, identities: Identities) -> None:
        self._settings = settings
        self._clock = clock
        self._identities = identities

    def party(self, mnemonic: str | None) -> Party | None:
        """A participant as MessageMetadata names it; None stays None (a broadcast has no recipient)."""
        if mnemonic is None:
            return None
        if mnemonic == SMEV_MNEMONIC:
            return Party(SMEV_MNEMONIC, "СМЭВ")
        known = self._settings.participant(mnemonic)
        return Party(mnemonic, known.name if known else mnemonic)

    def next(
        self, conn: Connection, version: Version, recipient: str, queue: str, selector: str | None, node: str | None,
        luck: Luck,
    ) -> Row | None:  # fmt: skip
        """Claim the next message of the queue, or one that an armed fault puts in its way."""
        if queue == "response":
            self._put_orphans(conn, version, recipient, node, luck)
        behaviour = self._settings.behaviour
        newest = luck.take("newest_first") is not None if _has_two(conn, recipient, queue) else False
        row = queues.claim(
            conn, recipient=recipient, queue=queue, version=version.number, now=self._clock.now(),
            reserve_s=behaviour.redelivery_s, reserve_per_mib=behaviour.redelivery_per_mib, selector=selector,
            node=node, newest_first=newest,
        )  # fmt: skip
        if row is not None:
            luck.kind = row["kind"]
            if (repeat := luck.take("duplicate")) is not None:
                queues.order_repeat(conn, row["entry"]["seq"], int(repeat.params.get("times", 1)))
            queues.set_status(conn, row["message_id"], version.delivered_status)
        return row

    def envelope(self, conn: Connection, version: Version, row: Row, luck: Luck) -> tuple[Delivery, bytes]:
        """The signed answer for a claimed message, spoiled as the armed faults say."""
        delivery = self._delivery(conn, version, row)
        if (strange := luck.take("unknown_status")) is not None:
            status = str(strange.params.get("value", "messageIsTeleported"))
            delivery = replace(delivery, metadata=replace(delivery.metadata, status=status))
        if luck.take("wrong_sender_signature") is not None:
            delivery = replace(delivery, sender_signature=damage.spoil_digest(delivery.sender_signature))
        if self._multipart(version, bool(delivery.contents)):
            shown = delivery
        else:
            shown = delivery = envelopes.with_inline(delivery)
        signer = self._identities.operator
        if luck.take("expired_certificate") is not None:
            signer = self._identities.named(EXPIRED_KEY)
        elif luck.take("foreign_certificate") is not None:
            signer = self._identities.named(FOREIGN_KEY)
        if luck.take("repeated_id") is not None:
            return delivery, self._wrapped(version, shown, same_id=True)
        if luck.take("wrapped") is not None:
            return delivery, self._wrapped(version, shown, same_id=False)
        if luck.take("no_smev_signature") is not None:
            body = envelopes.envelope(envelopes.delivered_body(version, shown, envelopes.free_id(shown.data)))
            return delivery, re.sub(rb"<ns2:SMEVSignature>[^<]*</ns2:SMEVSignature>", b"", body)
        octets = envelopes.delivered(version, shown, signer)
        if luck.take("wrong_smev_signature") is not None:
            octets = damage.spoil_digest(octets)
        return delivery, octets

    def _multipart(self, version: Version, has_contents: bool) -> bool:
        mode = self._settings.behaviour.multipart.get(version.number, "attachments")
        return mode == "always" or (mode == "attachments" and has_contents)

    def _delivery(self, conn: Connection, version: Version, row: Row) -> Delivery:
        entry = row["entry"]
        contents = tuple(
            Content(one["content_id"], one["mime_type"], bytes(one["body"]), f"{uuid.uuid4()}@smev")
            for one in (queues.attachments_of(conn, row["message_id"]) if row["attachment_bytes"] else [])
        )
        metadata = Metadata(
            row["message_id"], row["message_type"], self.known(row["sender"]), self.party(row["recipient"]),
            xml_time(row["sent_at"]), version.delivered_status, xml_time(entry["last_delivered_at"]),
        )  # fmt: skip
        return Delivery(
            "Request" if row["what"] == "request" else "Response", metadata, bytes(row["data"]),
            bytes(row["signature"]), reply_to=row["reply_to"], original_message_id=row["original_message_id"] or "",
            transaction_code=row["transaction_code"] or "", reference_id=row["reference_id"] or "",
            refs=tuple(row["refs"]), contents=contents,
        )  # fmt: skip

    def known(self, mnemonic: str) -> Party:
        """The same for one who is certainly there."""
        party = self.party(mnemonic)
        assert party is not None
        return party

    def _wrapped(self, version: Version, delivery: Delivery, *, same_id: bool) -> bytes:
        """Signature wrapping: the genuine signed element hides in soap:Header, a forgery stands in its place."""
        outer_id = envelopes.free_id(delivery.data)
        genuine = envelopes.delivered(version, delivery, self._identities.operator)
        element, end = f"<ns2:{delivery.what} Id=".encode(), f"</ns2:{delivery.what}>".encode()
        start, stop = genuine.index(element), genuine.rindex(end) + len(end)
        signed_element = genuine[start:stop]
        spaces = f' xmlns:ns3="{version.faults}" xmlns:ns2="{version.types}" xmlns="{version.basic}"'.encode()
        hidden = signed_element.replace(b" Id=", spaces + b" Id=", 1)
        forged = _MESSAGE_ID.sub(rb"\g<1>f", signed_element)
        if not same_id:
            forged = forged.replace(f'Id="{outer_id}"'.encode(), b'Id="FORGED"', 1)
        header = b"<soap:Header>" + hidden + b"</soap:Header><soap:Body>"
        return (genuine[:start] + forged + genuine[stop:]).replace(b"<soap:Body>", header, 1)

    def put_status(
        self, conn: Connection, version: Version, recipient: str, original: Row | None, original_id: str,
        category: str, details: str, problem: SmevFault | None, node: str | None = None,
    ) -> str:  # fmt: skip
        """A status message of СМЭВ in the response queue of `recipient` (FACTS §7). Returns its MessageID."""
        now = self._clock.now()
        message_id = uuid1_at(now)
        code = ASYNC_INVALID_CONTENT_CODE if problem is not None and problem.name == "InvalidContent" else ""
        body = envelopes.async_status(version, original_id, category, details, problem, code)
        data, signature = envelopes.response_data(
            version, self._identities.operator, message_id=message_id, to=original["reply_to"] if original else "",
            element_id=SIGNED_ASYNC_BY_SMEV, async_status=body,
        )  # fmt: skip
        kind = self._settings.kind_named(original["kind"]) if original else None
        types = [] if kind is None else [
            queues.type_name(kind.namespace, root) for root in (kind.response_root, kind.request_root) if root
        ]  # fmt: skip
        sent = Sent(
            message_id=message_id, what="response", message_type="RESPONSE", version=version.number,
            sender=SMEV_MNEMONIC, recipient=recipient, kind=kind.name if kind else "",
            namespace=kind.namespace if kind else "", root="", content="async", details=category, sent_at=now,
            status="requestIsAcceptedBySmev", data=data, signature=signature, node=node,
            original_message_id=original_id, reference_id=original["reference_id"] if original else None,
            transaction_code=original["transaction_code"] if original else None,
        )  # fmt: skip
        queues.accept(conn, sent, [Place(recipient, "response", types, node)])
        return message_id

    def _put_orphans(self, conn: Connection, version: Version, recipient: str, node: str | None, luck: Luck) -> None:
        """Status and answer about what nobody sent, when such are armed."""
        if (orphan := luck.take("orphan_status")) is not None:
            category = str(orphan.params.get("category", "requestIsRejectedBySmev"))
            error = ValidationError("cvc-elt.1: Статус о неизвестном сообщении")
            problem = SmevFault("InvalidContent", errors=(error,))
            unknown = uuid1_at(self._clock.now())
            details = "Статус о сообщении, которого участник не отправлял"
            self.put_status(conn, version, recipient, None, unknown, category, details, problem, node)
        if luck.take("orphan_response") is not None:
            self._put_orphan_response(conn, version, recipient, node)

    def _put_orphan_response(self, conn: Connection, version: Version, recipient: str, node: str | None) -> None:
        now = self._clock.now()
        kind = next((one for one in self._settings.kinds if recipient in one.senders and one.response_root), None)
        sender = kind.recipients[0] if kind else SMEV_MNEMONIC
        message_id = uuid1_at(now)
        data, signature = envelopes.response_data(
            version, self._identities.of(sender) if kind else self._identities.operator, message_id=message_id, to="",
            element_id="SIGNED_BY_CONSUMER",
            rejections=[{"code": "FAILURE", "text": "Ответ на неизвестный запрос (сбой имитатора)"}],
        )  # fmt: skip
        sent = Sent(
            message_id=message_id, what="response", message_type="RESPONSE", version=version.number, sender=sender,
            recipient=recipient, kind=kind.name if kind else "", namespace=kind.namespace if kind else "",
            root=kind.response_root if kind else "", content="rejected", details="FAILURE: orphan", sent_at=now,
            status=VERSIONS[version.number].response_queued_status, data=data, signature=signature, node=node,
            original_message_id=uuid1_at(now), scripted=True,
        )  # fmt: skip
        queues.accept(conn, sent, [Place(recipient, "response", [], node)])


def _has_two(conn: Connection, recipient: str, queue: str) -> bool:
    return queues.waiting(conn, recipient, queue, 2) == 2
