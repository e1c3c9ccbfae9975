"""Tokens of the REST API: the list, a new one (its secret is shown once), the end of one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter, Form
from fastapi.responses import Response

from console.people import words
from console.shell.page import Page, allowed
from core.access import tokens
from core.errors import ConfigError
from core.moments import moment

NEEDS = "people.write"
DAYS = 365
"""The term that the form offers."""
router = APIRouter()


@router.get("/tokens")
def listed(page: Page = allowed(NEEDS)) -> Response:
    return page.show(
        "people/tokens.html", tokens=tokens.listed(page.bus.database), title_of=words.title_of, day_of=_last_day
    )


@router.get("/tokens/new")
def new(page: Page = allowed(NEEDS)) -> Response:
    until = datetime.now(page.person.zone) + timedelta(days=DAYS)
    return _form(page, {"name": "", "scopes": set(), "until": f"{until:%Y-%m-%d}", "endless": False})


@router.post("/tokens/new")
def issue(
    name: str = Form(""),
    scopes: list[str] = Form([]),
    until: str = Form(""),
    endless: bool = Form(False),
    page: Page = allowed(NEEDS),
) -> Response:
    name = name.strip()
    try:
        expires_at = None if endless else _end_of(page, until)
        _, secret = tokens.issue(page.bus.database, name, scopes, expires_at, page.actor, giver=page.person)
    except ConfigError as error:
        filled = {"name": name, "scopes": set(scopes), "until": until, "endless": endless}
        return _form(page, filled, problem=error.reason)
    return page.show("people/token_given.html", name=name, secret=secret)


@router.post("/tokens/{name}/revoke")
def revoke(name: str, page: Page = allowed(NEEDS)) -> Response:
    tokens.revoke(page.bus.database, name, actor=page.actor)
    page.say(f"Токен {name} отозван: запросы с ним больше не принимаются")
    return page.to("/tokens")


def _end_of(page: Page, until: str) -> datetime:
    """The end of this day by the person's clock."""
    if not until:
        raise ConfigError("Укажите, до какого дня действует токен, или отметьте «без срока»")
    try:
        return moment(until, page.person.zone).replace(hour=0, minute=0, second=0) + timedelta(days=1)
    except OverflowError:
        raise ConfigError("Такой срок слишком далёк: выберите ближе или отметьте «без срока»") from None


def _last_day(expires_at: datetime, page: Page) -> str:
    return f"{expires_at.astimezone(page.person.zone) - timedelta(seconds=1):%d.%m.%Y}"


def _form(page: Page, filled: dict[str, Any], *, problem: str = "") -> Response:
    return page.show(
        "people/token_new.html",
        status=409 if problem else 200,
        filled=filled,
        problem=problem,
        groups=words.choices(page.person),
    )
