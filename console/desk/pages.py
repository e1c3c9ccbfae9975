"""The desk: one look at the whole bus, its charts, and what comes next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response

from console.shell.menu import Item, menu_of
from console.shell.page import Page, Refused, allowed, with_query
from console.shell.traffic import span_of, traffic
from core import desk
from core.desk import Trouble
from core.pace import SPANS

MENU = [Item("Рабочий стол", "/", "fa-gauge-high", "Шина", 1, "desk.read")]
ROLES: Final[Mapping[str, str]] = {
    "run": "вся шина",
    "web": "веб и приём по HTTP",
    "worker": "обработчики",
    "scheduler": "расписания и опрос",
    "part": "часть шины",
    "": "запускается",
}
router = APIRouter()


@router.get("/")
def show(request: Request, span: str = "hour", page: Page = allowed()) -> Response:
    """The desk; whoever may not see it is taken to the first page of the own menu."""
    if not page.may("desk.read"):
        groups = menu_of(page.person, request.app.state.menu)
        if not groups:
            raise Refused("desk.read")
        return page.to(groups[0].items[0].path)
    charts = traffic(page.bus.database, span_of(span), page.person.zone, done="Обработано и отправлено")
    return page.show("desk/desk.html", charts=charts, span=span_of(span).name, spans=SPANS.values(), **_look(page))


@router.get("/desk/part")
def part(page: Page = allowed("desk.read")) -> Response:
    return page.show("desk/part.html", **_look(page))


@router.get("/desk/charts")
def charts(span: str = "hour", page: Page = allowed("desk.read")) -> Response:
    drawn = traffic(page.bus.database, span_of(span), page.person.zone, done="Обработано и отправлено")
    return page.show("desk/charts.html", charts=drawn)


def _look(page: Page) -> dict[str, Any]:
    return {"desk": desk.look(page.bus), "remedy": remedy, "roles": ROLES}


def remedy(trouble: Trouble) -> tuple[str, str, str]:
    """(what to do, a link, its text) for whoever reads of the trouble in a browser; no link where none helps."""
    rule, subject = trouble.rule, trouble.subject
    queue = f"/queues/{quote(subject, safe='')}"
    known = {
        "queue.stopped": ("Исправьте причину и пустите очередь", queue, "Открыть очередь"),
        "queue.paused": ("Если пауза больше не нужна, пустите очередь", queue, "Открыть очередь"),
        "queue.old": ("Посмотрите, что её держит и работают ли обработчики", queue, "Открыть очередь"),
        "quarantine": (
            "Разберите их: исправив причину, отправьте повторно или отклоните",
            with_query("/quarantine", queue=subject),
            "Открыть карантин",
        ),
        "source.failing": ("Шина повторяет сама; проверьте связь и настройки коннектора", queue, "Открыть источник"),
        "sink.unavailable": ("Шина повторяет сама; проверьте связь и настройки коннектора", queue, "Открыть отправку"),
        "schedule.late": ("Проверьте, что работает планировщик", "/schedules", "Открыть расписания"),
        "certificate": (
            "Получите новый сертификат, зарегистрируйте его у другой стороны и укажите в настройках коннектора",
            f"/connectors/{quote(subject.split(' ')[0], safe='')}",
            "Открыть коннектор",
        ),
        "process.worker": ("Запустите omsbus run или omsbus worker", "/#processes", "Процессы"),
        "process.scheduler": ("Запустите omsbus run или omsbus scheduler", "/#processes", "Процессы"),
        "clock": ("Включите синхронизацию времени (NTP) на этой машине и на машине базы", "/#processes", "Процессы"),
        "disk.refused": ("Освободите место или сократите сроки хранения; приём пойдёт сам", "", ""),
        "disk.forecast": ("Добавьте место или сократите сроки хранения", "", ""),
    }
    return known.get(rule, ("", "", ""))
