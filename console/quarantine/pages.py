"""The groups of the quarantine and what is decided about their messages; jobs and corrections are beside it."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Form
from fastapi.responses import Response

from console.quarantine import corrections, jobs
from console.shell.menu import Item
from console.shell.page import Page, allowed, with_query
from core import bulk, operations, quarantine
from core.errors import ConfigError, Permanent
from core.quarantine import Chosen

MENU = [Item("Карантин", "/quarantine", "fa-triangle-exclamation", "Шина", 4, "messages.read")]
router = APIRouter()
router.include_router(jobs.router)
router.include_router(corrections.router)

PAGE: Final = 50
"""Messages on a page of a group."""


@router.get("/quarantine")
def reasons(queue: str = "", page: Page = allowed("messages.read")) -> Response:
    every = quarantine.groups(page.bus.database)
    return page.show(
        "quarantine/reasons.html",
        groups=[one for one in every if queue in ("", one.queue)],
        queue=queue,
        queues=sorted({one.queue for one in every} | ({queue} if queue else set())),
        path_of=path_of,
        more=len(every) == quarantine.GROUPS_MOST,
    )


@router.get("/quarantine/groups/{queue:path}/{name}")
def reason(queue: str, name: str, before: int | None = None, page: Page = allowed("messages.read")) -> Response:
    try:
        group = quarantine.group(page.bus.database, queue, name)
    except ConfigError:  # the last of them has just been decided about
        return page.show("quarantine/empty.html", queue=queue)
    rows = quarantine.messages(page.bus.database, queue, name, PAGE, before=before)
    path = path_of(queue, name)
    return page.show(
        "quarantine/reason.html",
        group=group,
        rows=rows,
        group_path=path,
        newest=path if before else "",
        older=with_query(path, before=rows[-1].seq) if len(rows) == PAGE else "",
        rate=bulk.RATE_PER_S,
        errors=bulk.ERRORS_MOST,
        chosen_most=bulk.CHOSEN_MOST,
    )


@router.post("/quarantine/groups/{queue:path}/{name}/resend")
def resend(
    queue: str,
    name: str,
    scope: str = Form(""),
    ids: list[str] = Form([]),
    rate: str = Form(""),
    errors: str = Form(""),
    page: Page = allowed("messages.resend"),
) -> Response:
    return _start(page, queue, name, _chosen(queue, name, scope, ids), "resend", rate, errors)


@router.post("/quarantine/groups/{queue:path}/{name}/drop")
def drop(
    queue: str,
    name: str,
    scope: str = Form(""),
    ids: list[str] = Form([]),
    reason: str = Form(""),
    page: Page = allowed("messages.resend"),
) -> Response:
    return _start(page, queue, name, _chosen(queue, name, scope, ids), "drop", "", "0", reason)


@router.post("/quarantine/messages/{message_id}/resend")
def resend_one(
    message_id: UUID, queue: str = Form(""), name: str = Form(""), page: Page = allowed("messages.resend")
) -> Response:
    operations.resend(page.bus, [message_id], actor=page.actor)
    page.say("Сообщение отправлено повторно. Что с ним стало, видно в его карточке")
    return page.to(path_of(queue, name) if queue and name else "/quarantine")


def path_of(queue: str, name: str) -> str:
    """The page of a group."""
    return f"/quarantine/groups/{quote(queue, safe='')}/{quote(name, safe='')}"


def _start(
    page: Page,
    queue: str,
    name: str,
    chosen: list[UUID] | Chosen,
    action: str,
    rate: str,
    errors: str,
    reason: str = "",
) -> Response:
    group = quarantine.group(page.bus.database, queue, name)
    number = bulk.start(
        page.bus,
        chosen,
        action,
        actor=page.actor,
        rate_per_s=_number(rate, "Скорость") if rate else bulk.RATE_MOST_PER_S,
        errors_most=int(_number(errors, "Число ошибок до остановки")),
        reason=reason,
        title=f"{group.queue}: {group.reason}",
    )
    page.say(f"Задание № {number} начато: ход виден здесь и обновляется сам")
    return page.to(f"/quarantine/jobs/{number}")


def _chosen(queue: str, name: str, scope: str, ids: list[str]) -> list[UUID] | Chosen:
    if scope == "all":
        return Chosen(queue, name)
    if not ids:
        raise Permanent("Не отмечено ни одного сообщения: отметьте нужные в таблице или выберите все")
    try:
        return [UUID(one) for one in ids]
    except ValueError:
        raise Permanent("Отмеченные сообщения не распознаны: обновите страницу и отметьте снова") from None


def _number(text: str, what: str) -> float:
    try:
        value = float(text.strip().replace(",", "."))
        int(value)
    except (ValueError, OverflowError):
        raise ConfigError(f"{what}: напишите число") from None
    return value
