"""What ЕГР ЗАГС sends: notifications (directive 1.3) with birth and death records 4.0.1 (FACTS §9.2, §12.2–12.4)."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Final, Literal

from lxml import etree

from simulators.payloads.markup import Writer, octets
from simulators.payloads.people import TODAY, Invented, digits, people, person, uuid

DIRECTIVE: Final = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/directive/1.3"
DEATH: Final = "urn://x-artefacts-zags-fatalzp/root/112-25/4.0.1"
DEATH_TYPES: Final = "urn://x-artefacts-zags-fatalzp/types/4.0.1"
BIRTH: Final = "urn://x-artefacts-zags-rogdzp/root/112-23/4.0.1"
BIRTH_TYPES: Final = "urn://x-artefacts-zags-rogdzp/types/4.0.1"

LARGE_CORRECTIONS: Final = 14
"""So many corrections make a record of 12–20 KB."""

_OFFICES: Final = (
    ("77000012", "Отдел ЗАГС Заречного района города Светлогорья"),
    ("77000034", "Отдел ЗАГС Нагорного района города Светлогорья"),
    ("50000107", "Отдел ЗАГС города Приозёрска-на-Каме"),
)
_STREETS: Final = ("Лесная", "Садовая", "Луговая", "Набережная", "Мельничная", "Яблоневая")

Version = Literal["plain", "annulled", "restored"]


def death_notice(
    seed: int, records: int = 1, *, dead: Sequence[Invented] = (), large: bool = False, today: date = TODAY
) -> bytes:
    """A notification `Request` with so many records; `dead` are the first of them, the others are invented."""
    rng = random.Random(f"death-{seed}")
    named = [*dead, *people(seed, max(0, records - len(dead)), youngest=40, oldest=95)][:records]
    return _notice(DEATH, (death_request(rng, one, large=large, today=today) for one in named))


def birth_notice(seed: int, records: int = 1, *, born: Sequence[Invented] = (), today: date = TODAY) -> bytes:
    """A notification `Request` with so many records; `born` are the first of them, the others are invented."""
    rng = random.Random(f"birth-{seed}")
    named = [*born, *people(seed + 1_000_000, max(0, records - len(born)), youngest=0, oldest=0)][:records]
    return _notice(BIRTH, (birth_request(rng, one, today=today) for one in named))


def death_request(
    rng: random.Random,
    dead: Invented,
    *,
    version: int = 1,
    status: Version = "plain",
    number: str = "",
    died: date | None = None,
    large: bool = False,
    today: date = TODAY,
) -> etree._Element:
    """One FATALZPRequest. The same `number` with a higher `version` is a correction of the same act."""
    w, t = Writer(DEATH), Writer(DEATH_TYPES)
    registered = today - timedelta(days=rng.randint(1, 5))
    died = died or registered - timedelta(days=rng.randint(0, 3))
    root = w.root("FATALZPRequest", {"ИдСвед": uuid(rng), "ДатаСвед": today.isoformat()}, t=DEATH_TYPES)
    act = _act(w, root, rng, "СведРегСмерт", "СведСвидет", "смерти", version, number, registered, today)
    facts = w.add(w.add(act, "ПрдСведРег"), "СведУмер", attributes={"Пол": str(dead.sex)})
    w.add(facts, "Гражданство", attributes={"ОКСМ": "643", "НаимСтраны": "Российская Федерация"})
    _name(t, w.add(facts, "ФИОУмер"), dead)
    w.add(facts, "ДатаРождКаленд", dead.birth.isoformat())
    w.add(facts, "МестоРожден", attributes=_place(rng))
    _address(t, t.add(w.add(facts, "МЖПосл"), "МЖПослРФ", attributes=_address_text(rng)), rng)
    w.add(facts, "УдЛичнФЛ", attributes=_passport(rng, dead))
    w.add(facts, "ДатаСмертКаленд", died.isoformat())
    w.add(facts, "ВремяСмерт", f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}:00")
    w.add(facts, "МестоСмерт", attributes=_place(rng))
    _history(w, t, act, rng, status, "смерти", LARGE_CORRECTIONS if large else version - 1, today)
    return root


def birth_request(
    rng: random.Random,
    child: Invented,
    *,
    version: int = 1,
    status: Version = "plain",
    number: str = "",
    alive: bool = True,
    today: date = TODAY,
) -> etree._Element:
    """One ROGDZPRequest. The same `number` with a higher `version` is a correction of the same act."""
    w, t = Writer(BIRTH), Writer(BIRTH_TYPES)
    registered = max(child.birth, today - timedelta(days=rng.randint(1, 5)))
    root = w.root("ROGDZPRequest", {"ИдСвед": uuid(rng), "ДатаСвед": today.isoformat()}, t=BIRTH_TYPES)
    act = _act(w, root, rng, "СведРегРожд", "СвидетРожд", "рождении", version, number, registered, today)
    facts = w.add(act, "ПрдСведРег")
    w.add(facts, "КолРодДетей", "1")
    born = w.add(facts, "СведРодившемся", attributes={"ЖивМертв": "1" if alive else "0", "Пол": str(child.sex)})
    _name(t, w.add(born, "ФИОРожд"), child)
    w.add(born, "ДатаРождКаленд", child.birth.isoformat())
    w.add(born, "МестоРожден", attributes=_place(rng))
    mother = person(rng, youngest=20, oldest=40, today=today)
    _parent(t, w.add(facts, "СведМать"), mother, rng)
    if rng.random() < 0.8:
        _parent(t, w.add(facts, "СведОтец"), person(rng, youngest=20, oldest=50, today=today), rng)
    else:
        w.add(facts, "ПрОтец", "1")
    document = w.add(facts, "СведДокРод", attributes={"НаимДок": "Медицинское свидетельство о рождении"})
    t.add(document, "НаимОрг", "Родильный дом № 2 города Светлогорья")
    w.add(facts, "ПрСведДокОснОтец", "1")
    _history(w, t, act, rng, status, "рождении", version - 1, today)
    return root


def break_record(notice: bytes, place: int = 0) -> bytes:
    """The same notification whose record number `place` violates its schema (an unknown КодСтатус)."""
    root = etree.fromstring(notice)
    status = root.findall(".//{*}СтатусЗаписи")[place]
    status.set("КодСтатус", "99")
    return octets(root)


def _notice(namespace: str, requests: Iterable[etree._Element]) -> bytes:
    root = Writer(namespace).root("Request")
    d = Writer(DIRECTIVE)
    registry = etree.SubElement(root, f"{{{DIRECTIVE}}}Registry", nsmap={"d": DIRECTIVE})
    for place, request in enumerate(requests, start=1):
        record = d.add(registry, "RegistryRecord")
        d.add(record, "RecordId", str(place))
        d.add(d.add(record, "Record"), "RecordContent").append(request)
    return octets(root)


def _act(
    w: Writer,
    root: etree._Element,
    rng: random.Random,
    name: str,
    certificate: str,
    what: str,
    version: int,
    number: str,
    registered: date,
    today: date,
) -> etree._Element:
    code, office = _OFFICES[rng.randrange(len(_OFFICES))] if not number else _OFFICES[0]
    attributes = {
        "НомерЗапис": number or "1" + digits(rng, 20),
        "ДатаЗапис": registered.isoformat() if not number else (today - timedelta(days=3)).isoformat(),
        "НомерВерс": str(version),
        "ДатаВерс": (today + timedelta(days=version - 1)).isoformat(),
    }
    act = w.add(root, name, attributes=attributes)
    w.add(act, "ОрганЗАГС", attributes={"НаимЗАГС": office, "КодЗАГС": code})
    status = {
        "ДатаНачСтатус": registered.isoformat(),
        "КодСтатус": "01" if version == 1 else "02",
        "НаимСтатус": f"Запись акта о {what}" + ("" if version == 1 else ", внесены изменения"),
    }
    w.add(act, "СтатусЗаписи", attributes=status)
    series = f"{rng.choice(('I', 'II', 'III', 'IV'))}-{rng.choice(('МЮ', 'ЗР', 'НГ'))}"
    given = {"СерияСвидет": series, "НомерСвидет": digits(rng, 6), "ДатаВыдСвидет": registered.isoformat()}
    w.add(act, certificate, attributes=given)
    return act


def _history(
    w: Writer,
    t: Writer,
    act: etree._Element,
    rng: random.Random,
    status: Version,
    what: str,
    corrections: int,
    today: date,
) -> None:
    for place in range(corrections):
        change = w.add(act, "СведИспрАГС", attributes=_change(what, "исправление", today - timedelta(days=place)))
        ground = t.add(t.add(change, "СведДокИспрАГС"), "ДокОсн", attributes=_ground(rng, today))
        t.add(ground, "НаимОрг", "Заречный районный суд города Светлогорья")
    if status == "restored":
        change = w.add(act, "СведВосстанАГС", attributes=_change(what, "восстановление", today))
        t.add(change, "ПрСведДокИспрАГС", "1")
    if status != "plain":
        annulled = today if status == "annulled" else today - timedelta(days=2)
        change = w.add(act, "СведАннулирАГС", attributes=_change(what, "аннулирование", annulled))
        t.add(change, "ПрСведДокИспрАГС", "1")


def _change(what: str, kind: str, day: date) -> dict[str, str]:
    return {
        "КодВидСвед": "0107",
        "НаимВидСвед": f"Сведения о записи акта о {what}: {kind}",
        "ДатаВнесИспр": day.isoformat(),
        "СодержИспр": f"На основании документа внесено {kind} в запись акта о {what}; прежние сведения сохранены.",
    }


def _ground(rng: random.Random, today: date) -> dict[str, str]:
    return {
        "КодДок": "00015",
        "НаимДок": "Решение суда об исправлении записи акта гражданского состояния, вступившее в законную силу",
        "СерНомДок": f"{digits(rng, 1)}-{digits(rng, 4)}/{today.year}",
        "ДатаДок": (today - timedelta(days=30)).isoformat(),
    }


def _name(t: Writer, parent: etree._Element, named: Invented) -> None:
    for name, value in (("Фамилия", named.surname), ("Имя", named.given), ("Отчество", named.patronymic)):
        t.add(parent, name if value else f"Пр{name}", value.upper() or "1")


def _parent(t: Writer, parent: etree._Element, named: Invented, rng: random.Random) -> None:
    t.add(parent, "Гражданство", attributes={"ОКСМ": "643", "НаимСтраны": "Российская Федерация"})
    _name(t, t.add(parent, "ФИО"), named)
    t.add(parent, "ДатаРождКаленд", named.birth.isoformat())
    t.add(parent, "МестоРожден", attributes=_place(rng))
    t.add(parent, "УдЛичнФЛ", attributes=_passport(rng, named))
    _address(t, t.add(t.add(parent, "АдрМЖ"), "АдрМЖРФ", attributes=_address_text(rng)), rng)


def _passport(rng: random.Random, named: Invented) -> dict[str, str]:
    return {
        "КодВидДок": "21",
        "НаимДок": "Паспорт гражданина Российской Федерации",
        "СерНомДок": named.passport,
        "ДатаДок": date(2003 + rng.randrange(20), rng.randint(1, 12), rng.randint(1, 28)).isoformat(),
        "ВыдДок": "Отделом внутренних дел Заречного района города Светлогорья",
    }


def _place(rng: random.Random) -> dict[str, str]:
    city = rng.choice(("Светлогорье", "Приозёрск-на-Каме", "Заречный"))
    return {
        "ПризнМесто": "1",
        "МестоТекст": f"Российская Федерация, Светлогорская область, город {city}",
        "КодСтраны": "643",
        "НаимСтраны": "Российская Федерация",
        "Регион": "77",
        "НаимСубъект": "Светлогорская область",
        "Город": city,
    }


def _address_text(rng: random.Random) -> dict[str, str]:
    street, house = rng.choice(_STREETS), rng.randint(1, 120)
    return {"АдрРФТекст": f"Светлогорская область, город Светлогорье, улица {street}, дом {house}", "ПрТипАдрРФ": "1"}


def _address(t: Writer, parent: etree._Element, rng: random.Random) -> None:
    fias = t.add(parent, "АдрФИАС", attributes={"ИдНом": uuid(rng), "Индекс": digits(rng, 6)})
    t.add(fias, "Регион", "77")
    t.add(fias, "МуниципРайон", attributes={"ВидКод": "1", "Наим": "Заречный муниципальный район"})
    t.add(fias, "НаселенПункт", attributes={"Вид": "город", "Наим": "Светлогорье"})
    t.add(fias, "ЭлУлДорСети", attributes={"Тип": "улица", "Наим": rng.choice(_STREETS)})
    t.add(fias, "Здание", attributes={"Тип": "дом", "Номер": str(rng.randint(1, 120))})
    t.add(fias, "ПомещКвартиры", attributes={"Тип": "квартира", "Номер": str(rng.randint(1, 200))})
