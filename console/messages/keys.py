"""Ключи поиска: what the journal is indexed by, how far the index is, and how a key is declared."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, File, Form, UploadFile
from fastapi.responses import Response

from console.shell.page import Page, allowed
from core.database import driver
from core.errors import BusError, ConfigError
from core.search import choices, rules

SAMPLE_MOST_BYTES: Final = 8 * 1024 * 1024
router = APIRouter()


@router.get("/messages/keys")
def every(page: Page = allowed("messages.read")) -> Response:
    return page.show("messages/keys.html", given={}, **_known(page))


@router.get("/messages/keys/part")
def part(page: Page = allowed("messages.read")) -> Response:
    return page.show("messages/keys_rows.html", **_known(page))


@router.post("/messages/keys")
def declare(
    name: str = Form(""),
    title: str = Form(""),
    kind: str = Form(""),
    xpath: str = Form(""),
    namespaces: str = Form(""),
    personal: str = Form(""),
    sample: str = Form(""),
    file: UploadFile | None = File(None),
    page: Page = allowed("search.write"),
) -> Response:
    given = {"name": name, "title": title, "kind": kind, "xpath": xpath, "namespaces": namespaces, "personal": personal}
    try:
        octets = file.file.read(SAMPLE_MOST_BYTES + 1) if file is not None and file.filename else sample.encode()
        if len(octets) > SAMPLE_MOST_BYTES:
            raise ConfigError("Образец больше 8 МБ: возьмите документ меньше")
        made = rules.declare_key(
            page.bus,
            name.strip(),
            title=title,
            kind=kind,
            xpath=xpath.strip(),
            namespaces=rules.namespaces_of(namespaces),
            personal=bool(personal),
            sample=octets,
            actor=page.actor,
        )
    except BusError as error:  # what was typed must not be typed again
        page.say(error.reason, "danger")
        return page.show("messages/keys.html", status=422, given=given, **_known(page))
    page.say(f"Ключ «{made.title}» объявлен: новые сообщения получают его сразу, прежние — по мере обхода журнала")
    return page.to("/messages/keys")


@router.post("/messages/keys/words")
def declare_words(kind: str = Form(""), page: Page = allowed("search.write")) -> Response:
    made = rules.declare_words(page.bus, kind, title=choices.title_of(page.bus.routes, kind), actor=page.actor)
    page.say(f"Поиск по словам включён: {made.title.removeprefix('Текст: ')}")
    return page.to("/messages/keys")


@router.post("/messages/keys/{name}/remove")
def remove(name: str, page: Page = allowed("search.write")) -> Response:
    rules.remove(page.bus, name, actor=page.actor)
    page.say("Ключ удалён: искать по нему больше нельзя, его записи удаляются в фоне")
    return page.to("/messages/keys")


def _known(page: Page) -> dict[str, Any]:
    with page.bus.database.transaction() as connection:
        db = driver(connection)
        found = rules.rules(db)
        kinds = [(kind, choices.title_of(page.bus.routes, kind)) for kind in choices.kinds_in_journal(db)]
    return {
        "rules": found,
        "lag": rules.lag(page.bus.database),
        "kinds": sorted(kinds, key=lambda one: one[1]),
        "title_of": lambda kind: choices.title_of(page.bus.routes, kind),
    }
