"""Screens of ПУМП in the console: rendered services."""

from __future__ import annotations

from core.screen import Field, Screen, Shelf
from routes.pump.models import RenderedService

SHELF = Shelf("ПУМП", "Персонифицированный учёт медицинской помощи", icon="fa-notes-medical", place=20)

SERVICES = Screen(
    "services",
    model=RenderedService,
    title="Оказанные услуги",
    one="Оказанная услуга",
    lead="Что оплачено фондом и о чём может спросить гражданин.",
    fields=(
        Field("id", "Номер записи"),
        Field("person_id", "Человек"),
        Field("started", "Начата"),
        Field("ended", "Закончена"),
        Field("care_regimen", "Условие оказания"),
        Field("care_type", "Вид помощи", in_list=False),
        Field("name", "Услуга"),
        Field("cost", "Стоимость, ₽"),
        Field("clinic_name", "Медицинская организация"),
        Field("region_name", "Регион", in_list=False),
    ),
    search=("person_id",),
    find_hint="Номер человека",
    links={"person_id": "erz.persons"},
    filters=("person_id", "care_regimen", "care_type", "cost", "started"),
)
