"""The routes of the crash matrix, served by real processes: one row a message, one message to the far side.

The row goes into `crash_effect`, which has no unique constraint: what happens twice stands there twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import sqlalchemy as sa
from lxml import etree

from connectors.smev3 import messages
from core.errors import Permanent
from core.message import Message
from core.route import Context, Format, Route

NAMESPACE: Final = "urn:omsbus:crash:1"
ENVELOPE: Final = "{http://schemas.xmlsoap.org/soap/envelope/}Envelope"
SMEV_QUESTION: Final = "{http://ffoms.ru/GetInsuredRenderedMedicalServices/1.0.0}InputData"
FAR: Final = "far"
"""The connector by which messages leave."""
TABLE: Final = "CREATE TABLE crash_effect (label text NOT NULL)"

register = Route("crash.register", title="Матрица сбоев: документ", formats=[Format("1", root=f"{{{NAMESPACE}}}Note")])
register_soap = Route("crash.soap", title="Матрица сбоев: конверт SOAP", formats=[Format("1", root=ENVELOPE)])
register_smev = Route("crash.smev", title="Матрица сбоев: запрос СМЭВ", formats=[Format("1", root=SMEV_QUESTION)])


def document(label: str) -> bytes:
    """What the far side sends, and what it gets."""
    return f'<Note xmlns="{NAMESPACE}"><Label>{label}</Label></Note>'.encode()


def label_of(document: bytes) -> str:
    """The label in a document or in an envelope around it."""
    return etree.fromstring(document).findtext(f".//{{{NAMESPACE}}}Label") or ""


@register.handler
def on_document(body: etree._Element, ctx: Context) -> Iterator[Message]:
    """One row, one file."""
    yield from _effect(body, ctx)


@register_soap.handler
def on_envelope(body: etree._Element, ctx: Context) -> Iterator[Message]:
    """One row, one call of the partner."""
    yield from _effect(body, ctx)


@register_smev.handler
def on_question(_body: etree._Element, ctx: Context) -> Iterator[Message]:
    """One row, one answer through СМЭВ."""
    _write(ctx, ctx.message.headers[messages.MESSAGE_ID])
    yield messages.refusal(ctx.message, "NO_DATA", "Матрица сбоев: ответа по существу не будет", kind="crash.answer")


def _effect(body: etree._Element, ctx: Context) -> Iterator[Message]:
    label = body.findtext(f".//{{{NAMESPACE}}}Label")
    if not label:
        raise Permanent("В документе матрицы сбоев нет метки")
    _write(ctx, label)
    yield Message(kind="crash.note", queue=FAR, body=document(label))


def _write(ctx: Context, label: str) -> None:
    ctx.db.execute(sa.text("INSERT INTO crash_effect (label) VALUES (:label)"), {"label": label})
