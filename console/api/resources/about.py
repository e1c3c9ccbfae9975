"""The document of the API, and how the bus as a whole stands."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import Request
from pydantic import ConfigDict, Field

from console.api.resource import ANY, Asked, Resource
from console.api.values import Shown

about = Resource("Шина", "Описание API, состояние и показатели шины")


@about.look("/openapi.json", ANY, "Описание этого API", response_model=dict[str, Any])
def get_document(request: Request) -> Any:
    """OpenAPI 3.1. Годится любой действующий токен."""
    return request.app.state.document


class Me(Shown):
    """Who calls."""

    model_config = ConfigDict(title="Токен")

    login: str = Field(title="Имя в журнале и аудите", examples=["token:erz"])
    permissions: list[str] = Field(title="Права токена")


@about.look("/me", ANY, "Чей это токен", response_model=Me)
def get_me(call: Asked) -> Any:
    """Под каким именем токен виден в журнале и что ему можно."""
    return {"login": call.person.login, "permissions": sorted(call.person.permissions)}


class Health(Shown):
    """How the bus stands."""

    model_config = ConfigDict(title="Состояние шины")

    at: datetime = Field(title="Когда", description="По часам базы данных")
    ready: bool = Field(title="Этот узел работает")
    refusal: str = Field(title="Почему приём остановлен", description='"" — принимает')
    processes: dict[str, int] = Field(title="Живые процессы шины по ролям")
    alerts: dict[str, int] = Field(title="Открытые оповещения", description="Правило → сколько")
    accepted: int = Field(title="Принято всего")
    handled: int = Field(title="Обработано всего")
    sent: int = Field(title="Отправлено всего")
    quarantined: int = Field(title="Попало в карантин всего")
    awaiting: dict[str, int] = Field(title="Ждём ответов", description="Отправка → сколько")
    certificates: dict[str, int] = Field(title="Дней до конца сертификата", description="«коннектор сертификат» → дней")
    database_bytes: int = Field(title="Размер базы, байт")
    disk_left_bytes: int | None = Field(title="Осталось места, байт")
    disk_days_left: float | None = Field(
        title="На сколько дней хватит места", description="null: неизвестно или надолго"
    )


@about.look("/health", "desk.read", "Состояние и показатели", response_model=Health)
def get_health(call: Asked) -> Any:
    """Показатели не старше нескольких секунд; для Prometheus есть /metrics."""
    gauges = call.bus.watched.look()
    alerts: dict[str, int] = {}
    for (rule, _), count in gauges.firing.items():
        alerts[rule] = alerts.get(rule, 0) + count
    totals = gauges.totals.values()
    days = gauges.disk.days_left if gauges.disk else None
    return {
        "at": gauges.at,
        "ready": call.bus.ready,
        "refusal": gauges.refusal,
        "processes": gauges.processes,
        "alerts": alerts,
        **{name: sum(getattr(one, name) for one in totals) for name in ("accepted", "handled", "sent", "quarantined")},
        "awaiting": gauges.awaiting,
        "certificates": {f"{connector} {name}": left for (connector, name), left in gauges.certificates.items()},
        "database_bytes": gauges.database_bytes,
        "disk_left_bytes": gauges.disk.left_bytes if gauges.disk else None,
        "disk_days_left": days if days is not None and days < float("inf") else None,
    }
