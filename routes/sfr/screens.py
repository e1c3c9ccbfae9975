"""Screens of the СФР exchange in the console: questions about СНИЛС."""

from __future__ import annotations

from core.screen import MESSAGE, Field, Screen, Shelf
from routes.sfr.models import SnilsRequest

SHELF = Shelf("СФР", "Запросы СНИЛС", icon="fa-id-card", place=30)

SNILS = Screen(
    "snils",
    model=SnilsRequest,
    title="Запросы СНИЛС",
    one="Запрос СНИЛС",
    lead="Что спрошено у СФР и что стало с ответом. Сомнительные решает оператор.",
    fields=(
        Field("id", "Номер"),
        Field("person_id", "Человек"),
        Field(
            "state",
            "Состояние",
            choices={
                "asked": "ждём ответа",
                "answered": "получен",
                "rejected": "отказ СФР",
                "failed": "не принят СМЭВ",
                "timeout": "срок вышел",
                "doubtful": "сомнительный",
            },
        ),
        Field("snils", "СНИЛС"),
        Field("note", "Пояснение"),
        Field("message_id", "Сообщение"),
        Field("asked_at", "Спрошено"),
        Field("changed_at", "Изменено"),
    ),
    search=("id",),
    find_hint="Номер запроса",
    links={"message_id": MESSAGE, "person_id": "erz.persons"},
    filters=("state", "person_id", "asked_at", "changed_at", "message_id"),
)
