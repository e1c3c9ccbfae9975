"""Screens of the ФНС exchange in the console: organizations of ЕГРЮЛ."""

from __future__ import annotations

from core.screen import MESSAGE, Conditions, Field, Screen, Shelf
from routes.fns.models import Organization

SHELF = Shelf("ФНС", "Юридические лица из ЕГРЮЛ", icon="fa-building", place=40)


def _find(text: str) -> Conditions:
    """By ОГРН (13 or 15 digits) or ИНН when it is a number, else by a part of the name."""
    wanted = text.strip()
    if wanted.isdecimal():
        return (Organization.ogrn == wanted,) if len(wanted) >= 13 else (Organization.inn == wanted,)
    return (Organization.name.icontains(wanted, autoescape=True),) if wanted else ()


ORGANIZATIONS = Screen(
    "organizations",
    model=Organization,
    title="Организации",
    one="Организация",
    lead="Сведения последней выписки ЕГРЮЛ.",
    fields=(
        Field("ogrn", "ОГРН"),
        Field("inn", "ИНН"),
        Field("kpp", "КПП", in_list=False),
        Field("short_name", "Краткое наименование"),
        Field("name", "Полное наименование", in_list=False),
        Field("status_code", "Код состояния", in_list=False),
        Field("status_name", "Состояние"),
        Field("ended", "Прекращена"),
        Field("address", "Адрес", in_list=False),
        Field("ogrn_date", "Дата ОГРН", in_list=False),
        Field("extract_date", "Дата выписки"),
        Field("source_message_id", "Сообщение"),
        Field("changed_at", "Изменена", in_list=False),
    ),
    order="ogrn",
    find=_find,
    find_hint="ОГРН, ИНН или часть наименования",
    links={"source_message_id": MESSAGE},
    filters=("inn", "kpp", "status_code", "ended", "extract_date", "changed_at", "source_message_id"),
)
