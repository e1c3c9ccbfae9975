"""Screens of ЕРЗ in the console: persons, their documents and policies, acts of birth and death."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Any, Final

from core.screen import MESSAGE, Conditions, Field, Mistake, Screen, Shelf
from routes.erz.models import BirthRecord, DeathRecord, Document, Person, Policy
from routes.erz.values import document_key, search_key

SHELF = Shelf("ЕРЗ", "Люди, документы, полисы и акты гражданского состояния", icon="fa-users", place=10)

_SEX: Final = {1: "мужской", 2: "женский"}
_PRECISION: Final = {"day": "полная", "month": "известны месяц и год", "year": "известен год"}
_STATUS: Final = {"alive": "жив", "dead": "умер", "annulled": "аннулирован"}
_ENP: Final = re.compile(r"\d{16}")
_DATE: Final = re.compile(r"\b(\d{2})\.(\d{2})\.(\d{4})\b")
_HINT: Final = "Фамилия Имя Отчество, дата рождения ДД.ММ.ГГГГ"


def by_name(model: Any) -> Callable[[str], Conditions]:
    """Search by the beginning of surname, given name and patronymic, and by a birth date, over a table with both.

    Letter case and ё/е make no difference. The given name and the patronymic may be cut short, the surname only when
    it stands alone.
    """

    def find(text: str) -> Conditions:
        conditions = []
        if found := _DATE.search(text):
            conditions.append(model.birth_date == _day(found))
            text = text.replace(found[0], " ")
        words = text.replace("|", " ").split()
        if conditions and not words:
            raise Mistake("Введите с датой и начало фамилии: по одной дате людей слишком много")
        if words:
            surname, given, patronymic = words[0], "".join(words[1:2]), " ".join(words[2:])
            beginning = search_key(surname, given, patronymic).rstrip("|")
            conditions.append(model.search_key.startswith(beginning, autoescape=True))
        return conditions

    return find


def _day(found: re.Match[str]) -> date:
    try:
        return date(int(found[3]), int(found[2]), int(found[1]))
    except ValueError:
        raise Mistake(f"Даты {found[0]} нет в календаре: исправьте её") from None


def _find_person(text: str) -> Conditions:
    """By СНИЛС or ЕНП when it is a number, else by name."""
    digits = re.sub(r"[\s-]", "", text)
    if digits.isdecimal():
        return (Person.snils == digits,) if len(digits) == 11 else (Person.enp == digits,)
    return by_name(Person)(text)


def _find_document(text: str) -> Conditions:
    key = document_key(text)
    return (Document.number_key == key,) if key else ()


def _written_document(values: dict[str, Any]) -> dict[str, Any]:
    key = document_key(f"{values.get('series') or ''}{values.get('number') or ''}")
    if not key:
        raise Mistake("Введите номер документа", column="number")
    return {**values, "number_key": key}


def _written_policy(values: dict[str, Any]) -> dict[str, Any]:
    if not _ENP.fullmatch(values["enp"] or ""):
        raise Mistake("ЕНП состоит из 16 цифр", column="enp")
    if values.get("ends") and values["ends"] < values["starts"]:
        raise Mistake("Полис не может закончиться раньше, чем начал действовать", column="ends")
    return values


PERSONS = Screen(
    "persons",
    model=Person,
    title="Люди",
    one="Человек",
    lead="Кого знает фонд. Меняются сообщениями: ЗАГС, СФР.",
    fields=(
        Field("id", "Номер"),
        Field("surname", "Фамилия"),
        Field("given", "Имя"),
        Field("patronymic", "Отчество"),
        Field("birth_date", "Дата рождения"),
        Field("birth_precision", "Точность даты рождения", choices=_PRECISION, in_list=False),
        Field("birth_place", "Место рождения", in_list=False),
        Field("sex", "Пол", choices=_SEX, in_list=False),
        Field("snils", "СНИЛС"),
        Field("enp", "ЕНП"),
        Field("status", "Состояние", choices=_STATUS),
        Field("death_date", "Дата смерти", in_list=False),
        Field("death_precision", "Точность даты смерти", choices=_PRECISION, in_list=False),
        Field("death_record_id", "Акт о смерти", in_list=False),
        Field("source_message_id", "Сообщение"),
        Field("created_at", "Внесён", in_list=False),
        Field("changed_at", "Изменён"),
    ),
    find=_find_person,
    find_hint=f"{_HINT}; СНИЛС; ЕНП",
    filters=("status", "sex", "birth_date", "changed_at", "source_message_id"),
    links={"source_message_id": MESSAGE, "death_record_id": "erz.deaths"},
    children={
        "erz.documents": "person_id",
        "erz.policies": "person_id",
        "erz.births": "person_id",
        "erz.deaths": "person_id",
        "sfr.snils": "person_id",
        "pump.services": "person_id",
    },
)

DOCUMENTS = Screen(
    "documents",
    model=Document,
    title="Документы",
    one="Документ",
    lead="Документы, удостоверяющие личность.",
    fields=(
        Field("id", "Номер записи"),
        Field("person_id", "Человек", "Номер человека из реестра «Люди»"),
        Field("kind_code", "Вид", "Код вида документа: 21 паспорт РФ, 03 свидетельство о рождении"),
        Field("series", "Серия"),
        Field("number", "Номер"),
        Field("issued", "Выдан"),
        Field("issuer", "Кем выдан", in_list=False),
    ),
    find=_find_document,
    find_hint="Серия и номер",
    links={"person_id": "erz.persons"},
    filters=("person_id", "kind_code"),
    writable=True,
    prepare=_written_document,
)

POLICIES = Screen(
    "policies",
    model=Policy,
    title="Полисы",
    one="Полис",
    lead="Полисы обязательного медицинского страхования.",
    fields=(
        Field("id", "Номер записи"),
        Field("person_id", "Человек", "Номер человека из реестра «Люди»"),
        Field("enp", "ЕНП", "16 цифр"),
        Field("insurer_code", "СМО", "Код страховой медицинской организации"),
        Field("starts", "Действует с"),
        Field("ends", "Действует по"),
    ),
    search=("enp",),
    find_hint="ЕНП",
    links={"person_id": "erz.persons"},
    filters=("person_id", "insurer_code", "starts", "ends"),
    writable=True,
    prepare=_written_policy,
)

_ACT: Final = (
    Field("surname", "Фамилия"),
    Field("given", "Имя"),
    Field("patronymic", "Отчество"),
    Field("birth_date", "Дата рождения"),
    Field("birth_precision", "Точность даты рождения", choices=_PRECISION, in_list=False),
    Field("sex", "Пол", choices=_SEX, in_list=False),
    Field("person_id", "Человек"),
    Field("note", "Пояснение"),
    Field("act_number", "Номер акта"),
    Field("act_date", "Дата акта"),
    Field("annulled", "Аннулирован"),
    Field("office_code", "Код органа ЗАГС", in_list=False),
    Field("office_name", "Орган ЗАГС", in_list=False),
    Field("certificate", "Свидетельство", in_list=False),
    Field("certificate_date", "Дата свидетельства", in_list=False),
    Field("version", "Версия", in_list=False),
    Field("version_date", "Дата версии", in_list=False),
    Field("status_code", "Код состояния", in_list=False),
    Field("source_message_id", "Сообщение"),
    Field("received_at", "Получен", in_list=False),
)
_ACT_FILTERS: Final = (
    "person_id",
    "act_date",
    "act_number",
    "office_code",
    "annulled",
    "source_message_id",
    "received_at",
)

BIRTHS = Screen(
    "births",
    model=BirthRecord,
    title="Акты о рождении",
    one="Акт о рождении",
    lead="Последняя принятая версия записи акта ЕГР ЗАГС.",
    fields=(
        Field("id", "Номер записи"),
        *_ACT,
        Field("alive", "Родился живым", in_list=False),
        Field("made_person", "Человек внесён этим актом", in_list=False),
        Field("birth_place", "Место рождения", in_list=False),
        Field("mother", "Мать", in_list=False),
        Field("father", "Отец", in_list=False),
    ),
    find=by_name(BirthRecord),
    find_hint=_HINT,
    links={"source_message_id": MESSAGE, "person_id": "erz.persons"},
    filters=_ACT_FILTERS,
)

DEATHS = Screen(
    "deaths",
    model=DeathRecord,
    title="Акты о смерти",
    one="Акт о смерти",
    lead="Последняя принятая версия записи акта ЕГР ЗАГС. Без человека: никто не найден или подходит несколько.",
    fields=(
        Field("id", "Номер записи"),
        *_ACT[:4],
        Field("death_date", "Дата смерти"),
        Field("death_precision", "Точность даты смерти", choices=_PRECISION, in_list=False),
        *_ACT[4:],
        Field("document_key", "Документ умершего", in_list=False),
        Field("matched_by", "Как найден человек", choices={"document": "по документу", "name": "по ФИО и дате"}),
    ),
    find=by_name(DeathRecord),
    find_hint=_HINT,
    links={"source_message_id": MESSAGE, "person_id": "erz.persons"},
    filters=("matched_by", *_ACT_FILTERS),
)
