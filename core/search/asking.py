"""A search on behalf of a person: what only some may search by, what the audit is told, what a link may carry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from core import audit
from core.access.person import Person
from core.contents import PERSONAL
from core.database import driver
from core.errors import Permanent
from core.reading import Wanted
from core.search import values
from core.search.choices import title_of
from core.search.finding import Found, find, pages
from core.search.rules import rules

if TYPE_CHECKING:
    from core.bus import Bus

EXPORTED_MOST: Final = 100_000
"""Rows of one export."""
COLUMNS: Final = (
    *("Номер", "Идентификатор", "Принято", "Вид", "Название вида", "Очередь", "Состояние", "Попыток", "Источник"),
    *("Внешний идентификатор", "Ошибка", "Причина"),
)


def search(bus: Bus, wanted: Wanted, limit: int, person: Person, *, oldest_first: bool = False) -> Found:
    """A page for this person. A search by personal data is in the audit before anything is found.

    Raises ConfigError for senseless filters, Permanent for what this person must not search by.
    """
    _permit(bus, wanted, person)
    return find(bus.database, wanted, limit, oldest_first=oldest_first)


def is_personal(bus: Bus, wanted: Wanted) -> bool:
    """Is a filter among these that says something about a person?"""
    if wanted.words:
        return True
    if not wanted.search_key:
        return False
    with bus.database.transaction() as connection:
        known = {one.name: one for one in rules(driver(connection))}
    return wanted.search_key not in known or known[wanted.search_key].personal


def hidden(wanted: Wanted) -> Wanted:
    """The same search with hashes in place of what was typed: for links."""
    return replace(
        wanted,
        value=values.token(values.of_value(wanted.value)) if wanted.value.strip() else "",
        words="".join(map(values.token, values.of_words(wanted.words))),
    )


def export(bus: Bus, wanted: Wanted, person: Person) -> Iterator[list[str]]:
    """Rows of a table, COLUMNS first: at most EXPORTED_MOST messages, the newest first, nothing personal.

    In the audit when the first row is asked for. Raises as `search` does.
    """
    _permit(bus, wanted, person)
    note = "Выгружен список сообщений журнала"
    with bus.database.transaction() as connection:
        audit.record(driver(connection), person.login, "messages.exported", "journal", "", note, _told(wanted))
    yield list(COLUMNS)
    for rows in pages(bus.database, wanted, EXPORTED_MOST, oldest_first=False):
        for row in rows:
            yield [
                str(row.seq),
                str(row.id),
                row.accepted_at.astimezone(person.zone).isoformat(timespec="seconds"),
                row.kind,
                title_of(bus.routes, row.kind),
                row.queue,
                row.state,
                str(row.attempts),
                row.source,
                row.external_id,
                row.error,
                row.reason,
            ]


def _permit(bus: Bus, wanted: Wanted, person: Person) -> None:
    if not is_personal(bus, wanted):
        return
    if not person.may(PERSONAL):
        raise Permanent("Искать по персональным данным можно с правом «Персональные данные без маски»")
    if wanted.before is None and wanted.after is None:
        with bus.database.transaction() as connection:
            note = "Поиск по тексту сообщений" if wanted.words else f"Поиск по ключу {wanted.search_key}"
            audit.record(driver(connection), person.login, "messages.searched", "journal", "", note)


def _told(wanted: Wanted) -> dict[str, str]:
    """The filters, of personal ones only that they were there."""
    names = ("queue", "kind", "state", "source", "participant", "external_id", "reason_like", "search_key")
    told = {name: getattr(wanted, name) for name in names if getattr(wanted, name)}
    times = {name: moment.isoformat() for name in ("since", "until") if (moment := getattr(wanted, name))}
    return told | times | ({"words": "…"} if wanted.words else {})
