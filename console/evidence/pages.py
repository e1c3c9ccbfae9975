"""The chain of hashes with its check at a button; what an evidence package would hold, and its download."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO
from uuid import UUID

from fastapi import APIRouter, Form
from fastapi.responses import Response, StreamingResponse
from starlette.background import BackgroundTask

from console.shell.menu import Item
from console.shell.page import Page, allowed
from core import evidence
from core.payloads import PIECE_BYTES
from core.seals import recording
from core.seals.standing import standing

router = APIRouter()
MENU = [Item("Цепочка хешей", "/audit/chain", "fa-link", "Управление", 45, "audit.read")]
_IN_MEMORY_BYTES = 8 * 1024 * 1024


@router.get("/audit/chain")
def chain(page: Page = allowed("audit.read")) -> Response:
    return page.show("evidence/chain.html", chain=standing(page.bus.database), runs=recording.runs(page.bus.database))


@router.get("/audit/chain/part")
def runs(page: Page = allowed("audit.read")) -> Response:
    return page.show("evidence/runs.html", runs=recording.runs(page.bus.database))


@router.post("/audit/chain/verify")
def verify(first: int = Form(1), contents: bool = Form(False), page: Page = allowed("audit.read")) -> Response:
    number = page.bus.verifier.begin(actor=page.actor, first=max(1, first), contents=contents)
    page.say("Проверка цепочки хешей начата. Она идёт сама: страницу можно закрыть")
    return page.to(f"/audit/chain/{number}")


@router.post("/audit/chain/stop")
def stop(page: Page = allowed("audit.read")) -> Response:
    page.bus.verifier.interrupt()
    page.say("Проверка будет прервана после текущего блока", "info")
    return page.to("/audit/chain")


@router.get("/audit/chain/{number:int}")
def run(number: int, page: Page = allowed("audit.read")) -> Response:
    return page.show("evidence/run.html", run=recording.run(page.bus.database, number))


@router.get("/audit/chain/{number:int}/part")
def progress(number: int, page: Page = allowed("audit.read")) -> Response:
    return page.show("evidence/progress.html", run=recording.run(page.bus.database, number))


@router.get("/messages/{message_id:uuid}/evidence")
def package(message_id: UUID, page: Page = allowed("evidence.make")) -> Response:
    return page.show(
        "evidence/package.html",
        message_id=message_id,
        preview=evidence.preview(page.bus, message_id),
        full=page.may("personal.read"),
    )


@router.post("/messages/{message_id:uuid}/evidence")
def download(message_id: UUID, page: Page = allowed("evidence.make")) -> Response:
    file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 - closed when the last octet has left
    try:
        evidence.pack(page.bus, message_id, page.person, file)
    except BaseException:
        file.close()
        raise
    size = file.tell()
    file.seek(0)
    return StreamingResponse(
        _pieces(file),
        media_type="application/zip",
        headers={
            "content-disposition": f'attachment; filename="evidence-{message_id}.zip"',
            "content-length": str(size),
        },
        background=BackgroundTask(file.close),
    )


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(PIECE_BYTES):
        yield piece
