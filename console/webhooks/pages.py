"""Вебхуки: subscriptions, their last deliveries, pause, retry, test. The secret is shown on one page, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Depends, Form
from fastapi.responses import Response

from console.shell.menu import Item
from console.shell.page import Page, allowed
from core.errors import BusError
from core.webhooks import courier, subscriptions
from core.webhooks.feed import TYPES
from core.webhooks.subscriptions import Subscription, Wanted

MENU = [Item("Вебхуки", "/webhooks", "fa-satellite-dish", "Управление", 6, "webhooks.write")]
NEEDS: Final = "webhooks.write"
ATTEMPTS_SHOWN: Final = 30
STATES: Final = {"active": "работает", "paused": "на паузе", "failed": "выключена шиной"}
BADGES: Final = {"active": "green", "paused": "yellow", "failed": "red"}
router = APIRouter()


@dataclass(frozen=True, slots=True)
class Filled:
    """What stands in the form."""

    title: str = ""
    url: str = ""
    events: tuple[str, ...] = ("message.quarantined", "queue.stopped")
    queues: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    def wanted(self) -> Wanted:
        return Wanted(self.title.strip(), self.url.strip(), self.events, self.queues, self.kinds)


def _filled(
    title: str = Form(""),
    url: str = Form(""),
    events: list[str] = Form([]),
    queues: list[str] = Form([]),
    kinds: list[str] = Form([]),
) -> Filled:
    return Filled(title, url, tuple(events), tuple(queues), tuple(kinds))


@router.get("/webhooks")
def every(page: Page = allowed(NEEDS)) -> Response:
    return page.show("webhooks/list.html", **_list(page))


@router.get("/webhooks/part")
def every_again(page: Page = allowed(NEEDS)) -> Response:
    return page.show("webhooks/rows.html", **_list(page))


@router.get("/webhooks/new")
def new(page: Page = allowed(NEEDS)) -> Response:
    return _form(page, Filled(), None)


@router.post("/webhooks/new")
def make(page: Page = allowed(NEEDS), filled: Filled = Depends(_filled)) -> Response:
    try:
        made, secret = subscriptions.create(page.bus, filled.wanted(), actor=page.actor)
    except BusError as error:
        return _form(page, filled, None, problem=error.reason)
    return page.show("webhooks/secret.html", secret=secret, home=f"/webhooks/{made}", title=filled.title)


@router.get("/webhooks/{webhook_id}")
def one(webhook_id: int, page: Page = allowed(NEEDS)) -> Response:
    return page.show("webhooks/one.html", **_one(page, webhook_id))


@router.get("/webhooks/{webhook_id}/part")
def one_again(webhook_id: int, page: Page = allowed(NEEDS)) -> Response:
    return page.show("webhooks/stand.html", **_one(page, webhook_id))


@router.get("/webhooks/{webhook_id}/edit")
def edit(webhook_id: int, page: Page = allowed(NEEDS)) -> Response:
    found = _get(page, webhook_id)
    return _form(page, Filled(found.title, found.url, found.events, found.queues, found.kinds), found)


@router.post("/webhooks/{webhook_id}/edit")
def change(webhook_id: int, page: Page = allowed(NEEDS), filled: Filled = Depends(_filled)) -> Response:
    found = _get(page, webhook_id)
    try:
        subscriptions.change(page.bus, found.id, filled.wanted(), actor=page.actor)
    except BusError as error:
        return _form(page, filled, found, problem=error.reason)
    page.say("Подписка изменена")
    return page.to(f"/webhooks/{found.id}")


@router.post("/webhooks/{webhook_id}/pause")
def pause(webhook_id: int, page: Page = allowed(NEEDS)) -> Response:
    subscriptions.pause(page.bus, webhook_id, actor=page.actor)
    page.say("Подписка на паузе: события накопятся и будут доставлены после неё")
    return page.to(f"/webhooks/{webhook_id}")


@router.post("/webhooks/{webhook_id}/resume")
def resume(webhook_id: int, skip: str = Form(""), page: Page = allowed(NEEDS)) -> Response:
    subscriptions.resume(page.bus, webhook_id, skip=bool(skip), actor=page.actor)
    page.say("Накопившееся пропущено, доставка продолжается" if skip else "Доставка продолжается")
    return page.to(f"/webhooks/{webhook_id}")


@router.post("/webhooks/{webhook_id}/test")
def try_out(webhook_id: int, page: Page = allowed(NEEDS)) -> Response:
    attempt = courier.send_test(page.bus, webhook_id, actor=page.actor)
    good = attempt.status is not None and attempt.status < 300
    page.say(f"Проверочное событие: {attempt.note}", "success" if good else "danger")
    return page.to(f"/webhooks/{webhook_id}")


@router.post("/webhooks/{webhook_id}/secret")
def renew(webhook_id: int, page: Page = allowed(NEEDS)) -> Response:
    found = _get(page, webhook_id)
    secret = subscriptions.renew_secret(page.bus, found.id, actor=page.actor)
    return page.show("webhooks/secret.html", secret=secret, home=f"/webhooks/{found.id}", title=found.title)


@router.post("/webhooks/{webhook_id}/remove")
def remove(webhook_id: int, page: Page = allowed(NEEDS)) -> Response:
    subscriptions.remove(page.bus, webhook_id, actor=page.actor)
    page.say("Подписка удалена")
    return page.to("/webhooks")


def _list(page: Page) -> dict[str, Any]:
    return {"rows": subscriptions.listed(page.bus.database), "states": STATES, "badges": BADGES, "types": TYPES}


def _one(page: Page, webhook_id: int) -> dict[str, Any]:
    found = _get(page, webhook_id)
    attempts = subscriptions.attempts(page.bus.database, found.id, ATTEMPTS_SHOWN)
    home = f"/webhooks/{found.id}"
    return {"one": found, "attempts": attempts, "home": home, "states": STATES, "badges": BADGES, "types": TYPES}


def _get(page: Page, webhook_id: int) -> Subscription:
    return subscriptions.get(page.bus.database, webhook_id if 0 < webhook_id < 2**63 else 0)


def _form(page: Page, filled: Filled, found: Subscription | None, *, problem: str = "") -> Response:
    bus = page.bus
    kinds = {route.name: route.title for route in bus.routes.by_name.values()}
    queues = kinds | {name: f"Отправка: {name}" for name in bus.engine.sinks}
    queues |= {name: f"Приём: {name}" for name in bus.sources}
    return page.show(
        "webhooks/form.html",
        status=409 if problem else 200,
        filled=filled,
        one=found,
        problem=problem,
        types=TYPES,
        queues=_with(queues, filled.queues),
        kinds=_with(kinds, filled.kinds),
        allow=[str(network) for network in bus.settings.webhooks.allow],
    )


def _with(known: dict[str, str], chosen: tuple[str, ...]) -> dict[str, str]:
    """By name, with what was chosen once and is no more."""
    return dict(sorted((known | {name: "" for name in chosen if name not in known}).items()))
