"""The asynchronous half of СМЭВ: what happens to an accepted message before its recipient may take it (FACTS §7).

A request that fails comes back to its sender as a status message in the response queue; a response that fails is
told by GetStatus. A request whose EOL passes while it waits is refused the same way.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from lxml import etree

from core import xml as xml_door
from simulators.smev3 import contract, envelopes, queues
from simulators.smev3.clock import Clock, uuid1_at
from simulators.smev3.faults import ASYNC_INVALID_CONTENT_CODE, SmevFault, ValidationError
from simulators.smev3.handout import Handout
from simulators.smev3.mischief import Mischief
from simulators.smev3.queues import Place, Sent
from simulators.smev3.scripts import chosen_rule
from simulators.smev3.settings import SHIPPED_SCHEMAS, Settings
from simulators.smev3.store import Connection, Row
from simulators.smev3.versions import SMEV_MNEMONIC, VERSIONS

BATCH = 32


class Validation:
    """Takes due messages one by one inside the caller's transaction."""

    def __init__(self, settings: Settings, clock: Clock, handout: Handout, mischief: Mischief) -> None:
        self._settings = settings
        self._clock = clock
        self._handout = handout
        self._mischief = mischief

    def work(self, conn: Connection) -> int:
        """Judge the messages that are due. Returns how many were moved."""
        due = queues.due_for_validation(conn, self._clock.now(), BATCH)
        for row in due:
            self._judge(conn, row)
        return len(due)

    def expire(self, conn: Connection) -> int:
        """Refuse requests that outlived their EOL in a queue. Returns how many there were."""
        now = self._clock.now()
        dead = queues.expired(conn, now, BATCH)
        for row in dead:
            queues.close(conn, row["entry_seq"], "eol", now)
            self._refuse(conn, row, SmevFault("EndOfLifeReached"), "Истёк срок жизни сообщения", drop=False)
        return len(dead)

    def _judge(self, conn: Connection, row: Row) -> None:
        problem, details = self._problem(conn, row)
        if problem is not None:
            self._refuse(conn, row, problem, details, drop=True)
            return
        accepted = "requestIsAcceptedBySmev" if row["what"] == "request" else "responseIsAcceptedBySmev"
        queues.validated(conn, row["message_id"], accepted, self._clock.now())

    def _problem(self, conn: Connection, row: Row) -> tuple[SmevFault | None, str]:
        if row["eol"] is not None and row["eol"] <= self._clock.now():
            return SmevFault("EndOfLifeReached"), "Истёк срок жизни сообщения"
        operation = "SendRequest" if row["what"] == "request" else "SendResponse"
        armed = self._mischief.take("async_reject", operation, row["version"], row["sender"], row["kind"])
        rule = chosen_rule(conn, self._settings, row) if row["what"] == "request" else None
        details = "Бизнес-данные сообщения не соответствуют схеме, зарегистрированной в СМЭВ."
        details += f" MessageId = {row['message_id']}"
        if armed is not None or (rule is not None and rule.action == "async_reject"):
            text = str(armed.params.get("text", "")) if armed is not None else rule.text if rule is not None else ""
            error = ValidationError(text or "cvc-complex-type.2.4.a: Invalid content was found (сценарий имитатора).")
            return SmevFault("InvalidContent", details, errors=(error,)), details
        if not row["checks_payload"] or row["content"] != "content":
            return None, ""
        errors = self._complaints(row)
        return (SmevFault("InvalidContent", details, errors=errors), details) if errors else (None, "")

    def _complaints(self, row: Row) -> tuple[ValidationError, ...]:
        kind = self._settings.kind_named(row["kind"])
        path = "" if kind is None else kind.request_schema if row["what"] == "request" else kind.response_schema
        document = payload_of(row)
        if not path or document is None:
            return ()
        return contract.complaints(_schema(path), document)

    def _refuse(self, conn: Connection, row: Row, problem: SmevFault, details: str, *, drop: bool) -> None:
        version = VERSIONS[row["version"]]
        is_request = row["what"] == "request"
        category = "requestIsRejectedBySmev" if is_request else version.response_rejected_status
        if drop:
            queues.validated(conn, row["message_id"], category, None)
        else:
            queues.set_status(conn, row["message_id"], category)
        if is_request:
            self._handout.put_status(
                conn, version, row["sender"], row, row["message_id"], category, details, problem, row["node"]
            )
            return
        now = self._clock.now()
        code = ASYNC_INVALID_CONTENT_CODE if problem.name == "InvalidContent" else ""
        body = envelopes.async_status(version, row["message_id"], category, details, problem, code)
        sent = Sent(
            message_id=uuid1_at(now), what="status", message_type="RESPONSE", version=version.number,
            sender=SMEV_MNEMONIC, recipient=row["sender"], kind=row["kind"], namespace=row["namespace"], root="",
            content="async", details=category, sent_at=now, status=category, data=body,
            original_message_id=row["message_id"],
        )  # fmt: skip
        queues.accept(conn, sent, [Place(row["sender"], "status", [])])


def payload_of(row: Row) -> etree._Element | None:
    """The business document of a stored message."""
    content = xml_door.parse(bytes(row["data"])).find("{*}MessagePrimaryContent")
    children = [] if content is None else [child for child in content if isinstance(child.tag, str)]
    return children[0] if children else None


@cache
def _schema(path: str) -> etree.XMLSchema:
    file = Path(path) if Path(path).is_absolute() or Path(path).exists() else SHIPPED_SCHEMAS / path
    return etree.XMLSchema(etree.parse(file))
