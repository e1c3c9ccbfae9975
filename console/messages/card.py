"""The card of a message: what it is, where it stands, what happened; its contents only when asked for, and noted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Form
from fastapi.responses import Response, StreamingResponse

from console.messages import timeline
from console.shell.page import Page, allowed
from core import (
    cards,
    contents,
    corrections,
    formatted,
    labels,
    masking,
    operations,
    quarantine,
    signatures_words,
    trail,
)
from core.cards import Card
from core.contents import PERSONAL
from core.errors import ConfigError
from core.message_card import STAGES
from core.payloads import REMOVED
from core.search import choices

TABS: Final[Mapping[str, str]] = {
    "body": "Тело",
    "received": "Конверт",
    "outputs": "Результаты этапов",
    "difference": "Разница этапов",
    "signatures": "Подписи",
    "headers": "Заголовки",
    "detail": "Подробности ошибок",
}
"""Name of a part → its title. Each is asked for by itself, and each look is noted."""
STANDS: Final[Mapping[str, str]] = {
    "ready": "Готово к обработке: ждёт своей очереди.",
    "held": "Ждёт: раньше него в том же ключе порядка стоит сообщение, о котором нужно решить.",
    "retry": "Не получилось, шина повторит сама.",
    "quarantined": "Отложено: решает оператор.",
    "handled": "Обработано.",
    "sent": "Отправлено, другая сторона подтвердила.",
    "dropped": "Отклонено оператором: обрабатываться не будет.",
}
_FINISHED: Final = ("handled", "sent", "dropped")
_LEVELS: Final = 12
router = APIRouter()


@router.get("/messages/{message_id}")
def one(message_id: UUID, page: Page = allowed("messages.read")) -> Response:
    card = cards.card(page.bus.database, message_id)
    return page.show(
        "messages/card.html",
        card=card,
        row=card.row,
        title_of=_titles(page),
        stands=STANDS[card.row.state],
        advice=quarantine.ADVICE.get(card.row.error, "") if card.row.state == "quarantined" else "",
        finished=card.row.state in _FINISHED,
        editable=card.row.state in corrections.EDITABLE,
        picture=timeline.picture(card),
        longest_ms=max((event.duration_ms or 0.0 for event in card.events), default=0.0),
        bar=timeline.bar,
        stages=STAGES,
        tree=_tree(card),
        tabs=TABS if page.may("messages.content") else {},
        attachments=_attachments(page, card),
    )


@router.get("/messages/{message_id}/part/{name}")
def part(message_id: UUID, name: str, page: Page = allowed("messages.read", "messages.content")) -> Response:
    if name not in TABS:
        raise ConfigError("Такой вкладки нет: откройте карточку сообщения заново")
    template = f"messages/part_{name}.html"
    shown = _SHOWN[name](page, message_id)
    is_part = page.request.headers.get("x-part") == "1"
    return page.show(
        template if is_part else "messages/alone.html", inner=template, title=TABS[name], id=message_id, **shown
    )


@router.get("/messages/{message_id}/history")
def history(message_id: UUID, page: Page = allowed("messages.read")) -> Response:
    """What people did with it and who looked."""
    card = cards.card(page.bus.database, message_id)
    wanted = trail.Wanted(object_kind="message", object_id=str(message_id))
    rows = trail.rows(page.bus.database, wanted, 200) if page.may("audit.read") else []
    is_part = page.request.headers.get("x-part") == "1"
    return page.show(
        "messages/part_history.html" if is_part else "messages/alone.html",
        inner="messages/part_history.html",
        title="Действия и просмотры",
        id=message_id,
        events=[event for event in card.events if event.actor],
        stages=STAGES,
        rows=rows,
    )


@router.get("/messages/{message_id}/download")
def download(message_id: UUID, part: str = "body", page: Page = allowed("messages.content")) -> Response:
    if part.startswith("attachment:"):
        page.need(PERSONAL)
    found = contents.download(page.bus, message_id, part, page.person)
    headers = {"content-disposition": f"attachment; filename*=UTF-8''{quote(found.name, safe='')}"}
    if found.size_bytes is not None:
        headers["content-length"] = str(found.size_bytes)
    return StreamingResponse(found.pieces, media_type=found.media_type, headers=headers)


@router.post("/messages/{message_id}/resend")
def resend(message_id: UUID, page: Page = allowed("messages.resend")) -> Response:
    was = cards.card(page.bus.database, message_id).row
    operations.resend(page.bus, [message_id], actor=page.actor)
    if was.state in _FINISHED:
        page.say(f"Сообщение № {was.seq} поставлено копией: она среди следствий на этой странице")
    else:
        page.say(f"Сообщение № {was.seq} отправлено повторно")
    return page.to(f"/messages/{message_id}")


@router.post("/messages/{message_id}/drop")
def drop(message_id: UUID, reason: str = Form(""), page: Page = allowed("messages.resend")) -> Response:
    if not reason.strip():
        raise ConfigError("Напишите причину отклонения: она останется в журнале")
    dropped = operations.drop(page.bus, [message_id], actor=page.actor, reason=reason.strip()[:500])
    page.say(
        "Сообщение отклонено" if dropped else "Сообщение уже было завершено: ничего не изменилось",
        "success" if dropped else "info",
    )
    return page.to(f"/messages/{message_id}")


def _body(page: Page, message_id: UUID) -> dict[str, Any]:
    found = contents.look(page.bus, message_id, {"body"}, page.person)
    row = cards.card(page.bus.database, message_id).row
    given = labels.labels_of(contents.family_of(page.bus, row.kind, row.queue))
    body = found.body
    return {
        "found": found,
        "cut": found.cut.get("body"),
        "raw": None if body is None else formatted.raw(body),
        "pretty": None if body is None else formatted.formatted(body),
        "fields": labels.fields(body, given) if body else [],
    }


def _received(page: Page, message_id: UUID) -> dict[str, Any]:
    found = contents.look(page.bus, message_id, {"received"}, page.person)
    octets = found.received
    return {
        "found": found,
        "cut": found.cut.get("received"),
        "raw": None if octets is None else formatted.raw(octets),
        "pretty": None if octets is None else formatted.formatted(octets),
    }


def _outputs(page: Page, message_id: UUID) -> dict[str, Any]:
    found = contents.look(page.bus, message_id, {"outputs"}, page.person)
    made = [
        (place, STAGES.get(stage, stage), formatted.formatted(octets), found.cut.get(f"outputs:{place}"))
        for place, (stage, octets) in enumerate(found.outputs)
    ]
    return {"found": found, "outputs": made}


def _difference(page: Page, message_id: UUID) -> dict[str, Any]:
    """Between each two neighbours: envelope, body, what the stages made."""
    found = contents.look(page.bus, message_id, {"body", "received", "outputs"}, page.person)
    chain = [("конверт", found.received), ("тело", found.body)]
    chain += [(f"«{STAGES.get(stage, stage)}»", octets) for stage, octets in found.outputs]
    there = [(title, octets) for title, octets in chain if octets]
    pairs = [
        (first[0], second[0], *formatted.difference(first[1], second[1])) for first, second in itertools.pairwise(there)
    ]
    return {"found": found, "pairs": pairs, "cut": bool(found.cut)}


def _signatures(page: Page, message_id: UUID) -> dict[str, Any]:
    return {"explained": signatures_words.explain(page.bus, message_id, page.person)}


def _headers(page: Page, message_id: UUID) -> dict[str, Any]:
    return {"found": contents.look(page.bus, message_id, {"headers"}, page.person)}


def _detail(page: Page, message_id: UUID) -> dict[str, Any]:
    found = contents.look(page.bus, message_id, {"detail"}, page.person)
    return {"found": found, "details": [(STAGES.get(stage, stage), text) for stage, text in found.details]}


_SHOWN: Final[Mapping[str, Callable[[Page, UUID], dict[str, Any]]]] = {
    "body": _body,
    "received": _received,
    "outputs": _outputs,
    "difference": _difference,
    "signatures": _signatures,
    "headers": _headers,
    "detail": _detail,
}


def _titles(page: Page) -> Callable[[str], str]:
    return lambda kind: choices.title_of(page.bus.routes, kind)


def _tree(card: Card) -> list[tuple[int, Any]]:
    """(depth, row) from the first cause of all to the last effect; this message's own row stands among them."""
    made = list(enumerate([*card.causes, card.row]))
    made += [(len(card.causes) + effect.depth, effect.row) for effect in card.effects]
    return [(min(depth, _LEVELS), row) for depth, row in made] if len(made) > 1 else []


def _attachments(page: Page, card: Card) -> list[dict[str, Any]]:
    """A name may be a person's: it is masked like everything else."""
    personal = page.may(PERSONAL)
    return [
        {
            "place": place,
            "name": one["name"] if personal else masking.mask(one["name"]),
            "media_type": one["media_type"],
            "stored": bool(one["payload"]) and not one["payload"].startswith(REMOVED),
            "removed": one["payload"].startswith(REMOVED),
        }
        for place, one in enumerate(card.attachments)
    ]
