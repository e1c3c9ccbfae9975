"""A notification of ЕГР ЗАГС is a registry of 1..1000 records (directive 1.3, FACTS §9.2). Each becomes a message.

So a record that violates its schema is quarantined alone and the others flow, and each is answered by itself.
Shared by all ЗАГС kinds: a kind's module declares two routes, the notice and the record.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lxml import etree

from connectors.smev3 import messages
from core import xml
from core.errors import SchemaViolation
from core.keys import hashed
from core.message import Attachment, Message
from core.route import Context
from routes.zags.settings import settings

DIRECTIVE: Final = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/directive/1.3"
BASIC: Final = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.3"
RECORD_ID: Final = "zags.record_id"
"""Header of a record's message: RecordId in the registry."""
NOTICE_ID: Final = "zags.notice_id"
"""Header of a record's message: journal id of the notification."""

PLAIN: Final = (
    *("ИдСвед", "ДатаСвед", "НомерВерс", "ДатаВерс", "КодЗАГС", "НаимЗАГС", "КодСтатус", "НаимСтатус"),
    *("КодОбр", "RecordId", RECORD_ID, NOTICE_ID),
    *("reference", "office_code", "office_name", "version", "version_date", "status_code"),  # of the transformed
)
"""`Route.plain` of the ЗАГС kinds. Number and date of an act are not among them: they lead to the person."""

_NAMES: Final = ("{*}ФИОУмер", "{*}ФИОРожд")
_DATES: Final = ("{*}ДатаРождКаленд", "{*}ДатаРождДок")


def split(notice: etree._Element, ctx: Context) -> Iterator[Message]:
    """EIP Splitter: one message a record, addressed by the root element of its content.

    Kept for each: RecordId, the headers of the notification (so its answer finds the way back), the record's
    attachment headers (`payload` filled where the connector has fetched the file), the cause.
    """
    fetched = {one.name: one for one in ctx.message.attachments}
    count = 0
    for record in notice.iterfind(f"{{{DIRECTIVE}}}Registry/{{{DIRECTIVE}}}RegistryRecord"):
        content = record.find(f"{{{DIRECTIVE}}}Record/{{{DIRECTIVE}}}RecordContent/*")
        if content is None:  # the schema has seen it; this is for a document validated by somebody's own schema
            raise SchemaViolation("В реестровой записи нет содержимого (RecordContent): запросите рассылку повторно")
        count += 1
        record_id = _whole(record.find(f"{{{DIRECTIVE}}}RecordId")) or str(count)
        yield Message(
            kind=str(content.tag),
            body=etree.tostring(content, encoding="UTF-8", with_tail=False),
            key=person_key(content),
            headers={**ctx.message.headers, RECORD_ID: record_id, NOTICE_ID: str(ctx.message.id)},
            attachments=tuple(fetched.get(one.name, one) for one in _attachments(record)),
            cause=ctx.message.id,
        )
    ctx.note(f"реестр разделён на записи: {count}")


def person_key(record: etree._Element) -> str:
    """Order key of a record: whom its first act names (hashed), so news about one person are handled in order."""
    name = next(record.iter(*_NAMES), None)
    if name is None:
        return ""
    parent = name.getparent()
    birth = next((one for tag in _DATES if parent is not None and (one := parent.find(tag)) is not None), None)
    parts = [_whole(part) for part in name.iterchildren("{*}*")]
    day = [] if birth is None else [str(text).strip() for text in birth.itertext("{*}*")]
    return hashed(*parts, "-".join(day))


def key_of(message: Message) -> str:
    """`Route.key` of the record routes."""
    return person_key(xml.parse(message.body))


def answer(ctx: Context, root: str, reference: str, kind: str) -> Iterator[Message]:
    """The answer to one record: `root` (Clark name) with @ИдСвед and @КодОбр. Nothing when nobody waits for it."""
    if not ctx.message.headers.get(messages.REPLY_TO):
        ctx.note("ответ не нужен: в сообщении нет обратного адреса")
        return
    name = etree.QName(root)
    response = etree.Element(name.text, nsmap={"ns": str(name.namespace)})
    response.set("ИдСвед", reference)
    response.set("КодОбр", settings().answer_code(kind, ctx.message.version))
    payload = etree.tostring(response, encoding="UTF-8")
    yield messages.answer(ctx.message, payload, kind=f"{kind}.answer", version=ctx.message.version)


def told(record_id: int | None, person_id: int | None, note: str) -> str:
    """What became of an act, for the journal: ids of the registry, no personal data."""
    record = f"запись {record_id}" if record_id is not None else "запись"
    person = f"человек {person_id}" if person_id is not None else ""
    return f"{record}: " + ", ".join(part for part in (person, note) if part)


def is_test(ctx: Context) -> bool:
    """TestMessage is present: the data must not change (FACTS §5)."""
    if ctx.message.headers.get(messages.TEST) != "true":
        return False
    ctx.note("тестовое сообщение: реестр не изменён")
    return True


def _whole(element: etree._Element | None) -> str:
    """The text of an element: a comment in the middle does not end it."""
    return "" if element is None else "".join(map(str, element.itertext())).strip()


def _attachments(record: etree._Element) -> Iterator[Attachment]:
    for header in record.iter(f"{{{BASIC}}}AttachmentHeader", f"{{{BASIC}}}RefAttachmentHeader"):
        values = {etree.QName(child).localname: _whole(child) for child in header.iterchildren("*")}
        name = values.pop("contentId", "") or values.pop("uuid", "")
        if name:
            yield Attachment(name, values.pop("MimeType", "application/octet-stream"), headers=values)
