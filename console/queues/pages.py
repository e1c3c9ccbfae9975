"""The list of queues and the page of one queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Form
from fastapi.responses import Response

from console.shell.menu import Item
from console.shell.page import Page, allowed
from console.shell.traffic import span_of, traffic
from console.shell.words import plural
from core import operations, overrides, reading, standing
from core.errors import ConfigError
from core.overrides import NAMES, Numbers
from core.pace import SPANS
from core.reading import Wanted
from core.search import finding
from core.standing import MODES, Standing

MENU = [Item("Очереди", "/queues", "fa-layer-group", "Шина", 2, "queues.read")]
SIDES = {
    "route": "Маршруты: разбор и обработка",
    "sink": "Отправка другой стороне",
    "source": "Приём: опрос другой стороны",
}
LAST_MESSAGES = 20
REASON_MOST = 500
router = APIRouter()


@router.get("/queues")
def queues(side: str = "", mode: str = "", q: str = "", page: Page = allowed("queues.read")) -> Response:
    return page.show("queues/list.html", **_list(page, side, mode, q))


@router.get("/queues/part")
def queues_part(side: str = "", mode: str = "", q: str = "", page: Page = allowed("queues.read")) -> Response:
    return page.show("queues/rows.html", **_list(page, side, mode, q))


@router.get("/queues/{name}")
def queue(name: str, span: str = "hour", page: Page = allowed("queues.read")) -> Response:
    found = standing.standing(page.bus, name)
    others = [
        one for one in standing.standings(page.bus).values() if one.row.side == found.row.side and one.name != name
    ]
    return page.show(
        "queues/queue.html",
        one=found,
        numbers=_numbers(page, found),
        charts=_charts(page, found, span),
        span=span_of(span).name,
        spans=SPANS.values(),
        messages=_messages(page, found),
        others=[one for one in others if one.mode != "orphan" and one.name in _ours(page)],
        connector=_connector(page, name),
        sides=SIDES,
    )


@router.get("/queues/{name}/part")
def queue_part(name: str, page: Page = allowed("queues.read")) -> Response:
    found = standing.standing(page.bus, name)
    return page.show("queues/figures.html", one=found, connector=_connector(page, name))


@router.post("/queues/{name}/pause")
def pause(name: str, reason: str = Form(""), page: Page = allowed("queues.operate")) -> Response:
    reason = reason.strip()[:REASON_MOST]
    if not reason:
        raise ConfigError("Напишите, почему очередь ставится на паузу: это увидят все, кто на неё смотрит")
    operations.set_state(page.bus, name, "paused", actor=page.actor, reason=reason)
    page.say(f"Очередь {name} на паузе. Сообщения в ней копятся и не теряются.")
    return page.to(f"/queues/{name}")


@router.post("/queues/{name}/resume")
def resume(name: str, back: str = Form(""), page: Page = allowed("queues.operate")) -> Response:
    operations.set_state(page.bus, name, "running", actor=page.actor)
    page.say(f"Очередь {name} пущена.")
    return page.to("/queues" if back == "list" else f"/queues/{name}")


@router.post("/queues/{name}/poll")
def poll(name: str, back: str = Form(""), page: Page = allowed("queues.operate")) -> Response:
    found = standing.standing(page.bus, name)
    if found.row.side != "source":
        raise ConfigError(f"{name} не опрашивают: это не источник")
    operations.poll(page.bus, name, actor=page.actor)
    if found.processes:
        page.say(f"Опрос {name} заказан: результат появится здесь через несколько секунд.")
    else:
        page.say(f"Опрос {name} заказан, но опрашивать сейчас некому: запустите omsbus run.", "warning")
    return page.to("/queues" if back == "list" else f"/queues/{name}")


@router.post("/queues/{name}/drain")
def drain(name: str, page: Page = allowed("queues.operate")) -> Response:
    operations.drain_now(page.bus, name, actor=page.actor)
    page.say(f"Очередь {name} разбирается: отдых закончен, обработчики разбужены.")
    return page.to(f"/queues/{name}")


@router.post("/queues/{name}/numbers")
def numbers(
    name: str,
    concurrency: str = Form(""),
    attempts: str = Form(""),
    first_s: str = Form(""),
    factor: str = Form(""),
    most_s: str = Form(""),
    page: Page = allowed("queues.operate"),
) -> Response:
    """An empty field leaves the number to the settings."""
    given = dict(zip(NAMES, (concurrency, attempts, first_s, factor, most_s), strict=True))
    overrides.override(page.bus, name, {key: value for key, value in given.items() if value.strip()}, actor=page.actor)
    page.say(
        f"Очередь {name}: числа изменены. Подействует во всех процессах через {overrides.KEPT_S:g} с, без перезапуска."
    )
    return page.to(f"/queues/{name}")


@router.post("/queues/{name}/numbers/reset")
def reset(name: str, page: Page = allowed("queues.operate")) -> Response:
    overrides.reset(page.bus, name, actor=page.actor)
    page.say(f"Очередь {name}: числа снова такие, как в настройках. Подействует через {overrides.KEPT_S:g} с.")
    return page.to(f"/queues/{name}")


@router.post("/queues/{name}/move")
def move(name: str, to: str = Form(""), page: Page = allowed("queues.operate", "messages.resend")) -> Response:
    if not to:
        raise ConfigError("Выберите, в какую очередь перевести сообщения")
    moved = operations.move(page.bus, name, to, actor=page.actor)
    page.say(f"Из {name} в {to} переведено {plural(moved, 'сообщение', 'сообщения', 'сообщений')}.")
    return page.to(f"/queues/{to}")


@router.post("/queues/{name}/drop")
def drop(name: str, reason: str = Form(""), page: Page = allowed("queues.operate", "messages.resend")) -> Response:
    reason = reason.strip()[:REASON_MOST]
    if not reason:
        raise ConfigError("Напишите, почему сообщения отклоняются: это останется в журнале")
    dropped = operations.drop_queue(page.bus, name, actor=page.actor, reason=reason)
    page.say(f"В очереди {name} отклонено {plural(dropped, 'сообщение', 'сообщения', 'сообщений')}.")
    return page.to("/queues")


def _list(page: Page, side: str, mode: str, q: str) -> Mapping[str, Any]:
    known = list(standing.standings(page.bus).values())
    wanted = q.strip().casefold()
    shown = [
        one
        for one in known
        if side in ("", one.row.side)
        and mode in ("", one.mode)
        and (wanted in one.name.casefold() or wanted in one.row.title.casefold())
    ]
    groups = {title: [one for one in shown if one.row.side == key] for key, title in SIDES.items()}
    return {
        "groups": {title: found for title, found in groups.items() if found},
        "total": len(known),
        "side": side,
        "mode": mode,
        "q": q,
        "sides": SIDES,
        "modes": {key: words for key, words in MODES.items() if any(one.mode == key for one in known) or key == mode},
        "concurrency": {one.name: page.bus.concurrency_of(one.name) for one in shown if one.row.side != "source"},
    }


def _charts(page: Page, one: Standing, span: str) -> Any:
    if one.row.side == "source":
        return []
    done = "Отправлено" if one.row.side == "sink" else "Обработано"
    return traffic(page.bus.database, span_of(span), page.person.zone, one.name, done=done)


def _messages(page: Page, one: Standing) -> list[reading.MessageRow]:
    if one.row.side == "source" or not page.may("messages.read"):
        return []
    return finding.messages(page.bus.database, Wanted(queue=one.name), LAST_MESSAGES)


def _numbers(page: Page, one: Standing) -> Numbers | None:
    return overrides.numbers(page.bus, one.name) if one.name in _ours(page) else None


def _ours(page: Page) -> set[str]:
    """Queues that this process knows how to drain."""
    return {*page.bus.routes.by_name, *page.bus.engine.sinks}


def _connector(page: Page, queue: str) -> str:
    """The connector that a source or a sink belongs to; "" for a route."""
    for name, line in page.bus.lines.items():
        if queue in line.connector.sources or queue in line.connector.sinks:
            return name
    return ""
