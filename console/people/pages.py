"""Users: the list, a new one, the page of one."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Form
from fastapi.responses import Response

from console.people import roles as role_pages
from console.people import sessions as session_pages
from console.people import tokens as token_pages
from console.people import words
from console.shell.menu import Item
from console.shell.page import Page, allowed
from console.shell.words import plural
from core import trail
from core.access import accounts, passwords, roles, sessions
from core.access.accounts import Account
from core.access.giving import PERSONAL, not_his_to_give
from core.access.roles import RoleRow
from core.errors import ConfigError

NEEDS = "people.write"
MENU = [
    Item("Пользователи", "/people", "fa-users", "Управление", 1, NEEDS),
    Item("Роли", "/roles", "fa-user-shield", "Управление", 2, NEEDS),
    Item("Токены API", "/tokens", "fa-key", "Управление", 3, NEEDS),
    Item("Сеансы", "/sessions", "fa-desktop", "Управление", 4, NEEDS),
]
STATES = {"active": "могут войти", "blocked": "заблокированы", "locked": "вход закрыт на время"}
router = APIRouter()


@router.get("/people")
def people(q: str = "", state: str = "", role: str = "", page: Page = allowed(NEEDS)) -> Response:
    found = accounts.listed(page.bus.database)
    shown = [one for one in found if _is_wanted(one, q.strip().casefold(), state, role)]
    return page.show(
        "people/list.html",
        people=shown,
        total=len(found),
        q=q,
        state=state,
        role=role,
        states=STATES,
        roles=_titles(page),
    )


@router.get("/people/new/account")
def new(page: Page = allowed(NEEDS)) -> Response:
    return _new(page, {"login": "", "name": "", "roles": [], "outside": False})


@router.post("/people/new/account")
def create(
    login: str = Form(""),
    name: str = Form(""),
    roles: list[str] = Form([]),
    outside: bool = Form(False),
    page: Page = allowed(NEEDS),
) -> Response:
    rules = page.bus.settings.access
    outside = outside and rules.oidc is not None
    password = "" if outside else passwords.made(login, name, rules)
    try:
        accounts.create(
            page.bus.database,
            login,
            name,
            password,
            roles,
            actor=page.actor,
            giver=page.person,
            must_change=True,
        )
    except ConfigError as error:
        filled = {"login": login, "name": name, "roles": roles, "outside": outside}
        return _new(page, filled, problem=error.reason, status=409)
    made = accounts.found(page.bus.database, login)
    if outside:
        page.say(f"Пользователь {made.login} создан: он войдёт через учётную запись организации")
        return page.to(f"/people/{made.login}")
    return page.show("people/given.html", account=made, password=password, fresh=True)


@router.get("/people/{login}")
def person(login: str, page: Page = allowed(NEEDS)) -> Response:
    database = page.bus.database
    account = accounts.found(database, login)
    may = accounts.what_he_may(database, account)
    return page.show(
        "people/one.html",
        account=account,
        himself=account.id == page.person.account_id,
        roles=_roles(page),
        granted=words.grouped(may, page.person),
        out_of_reach=bool(not_his_to_give(page.person, may)),
        sessions=sessions.listed(database, page.bus.settings.access, login=account.login),
        sign_ins=trail.sign_ins(database, account.login),
        oidc=page.bus.settings.access.oidc,
        from_outside=bool(page.bus.settings.access.oidc and page.bus.settings.access.oidc.roles_claim),
    )


@router.post("/people/{login}/name")
def rename(login: str, name: str = Form(""), page: Page = allowed(NEEDS)) -> Response:
    accounts.rename(page.bus.database, login, name, actor=page.actor)
    page.say("Имя изменено")
    return page.to(f"/people/{login}")


@router.post("/people/{login}/roles")
def set_roles(login: str, roles: list[str] = Form([]), page: Page = allowed(NEEDS)) -> Response:
    accounts.set_roles(page.bus.database, login, roles, actor=page.actor, giver=page.person)
    page.say(f"Роли пользователя {login} сохранены. Если они изменились, его сеансы завершены")
    return page.to(f"/people/{login}")


@router.post("/people/{login}/password")
def give_password(login: str, page: Page = allowed(NEEDS)) -> Response:
    rules = page.bus.settings.access
    account = accounts.found(page.bus.database, login)
    password = passwords.made(account.login, account.name, rules)
    accounts.give_password(page.bus.database, login, password, rules, actor=page.actor, giver=page.person)
    return page.show("people/given.html", account=account, password=password, fresh=False)


@router.post("/people/{login}/block")
def block(login: str, reason: str = Form(""), page: Page = allowed(NEEDS)) -> Response:
    accounts.block(page.bus.database, login, actor=page.actor, giver=page.person, reason=reason.strip()[:500])
    page.say(f"Пользователь {login} заблокирован, его сеансы завершены")
    return page.to(f"/people/{login}")


@router.post("/people/{login}/unblock")
def unblock(login: str, page: Page = allowed(NEEDS)) -> Response:
    accounts.unblock(page.bus.database, login, actor=page.actor)
    page.say(f"Пользователь {login} может войти")
    return page.to(f"/people/{login}")


@router.post("/people/{login}/subject")
def set_subject(login: str, subject: str = Form(""), page: Page = allowed(NEEDS)) -> Response:
    accounts.set_subject(page.bus.database, login, subject, actor=page.actor, giver=page.person)
    page.say("Привязка сохранена")
    return page.to(f"/people/{login}")


@router.post("/people/{login}/sessions/end")
def end_sessions(login: str, page: Page = allowed(NEEDS)) -> Response:
    ended = sessions.end_all(page.bus.database, login, actor=page.actor)
    page.say(f"Завершено: {plural(ended, 'сеанс', 'сеанса', 'сеансов')}")
    return page.to(f"/people/{login}")


def _new(page: Page, filled: dict[str, Any], *, problem: str = "", status: int = 200) -> Response:
    return page.show(
        "people/new.html",
        status=status,
        filled=filled,
        problem=problem,
        roles=_roles(page),
        oidc=page.bus.settings.access.oidc,
    )


def _roles(page: Page) -> list[dict[str, Any]]:
    """Every role for a form. his: the person who looks may give it to somebody who lacks it; group: its registry."""
    return [
        {
            "name": row.role.name,
            "title": words.role_title(row.role.name, row.role.title),
            "group": words.registry_of(row.role.name),
            "may": words.titles_of(row.role.permissions),
            "personal": bool(row.role.permissions & PERSONAL),
            "his": not not_his_to_give(page.person, row.role.permissions),
        }
        for row in _rows(page)
    ]


def _rows(page: Page) -> list[RoleRow]:
    return roles.listed(page.bus.database)


def _titles(page: Page) -> dict[str, str]:
    return {row.role.name: words.role_title(row.role.name, row.role.title) for row in _rows(page)}


def _is_wanted(one: Account, q: str, state: str, role: str) -> bool:
    if q and q not in one.login and q not in one.name.casefold():
        return False
    if role and role not in one.roles:
        return False
    return {
        "active": not one.blocked and not one.locked,
        "blocked": one.blocked,
        "locked": one.locked,
    }.get(state, True)


for _area in (role_pages, token_pages, session_pages):
    router.include_router(_area.router)
