"""Виды сведений: which documents the bus takes, by which schema and transformer, and what may be sent by hand."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from console.shell.menu import Item
from console.shell.page import Page, allowed
from core import discovery, kinds
from core.errors import ConfigError
from core.kinds import Kind

MENU = [Item("Виды сведений", "/kinds", "fa-file-code", "Обмен", 2, "connectors.read")]
router = APIRouter()


@router.get("/kinds")
def every(page: Page = allowed("connectors.read")) -> Response:
    return page.show("kinds/list.html", kinds=_kinds(page), questions=discovery.questions())


@router.get("/kinds/{name}")
def one(name: str, page: Page = allowed("connectors.read")) -> Response:
    kind = _kind(page, name)
    route = page.bus.routes.by_name[name]
    return page.show(
        "kinds/one.html",
        kind=kind,
        files=kinds.files(kind.formats),
        retry=page.bus.retry_of(route),
        concurrency=page.bus.concurrency_of(name),
        fields=list(route.body.model_fields.items()) if route.body else [],
        questions=[one for one in discovery.questions() if _belongs(one.form.schema, kind)],
    )


@router.get("/kinds/{name}/file")
def file(name: str, path: str = "", page: Page = allowed("connectors.read")) -> Response:
    kind = _kind(page, name)
    text = kinds.text_of(kind.formats, path).decode("utf-8", "backslashreplace")
    return page.show("kinds/file.html", kind=kind, path_of_file=path, text=text)


@router.get("/kinds/{name}/download")
def download(name: str, path: str = "", page: Page = allowed("connectors.read")) -> Response:
    octets = kinds.text_of(_kind(page, name).formats, path)
    headers = {"content-disposition": f'attachment; filename="{path.rsplit("/", 1)[-1]}"'}
    return Response(octets, media_type="application/octet-stream", headers=headers)


def _kinds(page: Page) -> list[Kind]:
    return kinds.kinds(page.bus.routes.by_name.values())


def _kind(page: Page, name: str) -> Kind:
    for kind in _kinds(page):
        if kind.name == name:
            return kind
    raise ConfigError(f"Вида сведений {name} нет: выберите из списка")


def _belongs(schema: str, kind: Kind) -> bool:
    return any(form.schema == schema for form in kind.formats)
