"""Пробный прогон: the form, the run under way, its differences, one message's results side by side."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter, File, Form, UploadFile
from fastapi.responses import Response
from lxml import etree

from console.shell.menu import Item
from console.shell.page import Page, allowed
from core import masking, operations, xml
from core.errors import BusError, ConfigError
from core.route import Route
from core.trial import run
from core.trial.candidate import FILES_MOST, UPLOAD_MOST_BYTES, from_text, from_upload
from core.trial.comparing import STAGES, changes
from core.trial.differences import FIELDS, OUTPUT, Change
from core.trial.jobs import Job, jobs_of

MENU = [Item("Пробный прогон", "/trial", "fa-flask", "Управление", 1, "trial.run")]
router = APIRouter()

LAST: Final = 100
_SPLIT: Final = "|"
"""Between kind and version; a line end would come back as two signs."""
LINES_MOST: Final = 4000
"""Of one difference side by side."""
VERDICTS: Final = {
    "newly fails": ("Перестаёт проходить", "red"),
    "newly passes": ("Начинает проходить", "green"),
    "fails otherwise": ("Не проходит по другой причине", "yellow"),
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A kind with one of its versions, as the form offers it."""

    value: str
    title: str
    kind: str
    schema: str
    transform: str


@router.get("/trial")
def start(kind: str = "", page: Page = allowed("trial.run")) -> Response:
    return _form(page, kind)


@router.post("/trial")
def begin(
    kind: str = Form(""),
    last: str = Form(""),
    text: str = Form(""),
    files: list[UploadFile] = File(default=[]),
    page: Page = allowed("trial.run"),
) -> Response:
    try:
        name, _, version = kind.partition(_SPLIT)
        route, form = run.find(page.bus, name, version)
        given = _read(files)
        if given and text.strip():
            raise ConfigError("Либо файлы, либо вставленный текст: очистите одно из двух")
        candidate = from_text(text, form) if text.strip() else from_upload(given, form)
        job, new = jobs_of(page.bus).start(route, form, candidate, _whole(last), actor=page.actor)
    except BusError as error:
        return _form(page, kind, text=text, last=last, problem=error.reason, detail=error.detail)
    if not new:
        page.say(f"Уже идёт прогон, его начал {job.actor}: дождитесь конца или остановите его", "warning")
    return page.to(f"/trial/{job.id}")


@router.get("/trial/{job_id}")
def result(job_id: str, page: Page = allowed("trial.run")) -> Response:
    job = jobs_of(page.bus).get(job_id)
    return page.show("trial/result.html", **_result(page, job))


@router.get("/trial/{job_id}/part")
def result_again(job_id: str, page: Page = allowed("trial.run")) -> Response:
    """While it runs, how far it is; when it is over, everything."""
    job = jobs_of(page.bus).get(job_id)
    return page.show("trial/account.html", **_result(page, job))


@router.post("/trial/{job_id}/stop")
def stop(job_id: str, page: Page = allowed("trial.run")) -> Response:
    jobs_of(page.bus).stop(job_id)
    page.say("Прогон останавливается")
    return page.to(f"/trial/{job_id}")


@router.get("/trial/{job_id}/messages/{message_id}")
def one(job_id: str, message_id: UUID, page: Page = allowed("trial.run")) -> Response:
    """Both results of one message: line by line for who may see personal data, by places for everyone."""
    job = jobs_of(page.bus).get(job_id)
    pair = job.account.kept.get(message_id)
    if pair is None:
        raise ConfigError("Результаты этого сообщения не сохранены: отличий нет либо их слишком много")
    personal = page.may("personal.read")
    operations.viewed(page.bus, message_id, "Просмотр: отличия в пробном прогоне", actor=page.actor)
    found = [] if pair.old.failed or pair.new.failed else changes(pair.old, pair.new)
    parts = []
    if personal:
        parts = [
            (OUTPUT, _lines(_pretty(pair.old.output), _pretty(pair.new.output))),
            (FIELDS, _lines(_pretty_fields(pair.old.fields), _pretty_fields(pair.new.fields))),
        ]
    return page.show(
        "trial/one.html",
        job=job,
        message_id=message_id,
        pair=pair,
        personal=personal,
        changes=[(change, *_values(page, job.route, change)) for change in found[:LINES_MOST]],
        texts=[(title, lines) for title, lines in parts if lines],
        stages=STAGES,
    )


