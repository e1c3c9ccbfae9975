"""What ФНС broadcasts: news of ЕГРЮЛ. The real structure is not published; this is the one of schemas/fns."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

from lxml import etree

from simulators.payloads.markup import Writer, octets
from simulators.payloads.people import TODAY, digits, uuid

NAMESPACE: Final = "urn://x-artefacts-fns-nsvuidat/root/311-31/4.0.0"

_KINDS: Final = (
    ("12300", "Общество с ограниченной ответственностью", "ООО"),
    ("75203", "Государственное бюджетное учреждение здравоохранения", "ГБУЗ"),
    ("12200", "Акционерное общество", "АО"),
)
_NAMES: Final = ("Ромашка-Плюс", "Городская поликлиника", "Светлогорская аптека", "Медтехсервис", "Нагорный санаторий")


def news(seed: int, organizations: int = 3, *, ogrns: Sequence[str] = (), extracted: date = TODAY) -> bytes:
    """NSVUIDATRequest about so many organizations; `ogrns` names the first of them (to send newer news of the same)."""
    rng = random.Random(f"fns-{seed}")
    w = Writer(NAMESPACE)
    root = w.root("NSVUIDATRequest", {"ИдДок": uuid(rng)})
    for place in range(organizations):
        code, kind, short = rng.choice(_KINDS)
        name = f"«{rng.choice(_NAMES)} № {rng.randint(1, 400)}»"
        registered = extracted - timedelta(days=rng.randint(400, 8000))
        number = ogrns[place] if place < len(ogrns) else ogrn(rng)
        attributes = {
            "ДатаВып": extracted.isoformat(),
            "ОГРН": number,
            "ДатаОГРН": registered.isoformat(),
            "ИНН": digits(rng, 10),
            "КПП": digits(rng, 9),
            "КодОПФ": code,
            "ПолнНаимОПФ": kind,
        }
        record = {"ГРН": number, "ДатаЗаписи": registered.isoformat()}
        organization = w.add(root, "СвЮЛ", attributes=attributes)
        names = {"НаимЮЛПолн": f"{kind} {name}".upper(), "НаимЮЛСокр": f"{short} {name}"}
        w.add(w.add(organization, "СвНаимЮЛ", attributes=names), "ГРНДата", attributes=record)
        address = w.add(w.add(organization, "СвАдресЮЛ"), "АдресРФ", attributes=_address(rng))
        w.add(address, "Регион", attributes={"ТипРегион": "область", "НаимРегион": "Светлогорская"})
        w.add(address, "Город", attributes={"ТипГород": "город", "НаимГород": "Светлогорье"})
        w.add(address, "Улица", attributes={"ТипУлица": "улица", "НаимУлица": "Садовая"})
        w.add(address, "ГРНДата", attributes=record)
        if rng.random() < 0.2:
            _end(w, organization, extracted)
    return octets(root)


def ogrn(rng: random.Random) -> str:
    """Thirteen digits, the last of them the check digit (number without it modulo 11, modulo 10)."""
    number = "1" + digits(rng, 11)
    return number + str(int(number) % 11 % 10)


def _address(rng: random.Random) -> dict[str, str]:
    return {"Индекс": digits(rng, 6), "КодРегион": "77", "Дом": f"ДОМ {rng.randint(1, 90)}"}


def _end(w: Writer, organization: etree._Element, day: date) -> None:
    status = w.add(organization, "СвСтатус")
    w.add(status, "СвСтатус", attributes={"КодСтатусЮЛ": "201", "НаимСтатусЮЛ": "Юридическое лицо ликвидировано"})
    end = w.add(organization, "СвПрекрЮЛ", attributes={"ДатаПрекрЮЛ": day.isoformat()})
    w.add(end, "СпПрекрЮЛ", attributes={"КодСпПрекрЮЛ": "101", "НаимСпПрекрЮЛ": "Ликвидация юридического лица"})
