"""What a person sees and changes of himself. No permission is wanted but to be signed in."""

from __future__ import annotations

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from console.people import words
from console.people.agents import device
from console.shell.page import SESSION_COOKIE, Page, allowed
from console.shell.words import plural
from core import trail
from core.access import accounts, roles, sessions
from core.errors import ConfigError
from core.schedules_book import ZONES

THEMES = {"auto": "как в системе", "light": "светлое", "dark": "тёмное"}
router = APIRouter()


@router.get("/me")
def me(request: Request, page: Page = allowed()) -> Response:
    database, rules = page.bus.database, page.bus.settings.access
    account = accounts.found(database, page.actor)
    zones = dict(ZONES)
    zones.setdefault(account.timezone, account.timezone)
    return page.show(
        "me/me.html",
        account=account,
        roles=[
            words.role_title(row.role.name, row.role.title)
            for row in roles.listed(database)
            if row.role.name in account.roles
        ],
        granted=words.grouped(page.person.permissions, page.person),
        zones=zones,
        themes=THEMES,
        sessions=sessions.listed(database, rules, login=account.login),
        mine=sessions.number_of(request.cookies.get(SESSION_COOKIE, "")),
        device=device,
        sign_ins=trail.sign_ins(database, account.login),
    )


@router.post("/me/profile")
def set_profile(timezone: str = Form(""), theme: str = Form(""), page: Page = allowed()) -> Response:
    accounts.set_profile(page.bus.database, page.actor, timezone=timezone, theme=theme)
    page.say("Сохранено")
    return page.to("/me")


@router.get("/me/password")
def password(page: Page = allowed()) -> Response:
    return _password(page)


@router.post("/me/password")
def change_password(
    request: Request,
    old: str = Form(""),
    new: str = Form(""),
    again: str = Form(""),
    page: Page = allowed(),
) -> Response:
    if new != again:
        return _password(page, problem="Новый пароль введён дважды по-разному: повторите")
    try:
        accounts.change_password(
            page.bus.database,
            page.actor,
            old,
            new,
            page.bus.settings.access,
            cookie=request.cookies.get(SESSION_COOKIE, ""),
        )
    except ConfigError as error:
        return _password(page, problem=error.reason)
    page.say("Пароль изменён. Остальные ваши сеансы завершены")
    return page.to("/" if page.person.must_change else "/me")


@router.post("/me/sessions/{number}/end")
def end_session(number: str, page: Page = allowed()) -> Response:
    sessions.end_one(page.bus.database, number, actor=page.actor, of=page.actor)
    page.say("Сеанс завершён")
    return page.to("/me")


@router.post("/me/others/end")
def end_others(request: Request, page: Page = allowed()) -> Response:
    ended = sessions.end_all(
        page.bus.database, page.actor, actor=page.actor, but=request.cookies.get(SESSION_COOKIE, "")
    )
    page.say(f"Завершено: {plural(ended, 'сеанс', 'сеанса', 'сеансов')}. Этот сеанс остался")
    return page.to("/me")


def _password(page: Page, *, problem: str = "") -> Response:
    return page.show(
        "me/password.html",
        status=409 if problem else 200,
        problem=problem,
        account=accounts.found(page.bus.database, page.actor),
        least=page.bus.settings.access.password_least,
    )
