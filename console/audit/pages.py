"""The audit: found by who, what, where, when; exported as it was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from fastapi import APIRouter, Depends, Form
from fastapi.responses import Response, StreamingResponse

from console.audit import objects
from console.shell.menu import Item
from console.shell.page import Page, allowed
from core import deeds, sheets, trail
from core.errors import ConfigError
from core.moments import moment
from core.trail import Row, Wanted

MENU = [Item("Аудит", "/audit", "fa-clipboard-list", "Управление", 5, "audit.read")]
PAGE_ROWS: Final = 50
router = APIRouter()


@dataclass(frozen=True, slots=True)
class Filters:
    """What stands in the form, and so in the address. since, until: days, both included."""

    actor: str = ""
    action: str = ""
    object_kind: str = ""
    object_id: str = ""
    via: str = ""
    since: str = ""
    until: str = ""
    looks: bool = False

    def wanted(self, page: Page, *, before: int | None = None, after: int | None = None) -> Wanted:
        """Raises ConfigError for a day that is none."""
        return Wanted(
            actor=self.actor.strip(),
            action=self.action,
            object_kind=self.object_kind,
            object_id=self.object_id.strip(),
            via=self.via,
            since=_moment(self.since, page) if self.since else None,
            until=_end(self.until, page) if self.until else None,
            looks=self.looks,
            before=before,
            after=after,
        )


@router.get("/audit")
def listed(
    filters: Filters = Depends(),
    before: int | None = None,
    after: int | None = None,
    page: Page = allowed("audit.read"),
) -> Response:
    problem = ""
    found: list[Row] = []
    try:
        found = trail.rows(page.bus.database, filters.wanted(page, before=before, after=after), PAGE_ROWS + 1)
    except ConfigError as error:
        problem = error.reason
    upwards = after is not None and before is None
    more = len(found) > PAGE_ROWS
    shown = found[-PAGE_ROWS:] if upwards else found[:PAGE_ROWS]
    return page.show(
        "audit/list.html",
        rows=shown,
        newer=shown[0].seq if shown and (more if upwards else before is not None) else None,
        older=shown[-1].seq if shown and (upwards or more) else None,
        filters=filters,
        problem=problem,
        actors=trail.actors(page.bus.database),
        deeds=deeds,
        objects=objects,
        today=datetime.now(page.person.zone).date(),
        export_most=trail.EXPORT_MOST,
    )


@router.post("/audit/export")
def export(
    actor: str = Form(""),
    action: str = Form(""),
    object_kind: str = Form(""),
    object_id: str = Form(""),
    via: str = Form(""),
    since: str = Form(""),
    until: str = Form(""),
    looks: bool = Form(False),
    form: str = Form("csv"),
    page: Page = allowed("audit.read", "audit.export"),
) -> Response:
    if form not in sheets.FORMS:
        raise ConfigError("Выберите CSV или Excel")
    filters = Filters(actor, action, object_kind, object_id, via, since, until, looks)
    found = trail.export(page.bus.database, filters.wanted(page), actor=page.actor, form=form)
    zone = page.person.zone
    lines = (trail.cells(row, row.at.astimezone(zone)) for row in found)
    name = f"audit-{datetime.now(zone):%Y-%m-%d-%H%M}.{form}"
    return StreamingResponse(
        sheets.pieces(form, "Аудит", trail.HEADINGS, lines),
        media_type=sheets.MEDIA_TYPES[form],
        headers={"content-disposition": f'attachment; filename="{name}"'},
    )


def _moment(text: str, page: Page) -> datetime:
    return _sane(lambda: moment(text, page.person.zone))


def _end(text: str, page: Page) -> datetime:
    """The end of a day, when no hour is given."""
    found = _moment(text, page)
    return _sane(lambda: found + timedelta(days=1)) if len(text.strip()) == len("2026-11-24") else found


def _sane(made: Callable[[], datetime]) -> datetime:
    try:
        return made()
    except OverflowError:
        raise ConfigError("Такого времени нет: выберите день ближе") from None
