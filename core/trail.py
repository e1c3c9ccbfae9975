"""Reads the audit: filters, pages by the last row seen, a look back at one account, the export of what was found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final

import psycopg

from core import audit, deeds
from core.database import Database, Driver, driver, storable
from core.errors import ConfigError

PAGE_MOST: Final = 1000
EXPORT_MOST: Final = 100_000
"""Rows of an export."""
_EXPORT_PAGE: Final = 2000
LOOK_MOST_S: Final = 3
"""A search that takes longer is given up."""
_SLACK: Final = 1000
"""Rows by which the order of `seq` may differ from that of `at`: transactions of the same moment."""
_ACTORS_MOST: Final = 300
_COLUMNS: Final = "seq, at, actor, via, address, action, object_kind, object_id, note, detail"


@dataclass(frozen=True, slots=True)
class Row:
    """One deed, as core.audit.record kept it."""

    seq: int
    at: datetime
    actor: str
    via: str
    address: str
    action: str
    object_kind: str
    object_id: str
    note: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows; what is empty does not choose. looks: only looks at what may hold personal data.

    before, after  rows older or newer than this one (`seq`)
    """

    actor: str = ""
    action: str = ""
    object_kind: str = ""
    object_id: str = ""
    via: str = ""
    since: datetime | None = None
    until: datetime | None = None
    looks: bool = False
    before: int | None = None
    after: int | None = None


def rows(database: Database, wanted: Wanted, most: int = 50) -> list[Row]:
    """The newest first. Raises ConfigError when the search takes too long."""
    with database.transaction() as connection:
        return _rows(driver(connection), wanted, min(most, PAGE_MOST))


def _rows(db: Driver, wanted: Wanted, most: int) -> list[Row]:
    where, values = _where(db, wanted)
    upwards = wanted.after is not None and wanted.before is None
    order = f"ORDER BY seq {'ASC' if upwards else 'DESC'} LIMIT {int(most)}"
    source = f"bus.audit WHERE {where}"
    if wanted.looks and not wanted.action:
        # Each action by its own index, named in the text so that the planner knows how few there are.
        each = (f"(SELECT * FROM bus.audit WHERE action = '{look}' AND {where} {order})" for look in deeds.LOOKS)
        source = f"({' UNION ALL '.join(each)}) found"
    db.execute(f"SET LOCAL statement_timeout = {LOOK_MOST_S * 1000}")
    try:
        found = db.execute(f"SELECT {_COLUMNS} FROM {source} {order}", values).fetchall()
    except psycopg.errors.QueryCanceled:
        raise ConfigError("Таких записей пришлось бы искать слишком долго: укажите период короче") from None
    return [Row(*row) for row in (reversed(found) if upwards else found)]


def _where(db: Driver, wanted: Wanted) -> tuple[str, dict[str, Any]]:
    values: dict[str, Any] = {name: storable(str(value)) for name, value in _chosen(wanted).items()}
    terms = [f"{name} = %({name})s" for name in values]
    if values != _chosen(wanted):  # no row can say what cannot be kept
        terms.append("false")
    if wanted.looks and wanted.action and wanted.action not in deeds.LOOKS:
        terms.append("false")
    if wanted.since:
        values |= {"since": wanted.since, "since_seq": _first_since(db, wanted.since) - _SLACK}
        terms.append("at >= %(since)s AND seq >= %(since_seq)s")
    if wanted.until:
        values |= {"until": wanted.until, "until_seq": _first_since(db, wanted.until) + _SLACK}
        terms.append("at < %(until)s AND seq <= %(until_seq)s")
    if wanted.before is not None:
        values["before"] = wanted.before
        terms.append("seq < %(before)s")
    if wanted.after is not None:
        values["after"] = wanted.after
        terms.append("seq > %(after)s")
    return " AND ".join(terms) or "true", values


def _chosen(wanted: Wanted) -> dict[str, str]:
    names = ("actor", "action", "object_kind", "object_id", "via")
    return {name: getattr(wanted, name) for name in names if getattr(wanted, name)}


def _first_since(db: Driver, moment: datetime) -> int:
    """The `seq` of the first row from this moment on: a period then reads only its own part of the table."""
    row = db.execute("SELECT seq FROM bus.audit WHERE at >= %s ORDER BY at LIMIT 1", (moment,)).fetchone()
    row = row or db.execute("SELECT coalesce(max(seq), 0) + 1 FROM bus.audit").fetchone()
    assert row
    return int(row[0])


def actors(database: Database) -> list[str]:
    """Who has ever acted, found by hops over the index; at most 300 of them."""
    with database.transaction() as connection:
        found = driver(connection).execute(
            "WITH RECURSIVE hop(actor) AS (SELECT min(actor) FROM bus.audit UNION ALL "
            "SELECT (SELECT min(actor) FROM bus.audit a WHERE a.actor > hop.actor) FROM hop "
            "WHERE hop.actor IS NOT NULL) "
            "SELECT actor FROM hop WHERE actor <> '' LIMIT %s",
            (_ACTORS_MOST,),
        )
        return [row[0] for row in found]


def sign_ins(database: Database, login: str, most: int = 20) -> list[Row]:
    """Sign-ins, refusals, locks and ends of sessions of one account, the newest first."""
    with database.transaction() as connection:
        found = driver(connection).execute(
            f"SELECT {_COLUMNS} FROM bus.audit WHERE object_kind = 'account' AND object_id = %s "
            "AND action = ANY(%s) ORDER BY seq DESC LIMIT %s",
            (login, list(deeds.SIGN_INS), most),
        )
        return [Row(*row) for row in found.fetchall()]


def export(database: Database, wanted: Wanted, *, actor: str, form: str, most: int = EXPORT_MOST) -> Iterator[Row]:
    """The rows of this choice, the newest first, at most `most`. That it was asked for is audited before the first one.

    Reads page by page, so memory does not grow with the number of rows. Raises ConfigError.
    """
    chosen = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(wanted).items()
        if value not in ("", None, False)
    }
    with database.transaction() as connection:
        db = driver(connection)
        top = db.execute("SELECT coalesce(max(seq), 0) + 1 FROM bus.audit").fetchone()
        assert top
        audit.record(db, actor, "audit.exported", "audit", form, f"Выгрузка аудита в {form}", chosen)
    return _pages(database, replace(wanted, before=wanted.before or top[0], after=None), most)


def _pages(database: Database, wanted: Wanted, most: int) -> Iterator[Row]:
    while most > 0:
        with database.transaction() as connection:
            page = _rows(driver(connection), wanted, min(most, _EXPORT_PAGE))
        yield from page
        if len(page) < min(most, _EXPORT_PAGE):
            return
        most -= len(page)
        wanted = replace(wanted, before=page[-1].seq)


HEADINGS: Final = (
    "№",
    "Время",
    "Кто",
    "Откуда",
    "Адрес",
    "Действие",
    "Объект",
    "Что именно",
    "Примечание",
    "Подробности",
)


def cells(row: Row, local: datetime) -> Sequence[str | int]:
    """A row of an export, under HEADINGS. local: the moment in the reader's zone."""
    return (
        row.seq,
        f"{local:%d.%m.%Y %H:%M:%S}",
        row.actor,
        deeds.VIAS.get(row.via, row.via),
        row.address,
        deeds.title(row.action),
        deeds.object_title(row.object_kind),
        row.object_id,
        row.note,
        "; ".join(f"{deeds.detail_title(name)}: {deeds.told(value, name)}" for name, value in row.detail.items()),
    )
