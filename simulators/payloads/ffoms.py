"""What a citizen asks on ЕПГУ (GetInsuredRenderedMedicalServices 1.0.0, FACTS §12.8), and services to find."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from simulators.payloads.markup import Writer, octets
from simulators.payloads.people import TODAY, Invented

NAMESPACE: Final = "http://ffoms.ru/GetInsuredRenderedMedicalServices/1.0.0"
COMMONS: Final = "urn://x-artefacts-smev-gov-ru/supplementary/commons/1.2"

_SERVICES: Final = (
    ("Амбулаторно", "Первичная медико-санитарная помощь", "Приём врача-терапевта участкового первичный", 412),
    ("Амбулаторно", "Первичная медико-санитарная помощь", "Общий (клинический) анализ крови", 268),
    ("Амбулаторно", "Первичная медико-санитарная помощь", "Регистрация электрокардиограммы", 350),
    ("Стационарно", "Специализированная медицинская помощь", "Лечение в терапевтическом отделении", 38_400),
    ("Вне медицинской организации", "Скорая медицинская помощь", "Вызов скорой медицинской помощи", 3_120),
)


@dataclass(frozen=True, slots=True)
class InventedService:
    """A service that was never rendered; cost in roubles. The fields of pump.rendered_service."""

    started: date
    ended: date | None
    care_regimen: str
    care_type: str
    name: str
    cost: Decimal
    clinic_name: str
    region_name: str


def query(
    asker: Invented,
    *,
    since: date = date(TODAY.year - 1, 1, 1),
    until: date = date(TODAY.year - 1, 12, 31),
    region: str = "45000",
) -> bytes:
    """InputData of this citizen."""
    w, c = Writer(NAMESPACE), Writer(COMMONS)
    root = w.root("InputData", c=COMMONS)
    request = w.add(root, "InsuredRenderingListRequest")
    w.add(request, "RegionCode", region)
    c.add(request, "FamilyName", asker.surname)
    c.add(request, "FirstName", asker.given)
    if asker.patronymic:
        c.add(request, "Patronymic", asker.patronymic)
    w.add(request, "BirthDate", asker.birth.isoformat())
    w.add(request, "UnitedPolicyNumber", asker.enp)
    w.add(request, "DateFrom", since.isoformat())
    w.add(request, "DateTo", until.isoformat())
    return octets(root)


def services(seed: int, count: int = 3, *, year: int = TODAY.year - 1) -> list[InventedService]:
    """So many services in that year."""
    rng = random.Random(f"services-{seed}")
    made = []
    for _ in range(count):
        regimen, kind, name, roubles = rng.choice(_SERVICES)
        started = date(year, 1, 1) + timedelta(days=rng.randrange(340))
        ended = started + timedelta(days=rng.randint(5, 14)) if regimen == "Стационарно" else None
        cost = Decimal(roubles) + Decimal(rng.randrange(10_000)) / 100
        clinic = f"ГБУЗ «Светлогорская городская поликлиника № {rng.randint(1, 9)}»"
        made.append(InventedService(started, ended, regimen, kind, name, cost, clinic, "Светлогорская область"))
    return made
