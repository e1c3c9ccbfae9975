"""Roles: the list, one of them, a new own one."""

from __future__ import annotations

from collections.abc import Collection

from fastapi import APIRouter, Form
from fastapi.responses import Response

from console.people import words
from console.shell.page import Page, allowed
from core.access import accounts, roles
from core.access.roles import RoleRow
from core.errors import ConfigError

NEEDS = "people.write"
router = APIRouter()


@router.get("/roles")
def listed(page: Page = allowed(NEEDS)) -> Response:
    return page.show("people/roles.html", rows=roles.listed(page.bus.database), role_title=words.role_title)


@router.get("/roles/new/own")
def new(like: str = "", page: Page = allowed(NEEDS)) -> Response:
    """An empty form, or one with the permissions of another role."""
    known = {row.role.name: row.role for row in roles.listed(page.bus.database)}
    return _form(page, None, "", "", known[like].permissions if like in known else frozenset())


@router.post("/roles/new/own")
def create(
    name: str = Form(""),
    title: str = Form(""),
    may: list[str] = Form([]),
    page: Page = allowed(NEEDS),
) -> Response:
    name = name.strip()
    try:
        roles.save(page.bus.database, name, title, may, actor=page.actor, giver=page.person, new=True)
    except ConfigError as error:
        return _form(page, None, name, title, may, problem=error.reason)
    page.say(f"Роль «{title.strip()}» создана: дайте её пользователям")
    return page.to(f"/roles/{name}")


@router.get("/roles/{name}")
def one(name: str, page: Page = allowed(NEEDS)) -> Response:
    row = _found(page, name)
    return _form(page, row, name, row.role.title, row.role.permissions)


@router.post("/roles/{name}")
def save(name: str, title: str = Form(""), may: list[str] = Form([]), page: Page = allowed(NEEDS)) -> Response:
    row = _found(page, name)
    try:
        roles.save(page.bus.database, name, title, may, actor=page.actor, giver=page.person)
    except ConfigError as error:
        return _form(page, row, name, title, may, problem=error.reason)
    page.say("Роль сохранена. Если права изменились, сеансы тех, у кого она есть, завершены")
    return page.to(f"/roles/{name}")


@router.post("/roles/{name}/remove")
def remove(name: str, page: Page = allowed(NEEDS)) -> Response:
    roles.remove(page.bus.database, name, actor=page.actor)
    page.say("Роль удалена")
    return page.to("/roles")


def _found(page: Page, name: str) -> RoleRow:
    for row in roles.listed(page.bus.database):
        if row.role.name == name:
            return row
    raise ConfigError(f"Нет роли {name}. Посмотрите список ролей")


def _form(
    page: Page, row: RoleRow | None, name: str, title: str, may: Collection[str], *, problem: str = ""
) -> Response:
    holders = [one for one in accounts.listed(page.bus.database) if row and name in one.roles]
    return page.show(
        "people/role.html",
        status=409 if problem else 200,
        row=row,
        name=name,
        role_title=words.role_title(name, title),
        title=title,
        may=set(may),
        before=row.role.permissions if row else frozenset(),
        groups=words.choices(page.person),
        holders=holders,
        his_own=name in page.person.roles,
        problem=problem,
    )
