"""Запросы вручную: choose what to ask, fill in the form of its schema, see the answer arrive."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response
from lxml import etree
from starlette.concurrency import run_in_threadpool

from console.shell.menu import Item
from console.shell.page import Page, allowed
from core import discovery, forms, questions
from core.errors import Permanent, SchemaViolation
from core.questions import Question

MENU = [Item("Запросы вручную", "/requests", "fa-paper-plane", "Обмен", 3, "messages.send")]
PAGE: int = 50
_FIELD_MOST = 4000
router = APIRouter()


@router.get("/requests")
def sent(before: UUID | None = None, page: Page = allowed("messages.send")) -> Response:
    rows = questions.asked(page.bus.database, PAGE, before)
    return page.show("requests/list.html", rows=rows, before=before, full=len(rows) == PAGE, titles=_titles())


@router.get("/requests/new")
def choose(page: Page = allowed("messages.send")) -> Response:
    found = discovery.questions()
    if len(found) == 1:
        return page.to(f"/requests/new/{found[0].name}")
    return page.show("requests/choose.html", questions=found)


@router.get("/requests/new/{name}")
def form(name: str, page: Page = allowed("messages.send")) -> Response:
    question = questions.by_name(discovery.questions(), name)
    return _form(page, question, {}, None)


@router.post("/requests/new/{name}")
async def read(name: str, request: Request, page: Page = allowed("messages.send")) -> Response:
    given = await request.form()
    values = {key: str(value)[:_FIELD_MOST] for key, value in given.items() if isinstance(value, str)}
    return await run_in_threadpool(_send, page, name, values)


@router.get("/requests/{message_id}")
def one(message_id: UUID, page: Page = allowed("messages.send")) -> Response:
    return page.show("requests/one.html", **_one(page, message_id))


@router.get("/requests/{message_id}/part")
def part(message_id: UUID, page: Page = allowed("messages.send")) -> Response:
    return page.show("requests/part.html", **_one(page, message_id))


def _one(page: Page, message_id: UUID) -> dict[str, Any]:
    return {"asked": questions.one(page.bus.database, message_id), "titles": _titles()}


def _send(page: Page, name: str, values: dict[str, str]) -> Response:
    question = questions.by_name(discovery.questions(), name)
    tree = forms.form_of(question.form.schema, question.form.root)
    try:
        document = forms.document_of(tree, {path: values.get(path, "") for path in forms.paths(tree)})
        payload = etree.tostring(document, encoding="UTF-8")
    except ValueError:
        return _form(page, question, values, Permanent("В тексте есть недопустимые знаки: наберите его заново"))
    try:
        message_id = questions.send(page.bus, question, payload, actor=page.actor)
    except SchemaViolation as error:
        return _form(page, question, values, error)
    page.say("Запрос отправлен. Эта страница обновится, когда придёт ответ.")
    return page.to(f"/requests/{message_id}")


def _form(page: Page, question: Question, values: dict[str, str], problem: Permanent | None) -> Response:
    tree = forms.form_of(question.form.schema, question.form.root)
    status = 422 if problem else 200
    return page.show("requests/form.html", question=question, tree=tree, values=values, problem=problem, status=status)


def _titles() -> dict[str, str]:
    return {question.make(b"<a/>").kind: question.title for question in discovery.questions()}