def _form(page: Page, kind: str, *, text: str = "", last: str = "", problem: str = "", detail: str = "") -> Response:
    choices = _choices(page)
    chosen = kind if _SPLIT in kind else next((one.value for one in choices if one.kind == kind), "")
    return page.show(
        "trial/form.html",
        status=422 if problem else 200,
        choices=choices,
        chosen=chosen,
        text=text,
        last=last or LAST,
        last_most=run.LAST_MOST,
        problem=problem,
        detail=detail,
        jobs=jobs_of(page.bus).all(),
    )


def _choices(page: Page) -> list[Choice]:
    return [
        Choice(
            f"{route.name}{_SPLIT}{form.version}",
            f"{route.title}, {form.version}",
            route.name,
            form.schema,
            form.transform,
        )
        for route in sorted(page.bus.routes.by_name.values(), key=lambda one: one.title)
        for form in route.formats
    ]


def _read(files: list[UploadFile]) -> list[tuple[str, bytes]]:
    """Raises ConfigError for too much."""
    if len(files) > FILES_MOST:
        raise ConfigError(f"Файлов не больше {FILES_MOST}")
    given, left = [], UPLOAD_MOST_BYTES
    for one in files:
        if not one.filename:
            continue
        octets = one.file.read(left + 1)
        left -= len(octets)
        if left < 0:
            raise ConfigError("Файлы вместе больше 8 МБ: загрузите только нужные")
        given.append((one.filename, octets))
    return given


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise ConfigError(f"Сколько сообщений прогнать? Число от 1 до {run.LAST_MOST}")
    return int(text)


def _result(page: Page, job: Job) -> dict[str, Any]:
    """What the account shows; examples with values only for who may see personal data, and noted before."""
    account = job.account
    groups = account.differences() if job.over else []
    failures = account.failed() if job.over else []
    personal = page.may("personal.read")
    if personal and job.over:
        shown = {example.message_id for group in groups for example in group.examples}
        shown |= {message_id for failure in failures for message_id, detail in failure.examples if detail}
        if shown:
            run.seen(page.bus, job.route.name, sorted(map(str, shown)), actor=page.actor)
    return {
        "job": job,
        "account": account,
        "groups": [
            (group, [(one, *_values(page, job.route, one.change)) for one in group.examples]) for group in groups
        ],
        "failures": failures,
        "verdicts": VERDICTS,
        "stages": STAGES,
        "personal": personal,
        "kept": set(account.kept),
    }


def _values(page: Page, route: Route, change: Change) -> tuple[str | None, str | None]:
    """(old, new) as this person may see them."""
    name = change.path.rpartition("/")[2].lstrip("@").partition("[")[0]
    if page.may("personal.read") or name in route.plain or name == "xmlns":
        return change.old, change.new
    old, new = (None if value is None else masking.mask(value) for value in (change.old, change.new))
    return old, new


def _pretty(output: bytes | None) -> list[str]:
    if not output:
        return []
    if not output.startswith(b"<"):
        return output.decode().splitlines()
    root = xml.parse(output)
    etree.indent(root)
    return etree.tostring(root, encoding="unicode").splitlines()


def _pretty_fields(fields: Any) -> list[str]:
    return [] if fields is None else json.dumps(fields, ensure_ascii=False, indent=2).splitlines()


def _lines(old: list[str], new: list[str]) -> list[tuple[str, str]]:
    """(class of the line, line) of a unified difference; [] when there is none."""
    looks = {"+": "line-new", "-": "line-old", "@": "line-place"}
    found = list(difflib.unified_diff(old[:LINES_MOST], new[:LINES_MOST], lineterm="", n=3))[2:]
    return [(looks.get(line[:1], ""), line) for line in found]
