"""The list of messages, its saved filters, its export, and the way to a card by whatever is known of a message."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Form
from fastapi.responses import Response, StreamingResponse
from starlette.datastructures import FormData

from console.messages import card, keys
from console.messages.filters import Filters
from console.shell.menu import Item
from console.shell.page import Page, allowed, query_of
from core import cards, printing, reading
from core.contents import PERSONAL
from core.database import driver
from core.errors import BusError, ConfigError, Permanent
from core.reading import Wanted
from core.search import asking, choices, finding, rules, saved
from core.search.finding import Found

MENU = [Item("Журнал сообщений", "/messages", "fa-envelope-open-text", "Шина", 3, "messages.read")]
PAGE: Final = 50
router = APIRouter()
router.include_router(keys.router)


@router.get("/messages")
def messages(page: Page = allowed("messages.read")) -> Response:
    filters = Filters.of(page.request.query_params)
    found, problem = Found([]), ""
    try:
        wanted = filters.wanted(page.person.zone)
        if asking.is_personal(page.bus, wanted):
            page.need(PERSONAL)
        found = asking.search(page.bus, wanted, PAGE, page.person, oldest_first=filters.after is not None)
    except (ConfigError, Permanent) as error:
        problem = error.reason
    if filters.after is not None and found.complete and not found.more and len(found.rows) < PAGE:
        return page.to("/messages", **filters.given)  # the newest page is a whole one
    newer, older = _ways(page, filters, found)
    return page.show(
        "messages/list.html",
        filters=filters,
        found=found,
        problem=problem,
        rows=found.rows if filters.after is None else found.rows[::-1],
        newer=newer,
        older=older,
        about=_about(found, filters),
        title_of=lambda kind: choices.title_of(page.bus.routes, kind),
        saved=saved.saved(page.bus.database, page.actor),
        states={state: printing.STATES[state] for state in reading.STATES},
        query=urlencode(filters.given),
        **_choices(page),
    )


@router.post("/messages/search")
async def search(page: Page = allowed("messages.read")) -> Response:
    """What was typed about a person becomes a hash: it stands in no address, history or log."""
    form: FormData = await page.request.form()
    typed = {name: str(value) for name, value in form.items()}
    for name in ("value", "words"):  # a field left empty keeps what the link has hidden
        typed[name] = typed.get(name, "") or (typed.get(f"{name}_kept", "") if _keeps(typed, name) else "")
    return page.to("/messages", **Filters.of(typed).link())


@router.get("/messages/find")
def find(q: str = "", page: Page = allowed("messages.read")) -> Response:
    q = q.strip()
    if not q:
        return page.to("/messages")
    try:
        return page.to(f"/messages/{cards.find(page.bus.database, q)}")
    except Permanent as error:
        rows = finding.find(page.bus.database, Wanted(external_id=q), PAGE).rows
        return page.show("messages/found.html", q=q, rows=rows, reason=error.reason, status=200 if rows else 404)


@router.get("/messages/export.csv")
def export(page: Page = allowed("messages.read")) -> Response:
    wanted = Filters.of(page.request.query_params).wanted(page.person.zone)
    if asking.is_personal(page.bus, wanted):
        page.need(PERSONAL)
    rows = asking.export(page.bus, wanted, page.person)
    first = next(rows)  # what is refused is refused before anything is sent
    headers = {"content-disposition": 'attachment; filename="messages.csv"'}
    return StreamingResponse(_lines(first, rows), media_type="text/csv; charset=utf-8", headers=headers)


@router.post("/messages/saved")
def save(title: str = Form(""), query: str = Form(""), page: Page = allowed("messages.read")) -> Response:
    saved.save(page.bus.database, page.actor, title, query)
    page.say(f"Отбор «{title.strip()}» сохранён: он над списком")
    return page.to(f"/messages?{query}")


@router.post("/messages/saved/{saved_id}/forget")
def forget(saved_id: int, page: Page = allowed("messages.read")) -> Response:
    saved.forget(page.bus.database, page.actor, saved_id)
    page.say("Отбор убран")
    return page.to("/messages")


def _keeps(typed: dict[str, str], name: str) -> bool:
    return name == "words" or bool(typed.get("by"))


def _choices(page: Page) -> dict[str, Any]:
    with page.bus.database.transaction() as connection:
        db = driver(connection)
        kinds = [(kind, choices.title_of(page.bus.routes, kind)) for kind in choices.kinds_in_journal(db)]
        known = [one for one in rules.rules(db) if one.what == "xpath" and (page.may(PERSONAL) or not one.personal)]
        return {
            "kinds": sorted(kinds, key=lambda one: one[1]),
            "queues": choices.queues_with_titles(db),
            "participants": reading.sources(db),
            "own_keys": known,
            "has_words": page.may(PERSONAL) and any(one.what == "words" for one in rules.rules(db)),
        }


def _ways(page: Page, filters: Filters, found: Found) -> tuple[str, str]:
    """Links to the newer and to the older page; "" where there is none."""
    if not found.rows:
        onward = found.next
        return "", _way(page, before=onward) if onward is not None and filters.after is None else ""
    if filters.after is not None:
        newer = _way(page, after=found.next) if found.next is not None else ""
        return newer, _way(page, before=found.rows[0].seq)
    newer = _way(page, after=found.rows[0].seq) if filters.before is not None else ""
    return newer, _way(page, before=found.next) if found.next is not None else ""


def _way(page: Page, *, before: int | None = None, after: int | None = None) -> str:
    return query_of(page.request, before="" if before is None else before, after="" if after is None else after)


def _about(found: Found, filters: Filters) -> str:
    """How many there are, in words; an estimate is rounded to two digits."""
    if found.is_exact:
        return f"Всего: {printing.number(found.about)}"
    if filters.before is not None or filters.after is not None or found.about <= len(found.rows):
        return ""
    digits = len(str(found.about)) - 2
    rounded = round(found.about, -digits) if digits > 0 else found.about
    return f"Всего примерно {printing.number(rounded)}"


def _lines(first: list[str], rows: Iterator[list[str]]) -> Iterator[bytes]:
    yield "\ufeff".encode()
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=";", lineterminator="\r\n")
    writer.writerow(first)
    try:
        for row in rows:
            writer.writerow([_harmless(cell) for cell in row])
            if buffer.tell() > 64 * 1024:
                yield buffer.getvalue().encode()
                buffer.seek(0)
                buffer.truncate()
    except BusError as error:  # the answer has begun: say it where the reader looks
        writer.writerow([f"Выгрузка прервана: {error.reason}"])
    yield buffer.getvalue().encode()


def _harmless(cell: str) -> str:
    """A spreadsheet must not take a foreign text for a formula."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


router.include_router(card.router)
