"""Edit and resend: the editor, what waits for a second person, one correction with its difference."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter, Form
from fastapi.responses import Response

from console.shell.page import Page, allowed, with_query
from core import corrections, editing
from core.corrections import Draft
from core.errors import BusError

router = APIRouter()

PAGE: Final = 50
BADGES: Final = {
    "proposed": "yellow", "approved": "green", "rejected": "red", "withdrawn": "secondary", "expired": "secondary",
}  # fmt: skip


@router.get("/quarantine/corrections")
def every(state: str = "", before: int | None = None, page: Page = allowed("messages.read")) -> Response:
    found = corrections.corrections(page.bus.database, before, PAGE, state=state)
    path = "/quarantine/corrections"
    return page.show(
        "quarantine/corrections.html",
        corrections=found,
        state_=state,
        newest=with_query(path, state=state) if before else "",
        older=with_query(path, state=state, before=found[-1].id) if len(found) == PAGE else "",
        **_words(),
    )


@router.get("/quarantine/corrections/new")
def begin(message: UUID, page: Page = allowed("messages.edit", "messages.content")) -> Response:
    draft = corrections.draft(page.bus, message, page.person)
    return _editor(page, draft, draft.text, "")


@router.post("/quarantine/corrections/new")
def prepare(
    message: UUID = Form(),
    text: str = Form(""),
    note: str = Form(""),
    deed: str = Form("check"),
    page: Page = allowed("messages.edit", "messages.content"),
) -> Response:
    """Check, or keep as a proposal. Whatever is wrong, what the person wrote stays in the editor."""
    draft = corrections.draft(page.bus, message, page.person)
    try:
        if deed == "propose":
            number = corrections.propose(page.bus, message, text, note, person=page.person)
            page.say("Правка сохранена и ждёт утверждения: другой человек увидит её в «Карантин → Правки»")
            return page.to(f"/quarantine/corrections/{number}")
        rows = corrections.check(page.bus, message, text, page.person)
    except BusError as error:
        return _editor(page, draft, text, note, status=422, fault=editing.fault_of(error))
    return _editor(page, draft, text, note, rows=rows)


@router.get("/quarantine/corrections/{number}")
def one(number: int, page: Page = allowed("messages.content")) -> Response:
    found = corrections.correction(page.bus.database, number)
    compared, problem = None, ""
    try:
        compared = corrections.compared(page.bus, number, page.person)
    except BusError as error:  # a body was removed after its term: what was decided is shown all the same
        problem = error.reason
    own = found.proposed_by == page.actor
    return page.show(
        "quarantine/correction.html",
        one=found,
        compared=compared,
        problem=problem,
        own=own,
        may_decide=page.may("messages.approve") and not own and compared is not None and not compared.masked,
        **_words(),
    )


@router.post("/quarantine/corrections/{number}/approve")
def approve(number: int, sha256: str = Form(""), page: Page = allowed("messages.approve")) -> Response:
    made = corrections.approve(page.bus, number, sha256=sha256, person=page.person)
    page.say(f"Правка утверждена: исправленное сообщение {made} отправлено в обработку")
    return page.to(f"/quarantine/corrections/{number}")


@router.post("/quarantine/corrections/{number}/reject")
def reject(number: int, reason: str = Form(""), page: Page = allowed("messages.approve")) -> Response:
    corrections.reject(page.bus, number, reason, person=page.person)
    page.say("Правка не утверждена. Исходное сообщение осталось как было")
    return page.to(f"/quarantine/corrections/{number}")


@router.post("/quarantine/corrections/{number}/withdraw")
def withdraw(number: int, page: Page = allowed("messages.edit")) -> Response:
    corrections.withdraw(page.bus, number, person=page.person)
    page.say("Правка отозвана")
    return page.to(f"/quarantine/corrections/{number}")


def _editor(page: Page, draft: Draft, text: str, note: str, *, status: int = 200, **shown: Any) -> Response:
    values = {"rows": None, "fault": None} | shown
    return page.show(
        "quarantine/editor.html",
        status=status,
        draft=draft,
        text=text,
        note=note,
        note_most=corrections.NOTE_MOST,
        **values,
    )


def _words() -> dict[str, Any]:
    return {"states": corrections.STATES, "badges": BADGES}
